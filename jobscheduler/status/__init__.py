"""The state of the service and its jobs, as values."""
