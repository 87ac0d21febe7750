"""Lay out a cluster: who leads, the nodes as a table, in what they differ, and the account. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import groupby
from typing import Any

from jobscheduler.cli.table import Column, colourize, table
from jobscheduler.cli.wrapping import wrap
from jobscheduler.util.durations import format_age
from jobscheduler.util.instants import format_moment
from jobscheduler.util.terminal_text import printable
from jobscheduler.util.text import plural

Cluster = Mapping[str, Any]

MAX_JOBS = 8  # jobs in which nodes differ that a line names

_LABEL = 9  # columns of the words at the left
_LARGE_SKEW_S = 1.0  # seconds from which a clock is shown as wrong

_PAINT = {"leader": "green", "silent": "red", "differs": "red"}


@dataclass(frozen=True, slots=True)
class ClusterScreen:
    """How to write: the time, the width (None: a pipe), whether in colour, and the zone of the clock."""

    now: datetime
    width: int | None = None
    colour: bool = False
    zone: tzinfo | None = None

    def moment(self, text: str) -> str:
        """Write an instant of the answer."""
        return format_moment(datetime.fromisoformat(text), self.now, self.zone)


def _paint(text: str) -> str | None:
    return _PAINT.get(text)


def _paint_clock(text: str) -> str | None:
    return "red" if text.endswith("!") else None


_COLUMNS = (
    Column("NODE"),
    Column("ROLE", keep_whole=True, colour_of=_paint),
    Column("BEAT", right=True, keep_whole=True),
    Column("JOBS", keep_whole=True, colour_of=_paint),
    Column("CLOCK", right=True, keep_whole=True, drop=4, colour_of=_paint_clock),
    Column("HOST", drop=3),
    Column("VERSION", drop=2),
    Column("TZDATA", drop=1),
)


def cluster_lines(cluster: Cluster, screen: ClusterScreen) -> Iterator[str]:
    """Yield the lines."""
    yield from wrap(_head(cluster, screen), screen.width)
    if cluster["away_since"]:
        yield from _line("database", _away(cluster, screen), screen, "red")
    if cluster["nodes"]:
        yield ""
        rows = (_cells(node, cluster) for node in cluster["nodes"])
        yield from table(_COLUMNS, rows, width=screen.width, colour=screen.colour)
        yield ""
    for label, text in _differences(cluster):
        yield from _line(label, text, screen, "red")
    yield from _line("account", f"{plural(cluster['queued'], 'run')} waiting, {cluster['running']} at work", screen)
    if not cluster["away_since"]:
        yield from _line("database", str(cluster["database"]), screen)


def is_well(cluster: Cluster) -> bool:
    """Return whether nothing is wrong: the database answers, a node leads, all are alive and have the same jobs."""
    nodes = cluster["nodes"]
    is_led = cluster["leader"] is not None and not cluster["away_since"]
    return is_led and not cluster["drift_count"] and all(node["alive"] and not node["differs"] for node in nodes)


def _head(cluster: Cluster, screen: ClusterScreen) -> str:
    leader, term = cluster["leader"], cluster["term"]
    leads = "no node leads" if leader is None else f"node {printable(str(leader))} leads"
    numbered = "" if term is None else f" (term {term:,})"
    since = f" since {screen.moment(cluster['since'])}" if cluster["since"] else ""
    if cluster["role"] == "leader":
        return f"{leads}{since}{numbered}; it was asked"
    return f"{leads}{numbered}; node {printable(str(cluster['node']))}, which was asked, stands by{since}"


def _away(cluster: Cluster, screen: ClusterScreen) -> str:
    reason = f" ({cluster['away']})" if cluster["away"] else ""
    known = f"; what follows was known at {screen.moment(cluster['known_at'])}" if cluster["known_at"] else ""
    return f"{cluster['database']} does not answer since {screen.moment(cluster['away_since'])}{reason}{known}"


def _cells(node: Mapping[str, Any], cluster: Cluster) -> tuple[str, ...]:
    asked = " *" if node["node"] == cluster["node"] else ""
    role = "silent" if not node["alive"] else "leader" if node["leads"] else "stands by"
    skew = float(node["skew"])
    return (
        f"{node['node']}{asked}",
        role,
        f"{format_age(max(0.0, node['silent']))} ago",
        "differs" if node["differs"] else "same" if node["version"] else "-",  # it has just joined, and says so soon
        f"{skew:+.2f}s" + (" !" if abs(skew) > _LARGE_SKEW_S else ""),
        str(node["host"]),
        str(node["version"]),
        str(node["tzdata"]),
    )


def _differences(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """Yield the jobs in which the node that was asked differs from the leader, for each way in which they do."""
    jobs: Iterable[Mapping[str, Any]] = sorted(cluster["drift"], key=lambda job: str(job["difference"]))
    label = "differs"
    for difference, found in groupby(jobs, key=lambda job: str(job["difference"])):
        names = [str(job["job_id"]) for job in found]
        more = f" and {len(names) - MAX_JOBS} more" if len(names) > MAX_JOBS else ""
        yield label, f"{_WORDS.get(difference, difference)}: {', '.join(names[:MAX_JOBS])}{more}"
        label = ""
    unnamed = cluster["drift_count"] - len(cluster["drift"])
    if unnamed > 0:
        yield label, f"and {plural(unnamed, 'further job')}"


_WORDS = {"only here": "only on this node", "different": "not the same as on the leader"}


def _line(label: str, text: str, screen: ClusterScreen, colour: str | None = None) -> Iterator[str]:
    indent = f"{label:{_LABEL}}  "
    lines = list(wrap(printable(text), screen.width, indent=indent, hanging=0))
    if label and screen.colour:
        lines[0] = colourize(label, colour) + lines[0][len(label) :]
    yield from lines
