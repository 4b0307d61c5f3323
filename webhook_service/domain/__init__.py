"""The terms of the service as values, one file for each subject. Nothing here imports anything else of the service."""
