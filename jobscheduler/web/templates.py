"""The templates of the pages, and the filters that they use. All text is escaped by default."""

from __future__ import annotations

from functools import cache, lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from jobscheduler.model import Cron, Job, Problem
from jobscheduler.status.shown_status import shown_status
from jobscheduler.status.snapshot_json import schedule_text
from jobscheduler.timetable.crontab import describe, parse
from jobscheduler.util.durations import format_duration
from jobscheduler.util.instants import format_instant_s
from jobscheduler.util.sizes import format_size
from jobscheduler.util.terminal_text import printable_lines
from jobscheduler.util.text import plural
from jobscheduler.util.user_names import name_of_user
from jobscheduler.web.overview import MAX_FILE_NAMES, is_page_id, page_name
from jobscheduler.web.timeline import WORDS


@cache
def templates() -> Environment:
    """Return the templates with what they may call; each is compiled once in a process."""
    made = Environment(
        loader=PackageLoader("jobscheduler.web", "files"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "human": unbroken_duration,
        "user_name": name_of_user,
        "visible": printable_lines,
        "size": format_size,
        "machine": format_instant_s,
        "ticked": with_code,
        "excerpt": excerpt_lines,
    }
    made.tests["page_id"] = is_page_id
    made.globals |= {
        "max_names": MAX_FILE_NAMES,
        "numbers": plural,
        "schedule_text": schedule_text,
        "sentence_of": schedule_sentence,
        "words": WORDS,
        "page_name": page_name,
        "shown_status": shown_status,
    }
    return made


def unbroken_duration(seconds: float) -> str:
    """Write a duration that no line break divides."""
    return format_duration(seconds).replace(" ", "\u00a0")


def with_code(text: str) -> Markup:
    """Return a message in which what stands between backticks is marked as code; nothing in it is hidden."""
    parts = printable_lines(text).split("`")
    if len(parts) % 2 == 0:  # one without its partner
        parts[-2:] = ["`".join(parts[-2:])]
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if number % 2 else escape(part) for number, part in enumerate(parts))


def excerpt_lines(problem: Problem) -> str:
    """Return the offending line with its number, and below it a caret at the mistake."""
    text, number = problem.excerpt or "", str(problem.line or "")
    end = problem.caret + problem.width
    before, wrong, rest = map(printable_lines, (text[: problem.caret], text[problem.caret : end], text[end:]))
    caret = " " * len(before) + "^" * max(1, len(wrong))
    return f"{number} | {before}{wrong}{rest}\n{' ' * len(number)} | {caret}"


def schedule_sentence(job: Job) -> str:
    """Return a schedule in words."""
    if isinstance(job.schedule, Cron):
        return _sentence(job.schedule.expression)
    return "Once"


@lru_cache(maxsize=4096)
def _sentence(expression: str) -> str:
    return describe(parse(expression))
