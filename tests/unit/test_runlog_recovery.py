"""Reading the log back: what the last mark says, and what became of slots since."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobscheduler.model import Checkpoint, Event, InFlightRun, Level, LogEntry, Record, RecoveredState, Status
from jobscheduler.runlog import LogFile, LogWriter, format_text, recover, to_events
from jobscheduler.runlog.parse import parse_line, to_json_object
from jobscheduler.scheduler.records import interrupted_record, pending_event

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """So many seconds from noon."""
    return NOON + timedelta(seconds=seconds)


def started(run_id: str, slot: float | None, when: float, job_id: str = "x") -> Event:
    """A line that says that a run begins."""
    scheduled = () if slot is None else (("scheduled", at(slot)),)
    return Event(
        at(when), Level.INFO, "run.started", (("job_id", job_id), ("run_id", run_id), *scheduled, ("attempt", 1))
    )


def success(run_id: str, slot: float, when: float, job_id: str = "x") -> Record:
    """A record of a run."""
    return Record(at(when), Status.SUCCESS, job_id, run_id, at(slot), at(slot), 1.0)


def missed(first: float, last: float, when: float) -> Record:
    """A record of an outage."""
    details = (("last", at(last)), ("count", 3))
    return Record(at(when), Status.MISSED, "x", scheduled=at(first), reason="down", details=details)


@pytest.fixture(params=["text", "json"])
def form(request: pytest.FixtureRequest) -> str:
    """Both formats."""
    return str(request.param)


def write(path: Path, form: str, *entries: LogEntry, max_bytes: int = 10**9) -> None:
    """Write a log of these entries."""
    for entry in entries:
        with LogWriter(LogFile(path, max_bytes, 50), form=form, echo=None) as log:
            log.write(entry)


MARK = Checkpoint(at(0), "boot-1")


def test_a_log_without_a_mark_says_nothing(tmp_path: Path, form: str) -> None:
    """Neither does one that is not there."""
    assert recover(tmp_path / "log", 7) is None
    write(tmp_path / "log", form, started("a", 1, 1), success("a", 1, 2))
    assert recover(tmp_path / "log", 7) is None


def test_what_came_after_the_last_mark_is_applied(tmp_path: Path, form: str) -> None:
    """Begun without a record: interrupted. With one: accounted for. Before the mark: nobody asks."""
    write(
        tmp_path / "log",
        form,
        started("old", -5, -5),
        *to_events(MARK, at(0)),
        started("a", 1, 1),
        success("a", 1, 2),
        started("b", 2, 2),
        Record(at(3), Status.SKIPPED, "x", scheduled=at(3), reason="overlap"),
        missed(4, 6, 7),
        started("by-hand", None, 8),
    )

    assert recover(tmp_path / "log", 7) == RecoveredState(
        MARK,
        last_line_at=at(8),
        clean_stop=False,
        in_flight=(InFlightRun("x", "b", at(2), at(2)), InFlightRun("x", "by-hand", None, at(8))),
        recorded={"x": ((at(1), at(1)), (at(1), at(1)), (at(2), at(2)), (at(3), at(3)), (at(4), at(6)))},
        checkpoint_written_at=at(0),
    )


def test_what_went_on_at_the_mark_is_in_it(tmp_path: Path, form: str) -> None:
    """Many runs and waiting slots take lines of their own; their records afterwards settle them."""
    begun = tuple(
        InFlightRun("long-name-" + "x" * 100, f"run{number}", at(-number), at(0.123456)) for number in range(40)
    )
    mark = Checkpoint(at(0.5), "boot-1", begun, (("x", at(-1)), ("y", at(-2))), (("z", at(-9)),))
    write(tmp_path / "log", form, *to_events(MARK, at(0)), *to_events(mark, at(1)))
    write(tmp_path / "log", form, success("run7", -7, 2, begun[0].job_id), started("z", -1, 3))

    past = recover(tmp_path / "log", 7)
    assert past is not None
    assert past.checkpoint == mark
    assert past.in_flight == (*begun[:7], *begun[8:], InFlightRun("x", "z", at(-1), at(3)))
    assert past.pending == (("y", at(-2)),)


@pytest.mark.parametrize("is_marked", [False, True], ids=["in its line", "in a checkpoint"])
def test_a_run_that_another_run_asked_for_keeps_its_trigger(tmp_path: Path, form: str, *, is_marked: bool) -> None:
    """A crash that interrupts it must not make a run by hand of it."""
    begun = InFlightRun("x", "b", None, at(2), "alice", "run:abc")
    mark = Checkpoint(at(3), "boot-1", (begun, InFlightRun("x", "c", None, None, "alice")))
    asked = (("job_id", "x"), ("run_id", "b"), ("trigger", "run:abc"), ("by", "alice"), ("attempt", 1))
    write(tmp_path / "log", form, *to_events(MARK, at(0)), Event(at(2), Level.INFO, "run.started", asked))
    if is_marked:
        write(tmp_path / "log", form, *to_events(mark, at(3)))

    past = recover(tmp_path / "log", 7)
    assert past is not None
    assert past.in_flight == (mark.in_flight if is_marked else (begun,))
    assert dict(interrupted_record(past.in_flight[0], at(9)).details) == {"trigger": "run:abc", "by": "alice"}


def test_a_mark_without_its_parts_does_not_count(tmp_path: Path, form: str) -> None:
    """The mark before it does, where its lines were lost."""
    full = Checkpoint(at(5), "boot-1", (InFlightRun("x", "a", at(1), at(1)),))
    write(tmp_path / "log", form, *to_events(MARK, at(0)), started("a", 1, 1), to_events(full, at(6))[-1])

    past = recover(tmp_path / "log", 7)
    assert past is None or past.checkpoint == MARK


def test_it_reads_through_rotated_files(tmp_path: Path, form: str) -> None:
    """However many files lie between the mark and the end."""
    events = [started(f"r{number}", number, number) for number in range(60)]
    write(tmp_path / "log", form, *to_events(MARK, at(0)), *events, max_bytes=1000)

    past = recover(tmp_path / "log", 50)
    assert len(list(tmp_path.glob("log.*"))) > 5
    assert past is not None
    assert [one.run_id for one in past.in_flight] == [f"r{number}" for number in range(60)]


def test_a_service_that_stopped_in_order_is_told_from_one_that_crashed(tmp_path: Path, form: str) -> None:
    """By its last word; what the log has to say of itself may come after that."""
    write(tmp_path / "log", form, *to_events(MARK, at(0)), Event(at(1), Level.INFO, "service.stopped"))
    write(tmp_path / "log", form, Event(at(1), Level.INFO, "log.restored", (("lines_not_kept", 0),)))
    past = recover(tmp_path / "log", 7)
    assert past is not None
    assert past.clean_stop
    write(tmp_path / "log", form, started("a", 2, 2))
    past = recover(tmp_path / "log", 7)
    assert past is not None
    assert not past.clean_stop


@pytest.mark.parametrize(
    "garbage",
    [
        b"2026-11-22T12:00:09Z SUCC",
        b"\xff\xfe\x00\n",
        b"{\n",
        b'{"event": 1}\n',
        b"2026 SUCCESS job_id\n",
        b"\n\n\n",
        b"x" * 600_000,
    ],
)
def test_garbage_in_a_log_is_passed_over(tmp_path: Path, form: str, garbage: bytes) -> None:
    """A line cut by a crash, or written by somebody else."""
    write(tmp_path / "log", form, *to_events(MARK, at(0)), started("a", 1, 1))
    with (tmp_path / "log").open("ab") as log:
        log.write(garbage)

    past = recover(tmp_path / "log", 7)
    assert past is not None
    assert [one.run_id for one in past.in_flight] == ["a"]


def test_a_line_of_garbage_longer_than_any_block_is_passed_over(tmp_path: Path, form: str) -> None:
    """What was before it is still found."""
    write(tmp_path / "log", form, *to_events(MARK, at(0)), started("a", 1, 1))
    with (tmp_path / "log").open("ab") as log:
        log.write(b"x" * 1_000_000 + b"\n")
    write(tmp_path / "log", form, started("b", 2, 2))

    past = recover(tmp_path / "log", 7)
    assert past is not None
    assert [one.run_id for one in past.in_flight] == ["a", "b"]


@pytest.mark.parametrize("key", ["time", "word", "job_id", "scheduled", "status", "event", "level", "x2"])
def test_no_key_of_a_value_takes_the_place_of_what_a_line_is(tmp_path: Path, key: str) -> None:
    """Neither one that has the same name nor one whose text looks like a pair."""
    details = ((key, "job_id=other"),)
    record = Record(at(2), Status.SUCCESS, "x", "a", at(1), at(1), 1.0, details=details)
    write(tmp_path / "log", "text", *to_events(MARK, at(0)), started("a", 1, 1), record)

    line = parse_line((tmp_path / "log").read_bytes().splitlines()[-1]) or {}
    assert (line["time"], line["word"], line["job_id"]) == ("2026-11-22T12:00:02.000Z", "SUCCESS", "x")
    past = recover(tmp_path / "log", 7)
    assert past is not None
    assert past.in_flight == ()


def test_a_key_may_have_digits() -> None:
    """Or its text would be looked through for pairs."""
    record = Record(at(2), Status.SUCCESS, "x", "a", details=(("x2", "trigger=manual"),))
    line = parse_line(format_text(record).encode()) or {}

    assert line["x2"] == "trigger=manual"
    assert "trigger" not in line


@pytest.mark.parametrize("end", ["", ' scheduled=2030-01-01T00:00:00Z job_id=y s3_key="x job_id=z"'])
def test_the_first_of_two_pairs_of_one_key_counts(end: str) -> None:
    """Whoever wrote the line, in either format; also behind a value whose key has a digit."""
    text = f"2026-11-22T12:00:00.000Z SUCCESS job_id=x run_id=a scheduled=2026-11-22T12:00:00Z{end}"
    pairs = [pair.split("=", 1) for pair in text.replace('"', "").split()[2:]]
    again = ", ".join(f'"{key}": "{value}"' for key, value in pairs)
    for line in (text, f'{{"time": "2026-11-22T12:00:00.000Z", "status": "SUCCESS", {again}, "status": "FAILURE"}}'):
        told = parse_line(line.encode()) or {}
        assert (told["word"], told["job_id"], told["scheduled"]) == ("SUCCESS", "x", "2026-11-22T12:00:00Z"), line


def test_a_tail_of_zeros_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As some file systems leave it after a power failure: however long, it costs one look at its bytes."""
    write(tmp_path / "log", "text", *to_events(MARK, at(0)), started("a", 1, 1))
    with (tmp_path / "log").open("ab") as log:
        log.truncate(log.tell() + 16 * 1024 * 1024)
    sizes: list[int] = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *asked: sizes.append(asked[1]) or pread(*asked))

    past = recover(tmp_path / "log", 7)
    assert past is not None
    assert [one.run_id for one in past.in_flight] == ["a"]
    assert sum(sizes) < 17 * 1024 * 1024


def test_an_event_with_a_status_of_its_own_is_still_an_event(tmp_path: Path, form: str) -> None:
    """As the last word of a service whose part died."""
    write(tmp_path / "log", form, Event(at(1), Level.ERROR, "service.died", (("status", 70),)))

    line = parse_line((tmp_path / "log").read_bytes().rstrip())
    assert line == {**(line or {}), "word": "service.died", "status": "70"}


def test_a_line_is_the_same_object_from_either_format(tmp_path: Path) -> None:
    """Numbers are numbers, and what looks like one and is none remains text."""
    details = (("last", at(3)), ("count", 3), ("more", True))
    entries = (
        Record(at(2), Status.SUCCESS, "x", "12345678", at(1), at(1.25), 0.75, details=(("exit_code", 0),)),
        Record(at(2), Status.MISSED, "7", scheduled=at(1), reason="down", details=details),
        Record(at(2), Status.FAILURE, "x", "a", None, at(1), 1.0, "exit", output='1\n"é\x1b'),
        Event(at(1), Level.ERROR, "service.died", (("status", 70),)),
    )
    for form in ("text", "json"):
        write(tmp_path / form, form, *entries)
    text, objects = ((tmp_path / form).read_bytes().splitlines() for form in ("text", "json"))

    assert (
        [to_json_object(line) for line in text]
        == [to_json_object(line) for line in objects]
        == [*map(json.loads, objects)]
    )


def test_a_slot_is_known_again_whatever_fraction_of_a_second_it_has(tmp_path: Path, form: str) -> None:
    """Records tell milliseconds; a mark of a former version told microseconds, and meant the same slots."""
    begun = InFlightRun("x", "a", at(1.123456), at(1.2))
    mark = Checkpoint(at(2.987654), "boot-1", (begun,), (("x", at(2.000999)), ("y", at(2.5))))
    write(tmp_path / "log", form, *to_events(mark, at(3)), started("b", 2.000999, 4), success("b", 2.000999, 5))

    past = recover(tmp_path / "log", 7)
    assert past is not None
    assert past.checkpoint.settled == mark.settled
    assert past.pending == (("y", at(2.5)),)
    assert past.in_flight == (InFlightRun("x", "a", at(1.123), at(1.2)),)


def test_a_slot_that_waits_is_known_from_its_line_until_it_begins(tmp_path: Path, form: str) -> None:
    """Without a mark since; a line that comes when the run has already begun says nothing new."""
    lines = [pending_event("x", at(slot), at(5)) for slot in (1, 2)]
    held = pending_event("z", at(3), at(5), starts=at(9))
    log = (*to_events(MARK, at(0)), started("b", 2, 4), *lines, held, pending_event("y", at(4), at(5)))
    write(tmp_path / "log", form, *log, Record(at(6), Status.MISSED, "y", scheduled=at(4), reason="deleted"))

    past = recover(tmp_path / "log", 7)
    assert past is not None
    assert past.pending == (("x", at(1)),)
    assert past.checkpoint.lagging == (("z", at(3) - timedelta(microseconds=1)),)


def test_the_log_says_which_slots_were_decided_as_far_back_as_it_is_asked(tmp_path: Path, form: str) -> None:
    """Beyond the last mark; until one that was written before the time that is asked about, or the beginning."""
    log = tmp_path / "log"
    begun = Checkpoint(at(300), "boot-1", (InFlightRun("going", "g", at(250), at(250)),), (("waiting", at(260)),))
    write(log, form, *to_events(MARK, at(0)), success("a", 60, 61), missed(70, 90, 95))
    write(log, form, started("by-hand", None, 98, "hand"), *to_events(Checkpoint(at(100), "boot-1"), at(100)))
    write(log, form, started("b", 120, 120, "y"), pending_event("late", at(200), at(210), starts=at(900)))
    write(log, form, *to_events(begun, at(300)), success("g", 250, 310, "going"))

    past = recover(log, 7)
    assert past is not None
    assert past.last_decided_slot is not None
    for job_id, after, expected in [
        ("y", 110, 120),
        ("y", 120, None),
        ("x", 110, None),
        ("x", 65, 90),
        ("x", -100, 90),
        ("going", 200, 250),
        ("waiting", 200, 260),
        ("late", 100, None),
        ("hand", -100, None),
    ]:
        assert past.last_decided_slot(job_id, at(after)) == (None if expected is None else at(expected)), (
            job_id,
            after,
        )


def test_a_log_that_was_rotated_away_does_not_say_what_was_decided(tmp_path: Path, form: str) -> None:
    """Unless it tells of the job itself."""
    events = [started(f"r{number}", number, number) for number in range(60)]
    write(tmp_path / "log", form, *to_events(Checkpoint(at(100), "boot-1"), at(0)), *events, max_bytes=1000)
    fewer = len(list(tmp_path.glob("log.*"))) - 1
    write(tmp_path / "log", form, *to_events(Checkpoint(at(200), "boot-1"), at(0)))

    past = recover(tmp_path / "log", fewer)
    assert past is not None
    assert past.last_decided_slot is not None
    assert past.last_decided_slot("x", at(50)) == at(59)
    with pytest.raises(LookupError):
        past.last_decided_slot("y", at(50))


def test_a_run_that_began_while_a_mark_was_put_together_has_begun(tmp_path: Path, form: str) -> None:
    """Its line came first, and the mark still says that it waits: it must not run once more."""
    waits = (("x", at(1)), ("y", at(2)), ("z", at(3)))
    lines = (started("a", 1, 9.9), started("b", 2, 9.9, "y"), success("b", 2, 9.95, "y"), started("c", 8, 9.9, "z"))
    write(tmp_path / "log", form, *lines, *to_events(Checkpoint(at(10), "boot-1", (), waits), at(10)))

    past = recover(tmp_path / "log", 7)
    assert past is not None
    assert past.in_flight == (InFlightRun("x", "a", at(1), at(9.9)),)
    assert past.pending == (("z", at(3)),)
