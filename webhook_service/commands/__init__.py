"""The commands of ``webhook-service``, one file for each, and what only commands need."""
