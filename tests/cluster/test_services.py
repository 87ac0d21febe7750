"""The real service as nodes of a cluster, on SQLite and on servers: leaders that die, freeze or lose their database."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobscheduler.control.client import request
from tests.support.cluster_servers import KINDS, Server, running
from tests.support.databases import Place
from tests.support.node_services import LEASE_S, NO_CLOCK, Nodes, nodes
from tests.support.service import Service, job, wait_until

GRACE_S = 4.0
"""How much longer than its lease a leader may be missed."""


@pytest.fixture(scope="module", params=["sqlite", *KINDS])
def server(request: pytest.FixtureRequest) -> Iterator[Server | None]:
    """A server of each kind for all tests of this file, or none for SQLite."""
    if request.param == "sqlite":
        yield None
        return
    with running(request.param) as made:
        yield made


@pytest.fixture
def place(server: Server | None, tmp_path: Path) -> Place:
    """An empty database that can go away and come back."""
    file = tmp_path / "cluster.db"
    if server is None:
        return Place(f"sqlite:///{file}", None, file)
    return Place(server.fresh(), server, file)


@pytest.fixture
def cluster(place: Place, tmp_path: Path) -> Iterator[Nodes]:
    """A database with the tables."""
    with nodes(place.url, tmp_path) as made:
        yield made


def lose_leader(cluster: Nodes, *, is_kill: bool) -> tuple[str, float]:
    """Kill or freeze the leader; return its name, and how many seconds it takes until another one leads."""
    name, term = cluster.leader()
    cluster.run_in_term(term)
    began = time.monotonic()
    cluster.signal(name, signal.SIGKILL) if is_kill else cluster.freeze(name)
    other, later = cluster.leader(other_than=term)
    taken = time.monotonic() - began
    assert other != name
    cluster.run_in_term(later)
    return name, taken


def pid_in(file: Path) -> int:
    """Wait until a command has written its process id."""
    return int(wait_until(lambda: file.exists() and file.read_text().strip(), why="the command has begun"))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("code", "rounds"),
    [
        pytest.param("", 2, id="own clock"),
        pytest.param(NO_CLOCK, 2, id="no clock"),
        pytest.param(NO_CLOCK, 17, id="no clock, long", marks=pytest.mark.deep),
    ],
)
def test_another_node_leads_in_time_when_a_leader_dies_or_freezes(cluster: Nodes, code: str, rounds: int) -> None:
    """No slot is missing and none runs twice, also if the frozen one ignores its own clock: it is refused.

    On all databases together these are 12 kills and freezes of leaders without a clock, and 102 in the long form.
    """
    for name in ("a", "b"):  # a job that the other has not got: its slots are refused by the term alone, not by a row
        cluster.add(name, cluster.marked(), job(f"of-{name}", "* * * * * *", "true"), code=code)
    for _ in range(rounds):
        killed, taken = lose_leader(cluster, is_kill=True)
        assert taken <= LEASE_S + GRACE_S
        cluster.services[killed].close()
        cluster.services[killed].start()
        former = {name: len(service.words("cluster.stands_by")) for name, service in cluster.services.items()}
        frozen, taken = lose_leader(cluster, is_kill=False)
        assert taken <= LEASE_S + GRACE_S
        cluster.signal(frozen, signal.SIGCONT)
        cluster.services[frozen].wait_for("cluster.stands_by", former[frozen] + 1)
    if code:
        assert any("fenced" in service.stderr() for service in cluster.services.values())
    cluster.end()
    cluster.check()


def test_a_run_outlives_a_short_loss_of_the_database(place: Place, tmp_path: Path) -> None:
    """Nobody claims meanwhile. When it is back, its outcome is written, and what fell due is caught up or missed."""
    long = job("long", "* * * * *", "sleep 4", enabled=False)
    with nodes(place.url, tmp_path, lost_after=20.0) as cluster:
        service = cluster.add("a", cluster.marked(), long)
        other = cluster.add("b", cluster.marked(), long)
        name, term = cluster.leader()
        leader = cluster.services[name]
        cluster.run_in_term(term)
        cluster.run_by_hand(name, "long")
        leader.wait_for("run.started", job_id="long")
        place.go()
        for one in (service, other):
            one.wait_for("cluster.unavailable")
        leader.wait_for("cluster.stands_by", reason="unavailable")
        marks = cluster.marks.read_text()
        time.sleep(2.5)
        assert cluster.marks.read_text() == marks
        assert leader.words("FAILURE") == []
        place.come()
        for one in (service, other):
            one.wait_for("cluster.restored")
        cluster.run_in_term(cluster.leader(other_than=term)[1])
        wait_until(lambda: service.words("SUCCESS", job_id="long") or other.words("SUCCESS", job_id="long"))
        cluster.end()
        cluster.check()
        assert {row.reason for row in cluster.rows() if row.status == "MISSED"} <= {"down"}


def test_an_outcome_is_kept_when_its_node_stops_without_the_database(place: Place, tmp_path: Path) -> None:
    """Its log has it until the next start, which writes it before it closes what its former instance has left."""
    go_on = tmp_path / "go"
    command = f"echo begun > {tmp_path}/begun; until test -e {go_on}; do sleep 0.1; done; echo why; exit 3"
    long = job("long", "* * * * *", command, enabled=False)
    with nodes(place.url, tmp_path, lost_after=30.0) as cluster:
        service = cluster.add("a", cluster.marked(), long)
        cluster.run_in_term(cluster.leader()[1])
        cluster.run_by_hand("a", "long")
        wait_until((tmp_path / "begun").exists)
        place.go()
        service.wait_for("cluster.unavailable")
        go_on.touch()
        (kept,) = service.wait_for("run.unsent", job_id="long")
        assert (kept["status"], kept["reason"], kept["output"]) == ("FAILURE", "exit", "why")
        assert service.stop() == 0
        assert service.words("FAILURE") == []
        place.come()
        service.start()
        (told,) = service.wait_for("FAILURE", job_id="long")
        assert (told["reason"], told["exit_code"], told["output"], told["node"]) == ("exit", "3", "why", "a")
        service.wait_for("cluster.outcomes_sent")
        cluster.end()
        assert len(service.words("FAILURE")) == 1
        cluster.check()


def test_runs_end_before_others_take_them_for_lost(place: Place, tmp_path: Path) -> None:
    """A node without the database cannot know whether it is alone. It says so, and the record says why."""
    long = job("long", "* * * * *", f"echo $$ > {tmp_path}/pid; exec sleep 60", enabled=False)
    with nodes(place.url, tmp_path, lost_after=4.0) as cluster:
        service = cluster.add("a", cluster.marked(), long)
        cluster.run_in_term(cluster.leader()[1])
        cluster.run_by_hand("a", "long")
        pid = pid_in(tmp_path / "pid")
        began = time.monotonic()
        place.go()
        service.wait_for("cluster.runs_ended")
        assert time.monotonic() - began >= 1.5
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), 15, "the run has ended")
        place.come()
        (told,) = service.wait_for("FAILURE", job_id="long")
        assert told["reason"] == "worker_lost"
        cluster.end()
        cluster.check()


def test_a_node_that_comes_back_under_its_name_ends_what_it_has_left(cluster: Nodes, tmp_path: Path) -> None:
    """At once, not when it was silent for long: its former process is known to be gone."""
    long = job("long", "* * * * *", f"echo $$ > {tmp_path}/pid; exec sleep 60", enabled=False)
    first = cluster.add("a", cluster.marked(), long)
    cluster.leader()
    cluster.run_by_hand("a", "long")
    pid = pid_in(tmp_path / "pid")
    first.close()
    assert Path(f"/proc/{pid}").exists()
    first.start()
    (told,) = first.wait_for("FAILURE", job_id="long")
    assert told["reason"] == "interrupted"
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), 15, "its process is ended")
    cluster.end()
    cluster.check()


def test_alerts_are_told_once_over_a_hand_over(cluster: Nodes, tmp_path: Path) -> None:
    """One that is held back is told by the node that ends, and what fails while it ends by the next leader."""
    told, fails, slow = tmp_path / "told", tmp_path / "fails", tmp_path / "slow"
    tell = {"type": "execute_command", "command": f"echo $JOB_ALERT $JOB_ID >> {told}"}
    rule = {"on_failure": tell, "on_recovery": tell, "enabled": False}
    jobs = [
        job("flaps", "* * * * *", f"test ! -e {fails}", **rule),
        job("slow", "* * * * *", f"touch {slow}; sleep 2; false", **rule),
    ]
    for name in ("a", "b"):
        cluster.add(name, cluster.marked(), *jobs)
    name, term = cluster.leader()
    first, (second,) = cluster.services[name], [one for key, one in cluster.services.items() if key != name]

    def flap(service: Service, word: str, count: int) -> None:
        fails.touch() if word == "FAILURE" else fails.unlink()
        cluster.run_by_hand(next(key for key, one in cluster.services.items() if one is service), "flaps")
        service.wait_for(word, count, job_id="flaps")

    flap(first, "FAILURE", 1)
    flap(first, "SUCCESS", 1)
    wait_until(lambda: told.exists() and len(told.read_text().splitlines()) == 2, 15, "both were told at once")
    flap(first, "FAILURE", 2)
    cluster.run_by_hand(name, "slow")
    wait_until(slow.exists, 15, "the slow run has begun")
    assert first.stop() == 0
    cluster.leader(other_than=term)
    flap(second, "FAILURE", 1)
    second.wait_for("alert.sent", job_id="slow")
    cluster.run_in_term(cluster.leader(other_than=term)[1])
    expected = ["failure flaps", "failure flaps", "failure slow", "recovery flaps"]
    wait_until(lambda: len(told.read_text().splitlines()) >= 4, 15, "all were told")
    cluster.end()
    assert sorted(told.read_text().splitlines()) == expected
    cluster.check()


def test_a_changed_url_in_its_file_is_named_by_a_reload(cluster: Nodes) -> None:
    """The service goes on with the former one, and says that a restart takes the new one; so for a file that is bad."""
    service = cluster.add("a", cluster.marked())
    _, term = cluster.leader()
    cluster.url_file.write_text(f"{cluster.url}?application_name=x\n")
    assert request(service.socket, "POST", "/v1/reload")["need_restart"] == ["cluster-url-file"]
    service.wait_for("settings.waiting", settings="cluster-url-file")
    cluster.url_file.write_text("\n")
    request(service.socket, "POST", "/v1/reload")
    (told,) = service.wait_for("settings.kept")
    assert "does not hold the URL of a database" in told["problem"]
    cluster.url_file.write_text(f"{cluster.url}\n")
    assert request(service.socket, "POST", "/v1/reload")["need_restart"] == []
    cluster.run_in_term(term)
    cluster.end()
    cluster.check()


def test_nodes_whose_files_differ_say_in_which_jobs(cluster: Nodes) -> None:
    """The one that stands by says it when it lasts, and when it is over; the leader's files count meanwhile."""
    soon = "from jobscheduler.cluster import node_reports\nnode_reports._SETTLE_S = 1.0"
    cluster.add("a", cluster.marked(), job("same", "@daily", "true"), job("edited", "@daily", "true"), code=soon)
    _, term = cluster.leader()
    other = cluster.add(
        "b", cluster.marked(), job("same", "@daily", "true"), job("edited", "@weekly", "true"), code=soon
    )
    (told,) = other.wait_for("cluster.drift")
    assert (told["leader"], "edited" in told["jobs"], "same" in told["jobs"]) == ("a", True, False)
    other.write("edited.json", job("edited", "@daily", "true"))
    other.wait_for("cluster.drift_over")
    cluster.run_in_term(term)
    cluster.end()
    cluster.check()
