"""From files and rows to active jobs."""
