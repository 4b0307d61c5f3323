"""The database: the only place that builds SQL."""
