"""What a node reads of the account for those who ask it, and what it says of the jobs with that."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from jobscheduler.cluster import job_state
from jobscheduler.cluster.account_reader import MAX_AGE_S, WAIT_S, AccountReader
from jobscheduler.cluster.questions import NotSent, Questions
from jobscheduler.cluster.records import claim_of, outcome_of
from jobscheduler.cluster.steps import Steps
from jobscheduler.cluster.tables import RUNS
from jobscheduler.cluster.values import Attempt, Claim, Identity, Term
from jobscheduler.control import runs_elsewhere
from jobscheduler.control.runs_elsewhere import ClusterOutputs, RunsElsewhere
from jobscheduler.control.shared_account import SharedRecords, SharedResults, SharedRuns, SharedStandings
from jobscheduler.control.snapshot_builder import next_slot_from
from jobscheduler.database.engine import Database
from jobscheduler.model import Checkpoint, Cron, FullCheckpoint, Job, Pause, Problem, Record, Status, TaskSpec
from jobscheduler.model.account_news import AccountNews, FoundRun, SharedRun
from jobscheduler.model.pauses import FOREVER
from jobscheduler.model.selection import Selector
from jobscheduler.model.standing import ResultState, Standing
from jobscheduler.status.run_stats import RunStats
from jobscheduler.status.snapshot import ActiveRun, Conflict, NotFound
from jobscheduler.status.standings import Standings
from tests.support.asked_account import AskedAccount
from tests.support.cluster_fixtures import place as place  # noqa: PLC0414 - fixtures, also for the tests on servers
from tests.support.cluster_fixtures import shared as shared  # noqa: PLC0414
from tests.support.cluster_place import ClusterPlace
from tests.support.service import wait_until

SLOT = datetime(2026, 11, 22, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NODE_A = Identity("a", "scheduler", "local", "a1")
RECORD = Record(SLOT, Status.SUCCESS, "j", "r1", SLOT, SLOT, 2.5)


class World:
    """A leader that writes its account, and a node that reads it."""

    def __init__(self, place: ClusterPlace) -> None:
        self.place = place
        self.account: AskedAccount = place.account()
        self.term: Term = place.lead("a")
        self.now = 1000.0
        self.is_away = False
        self.asked = 0
        self.read: list[Record] = []
        self.at_sleep: Callable[[], object] = lambda: None
        self.reader = AccountReader(self, place.dialect, self.read.append, lambda: self.now, self._sleep)  # type: ignore[arg-type]

    def ask(self, request: Callable[[], Steps[Any]], wait: float) -> Any:
        """Answer a question, as the thread of the questions does."""
        self.asked += 1
        if self.is_away:
            raise NotSent("away")
        return self.place.perform(request())

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        self.at_sleep()

    def news(self) -> AccountNews:
        """Read the account after a while."""
        self.now += MAX_AGE_S
        return self.reader.news()

    def claim(self, number: int) -> Attempt:
        """Claim a slot."""
        slot = f"2026-11-22T01:{number:02}:00Z"
        self.account.claim(self.term, [Claim("j", slot, f"r{number}", "local", "{}")], lambda: "never")
        return Attempt("j", slot, 1, f"b{number}")

    def begin(self, number: int) -> Attempt:
        """Claim a slot, and begin its run."""
        attempt = self.claim(number)
        self.account.begin(NODE_A, [attempt])
        return attempt

    def end(self, number: int, *, final: bool = True, **fields: Any) -> None:
        """Run a slot to its end."""
        attempt = self.begin(number)
        self.account.finish({attempt: outcome_of(replace(RECORD, run_id=f"r{number}", **fields))})
        if final:
            self.record()

    def record(self) -> None:
        """Make all runs that have ended final."""
        self.account.record(self.term, [row for row in self.account.unfinished() if row.state.value == "ended"])


@pytest.fixture
def world(place: ClusterPlace) -> World:
    """A cluster of two."""
    return World(place)


def test_each_record_is_read_once_with_the_end_of_a_failures_output(world: World) -> None:
    """The oldest first, also those that have no run."""
    world.end(1)
    world.end(2, status=Status.FAILURE, reason="exit", output="x" * 5000 + "\nthe last line")
    missed = Record(SLOT, Status.MISSED, "k", scheduled=SLOT, reason="down")
    world.account.claim(world.term, [claim_of(missed, "r9")], lambda: "never")
    world.news()
    assert [(record.job_id, record.status.value) for record in world.read] == [
        ("j", "SUCCESS"),
        ("j", "FAILURE"),
        ("k", "MISSED"),
    ]
    assert str(world.read[1].output).endswith("x\nthe last line")
    assert len(str(world.read[1].output)) == 400
    world.end(3)
    world.news()
    world.news()
    assert [record.run_id for record in world.read] == ["r1", "r2", None, "r3"]


def test_runs_without_a_record_are_shown_with_their_nodes(world: World) -> None:
    """One that has ended waits only for its line in the log."""
    world.begin(1)
    world.claim(2)
    world.end(3, final=False)
    runs = world.news().runs["j"]
    assert [(run.run_id, run.scheduled, run.node, run.waits) for run in runs] == [
        ("r1", SLOT + MINUTE, "a", False),
        ("r2", SLOT + 2 * MINUTE, None, True),
    ]
    assert runs[0].started is not None
    assert runs[1].started is None


def test_pauses_and_standings_are_those_that_the_leader_wrote_last(world: World) -> None:
    """They are read again when it has written."""
    pause = Pause("p1", Selector("*"), SLOT, None, "a move", "0")
    results = ResultState({"j": Standing(failures=3, failed_since=SLOT)})
    checkpoint = Checkpoint(SLOT, full=FullCheckpoint(hashes={"j": "0123-4567"}, pauses=(pause,)), results=results)
    world.place.perform(job_state.write_checkpoint(world.place.dialect, world.term, checkpoint, SLOT))
    news = world.news()
    assert [(one.id, one.reason) for one in news.pauses] == [("p1", "a move")]
    assert news.results.standings["j"].failures == 3
    without = Checkpoint(SLOT, full=FullCheckpoint())
    world.place.perform(job_state.write_checkpoint(world.place.dialect, world.term, without, SLOT))
    assert world.news().pauses == ()


def test_the_account_is_read_once_a_second_however_many_ask(world: World) -> None:
    """And not at all while nobody does."""
    assert world.asked == 0
    for _ in range(10):
        world.reader.news()
    assert world.asked == 1


def test_while_the_database_is_away_what_was_known_stands(world: World) -> None:
    """Since when, it says."""
    world.begin(1)
    known = world.news()
    world.is_away = True
    assert world.news() is known
    assert known.known_at is not None
    assert isinstance(world.reader.find("r1"), Problem)


def test_a_database_that_hangs_holds_a_reader_for_a_moment_alone(place: ClusterPlace) -> None:
    """What was known is shown; what comes later is shown then."""
    goes_on, hangs = threading.Event(), threading.Event()
    with Questions(Database(place.url)) as questions, ThreadPoolExecutor() as pool:
        reader = AccountReader(questions, place.dialect, lambda _: None)
        wait_until(lambda: reader.news().known_at is not None)
        known = reader.known

        def hanging() -> Steps[None]:
            hangs.set()
            goes_on.wait(30)
            yield select(1)

        pool.submit(questions.ask, hanging, 30.0)
        assert hangs.wait(30)
        reader._asked_at = None
        begun = time.monotonic()
        assert reader.news() is known
        assert time.monotonic() - begun < 10 * WAIT_S  # it is once, on a host that may be busy
        goes_on.set()


def test_a_run_of_another_node_is_waited_for(world: World) -> None:
    """Up to the wait; its output is whole, as the account has it."""
    world.begin(1)
    assert world.reader.find("none") is None
    found = world.reader.find("r1", 1.0)
    assert found == FoundRun("j", None, "a", 1)
    attempt = Attempt("j", "2026-11-22T01:01:00Z", 1, "b1")

    def ends() -> None:
        world.account.finish({attempt: outcome_of(replace(RECORD, output="all of it"))})
        world.record()

    world.at_sleep = ends
    found = world.reader.find("r1", 30.0)
    assert isinstance(found, FoundRun)
    assert found.record is not None
    assert (found.record.status, found.record.output, found.node) == (Status.SUCCESS, "all of it", "a")


def test_a_record_that_is_committed_late_is_not_passed_over(world: World) -> None:
    """Two connections may commit in another order than their clocks say."""
    world.end(1)
    world.news()
    world.end(2)
    earlier = update(RUNS).where(RUNS.c.run_id == "r2")
    recorded = world.place.column("j", "2026-11-22T01:01:00Z", "recorded_at")
    assert isinstance(recorded, datetime)
    world.place.connection.execute(earlier.values(recorded_at=recorded - timedelta(seconds=1)))
    world.news()
    assert [record.run_id for record in world.read] == ["r1", "r2"]


# -- what a node says with it

JOB = Job("j", Cron("0 * * * *", "UTC"), TaskSpec.from_params("execute_command", {"command": "true"}))


def test_the_last_result_is_that_of_whichever_node() -> None:
    """The newer of the two counts; its own has the last line of the output."""
    own, others = RunStats(), SharedRecords()
    results = SharedResults(own, others)
    assert results.recent_runs("j") is None
    others.observe(RECORD)
    assert results.last_record("j") == RECORD
    own.observe(replace(RECORD, run_id="r2", at=SLOT + MINUTE, status=Status.FAILURE, duration=None, output="why"))
    recent = results.recent_runs("j")
    assert recent is not None
    assert (recent.last.run_id, recent.last_line, recent.usual) == ("r2", "why", 2.5)
    others.observe(replace(RECORD, run_id="r2", at=SLOT + 2 * MINUTE, status=Status.FAILURE, duration=None))
    recent = results.recent_runs("j")
    assert recent is not None
    assert (recent.last.at, recent.last_line) == (SLOT + 2 * MINUTE, "why")
    assert results.last_success("j") == SLOT


def test_a_job_stands_as_the_leader_says_where_it_knows_more() -> None:
    """Records are newer, and may not reach back to the first failure."""
    own, others, leads = Standings(lambda: 0.0), SharedRecords(), False
    news = AccountNews()
    standings = SharedStandings(own, others, lambda: news, lambda: leads)
    others.observe(replace(RECORD, status=Status.FAILURE, reason="exit"))
    assert standings.of("j").failures == 1
    news = AccountNews(results=ResultState({"j": Standing(failures=7, overdue_since=SLOT)}, {"j": SLOT - MINUTE}))
    assert (standings.of("j").failures, standings.of("j").overdue_since) == (7, SLOT)
    assert standings.last_success("j") == SLOT - MINUTE
    others.observe(RECORD)
    assert standings.of("j").failures == 0
    assert standings.last_success("j") == SLOT
    leads = True
    assert standings.of("j") == Standing()


def test_a_node_that_stands_by_shows_the_runs_and_pauses_of_the_account() -> None:
    """Its own runs, from when it led, are shown once; the leader shows what its scheduler has."""
    leads = False
    pause = Pause("p1", Selector("*"), SLOT)
    runs = (SharedRun("j", "r1", SLOT, SLOT, 1, "b"), SharedRun("j", "r2", SLOT, None, 2, None, waits=True))
    news = AccountNews({"j": runs}, (pause,))
    shared = SharedRuns(lambda: news, "b", lambda: leads)
    own = (ActiveRun("r1", SLOT, SLOT, 1, pid=7),)
    assert shared.active("j", own) == (*own, ActiveRun("r2", SLOT, None, 2, "retry"))
    assert SharedRuns(lambda: news, "a", lambda: False).active("j", ())[0].node == "b"
    assert (shared.pauses_of(JOB, ()), shared.in_force(())) == ((pause,), (pause,))
    leads = True
    assert shared.active("j", own) == own
    assert SharedRuns(lambda: news, "a", lambda: leads).active("j", own)[0].node == "b"
    assert (shared.pauses_of(JOB, ()), shared.in_force(())) == ((), ())


def test_the_next_slot_of_a_paused_job_is_the_first_after_its_pause() -> None:
    """None if it has no end."""
    after = SLOT + timedelta(hours=3)
    assert next_slot_from(JOB, None, SLOT) == SLOT
    assert next_slot_from(JOB, after, SLOT) == after
    assert next_slot_from(JOB, after + MINUTE, SLOT) == after + timedelta(hours=1)
    assert next_slot_from(JOB, SLOT, after) == after
    assert next_slot_from(JOB, FOREVER, SLOT) is None
    assert next_slot_from(JOB, after, None) is None


class KnownRuns:
    """An account with a run that has ended elsewhere, and one that is at work."""

    ENDED = FoundRun("j", replace(RECORD, output="grüße\n"), "a", 2)

    def __init__(self, *at_work: SharedRun) -> None:
        self.at_work = at_work

    def news(self) -> AccountNews:
        return AccountNews({"j": self.at_work})

    def find(self, run_id: str, wait: float = 0.0) -> FoundRun | Problem | None:
        known = {"r1": self.ENDED, "0123456789abcdef": self.ENDED, "r2": FoundRun("j", None, "a", 1)}
        return Problem("away") if run_id == "r3" else known.get(run_id)


class OwnOutputs:
    """The outputs of a node that has run `mine`."""

    def output(self, name: str, *, failed: bool) -> Mapping[str, Any]:
        if name == "mine":
            return {"run_id": "own"}
        raise NotFound(Problem("there is none"))

    def part(self, run_id: str, attempt: int, offset: int, wait: float, by: str) -> Mapping[str, Any]:
        raise NotFound(Problem("there is none"))


def test_the_result_of_a_run_elsewhere_names_its_node() -> None:
    """With the end of its output."""
    elsewhere = RunsElsewhere(KnownRuns())
    answer = elsewhere.run_result("r1", 0.0)
    assert answer is not None
    assert (answer["record"]["status"], answer["record"]["node"], answer["output"]) == ("SUCCESS", "a", "grüße\n")
    running = elsewhere.run_result("r2", 0.0)
    assert running is not None
    assert (running["record"], running["cancelled"], running["node"]) == (None, False, "a")
    assert elsewhere.run_result("r4", 0.0) is None
    with pytest.raises(Conflict, match="away"):
        elsewhere.run_result("r3", 0.0)
    assert json.dumps(answer)


def test_the_output_of_a_run_elsewhere_is_the_end_that_the_account_has() -> None:
    """By the job or the run; while it is at work there is none yet."""
    last: dict[str, Record] = {"j": RECORD}
    outputs = ClusterOutputs(OwnOutputs(), KnownRuns(), last.get, "b")
    found = outputs.output("j", failed=False)
    assert (found["run_id"], found["state"], found["node"]) == ("r1", "ended", "a")
    assert [(one["attempt"], one["total"], one["missing"]) for one in found["attempts"]] == [(2, 8, 0)]
    assert outputs.output("0123456789abcdef", failed=False)["job_id"] == "j"
    assert outputs.output("mine", failed=False) == {"run_id": "own"}
    part = outputs.part("r1", 2, 0, 0.0, "0")
    assert (part["text"], part["next"], part["is_over"], part["record"]["node"]) == ("grüße\n", 8, True, "a")
    assert outputs.part("r1", 2, 8, 0.0, "0")["text"] == ""
    running = outputs.part("r2", 1, 0, 0.0, "0")
    assert (running["text"], running["is_over"], running["record"]) == ("", False, None)
    with pytest.raises(NotFound):
        outputs.part("r4", 1, 0, 0.0, "0")
    with pytest.raises(NotFound):
        outputs.output("j", failed=True)


def test_the_output_of_a_job_is_that_of_its_run_at_work_elsewhere() -> None:
    """Not that of its last run, nor none if it is the first one; a run that waits has no output yet."""
    began = RECORD.started
    at_work = KnownRuns(SharedRun("j", "r2", None, began, 1, "a"), SharedRun("j", "r4", None, None, 0, waits=True))
    for last in ({}, {"j": RECORD}):
        found = ClusterOutputs(OwnOutputs(), at_work, last.get, "b").output("j", failed=False)
        assert (found["run_id"], found["state"], found["node"]) == ("r2", "running", "a")
    assert ClusterOutputs(OwnOutputs(), at_work, {}.get, "b").output("mine", failed=False) == {"run_id": "own"}


def test_what_this_node_has_run_it_shows_itself() -> None:
    """All that was printed, from its own directory."""
    here: dict[str, Record] = {"mine": RECORD}
    outputs = ClusterOutputs(OwnOutputs(), KnownRuns(), here.get, "a")
    assert outputs.output("mine", failed=False) == {"run_id": "own"}


def test_a_run_that_was_just_asked_for_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The leader names it before it has its row; but an unknown run is not waited for without need."""
    monkeypatch.setattr(runs_elsewhere, "_POLL_S", 0.0)
    looks = iter([None, None, KnownRuns.ENDED, None])
    account = KnownRuns()
    monkeypatch.setattr(account, "find", lambda _run_id, _wait: next(looks))
    answer = RunsElsewhere(account).run_result("r9", 25.0)
    assert answer is not None
    assert answer["node"] == "a"
    assert RunsElsewhere(account).run_result("r9", 0.0) is None
