"""Parse bytes to a Job, or to every problem in them."""

from jobscheduler.jobs.parser.check_defaults import check_defaults
from jobscheduler.jobs.parser.defaults import NO_DEFAULTS, Defaults
from jobscheduler.jobs.parser.definition import ParseContext, parse, parse_task
from jobscheduler.jobs.parser.locations import id_conflict
from jobscheduler.jobs.parser.schema import public_schema
from jobscheduler.jobs.parser.warnings import definition_warnings

__all__ = [
    "NO_DEFAULTS",
    "Defaults",
    "ParseContext",
    "check_defaults",
    "definition_warnings",
    "id_conflict",
    "parse",
    "parse_task",
    "public_schema",
]
