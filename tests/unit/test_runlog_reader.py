"""The reader of the log's files, and the values of one line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobscheduler.model.log_line import parse_instant, parse_record, slot_range
from jobscheduler.runlog.reader import lines_newest_first, log_files, mentions, open_in_turn, open_together

SLOT = datetime(2026, 11, 22, 1, tzinfo=UTC)


def test_files_are_read_backwards_across_rotations(tmp_path: Path) -> None:
    """The newest file first, without a number that is free, and without a last line that a crash cut short."""
    log = tmp_path / "log"
    log.write_bytes(b"four\nfive\ncut sho")
    (tmp_path / "log.1").write_bytes(b"three\n")
    (tmp_path / "log.3").write_bytes(b"one\ntwo\n")

    expected = [b"five", b"four", b"three", b"two", b"one"]
    assert list(lines_newest_first(open_in_turn(log_files(log, 3)))) == expected
    with open_together(log, 3) as files:
        assert list(lines_newest_first(files)) == expected
        assert list(lines_newest_first(files, (b"o",))) == [b"four", b"two", b"one"]
    assert mentions(log_files(log, 3), "thr")
    assert not mentions(log_files(log, 3), "six")


def test_a_start_needs_no_file_that_it_does_not_read(tmp_path: Path) -> None:
    """Files are opened one after the other: here the older one could not be read at all."""
    log = tmp_path / "log"
    log.write_bytes(b"newest\n")
    (tmp_path / "log.1").mkdir()

    assert next(lines_newest_first(open_in_turn(log_files(log, 1)))) == b"newest"
    with pytest.raises(IsADirectoryError):
        list(lines_newest_first(open_in_turn(log_files(log, 1))))


def test_a_line_of_several_slots_has_a_first_and_a_last_one() -> None:
    """A line of one slot has it twice, a line of none has no range."""
    line = {"scheduled": "2026-11-22T01:00:00Z", "last": "2026-11-22T03:00:00Z"}
    assert slot_range(line) == (SLOT, SLOT + timedelta(hours=2))
    assert slot_range({"scheduled": line["scheduled"]}) == (SLOT, SLOT)
    assert slot_range({"last": line["last"]}) is None


def test_an_instant_without_its_zone_is_malformed() -> None:
    """A crash may have cut it short."""
    with pytest.raises(ValueError, match="without its zone"):
        parse_instant({"time": "2026-11-22T01:00:00"}, "time")


def test_a_record_is_parsed_from_a_line_and_from_an_object() -> None:
    """The output is left out unless it is asked for. Numbers of the JSON format become text in the details."""
    line = {"time": "2026-11-22T01:00:01Z", "word": "FAILURE", "job_id": "x", "duration": "1.5", "exit_code": "2"}
    made = {"time": "2026-11-22T01:00:01Z", "status": "FAILURE", "job_id": "x", "duration": 1.5, "exit_code": 2}

    assert parse_record(line) == parse_record(made)
    assert parse_record({**made, "output": "end"}).output is None
    assert parse_record({**made, "output": "end"}, with_output=True).output == "end"
