"""What a node says of its database, its clock and its jobs, and how it describes the cluster."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from jobscheduler.cluster.database_watch import DatabaseWatch
from jobscheduler.cluster.drift import Drift
from jobscheduler.cluster.lease import LeaseTimes, Standing
from jobscheduler.cluster.lease_rows import LeaseRow
from jobscheduler.cluster.node_reports import DriftReport, SkewReport
from jobscheduler.cluster.node_view import NodeViewer
from jobscheduler.cluster.nodes import Loaded, NodeRow, Population, Process
from jobscheduler.cluster.values import Identity, Term
from jobscheduler.cluster.zone_data import zone_data_version
from jobscheduler.database.errors import Unavailable
from jobscheduler.model import Level
from jobscheduler.model.cluster_view import Difference, DriftedJob, Role

NOON = datetime(2096, 11, 22, 12, tzinfo=UTC)


@dataclass
class Log:
    """Keeps events."""

    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __call__(self, level: Level, name: str, /, **values: Any) -> None:
        """Keep one."""
        self.told.append((name, {key: value for key, value in values.items() if value is not None}))

    def names(self) -> list[str]:
        """Return the names, and forget the events."""
        names = [name for name, _ in self.told]
        self.told.clear()
        return names


def row(node: str, jobset: str = "same", tzdata: str = "2026a", silent: float = 1.0) -> NodeRow:
    """Return a node as the database knows it."""
    loaded = Loaded("1.0", tzdata, jobset, 32, 0.25)
    return NodeRow(Identity(node, "scheduler", "local", f"{node}1"), Process(f"host-{node}", "boot", 7), silent, loaded)


def test_the_loss_of_the_database_is_said_once_and_its_end_too() -> None:
    """However many threads have heard of it; it is back when all of them get answers. The reason is the latest one."""
    log = Log()
    times = iter(NOON + timedelta(seconds=number) for number in range(9))
    watch = DatabaseWatch("mysql://db/cluster", log, lambda: next(times))
    watch.note("lease", None)
    assert (log.told, watch.away) == ([], None)
    watch.note("lease", Unavailable("refused", "start it"))
    watch.note("account", Unavailable("silent"))
    watch.note("lease", Unavailable("denied"))
    assert watch.away is not None
    assert watch.away.problem == "denied"
    watch.note("lease", None)
    assert log.told == [
        ("cluster.unavailable", {"database": "mysql://db/cluster", "problem": "refused", "help": "start it"})
    ]
    away = watch.away
    assert away is not None
    assert (away.since, away.problem) == (NOON, "silent")
    watch.note("account", None)
    assert log.names()[-1] == "cluster.restored"
    assert watch.away is None


def test_a_clock_that_differs_by_more_than_a_second_is_a_warning() -> None:
    """Again when it may not lead any more, and an end of it."""
    log = Log()
    report = SkewReport(log)
    for skew in (0.9, -0.9, 1.5, 2.5, -31.0, 0.0):
        report.note(skew)
    assert [values.get("ahead") for _, values in log.told] == [1.5, -31.0, None]
    assert "does not lead" not in log.told[0][1]["help"]
    assert "does not lead" in log.told[1][1]["help"]
    assert log.names() == ["cluster.clock_differs", "cluster.clock_differs", "cluster.clock_agrees"]


def test_a_drift_that_lasts_names_the_jobs() -> None:
    """Files that are copied to one node after the other differ for a moment, which is no news."""
    log = Log()
    there = {"a": "1", "b": "1"}
    report = DriftReport(log, lambda: {"a": "2", "c": "1"}, lambda: there)
    report.note(row("x", "other"), row("leader"), 100.0)
    report.note(row("x"), row("leader"), 105.0)
    report.note(row("x", "other"), row("leader"), 106.0)
    report.note(row("x", "other"), row("leader"), 115.9)
    assert log.told == []
    report.note(row("x", "other"), row("leader"), 116.0)
    report.note(row("x", "other"), row("leader"), 126.0)
    ((name, values),) = log.told
    assert (name, values["leader"]) == ("cluster.drift", "leader")
    assert values["jobs"] == "only here: `c`; only on the leader: `b`; different: `a`"
    there.clear()
    report.note(row("x", "other"), row("leader"), 136.0)
    report.note(row("x"), row("leader"), 137.0)
    assert log.names() == ["cluster.drift", "cluster.drift", "cluster.drift_over"]
    assert not report.drift


def test_other_time_zone_data_is_a_drift_too() -> None:
    """The same jobs may then be due at other times."""
    log = Log()
    report = DriftReport(log, dict, dict)
    for now in (0.0, 10.0):
        report.note(row("x", tzdata="2025b"), row("leader"), now)
    assert log.told[0][1]["tzdata"] == "2025b here, 2026a on the leader"
    report.note(None, row("leader"), 11.0)
    assert log.names()[-1] == "cluster.drift_over"


def test_the_version_of_the_zone_data_is_known() -> None:
    """Those of tests are the package of Python, those of a host name it in the file of all rules."""
    assert zone_data_version()


def test_the_view_says_who_leads_and_how_the_others_are() -> None:
    """Nodes that differ from the leader, or are silent for long, are marked."""
    log = Log()
    standing = Standing("x1", LeaseTimes(6.0), 0.0).answered(0.0, LeaseRow("y", Term("y1", 7), 6.0), 0.0, 0.5)
    watch = DatabaseWatch("db", log, lambda: NOON)
    viewer = NodeViewer("x", watch, lambda: standing, 60.0, now=lambda: NOON)
    assert viewer.view().known_at is None
    drift = Drift(("a",), ("c",), ("b",))
    for _ in range(2):
        viewer.note(Population((row("x", "other"), row("y"), row("z", silent=61.0)), 2, 3), drift)
    view = viewer.view()
    assert (view.node, view.role, view.leader, view.term, view.skew) == ("x", Role.STANDBY, "y", 7, 0.5)
    assert [(one.name, one.host, one.is_alive, one.differs) for one in view.nodes] == [
        ("x", "host-x", True, True),
        ("y", "host-y", True, False),
        ("z", "host-z", False, False),
    ]
    assert view.drift == (
        DriftedJob("a", Difference.ONLY_HERE),
        DriftedJob("b", Difference.CHANGED),
        DriftedJob("c", Difference.ONLY_THERE),
    )
    assert (view.queued, view.running, view.known_at, view.is_away) == (2, 3, NOON, False)
    watch.note("lease", Unavailable("refused"))
    assert (viewer.view().away_since, viewer.view().away) == (NOON, "refused")
    watch.note("lease", Unavailable("no tables", "`db init` makes them"))
    assert viewer.view().away == "no tables: `db init` makes them"


def test_a_node_differs_when_it_has_done_so_for_two_looks() -> None:
    """Files are copied to one node after the other, and a node that has just joined has not said yet what it has."""
    standing = Standing("y1", LeaseTimes(6.0), 0.0).answered(0.0, LeaseRow("y", Term("y1", 7), 6.0), 0.0)
    viewer = NodeViewer("y", DatabaseWatch("db", Log()), lambda: standing, 60.0)
    joined = replace(row("x"), loaded=Loaded())
    shown = []
    for other in (joined, joined, row("x", "other"), row("x"), row("x", "other"), row("x", "other"), row("x")):
        viewer.note(Population((other, row("y"))), Drift())
        shown.append(viewer.view().nodes[0].differs)
    assert shown == [False, False, False, False, False, True, False]


def test_a_lease_that_has_run_out_has_no_leader() -> None:
    """Its last holder is known, and does not lead any more."""
    standing = Standing("x1", LeaseTimes(6.0), 0.0)
    standing = replace(standing, seen=LeaseRow("y", Term("y1", 7), -1.0))
    viewer = NodeViewer("x", DatabaseWatch("db", Log()), lambda: standing, 60.0)
    assert (viewer.view().leader, viewer.view().term) == (None, None)


def test_the_view_says_since_when_a_node_leads_or_stands_by() -> None:
    """A node stands by from its start, until it leads; its start is not when it began to lead."""
    now = [NOON]
    standing = Standing("x1", LeaseTimes(6.0), 0.0)
    viewer = NodeViewer("x", DatabaseWatch("db", Log()), lambda: standing, 60.0, now=lambda: now[-1])
    now.append(NOON + timedelta(hours=1))
    assert (viewer.view().role, viewer.view().since) == (Role.STANDBY, NOON)
    viewer.note_role(Role.LEADER)
    now.append(NOON + timedelta(hours=2))
    assert (viewer.view().role, viewer.view().since) == (Role.LEADER, NOON + timedelta(hours=1))
