"""What every request passes through: access, errors, log line, metrics."""
