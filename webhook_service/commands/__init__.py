"""The commands of ``webhook-service`` that work on the data, one file a subject."""
