"""Outcomes that the account has not taken are lines of the log, until it has."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from jobscheduler.cluster.unsent import UnsentOutcomes, sent_event, unsent_event, unsent_in
from jobscheduler.cluster.values import Attempt, Outcome
from jobscheduler.model import Event
from jobscheduler.runlog import format_json, format_text

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)

SLOT = Attempt("report", "2026-11-30T11:59:00Z", 2, "r1-2", "r1", "r1-1")
BY_HAND = Attempt("report", "manual-r2", 1, "r2-1", "r2")
WELL = Outcome("SUCCESS", None, 0, 1.5, 0.25, 4096, json.dumps([["attempts", 2]]), 'it said "öde"\nand more')
BADLY = Outcome("FAILURE", "exit", 3)


def written(folder: Path, *events: Event) -> Path:
    """Write a log with these lines, in both forms by turns."""
    log = folder / "log"
    forms = (format_text, format_json)
    log.write_text("".join(f"{forms[number % 2](event)}\n" for number, event in enumerate(events)), "utf-8")
    return log


def bare(attempt: Attempt) -> Attempt:
    """Return what a line has of an attempt: enough to end it."""
    return Attempt(*attempt.key, attempt.attempt, attempt.begun_by)


def test_a_line_has_all_of_an_outcome(tmp_path: Path) -> None:
    """Of text and of JSON, of a slot and of a run by hand."""
    log = written(tmp_path, unsent_event(SLOT, WELL, NOW), unsent_event(BY_HAND, BADLY, NOW))
    assert unsent_in(log, 1) == {bare(SLOT): WELL, bare(BY_HAND): BADLY}


def test_what_the_account_has_taken_is_not_read_again(tmp_path: Path) -> None:
    """Nor is a log searched that keeps nothing; a line that a full disk has cut is left out."""
    before, after = unsent_event(SLOT, WELL, NOW), unsent_event(BY_HAND, BADLY, NOW)
    log = written(tmp_path, before, sent_event(1, NOW), after)
    with log.open("a", encoding="utf-8") as file:
        file.write(format_text(before).partition(" status=")[0] + "\n")
    assert unsent_in(log, 1) == {bare(BY_HAND): BADLY}
    assert unsent_in(tmp_path / "none", 1) == {}


def test_further_pairs_of_which_a_line_has_only_the_end_are_left_out(tmp_path: Path) -> None:
    """The rest of the outcome counts."""
    large = Outcome("SUCCESS", details=json.dumps([["note", "x" * 4000]]), output="fine")
    log = written(tmp_path, unsent_event(SLOT, large, NOW))
    assert unsent_in(log, 1) == {bare(SLOT): Outcome("SUCCESS", output="fine")}


def test_an_outcome_has_one_line_and_none_if_it_was_taken_in_time() -> None:
    """When the last of them was taken after all, one line says so."""
    lines: list[Event] = []
    unsent = UnsentOutcomes(lines.append, lambda: NOW)
    unsent.add(SLOT, WELL)
    unsent.taken(SLOT)
    unsent.keep()
    assert lines == []
    unsent.add(SLOT, WELL)
    unsent.add(BY_HAND, BADLY)
    for _ in range(2):
        unsent.keep()
    assert lines == [unsent_event(SLOT, WELL, NOW), unsent_event(BY_HAND, BADLY, NOW)]
    unsent.taken(SLOT)
    assert len(lines) == 2
    unsent.taken(BY_HAND)
    assert lines[2:] == [sent_event(2, NOW)]
    unsent.add(SLOT, WELL)
    unsent.taken(SLOT)
    assert len(lines) == 3
