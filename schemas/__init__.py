"""The public contract of a job file, carried inside the wheel."""
