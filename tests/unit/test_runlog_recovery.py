"""Recovery from the log: the last checkpoint, and the fate of slots since."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobscheduler.model import Checkpoint, Event, InFlightRun, Level, LogEntry, Record, RecoveredState, Status
from jobscheduler.model.standing import LoggedResult
from jobscheduler.runlog import LogFile, LogWriter, format_text, recover, to_events
from jobscheduler.runlog.parse import parse_line, to_json_object
from jobscheduler.scheduler.log_lines import pending_event
from jobscheduler.scheduler.records import interrupted_record

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Return the instant so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def started(run_id: str, slot: float | None, when: float, job_id: str = "x") -> Event:
    """Return the line of a run that begins."""
    scheduled = () if slot is None else (("scheduled", at(slot)),)
    return Event(
        at(when), Level.INFO, "run.started", (("job_id", job_id), ("run_id", run_id), *scheduled, ("attempt", 1))
    )


def success(run_id: str, slot: float, when: float, job_id: str = "x") -> Record:
    """Return the record of a run."""
    return Record(at(when), Status.SUCCESS, job_id, run_id, at(slot), at(slot), 1.0)


def missed(first: float, last: float, when: float) -> Record:
    """Return the record of an outage."""
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


def test_a_log_without_a_checkpoint_recovers_nothing(tmp_path: Path, form: str) -> None:
    """A log that does not exist recovers nothing either."""
    assert recover(tmp_path / "log", 7) is None
    write(tmp_path / "log", form, started("a", 1, 1), success("a", 1, 2))
    assert recover(tmp_path / "log", 7) is None


def test_lines_after_the_last_checkpoint_are_applied(tmp_path: Path, form: str) -> None:
    """A start without a record is an interrupted run, a record settles its slot, and older lines do not matter."""
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
        results=(LoggedResult("x", "SUCCESS", at(2)), LoggedResult("x", "MISSED", at(7), "down")),
    )


def test_a_checkpoint_has_the_active_runs_and_pending_slots(tmp_path: Path, form: str) -> None:
    """Many of them take lines of their own; later records settle them."""
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
def test_a_run_that_another_run_started_keeps_its_trigger(tmp_path: Path, form: str, *, is_marked: bool) -> None:
    """A crash that interrupts it must not turn it into a run by a person."""
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


def test_a_checkpoint_without_its_parts_does_not_count(tmp_path: Path, form: str) -> None:
    """The checkpoint before it counts where lines of the last one were lost."""
    full = Checkpoint(at(5), "boot-1", (InFlightRun("x", "a", at(1), at(1)),))
    write(tmp_path / "log", form, *to_events(MARK, at(0)), started("a", 1, 1), to_events(full, at(6))[-1])

    past = recover(tmp_path / "log", 7)
    assert past is None or past.checkpoint == MARK


def test_recovery_reads_through_rotated_files(tmp_path: Path, form: str) -> None:
    """However many files lie between the checkpoint and the end."""
    events = [started(f"r{number}", number, number) for number in range(60)]
    write(tmp_path / "log", form, *to_events(MARK, at(0)), *events, max_bytes=1000)

    past = recover(tmp_path / "log", 50)
    assert len(list(tmp_path.glob("log.*"))) > 5
    assert past is not None
    assert [one.run_id for one in past.in_flight] == [f"r{number}" for number in range(60)]


def test_a_clean_stop_is_distinguished_from_a_crash(tmp_path: Path, form: str) -> None:
    """By the last event of the service; events about the log itself may follow."""
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
def test_garbage_in_a_log_is_skipped(tmp_path: Path, form: str, garbage: bytes) -> None:
    """A line truncated by a crash, or written by another program."""
    write(tmp_path / "log", form, *to_events(MARK, at(0)), started("a", 1, 1))
    with (tmp_path / "log").open("ab") as log:
        log.write(garbage)

    past = recover(tmp_path / "log", 7)
    assert past is not None
    assert [one.run_id for one in past.in_flight] == ["a"]


def test_a_line_of_garbage_longer_than_a_block_is_skipped(tmp_path: Path, form: str) -> None:
    """The lines before it are still read."""
    write(tmp_path / "log", form, *to_events(MARK, at(0)), started("a", 1, 1))
    with (tmp_path / "log").open("ab") as log:
        log.write(b"x" * 1_000_000 + b"\n")
    write(tmp_path / "log", form, started("b", 2, 2))

    past = recover(tmp_path / "log", 7)
    assert past is not None
    assert [one.run_id for one in past.in_flight] == ["a", "b"]


@pytest.mark.parametrize("key", ["time", "word", "job_id", "scheduled", "status", "event", "level", "x2"])
def test_no_value_replaces_the_kind_of_a_line(tmp_path: Path, key: str) -> None:
    """Neither a pair of the same name nor a text that looks like a pair."""
    details = ((key, "job_id=other"),)
    record = Record(at(2), Status.SUCCESS, "x", "a", at(1), at(1), 1.0, details=details)
    write(tmp_path / "log", "text", *to_events(MARK, at(0)), started("a", 1, 1), record)

    line = parse_line((tmp_path / "log").read_bytes().splitlines()[-1]) or {}
    assert (line["time"], line["word"], line["job_id"]) == ("2026-11-22T12:00:02.000Z", "SUCCESS", "x")
    past = recover(tmp_path / "log", 7)
    assert past is not None
    assert past.in_flight == ()


def test_a_key_may_have_digits() -> None:
    """Otherwise its text would be searched for pairs."""
    record = Record(at(2), Status.SUCCESS, "x", "a", details=(("x2", "trigger=manual"),))
    line = parse_line(format_text(record).encode()) or {}

    assert line["x2"] == "trigger=manual"
    assert "trigger" not in line


@pytest.mark.parametrize("end", ["", ' scheduled=2030-01-01T00:00:00Z job_id=y s3_key="x job_id=z"'])
def test_the_first_of_two_pairs_of_one_key_counts(end: str) -> None:
    """In either format; also after a value whose key has a digit."""
    text = f"2026-11-22T12:00:00.000Z SUCCESS job_id=x run_id=a scheduled=2026-11-22T12:00:00Z{end}"
    pairs = [pair.split("=", 1) for pair in text.replace('"', "").split()[2:]]
    again = ", ".join(f'"{key}": "{value}"' for key, value in pairs)
    for line in (text, f'{{"time": "2026-11-22T12:00:00.000Z", "status": "SUCCESS", {again}, "status": "FAILURE"}}'):
        told = parse_line(line.encode()) or {}
        assert (told["word"], told["job_id"], told["scheduled"]) == ("SUCCESS", "x", "2026-11-22T12:00:00Z"), line


def test_a_tail_of_zeros_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems leave one after a power failure; however long it is, its bytes are read once."""
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
    """As the last line of a service whose part died."""
    write(tmp_path / "log", form, Event(at(1), Level.ERROR, "service.died", (("status", 70),)))

    line = parse_line((tmp_path / "log").read_bytes().rstrip())
    assert line == {**(line or {}), "word": "service.died", "status": "70"}


def test_a_line_is_the_same_object_from_either_format(tmp_path: Path) -> None:
    """Numbers are numbers, and a text that only looks like a number remains text.

    What collectors of logs get besides, the level of a record and the host, is not of the line.
    """
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

    assert [to_json_object(line) for line in text] == [to_json_object(line) for line in objects]
    assert "host" not in {key for line in objects for key in parse_line(line) or {}}
    more = ({"level": "INFO"}, {"level": "WARNING"}, {"level": "ERROR"}, {})  # an event has its own
    assert [json.loads(line) for line in objects] == [
        {**to_json_object(line), **level, "host": os.uname().nodename} for line, level in zip(text, more, strict=True)
    ]


def test_a_pair_of_a_task_may_have_the_name_of_what_collectors_get(tmp_path: Path) -> None:
    """It stays, in the line and for those who read it; so does the host of a checkpoint, which is no name."""
    record = Record(
        at(2), Status.FAILURE, "x", "a", at(1), at(1), 1.0, details=(("level", 3), ("host", "db1"), ("n", 1))
    )
    write(tmp_path / "log", "json", *to_events(MARK, at(0)), record)
    (line,) = [one for one in (tmp_path / "log").read_bytes().splitlines() if b"FAILURE" in one]
    assert json.loads(line).items() >= {"level": 3, "host": "db1"}.items()
    assert (parse_line(line) or {}).items() >= {"level": "3", "host": "db1"}.items()


def test_a_slot_is_recognised_whatever_its_fraction_of_a_second(tmp_path: Path, form: str) -> None:
    """Records have milliseconds; checkpoints of a former version had microseconds for the same slots."""
    begun = InFlightRun("x", "a", at(1.123456), at(1.2))
    mark = Checkpoint(at(2.987654), "boot-1", (begun,), (("x", at(2.000999)), ("y", at(2.5))))
    write(tmp_path / "log", form, *to_events(mark, at(3)), started("b", 2.000999, 4), success("b", 2.000999, 5))

    past = recover(tmp_path / "log", 7)
    assert past is not None
    assert past.checkpoint.settled == mark.settled
    assert past.pending == (("y", at(2.5)),)
    assert past.in_flight == (InFlightRun("x", "a", at(1.123), at(1.2)),)


def test_a_pending_slot_is_known_from_its_line_until_it_begins(tmp_path: Path, form: str) -> None:
    """Without a later checkpoint; its line changes nothing when the run has already begun."""
    lines = [pending_event("x", at(slot), at(5)) for slot in (1, 2)]
    held = pending_event("z", at(3), at(5), starts=at(9))
    log = (*to_events(MARK, at(0)), started("b", 2, 4), *lines, held, pending_event("y", at(4), at(5)))
    write(tmp_path / "log", form, *log, Record(at(6), Status.MISSED, "y", scheduled=at(4), reason="deleted"))

    past = recover(tmp_path / "log", 7)
    assert past is not None
    assert past.pending == (("x", at(1)),)
    assert past.checkpoint.lagging == (("z", at(3) - timedelta(microseconds=1)),)


def test_decided_slots_are_read_as_far_back_as_needed(tmp_path: Path, form: str) -> None:
    """Beyond the last checkpoint, back to one before the instant in question, or to the beginning."""
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


def test_a_deleted_log_file_leaves_decided_slots_unknown(tmp_path: Path, form: str) -> None:
    """Unless a later line is about the job itself."""
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


def test_a_run_that_began_while_a_checkpoint_was_assembled_has_begun(tmp_path: Path, form: str) -> None:
    """Its line came first, and the checkpoint still has its slot as pending: it must not run again."""
    waits = (("x", at(1)), ("y", at(2)), ("z", at(3)))
    lines = (started("a", 1, 9.9), started("b", 2, 9.9, "y"), success("b", 2, 9.95, "y"), started("c", 8, 9.9, "z"))
    write(tmp_path / "log", form, *lines, *to_events(Checkpoint(at(10), "boot-1", (), waits), at(10)))

    past = recover(tmp_path / "log", 7)
    assert past is not None
    assert past.in_flight == (InFlightRun("x", "a", at(1), at(9.9)),)
    assert past.pending == (("z", at(3)),)
