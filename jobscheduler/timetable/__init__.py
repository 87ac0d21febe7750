"""Compute when a job is due. Pure: no clock, no files except time zone data."""
