"""The records of all nodes as lines of the log, page by page, through the service to `history`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import update

from jobscheduler.cli import account_records
from jobscheduler.cli.account_records import AccountRecords, is_of_node
from jobscheduler.cli.output_display import TextDisplay
from jobscheduler.cli.output_follow import follow
from jobscheduler.cluster.account_lines import AccountLines, Place
from jobscheduler.cluster.records import claim_of, outcome_of
from jobscheduler.cluster.steps import Steps
from jobscheduler.cluster.tables import RUNS
from jobscheduler.cluster.values import Attempt, Claim, Identity
from jobscheduler.control.client import ApiError, ServiceUnreachable
from jobscheduler.control.routes import BadRequest
from jobscheduler.control.shared_history import HistoryPage, history_answer
from jobscheduler.database.errors import Unavailable
from jobscheduler.model import Problem, Record, Status
from jobscheduler.runlog.filter import LogFilter
from jobscheduler.status.snapshot import NotFound
from tests.support.cluster_fixtures import shared as shared  # noqa: PLC0414 - fixtures, also for the tests on servers
from tests.support.cluster_place import ClusterPlace

SLOT = datetime(2026, 11, 22, 1, tzinfo=UTC)
RECORD = Record(SLOT, Status.SUCCESS, "j", "r", SLOT, SLOT, 2.5)


class Account:
    """An account with records of two jobs, and its lines."""

    def __init__(self, place: ClusterPlace) -> None:
        self.place = place
        self.account = place.account()
        self.term = place.lead("a")
        self.is_away = False
        self.lines = AccountLines(self, place.dialect)  # type: ignore[arg-type]

    def ask(self, request: Callable[[], Steps[Any]], wait: float) -> Any:
        """Answer a question, as the thread of the questions does."""
        if self.is_away:
            raise Unavailable("away")
        return self.place.perform(request())

    def end(self, number: int, job_id: str = "j", **fields: Any) -> None:
        """Run a slot to its end, so many minutes after the first; all in one moment of the database."""
        slot = f"2026-11-22T01:{number:02}:00Z"
        run_id = f"{number:016x}"
        self.account.claim(self.term, [Claim(job_id, slot, run_id, "local", "{}")], lambda: "never")
        attempt = Attempt(job_id, slot, 1, f"b{number}")
        self.account.begin(Identity("b", "scheduler", "local", "b1"), [attempt])
        self.account.finish({attempt: outcome_of(replace(RECORD, job_id=job_id, **fields))})
        self.account.record(self.term, self.account.unfinished())
        at = SLOT + timedelta(minutes=number)
        self.place.connection.execute(update(RUNS).where(RUNS.c.run_id == run_id).values(ended_at=at, recorded_at=SLOT))


@pytest.fixture(scope="module")
def account(shared: ClusterPlace) -> Account:
    """Seven records, of which one is a failure with a long output, and one has no run."""
    made = Account(shared)
    for number in range(4):
        made.end(number)
    made.end(4, "k", status=Status.FAILURE, reason="exit", output="x" * 5000 + "the end")
    made.end(5, "k", status=Status.FAILURE, reason="shutdown")
    missed = Record(SLOT, Status.MISSED, "k", scheduled=SLOT, reason="down")
    made.account.claim(made.term, [claim_of(missed, "f" * 16)], lambda: "never")
    return made


def runs(lines: Any) -> list[int]:
    """The numbers of the runs of lines."""
    return [int(line.pairs["run_id"], 16) for line in lines if "run_id" in line.pairs]


def test_a_record_is_a_line_of_the_log_with_node_queue_and_term(account: Account) -> None:
    """Its output is as much as the log would have."""
    lines, _ = account.lines.page(LogFilter("k", frozenset({"FAILURE"})), 10, None)
    line = lines[-1]
    assert line.object["output"] == ("x" * 5000 + "the end")[-2048:]
    known = {key: line.object[key] for key in ("time", "status", "job_id", "node", "queue", "term", "reason")}
    assert known == {
        "time": "2026-11-22T01:04:00.000Z",
        "status": "FAILURE",
        "job_id": "k",
        "node": "b",
        "queue": "local",
        "term": 1,
        "reason": "exit",
    }
    missed, _ = account.lines.page(LogFilter(None, frozenset({"MISSED"})), 10, None)
    assert [line.pairs["reason"] for line in missed] == ["down"]
    assert not {"run_id", "node", "queue"} & missed[0].pairs.keys(), "nobody has run it"


def test_pages_follow_each_other_without_a_gap_also_within_one_instant(account: Account) -> None:
    """Records that were recorded in the same moment are told apart by their runs."""
    found, place = account.lines.page(LogFilter("j"), 3, None)
    assert place is not None
    rest, end = account.lines.page(LogFilter("j"), 3, Place.parse(str(place)))
    assert runs([*found, *rest]) == [3, 2, 1, 0]
    assert end is None
    with pytest.raises(ValueError, match="nowhere"):
        Place.parse("nowhere")


def test_a_filter_selects_by_job_status_reason_run_and_time(account: Account) -> None:
    """As that of a log does; a record is of the time at which its run ended."""

    def found(**wanted: Any) -> list[int]:
        return runs(account.lines.newest(LogFilter(**wanted), 100).lines)

    assert found(job_id="k") == [5, 4]
    assert found(kinds=frozenset({"FAILURE"}), unwanted_reasons=frozenset({"shutdown"})) == [4]
    assert found(run_id=f"{2:016x}") == [2]
    assert found(until=SLOT + timedelta(minutes=1)) == [1, 0]
    assert found(job_id="nope") == []


def test_while_the_database_is_away_nothing_is_known(account: Account) -> None:
    """So the page does not say that there is nothing."""
    account.is_away = True
    try:
        newest = account.lines.newest(LogFilter("j"), 100)
    finally:
        account.is_away = False
    assert newest.lines == []
    assert newest.read_since is not None
    assert account.lines.newest(LogFilter("j"), 100).read_since is None
    assert account.lines.newest(LogFilter("j"), 2).read_since == SLOT + timedelta(minutes=2)


# -- through the service


def test_the_query_of_a_page_is_read_and_a_wrong_one_refused() -> None:
    """A service that is alone has no such records."""
    asked: list[Any] = []

    def read(wanted: LogFilter, most: int, before: str | None) -> HistoryPage:
        asked.append((wanted, before))
        if before == "nowhere":
            raise ValueError(before)
        return HistoryPage(("{}",), "there")

    query = urlencode({"job": "x", "status": ["FAILURE", "MISSED"], "since": "2026-11-22T01:00:00Z"}, doseq=True)
    assert history_answer(query, read) == {"lines": ["{}"], "next": "there"}
    assert asked == [(LogFilter("x", frozenset({"FAILURE", "MISSED"}), SLOT), None)]
    for wrong in ("since=yesterday", "until=2026-11-22T01:00:00", "before=nowhere"):
        with pytest.raises(BadRequest):
            history_answer(wrong, read)
    with pytest.raises(NotFound, match="this service is alone"):
        history_answer("", None)


class Node:
    """The control socket of a node with so many records; new ones may come."""

    def __init__(self, count: int) -> None:
        self.lines = [json.dumps({"time": f"2026-11-22T01:00:{n:02}.000Z", "status": "SUCCESS"}) for n in range(count)]
        self.asked: list[str] = []

    def request(self, socket: Path, method: str, target: str) -> Mapping[str, Any]:
        """Answer two records a page, the newest first."""
        self.asked.append(target)
        before = int(target.partition("before=")[2].partition("&")[0] or len(self.lines))
        page = self.lines[max(0, before - 2) : before][::-1]
        return {"lines": page, "next": str(before - 2) if before > 2 else None}


def seconds(lines: Any) -> list[int]:
    """The seconds of lines."""
    return [int(line.pairs["time"][17:19]) for line in lines]


def test_history_asks_for_no_more_pages_than_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """And for all of them if it shows all."""
    node = Node(7)
    monkeypatch.setattr(account_records, "request", node.request)
    records = AccountRecords(Path("s"), LogFilter("x", frozenset({"SUCCESS"}), SLOT))
    assert node.asked == ["/v1/records?job=x&since=2026-11-22T01%3A00%3A00.000Z&status=SUCCESS"]
    assert seconds(islice(records.newest_first(), 3)) == [6, 5, 4]
    assert len(node.asked) == 2
    assert seconds(records.newest_first()) == [6, 5, 4, 3, 2, 1, 0]


def test_new_records_are_followed_in_their_order_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were shown before do not come again."""
    node = Node(2)
    monkeypatch.setattr(account_records, "request", node.request)
    records = AccountRecords(Path("s"), LogFilter())

    def wait(_: float) -> None:
        node.lines += Node(len(node.lines) + 2).lines[len(node.lines) :]

    assert seconds(islice(records.new(frozenset(), wait), 4)) == [2, 3, 4, 5]


def test_without_a_node_the_log_of_this_host_has_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which is said, unless the service is alone."""

    def refuses(*_: object) -> Mapping[str, Any]:
        raise ApiError(Problem("the database does not answer"), 409)

    monkeypatch.setattr(account_records, "request", refuses)
    assert account_records.account_records(Path("s"), LogFilter()) is None
    assert "what follows is the log of this host alone" in capsys.readouterr().err
    assert not is_of_node(Path("s"))
    monkeypatch.setattr(account_records, "request", lambda *_: {"cluster": None})
    assert not is_of_node(Path("s"))
    monkeypatch.setattr(account_records, "request", lambda *_: {"cluster": {"node": "a"}})
    assert is_of_node(Path("s"))

    def unreachable(*_: object) -> Mapping[str, Any]:
        raise ServiceUnreachable(Problem("no service"))

    monkeypatch.setattr(account_records, "request", unreachable)
    assert not is_of_node(Path("s"))


def test_the_output_of_a_run_on_another_node_says_where_all_of_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, as all about an output."""
    part = {"text": "end\n", "missing": 0, "next": 4, "next_attempt": None, "is_over": True, "job_id": "j"}
    answer = {**part, "record": {"status": "SUCCESS"}, "node": "a"}
    monkeypatch.setattr("jobscheduler.cli.output_follow.request_about_run", lambda *_: answer)
    assert follow(Path("s"), "r1", TextDisplay(raw=False, headings=False)) == {"status": "SUCCESS"}
    shown = capsys.readouterr()
    assert shown.out == "end\n"
    assert "it ran on node a, which has all of its output" in shown.err
