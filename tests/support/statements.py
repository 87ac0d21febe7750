"""Counts the statements that a database is asked: those of this process, and those of a service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import event
from sqlalchemy.engine import Engine

_CODE = """
import os
from sqlalchemy import event
from sqlalchemy.engine import Engine

counted = os.open({file!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
event.listen(Engine, "before_cursor_execute", lambda *_: os.write(counted, b"."))
"""


def counting(file: Path) -> str:
    """Return code with which a service adds one byte to a file for each statement."""
    return _CODE.format(file=str(file))


@contextmanager
def counted() -> Iterator[list[str]]:
    """Collect the statements of this process."""
    found: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        found.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)
