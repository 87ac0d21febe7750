"""Say what is wrong with a cluster, as one of its nodes knows it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from jobscheduler.model.cluster_view import ClusterView, NodeView
from jobscheduler.util.instants import format_instant_s
from jobscheduler.util.text import plural

MAX_NAMED = 3  # jobs or nodes that an issue names

MAX_SKEW_S = 1.0  # seconds that the clock of a node may differ from the database's without a word

_SEE = "(help: `jobscheduler cluster` shows all)"


def cluster_issues(view: ClusterView | None) -> Iterator[str]:
    """Yield what is wrong, in words, with help where there is any; nothing for a service that is alone."""
    if view is None:
        return
    if view.is_away:
        yield _away(view)
    elif view.leader is None:
        yield "no node of the cluster leads: no job is due until one does"
    yield from _drift(view)
    yield from _skew(view)
    lost = [node.name for node in view.nodes if not node.is_alive]
    if lost and not view.is_away:
        verb = "has" if len(lost) == 1 else "have"
        yield f"{_named('node', lost)} of the cluster {verb} said nothing for long"


def _away(view: ClusterView) -> str:
    since = f" since {format_instant_s(view.away_since)}" if view.away_since else ""
    reason = f" ({view.away})" if view.away else ""
    return f"the database of the cluster does not answer{since}{reason}: this node starts no runs until it does"


def _drift(view: ClusterView) -> Iterator[str]:
    """Yield in which jobs this node differs from the leader; on the leader, which nodes differ from it."""
    jobs = [job.job_id for job in view.drift]
    if jobs:
        verb = "differs" if len(jobs) == 1 else "differ"
        yield f"{_named('job', jobs)} {verb} from what the leader has {_SEE}"
    here = next((node for node in view.nodes if node.name == view.node), None)
    differing = [node for node in view.nodes if node.differs and node.is_alive]
    if view.leads and differing:
        verb = "differs" if len(differing) == 1 else "differ"
        names = _named("node", [node.name for node in differing])
        help_ = "(help: `jobscheduler cluster` there names the jobs)"
        yield f"{names} {verb} from this one in jobs or time zone data {help_}"
    elif not jobs and here is not None and here.differs:
        yield f"this node differs from the leader in jobs or time zone data{_zones(view, here)} {_SEE}"


def _zones(view: ClusterView, here: NodeView) -> str:
    leader = next((node for node in view.nodes if node.name == view.leader), None)
    if leader is None or leader.tzdata == here.tzdata:
        return ""
    return f": time zone data {here.tzdata or 'unknown'} here, {leader.tzdata or 'unknown'} there"


def _skew(view: ClusterView) -> Iterator[str]:
    """Yield by how much the clock of this host is wrong, as the leader's clock says what is due."""
    if abs(view.skew) <= MAX_SKEW_S:
        return
    side = "ahead of" if view.skew > 0 else "behind"
    may_not = f": this node may not lead with more than {view.max_skew:g} s" if abs(view.skew) > view.max_skew else ""
    yield f"the clock of this host is {abs(view.skew):.1f} s {side} that of the cluster's database{may_not}"


def _named(noun: str, names: list[str]) -> str:
    more = len(names) - MAX_NAMED
    rest = f" and {more:,} more" if more > 0 else ""
    shown = ", ".join(f"`{name}`" for name in names[:MAX_NAMED])
    return f"{noun} {shown}" if len(names) == 1 else f"{plural(len(names), noun)} ({shown}{rest})"
