"""Bytes to a Job, or to every problem in them."""

from jobscheduler.parse.definition import Rules, conflict, parse, parse_task
from jobscheduler.parse.oddities import oddities
from jobscheduler.parse.schema import public_schema

__all__ = ["Rules", "conflict", "oddities", "parse", "parse_task", "public_schema"]
