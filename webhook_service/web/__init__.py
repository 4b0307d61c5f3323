"""The parts that every request passes through: access, errors, the log line, metrics."""
