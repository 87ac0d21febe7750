"""Small helpers that know nothing of jobs."""
