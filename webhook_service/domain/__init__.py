"""The words of the service as values, one file a subject. Nothing here imports anything else of the service."""
