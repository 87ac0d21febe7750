"""What the verbs, the status and the page say of a cluster, from the view of one of its nodes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobscheduler import cli
from jobscheduler.cli import cluster as cluster_verb
from jobscheduler.cli.cluster_lines import ClusterScreen, cluster_lines, is_well
from jobscheduler.cli.situation_lines import Screen, situation_lines
from jobscheduler.cli.table import display_width
from jobscheduler.model.cluster_view import ClusterView, Difference, DriftedJob, NodeView, Role
from jobscheduler.status.cluster_issues import cluster_issues
from jobscheduler.status.cluster_json import MAX_DRIFTED, cluster_json
from tests.support.answers import situation

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
ALPHA = NodeView("alpha", "alpha.example.org", "1.0", 1.2, 0.02, tzdata="2026b")
BETA = NodeView("beta", "beta.example.org", "1.0", 3.9, -0.31, tzdata="2026b")
LEADER = ClusterView(
    "alpha",
    Role.LEADER,
    "alpha",
    7,
    NOW - timedelta(hours=3),
    (ALPHA, BETA),
    database="mysql://db.example.org/cluster",
    known_at=NOW,
    queued=1,
    running=4,
)
STANDBY = replace(LEADER, node="beta", role=Role.STANDBY)
DRIFT = tuple(
    DriftedJob(job_id, difference)
    for job_id, difference in (
        ("report-001", Difference.ONLY_HERE),
        ("billing", Difference.CHANGED),
        ("backup", Difference.CHANGED),
        ("sync", Difference.ONLY_THERE),
    )
)
AWAY = replace(STANDBY, away_since=NOW - timedelta(minutes=5), away="Connection refused", leader=None, term=None)


def text_of(view: ClusterView, width: int | None = 80) -> str:
    """What the verb prints."""
    answer = cluster_json(view)
    assert answer is not None
    return "\n".join(cluster_lines(answer, ClusterScreen(NOW, width, zone=UTC)))


def test_the_leader_shows_its_nodes() -> None:
    """Itself with a star."""
    assert text_of(LEADER) == (
        "node alpha leads since 09:00 (term 7); it was asked\n"
        "\n"
        "NODE     ROLE         BEAT  JOBS   CLOCK  HOST               VERSION  TZDATA\n"
        "alpha *  leader     1s ago  same  +0.02s  alpha.example.org  1.0      2026b\n"
        "beta     stands by  3s ago  same  -0.31s  beta.example.org   1.0      2026b\n"
        "\n"
        "account    1 run waiting, 4 at work\n"
        "database   mysql://db.example.org/cluster"
    )


def test_a_node_that_stands_by_says_who_leads_and_in_what_they_differ() -> None:
    """Jobs by the way in which they differ."""
    text = text_of(replace(STANDBY, drift=DRIFT, nodes=(ALPHA, replace(BETA, differs=True))))
    assert text.startswith("node alpha leads (term 7); node beta, which was asked, stands by since 09:00\n")
    assert "beta *  stands by" in text
    assert "differs    not the same as on the leader: billing, backup\n" in text
    assert "           only on this node: report-001\n           only on the leader: sync\n" in text


def test_a_silent_node_and_a_wrong_clock_stand_out() -> None:
    """With how long it is silent."""
    nodes = (ALPHA, replace(BETA, is_alive=False, silent=200.0, skew=2.5))
    text = text_of(replace(LEADER, nodes=nodes))
    assert "silent" in text
    assert "3m ago" in text
    assert "+2.50s !" in text


def test_while_the_database_is_away_all_else_is_what_was_known() -> None:
    """With the reason, and since when."""
    text = text_of(AWAY, None)
    assert text.startswith("no node leads; node beta, which was asked, stands by since 09:00\n")
    assert (
        "database   mysql://db.example.org/cluster does not answer since 11:55 (Connection refused); "
        "what follows was known at 12:00" in text
    )


@pytest.mark.parametrize("view", [LEADER, STANDBY, AWAY, replace(STANDBY, drift=DRIFT * 9)])
def test_no_line_is_wider_than_the_terminal(view: ClusterView) -> None:
    """Columns are left out."""
    long = replace(BETA, name="b" * 64, host="h" * 90)
    for width in (60, 80, 200):
        text = text_of(replace(view, nodes=(ALPHA, long)), width)
        assert max(map(display_width, text.split("\n"))) <= width


def test_a_cluster_is_well_only_if_nothing_is_wrong() -> None:
    """The exit status is a check."""
    views = {
        "well": STANDBY,
        "away": AWAY,
        "headless": replace(STANDBY, leader=None),
        "drift": replace(STANDBY, drift=DRIFT),
        "differs": replace(LEADER, nodes=(ALPHA, replace(BETA, differs=True))),
        "silent": replace(LEADER, nodes=(ALPHA, replace(BETA, is_alive=False))),
    }
    answers = {name: cluster_json(view) or {} for name, view in views.items()}
    assert {name for name, answer in answers.items() if is_well(answer)} == {"well"}


def test_the_json_names_a_bounded_number_of_jobs() -> None:
    """And counts all."""
    many = tuple(DriftedJob(f"j{number}", Difference.CHANGED) for number in range(MAX_DRIFTED + 5))
    answer = cluster_json(replace(STANDBY, drift=many))
    assert answer is not None
    assert (len(answer["drift"]), answer["drift_count"]) == (MAX_DRIFTED, MAX_DRIFTED + 5)
    assert json.loads(json.dumps(answer)) == answer
    assert cluster_json(None) is None


def test_each_trouble_is_an_issue_and_a_healthy_cluster_has_none() -> None:
    """A service that is alone has none, either."""
    assert [*cluster_issues(None), *cluster_issues(LEADER), *cluster_issues(STANDBY)] == []

    def issue(view: ClusterView) -> str:
        (found,) = cluster_issues(view)
        return found

    assert issue(AWAY) == (
        "the database of the cluster does not answer since 2026-11-30T11:55:00Z (Connection refused): this node starts "
        "no runs until it does"
    )
    assert issue(replace(STANDBY, leader=None)) == "no node of the cluster leads: no job is due until one does"
    assert issue(replace(STANDBY, drift=DRIFT)) == (
        "4 jobs (`report-001`, `billing`, `backup` and 1 more) differ from what the leader has "
        "(help: `jobscheduler cluster` shows all)"
    )
    assert issue(replace(LEADER, nodes=(ALPHA, replace(BETA, differs=True)))).startswith("node `beta` differs from")
    older = replace(BETA, differs=True, tzdata="2025a")
    assert "time zone data 2025a here, 2026b there" in issue(replace(STANDBY, nodes=(ALPHA, older)))
    assert issue(replace(STANDBY, skew=-2.5)) == "the clock of this host is 2.5 s behind that of the cluster's database"
    assert issue(replace(STANDBY, skew=45.0)).endswith("this node may not lead with more than 30 s")
    assert issue(replace(LEADER, nodes=(ALPHA, replace(BETA, is_alive=False)))) == (
        "node `beta` of the cluster has said nothing for long"
    )


def test_the_head_of_the_status_says_what_the_node_does() -> None:
    """Leads, or stands by for which one; with `-v` a line of its own."""

    def head(view: ClusterView | None, *, verbose: bool = False) -> list[str]:
        answer: dict[str, Any] = {**situation(), "cluster": cluster_json(view)}
        return list(situation_lines(answer, Screen(NOW, "h", None, zone=UTC), with_service=verbose))

    assert head(LEADER)[0] == "h: the service is well, leads, 3 jobs, Mon 30 Nov 12:00 UTC"
    assert head(STANDBY)[0] == "h: the service is well, stands by for alpha, 3 jobs, Mon 30 Nov 12:00 UTC"
    assert head(replace(STANDBY, leader=None))[0].startswith("h: the service is well, stands by, 3 jobs")
    assert head(None)[0] == "h: the service is well, 3 jobs, Mon 30 Nov 12:00 UTC"
    shown = "cluster    node beta; node alpha leads, term 7; 2 nodes: `jobscheduler cluster`"
    assert shown in head(STANDBY, verbose=True)


def verb(monkeypatch: pytest.MonkeyPatch, view: ClusterView | None, *options: str) -> int:
    """Run `cluster` with a service that answers so; return the exit status."""
    monkeypatch.setattr(cluster_verb, "request", lambda *_: {"cluster": cluster_json(view)})
    return cli.main(["cluster", *options])


def test_the_verb_exits_with_1_if_anything_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And prints the object of the service as JSON."""
    assert verb(monkeypatch, STANDBY) == 0
    assert capsys.readouterr().out.startswith("node alpha leads")
    assert verb(monkeypatch, AWAY, "--json") == 1
    assert json.loads(capsys.readouterr().out)["away"] == "Connection refused"


def test_a_service_that_is_alone_says_how_to_have_a_cluster(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That is no fault."""
    assert verb(monkeypatch, None) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("this service is alone: it has no `--cluster-url`\n")
    assert "jobscheduler db init --cluster-url URL" in shown
    assert verb(monkeypatch, None, "--json") == 0
    assert capsys.readouterr().out == "null\n"
