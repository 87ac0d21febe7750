"""When a job is due. Pure: no clock, no files but time zone data."""
