"""Services that ingest is compared with, each started for the time of a measurement."""
