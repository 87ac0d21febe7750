"""What another scheduler's job holds, and a job file cannot say."""

from __future__ import annotations


class NotExpressible(Exception):
    """A job that no definition says; `help` is what to do instead."""

    def __init__(self, message: str, help: str = "") -> None:  # noqa: A002 - as in Problem
        super().__init__(message)
        self.message = message
        self.help = help
