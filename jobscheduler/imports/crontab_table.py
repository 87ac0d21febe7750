"""Read a crontab: its lines with a command, each with the variables and the comment above it, and its bad lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from jobscheduler.imports.crontab_variables import Assignment, parse_assignment

MAX_COMMENT_CHARS = 300  # of a comment that becomes a description

_ENTRY = re.compile(r"[ \t]*(?P<schedule>@\S+|[^@\s]\S*(?:[ \t]+\S+){4})(?:[ \t]+(?P<rest>\S.*))?", re.DOTALL)
_USER = re.compile(r"(?P<user>\S+)(?:[ \t]+(?P<command>\S.*))?", re.DOTALL)
_RULER = re.compile(
    r"\b(?:dow|dom|mon)\b|\bm\s+h\b|[|┌└─│]|-\*-|\bvim?:|[0-9*]\s*-\s*[0-9]+\s*\)|\*\s+\*", re.IGNORECASE
)
_LETTERS = re.compile(r"[^\W\d_]{2}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A line with a schedule and a command; `user` is None in a table without a column for it."""

    line: int
    text: str
    schedule: str
    user: str | None
    command: str
    variables: Mapping[str, str]
    comment: str = ""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be taken over: why, and what to do. `is_error` says that cron refuses it, too."""

    line: int
    text: str
    message: str
    help: str
    is_error: bool = True


@dataclass(slots=True)
class Table:
    """The lines of one crontab. `unended` is the number of a last line without an end, which Debian's cron ignores."""

    entries: list[Entry] = field(default_factory=list)
    bad_lines: list[BadLine] = field(default_factory=list)
    bare_variables: list[int] = field(default_factory=list)
    unended: int | None = None


def read_table(text: str, *, has_users: bool) -> Table:
    """Read the text of a table. With `has_users` a name stands before each command, as in /etc/crontab."""
    table = Table()
    reader = _Reader(table, has_users)
    lines = text.removeprefix("\ufeff").split("\n")
    if lines[-1].strip():
        table.unended = len(lines)
    for number, line in enumerate(lines, 1):
        reader.read(number, line.removesuffix("\r"))
    return table


@dataclass(slots=True)
class _Reader:
    """Reads line by line what counts for the lines below: the variables so far, and the comment just above."""

    table: Table
    has_users: bool
    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    comment: list[str] = field(default_factory=list)

    def read(self, number: int, line: str) -> None:
        """Take one line."""
        stripped = line.strip()
        if stripped.startswith("#"):
            self.comment.append(stripped.lstrip("#").strip())
            return
        comment, self.comment = description_of(self.comment), []
        if not stripped:
            return
        assignment, unusable = parse_assignment(line), _unusable(number, line)
        if assignment is not None and unusable is not None:
            self.table.bad_lines.append(unusable)
        elif assignment is not None:
            self._assign(number, assignment)
        else:
            self._entry(number, line, comment)

    def _assign(self, number: int, assignment: Assignment) -> None:
        self.variables = MappingProxyType({**self.variables, assignment.name: assignment.value})
        if assignment.is_bare:
            self.table.bare_variables.append(number)

    def _entry(self, number: int, line: str, comment: str) -> None:
        found = _ENTRY.fullmatch(line)
        bad = _bad_line(number, line, found, self.has_users)
        if bad is not None or found is None:
            self.table.bad_lines += [bad] if bad else []
            return
        user, command = _user_and_command(found["rest"], self.has_users)
        schedule = " ".join(found["schedule"].split())
        entry = Entry(number, line.strip(), schedule, user, command or "", self.variables, comment)
        self.table.entries.append(entry)


def _bad_line(number: int, line: str, found: re.Match[str] | None, has_users: bool) -> BadLine | None:
    """Return why a line is none with a command; None if it is one."""
    form = "`minute hour day month weekday user command`" if has_users else "`minute hour day month weekday command`"
    if found is None or not found["rest"]:
        return BadLine(number, line.strip(), "the line has fewer words than a crontab line needs", f"write {form}")
    if _user_and_command(found["rest"], has_users)[1] is None:
        message = f"there is no command after the user `{found['rest'].strip()}`"
        return BadLine(number, line.strip(), message, f"write {form}, or say `--owner NAME` if the table has no users")
    return _unusable(number, line)


def _unusable(number: int, line: str) -> BadLine | None:
    """Return that a line has characters that a job file cannot hold, or hardly should; None if it has none."""
    odd = next((c for c in line if (c < " " and c != "\t") or "\ud800" <= c <= "\udfff" or c == "\x7f"), None)
    if odd is None:
        return None
    what = "bytes that are not UTF-8" if odd > "\x7f" else f"the control character U+{ord(odd):04X}"
    return BadLine(
        number, line.strip(), f"the line has {what}", "put it into a script, and have the line name that", False
    )


def _user_and_command(rest: str, has_users: bool) -> tuple[str | None, str | None]:
    if not has_users:
        return None, rest
    match = _USER.fullmatch(rest)
    return (None, None) if match is None else (match["user"], match["command"])


def description_of(comment: list[str]) -> str:
    """Return the comment above a line as a description, without rulers of columns and lines that were commented out."""
    told = [line for line in comment if _LETTERS.search(line) and not _RULER.search(line) and not _is_job(line)]
    text = " ".join(told)[:MAX_COMMENT_CHARS].strip()
    return text.encode("utf-8", "replace").decode()  # bytes of another encoding become question marks


def _is_job(line: str) -> bool:
    """Return whether a comment is a line of a crontab that was taken out."""
    return bool(re.match(r"@\w+\s|(?:[0-9*/,-]+\s+){3}", line)) or parse_assignment(line) is not None


def schedule_and_word(text: str) -> Iterator[tuple[str, str, bool]]:
    """Yield the schedule of each line with a command, the first word after it, and whether more words follow."""
    for entry in read_table(text, has_users=False).entries:
        word, *more = entry.command.split(None, 1)
        yield entry.schedule, word, bool(more)
