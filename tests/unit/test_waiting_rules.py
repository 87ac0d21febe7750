"""The note of a verb about zone rules that the service does not follow yet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jobscheduler.cli import waiting_rules
from jobscheduler.cli.waiting_rules import waiting_rules_note
from jobscheduler.config import Settings
from jobscheduler.control.client import ServiceUnreachable


def test_the_zones_that_wait_are_asked_for_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not the whole status; only zones that the verb shows are named."""
    asked: list[str] = []

    def answer(socket: Path, method: str, path: str) -> Mapping[str, Any]:
        asked.append(f"{method} {path}")
        return {"new_rules": ["Europe/Berlin", "Asia/Tokyo"]}

    monkeypatch.setattr(waiting_rules, "request", answer)
    note = waiting_rules_note(Settings(), {"Europe/Berlin"})
    assert note is not None
    assert note.startswith("the rules of Europe/Berlin have changed on disk;")
    assert waiting_rules_note(Settings(), {"Etc/UTC"}) is None
    assert asked == ["GET /v1/zone-rules"] * 2


def test_without_a_service_there_is_no_note(tmp_path: Path) -> None:
    """The verb reads the rules from disk, and so will the service."""
    with pytest.raises(ServiceUnreachable):
        waiting_rules.request(tmp_path / "none", "GET", "/v1/zone-rules")
    assert waiting_rules_note(Settings(socket=tmp_path / "none"), {"Etc/UTC"}) is None
