"""The timeline: what is drawn where, what is merged, and what is left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from jobscheduler.model import Cron, Job, Pause, Status, TaskSpec
from jobscheduler.model.selection import Selector
from jobscheduler.status.snapshot import ActiveRun, JobState, JobStatus
from jobscheduler.util.durations import format_duration
from jobscheduler.util.terminal_text import printable_lines as printable
from jobscheduler.web.formatting import format_clock, format_relative
from jobscheduler.web.log_record import LoggedRun, parse_records
from jobscheduler.web.prepared_records import past, rank_jobs
from jobscheduler.web.time_axis import WINDOW, TimeAxis, hours
from jobscheduler.web.timeline import MAX_ROWS, MAX_SLOTS, Row, Timeline, layout_row, timeline

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
VIEW = TimeAxis(NOW, ZoneInfo("UTC"))


def ran(ago: timedelta, took: timedelta = MINUTE, job_id: str = "a", status: Status = Status.SUCCESS) -> LoggedRun:
    begin = NOW - ago
    reason = "exit" if status is Status.FAILURE else None
    return LoggedRun(begin + took, status, job_id, "5f3c", begin, begin, took.total_seconds(), reason)


def did_not(
    ago: timedelta, status: Status, job_id: str = "a", last: timedelta | None = None, count: int = 1
) -> LoggedRun:
    reason = "overlap" if status is Status.SKIPPED else "down"
    ended = None if last is None else NOW - last
    return LoggedRun(NOW, status, job_id, scheduled=NOW - ago, reason=reason, last=ended, count=count)


def one(*records: LoggedRun, upcoming: tuple[datetime, ...] = (), job: JobStatus | None = None) -> Row:
    return layout_row(VIEW, "a", records, job, upcoming)


def status(
    job_id: str, due: timedelta | None = None, *, pauses: tuple[Pause, ...] = (), going: tuple[ActiveRun, ...] = ()
) -> JobStatus:
    job = Job(job_id, Cron("@daily", "UTC"), TaskSpec.from_params("x", {}))
    upcoming = None if due is None else NOW + due
    return JobStatus(job_id, JobState.SCHEDULED, "f", job, upcoming, going, pauses=pauses)


def whole(records: list[LoggedRun], jobs: list[JobStatus], read_from: datetime = NOW - WINDOW) -> Timeline:
    newest_first = sorted(records, key=lambda one: one.at, reverse=True)
    known = past(newest_first)
    return timeline(VIEW, known, {}, rank_jobs(known.ranks, jobs, NOW + WINDOW), {}, read_from)


def test_now_is_in_the_middle_and_the_edges_are_a_day_away() -> None:
    """What lies beyond is at the edge."""
    places = [VIEW.percent(NOW + hours * HOUR) for hours in (-30, -24, -12, 0, 12, 24, 30)]
    assert places == [0, 0, 25, 50, 75, 100, 100]


def test_a_run_is_a_bar_as_long_as_it_took() -> None:
    """With its time, result and duration to be read."""
    (bar,) = one(ran(12 * HOUR, 6 * HOUR)).bars
    assert (bar.left, bar.width, bar.kind, bar.lane) == (25, 12.5, "success", 0)
    assert bar.title == "00:00:00 succeeded, 6 h"


def test_a_run_of_no_length_is_seen_all_the_same() -> None:
    """A rectangle without width is not drawn."""
    (bar,) = one(ran(HOUR, timedelta(0))).bars
    assert bar.width > 0


def test_a_run_that_began_before_the_left_edge_begins_there() -> None:
    """And one that ended before is not shown."""
    (bar,) = one(ran(30 * HOUR, HOUR), ran(25 * HOUR, 2 * HOUR)).bars
    assert (bar.left, bar.width) == (0, 2.08)


def test_runs_that_succeeded_one_close_behind_the_other_are_one_bar() -> None:
    """A job of every minute is a line; a gap, or a failure, ends it."""
    minutes = [ran(step * MINUTE, 2 * MINUTE / 60) for step in range(60, 0, -1)]
    (bar,) = one(*minutes).bars
    assert bar.title == "11:00:00 to 11:59:02: 60 runs succeeded, up to 2.00 s"
    assert len(one(ran(3 * HOUR), ran(2 * HOUR)).bars) == 2
    minutes[30] = ran(30 * MINUTE, MINUTE / 60, status=Status.FAILURE)
    assert [bar.kind for bar in one(*minutes).bars] == ["success", "failure", "success"]


def test_runs_of_one_job_that_overlap_are_on_two_lanes() -> None:
    """A row without any has one."""
    both = one(ran(5 * HOUR, 3 * HOUR), ran(3 * HOUR, HOUR), ran(HOUR))
    assert [(bar.left, bar.lane) for bar in both.bars] == [(39.58, 0), (47.92, 0), (43.75, 1)]
    assert (both.lanes, one(ran(5 * HOUR), ran(3 * HOUR)).lanes) == (2, 1)


@pytest.mark.parametrize(
    ("record", "kind", "title"),
    [
        (ran(12 * HOUR, timedelta(0), status=Status.FAILURE), "failure", "00:00:00 failed: exit"),
        (did_not(12 * HOUR, Status.SKIPPED), "skipped", "00:00:00 skipped: overlap"),
        (did_not(12 * HOUR, Status.MISSED), "missed", "00:00:00 missed: down"),
    ],
)
def test_each_kind_of_issue_has_a_marker_with_its_reason(record: LoggedRun, kind: str, title: str) -> None:
    """Where it happened; success has none."""
    (mark,) = one(record).marks
    assert (mark.at, mark.kind, mark.title) == (25, kind, title)
    assert one(record).has_issue
    assert not one(ran(HOUR)).marks
    assert not one(ran(HOUR)).has_issue


def test_markers_too_close_to_be_distinguished_are_one_with_their_number() -> None:
    """Different kinds are never merged."""
    failures = [ran(step * MINUTE, status=Status.FAILURE) for step in (63, 62, 61)]
    (mark,) = one(*failures).marks
    assert mark.title == "10:57:00 to 10:59:00: 3 failed: exit"
    assert len(one(*failures, did_not(62 * MINUTE, Status.SKIPPED)).marks) == 2
    assert len(one(*failures, ran(3 * HOUR, status=Status.FAILURE)).marks) == 2


def test_an_outage_is_drawn_from_its_first_slot_to_its_last() -> None:
    """And says how many slots it was."""
    found = one(did_not(12 * HOUR, Status.MISSED, last=6 * HOUR, count=73))
    (bar,), (mark,) = found.bars, found.marks
    assert (bar.left, bar.width, bar.kind) == (25, 12.5, "missed")
    assert mark.title == bar.title == "00:00:00 to 06:00:00: 73 slots missed: down"


def test_an_active_run_reaches_until_now() -> None:
    """One that waits has no bar yet."""
    going = ActiveRun("9e1c", NOW - 6 * HOUR, NOW - 6 * HOUR, 1)
    waiting = ActiveRun("77b0", NOW, None, 1, waiting_for="worker")
    (bar,) = one(job=status("a", going=(going, waiting))).bars
    assert (bar.left, bar.width, bar.kind) == (37.5, 12.5, "running")
    assert bar.title == "06:00:00 running for 6 h"


def test_slots_ahead_are_lines_and_too_many_become_a_bar() -> None:
    """Those at one place are one line."""
    slots = tuple(NOW + step * HOUR for step in (6, 12))
    assert [(mark.at, mark.kind, mark.title) for mark in one(upcoming=slots).marks] == [
        (62.5, "slot", "due 18:00:00"),
        (75.0, "slot", "due Mon 23 Nov 00:00:00"),
    ]
    many = one(upcoming=tuple(NOW + step * 14 * MINUTE for step in range(1, MAX_SLOTS + 1)))
    (bar,) = many.bars
    assert (bar.kind, round(bar.left + bar.width, 2)) == ("more", 100)
    assert len(many.marks) == MAX_SLOTS
    assert "100 or more due" in many.summary


def test_slots_too_close_to_be_distinguished_are_one_line() -> None:
    """A hundred grey ticks say nothing; how often it is due does."""
    every_minute = one(upcoming=tuple(NOW + step * MINUTE for step in range(1, MAX_SLOTS + 1)))
    (bar,) = every_minute.bars
    assert (bar.kind, bar.title, bar.left + bar.width) == ("dense", "due about every 1 min", 100)
    assert every_minute.marks == ()
    (bar,) = one(upcoming=tuple(NOW + step * MINUTE for step in range(1, 11))).bars
    assert (bar.kind, bar.left, bar.width) == ("dense", 50.03, 0.32)


def test_slots_of_a_paused_job_are_drawn_faintly() -> None:
    """They will be skipped; those after the pause will not."""
    pauses = (Pause("1", Selector("a"), NOW), Pause("2", Selector("*"), NOW, NOW + HOUR))
    (mark,) = one(upcoming=(NOW + HOUR,), job=status("a", HOUR, pauses=pauses)).marks
    assert (mark.kind, mark.title) == ("idle", "due 13:00:00, but paused")
    (mark,) = one(upcoming=(NOW + HOUR,), job=status("a", HOUR, pauses=pauses[1:])).marks
    assert (mark.kind, mark.title) == ("slot", "due 13:00:00")


def test_a_row_is_described_in_words_too() -> None:
    """For users who cannot see it."""
    told_ = one(ran(HOUR), ran(2 * HOUR), did_not(HOUR, Status.MISSED, last=HOUR, count=5), upcoming=(NOW + HOUR,))
    assert told_.summary == "a: 2 succeeded, 5 missed, 1 due"
    assert one().summary == "a: nothing ran, 0 due"


def test_rows_with_issues_come_first_then_jobs_that_ran_then_due_jobs() -> None:
    """A failure before a miss before a skip, the latest first; what is due later than tomorrow has none."""
    records = [
        ran(HOUR, job_id="ran"),
        ran(5 * HOUR, job_id="failed-early", status=Status.FAILURE),
        ran(HOUR, job_id="failed-late", status=Status.FAILURE),
        did_not(HOUR, Status.SKIPPED, "skipped"),
        did_not(HOUR, Status.MISSED, "missed"),
        ran(2 * HOUR, job_id="skipped"),
    ]
    going = (ActiveRun("9e1c", NOW, NOW, 1),)
    jobs = [
        status("soon", HOUR),
        status("later", 5 * HOUR),
        status("next-week", 170 * HOUR),
        status("busy", going=going),
    ]
    assert [found.job_id for found in whole(records, jobs).rows] == [
        *("failed-late", "failed-early", "missed", "skipped"),
        *("busy", "ran"),
        *("soon", "later"),
    ]


def test_jobs_beyond_the_last_row_are_counted_with_their_issues() -> None:
    """Nothing is left out in silence."""
    records = [ran(step * MINUTE, job_id=f"job-{step}", status=Status.FAILURE) for step in range(1, MAX_ROWS + 4)]
    found = whole([*records, ran(HOUR, job_id="fine")], [])
    assert len(found.rows) == MAX_ROWS
    assert (found.omitted, found.omitted_issues) == (4, 3)


def test_runs_at_once_are_counted_over_all_jobs() -> None:
    """Also those that have no row; a part of the day has the most that there were in it."""
    records = [ran(6 * HOUR, 3 * HOUR, "a"), ran(5 * HOUR, HOUR, "b"), ran(5 * HOUR, HOUR / 2, "c")]
    found = whole(records, [])
    assert found.peak == 3
    assert [(load.left, load.share) for load in found.load] == [
        (37.5, 33.3),
        (39.58, 100),
        (40.83, 66.7),
        (41.88, 33.3),
    ]
    assert found.load[1].title == "07:00:00 to 07:36:00: up to 3 runs at once"
    assert (whole([], []).peak, whole([], []).load) == (0, ())


def test_runs_that_follow_each_other_are_not_at_once() -> None:
    """The end of one is the start of the next."""
    assert whole([ran(2 * HOUR, HOUR, "a"), ran(HOUR, HOUR, "b")], []).peak == 1


def test_the_part_that_was_not_read_is_marked() -> None:
    """A busy log has more records than are read."""
    assert whole([], []).unread == 0
    assert whole([], [], read_from=NOW - 6 * HOUR).unread == 37.5


@pytest.mark.parametrize(
    ("zone", "labels"),
    [
        ("UTC", ["18:00", "00:00", "06:00", "12:00", "18:00", "00:00", "06:00"]),
        ("Asia/Kathmandu", ["18:00", "00:00", "06:00", "12:00", "18:00", "00:00", "06:00", "12:00"]),
    ],
)
def test_the_scale_has_each_sixth_hour_of_local_time(zone: str, labels: list[str]) -> None:
    """In any zone, with the day at its beginning."""
    view = TimeAxis(NOW, ZoneInfo(zone))
    found = timeline(view, past([]), {}, [], {}, NOW).hours
    assert [hour.local for hour in found] == labels
    assert [hour.day for hour in found if hour.day] == ["Sun 22 Nov", "Mon 23 Nov"]
    assert all(0 < hour.at < 100 for hour in found)


@pytest.mark.parametrize(
    ("reach", "labels"),
    [
        (HOUR, ["11:15", "11:30", "11:45", "12:00", "12:15", "12:30", "12:45"]),
        (6 * HOUR, ["08:00", "10:00", "12:00", "14:00", "16:00"]),
        (7 * WINDOW, ["Mon 16", "Tue 17", "Wed 18", "Thu 19", "Fri 20", "Sat 21", "Sun 22"]),
    ],
)
def test_a_nearer_or_farther_view_has_a_scale_of_its_own(reach: timedelta, labels: list[str]) -> None:
    """With round times."""
    found = list(hours(TimeAxis(NOW, ZoneInfo("UTC"), reach)))
    assert [hour.local for hour in found][: len(labels)] == labels
    assert [hour.local for hour in found if hour.is_near_now] == (["12:00"] if reach < WINDOW else ["Sun 22", "Mon 23"])


@pytest.mark.parametrize("minutes", range(-90, 91, 15))
def test_no_label_stands_where_now_is(minutes: int) -> None:
    """Also around midnight: the day stands in a line of its own, and hours beside now are left out."""
    view = TimeAxis(NOW + 12 * HOUR + minutes * MINUTE, ZoneInfo("UTC"))
    found = list(hours(view))
    assert [hour for hour in found if abs(hour.at - 50) < 3 and not hour.is_near_now] == []
    assert [hour for hour in found if abs(hour.at - 50) < 12 and not hour.is_by_now] == []
    assert "Mon 23 Nov" in [hour.day for hour in found]


def test_the_scale_follows_a_change_of_the_clocks() -> None:
    """Two midnights are 23 hours apart when clocks go forward."""
    view = TimeAxis(datetime(2026, 3, 29, 12, 0, tzinfo=UTC), ZoneInfo("Europe/Berlin"))
    first, second = (hour.at for hour in timeline(view, past([]), {}, [], {}, view.now).hours if hour.day)
    assert second - first == pytest.approx(23 / 48 * 100, abs=0.02)


# --- how values look ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0042, "4 ms"),
        (0.9999, "1.00 s"),
        (1.204, "1.20 s"),
        (9.999, "10.0 s"),
        (59.97, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (3629, "1 h"),
        (3659.9, "1 h 1 min"),
        (86_400 * 3 + 4 * 3600 + 59, "3 d 4 h"),
        (86_400 + 59, "1 d"),
    ],
)
def test_durations_are_written_for_people(seconds: float, text: str) -> None:
    """In at most two units."""
    assert format_duration(seconds) == text


def test_distances_are_written_from_now() -> None:
    """Rounded down."""
    found = [format_relative(NOW + timedelta(seconds=seconds), NOW) for seconds in (0.5, 59, 60, 7199, -86400, 3.2e7)]
    assert found == ["now", "in 59 s", "in 1 min", "in 1 h", "1 d ago", "in 1 y"]


def test_an_instant_has_as_much_date_as_it_needs() -> None:
    """Today none, around today the day, else all of it; by the local calendar."""
    zone = ZoneInfo("Europe/Berlin")
    found = [format_clock(NOW + hours * HOUR, zone, NOW) for hours in (0, 11, -24 * 8)]
    assert found == ["13:00:00", "Mon 23 Nov 00:00:00", "2026-11-14 13:00:00"]


def test_nothing_hides_in_a_text() -> None:
    """Direction marks and control characters are spelled out; line ends and tabs stay."""
    assert printable("a\u202eb\x00\x1b[0m\x1b[2J\r\n\tä\ud800") == "a\\u202eb\\x00\\x1b[2J\n\tä\\ud800"


def test_what_is_no_record_is_left_out() -> None:
    """Lines that were cut short, and what a newer version may write."""
    good = {"time": "2026-11-22T01:00:01.216Z", "status": "SUCCESS", "job_id": "a", "duration": "1.204"}
    bad = [{}, {**good, "status": "ODD"}, {**good, "time": "2026-11-22T01"}, {**good, "duration": "x"}]
    (found,) = parse_records([*bad, good])
    assert (found.job_id, found.duration) == ("a", 1.204)
