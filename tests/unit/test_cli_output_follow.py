"""How `output` reads a run at work from the service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobscheduler.cli import output_follow

RUN = {"job_id": "flood", "run_id": "5f3c2a9d0b1e"}


class Shown:
    """A display that keeps what it is given."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.has_ended = False

    def begin(self, job_id: str, run_id: str, attempt: int) -> None:
        """Begin an attempt."""

    def add(self, text: str, missing: int) -> None:
        """Keep a part."""
        self.parts.append(text)

    def end(self) -> None:
        """Note the end."""
        self.has_ended = True

    def finish(self, record: object) -> None:
        """Nothing follows."""


def test_an_output_that_grows_faster_than_it_is_shown_is_shown_as_far_as_it_was_described(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each request finds more; without `-f` it ends all the same."""

    def request(socket: Path, method: str, path: str) -> dict[str, Any]:
        offset = int(path.rpartition("=")[2])
        return {"text": "y" * 10, "missing": 0, "next": offset + 10}

    monkeypatch.setattr(output_follow, "request", request)
    shown = Shown()
    output_follow.show(Path("c.sock"), RUN, {"attempt": 1, "total": 25}, shown)
    assert (shown.parts, shown.has_ended) == (["y" * 10] * 3, True)


def test_what_is_not_kept_any_more_ends_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty answer has no further part behind it."""
    monkeypatch.setattr(output_follow, "request", lambda *_: {"text": "", "missing": 0, "next": 0})
    shown = Shown()
    output_follow.show(Path("c.sock"), RUN, {"attempt": 1, "total": 25}, shown)
    assert (shown.parts, shown.has_ended) == ([], True)
