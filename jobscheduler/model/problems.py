"""Something wrong with the user's input."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with an input, as shown to its author: what, where, note, help. Only the help suggests.

    `line` and `column` count from 1, columns in characters. `excerpt` is the offending line (cut if long); the problem
    is its `width` characters from `caret` on (which counts from 0).
    `host_dependent` marks a finding that depends on this host or user, not on the text alone: an unknown user, a
    missing extra, an untrusted mode. It is checked again even if nothing was edited.
    `is_lint` marks what is legal and odd: it is never an error.
    """

    message: str
    file: str = ""
    line: int | None = None
    column: int | None = None
    excerpt: str | None = None
    caret: int = 0
    width: int = 1
    notes: tuple[str, ...] = ()
    help: str | None = None
    host_dependent: bool = False
    is_lint: bool = False
