"""Find out whose crontab it is: by its path as cron would, else by its content."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from pathlib import PurePath
from typing import NamedTuple

from jobscheduler.imports.crontab_table import schedule_and_word

CRON_D_NAME = re.compile(r"[a-zA-Z0-9_-]+")  # the names in /etc/cron.d that Debian's cron reads
_HEADING = re.compile(r"^#.*\bdow\s+(?P<user>user(?:-?name)?\s+)?command", re.IGNORECASE | re.MULTILINE)
_NAME = re.compile(r"[a-z_][a-z0-9_.-]*\$?")


class Form(Enum):
    """Whether a user stands before each command."""

    WITH_USERS = "with users"
    OF_ONE_USER = "of one user"
    UNKNOWN = "unknown"


class Layout(NamedTuple):
    """The form of a table, and the user to whom it belongs if its path says so."""

    form: Form
    user: str | None = None


def layout_of_path(path: PurePath) -> Layout:
    """Return the form of a table by its place: /etc/crontab, /etc/cron.d, and cron's spool."""
    parent = path.parent.name
    if parent == "cron.d" or (path.name == "crontab" and parent == "etc"):
        return Layout(Form.WITH_USERS)
    if parent == "crontabs" or (parent in {"tabs", "cron"} and "spool" in path.parts):
        return Layout(Form.OF_ONE_USER, path.name)
    return Layout(Form.UNKNOWN)


def form_of_text(text: str, is_user: Callable[[str], bool], is_program: Callable[[str], bool]) -> Form:
    """Return the form of a table by its heading, else by the words after its schedules.

    A word that names a user and no program is a user. `backup` may be both, so it alone decides nothing.
    """
    heading = _HEADING.search(text)
    if heading is not None:
        return Form.WITH_USERS if heading["user"] else Form.OF_ONE_USER
    lines = list(schedule_and_word(text))
    if not lines:  # nothing could be read in two ways
        return Form.OF_ONE_USER
    votes = {_vote(word, has_more, is_user, is_program) for _, word, has_more in lines}
    votes.discard(Form.UNKNOWN)
    return votes.pop() if len(votes) == 1 else Form.UNKNOWN


def _vote(word: str, has_more: bool, is_user: Callable[[str], bool], is_program: Callable[[str], bool]) -> Form:
    may_be_user = has_more and bool(_NAME.fullmatch(word)) and is_user(word)
    may_be_program = not _NAME.fullmatch(word) or is_program(word) or not may_be_user
    if may_be_user and may_be_program:
        return Form.UNKNOWN
    return Form.WITH_USERS if may_be_user else Form.OF_ONE_USER
