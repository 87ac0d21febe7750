"""Bytes to a Job, or to every problem in them."""

from jobscheduler.jobs.parser.definition import Rules, conflict, parse, parse_task
from jobscheduler.jobs.parser.schema import public_schema
from jobscheduler.jobs.parser.warnings import oddities

__all__ = ["Rules", "conflict", "oddities", "parse", "parse_task", "public_schema"]
