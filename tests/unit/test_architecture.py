"""The walls of the house: which room may import which, and through which door a library comes in."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent.parent / "jobscheduler"

ALLOWED = {
    "model": set(),
    "config": {"durations"},
    "durations": set(),
    "systemd": set(),
    "health": set(),
    "hostclock": set(),
    "characters": set(),
    "hang_guard": set(),
    "hostid": set(),
    "json_syntax": {"characters"},
    "jsontext": {"json_syntax"},
    "lockfile": set(),
    "secretfile": {"sources", "model"},
    "sources": {"hang_guard", "model"},
    "watch": {"model"},
    "crontab": {"model"},
    "zone": {"zone_help", "model"},
    "zone_help": {"zone_names"},
    "zone_names": set(),
    "reconcile": {"model"},
    "catalog": {"model"},
    "spans": set(),
    "corrections": set(),
    "slots": {"spans"},
    "fingerprint": {"crontab", "model"},
    "status": {"model"},
    "results": {"model"},
    "web": {"corrections", "status", "results", "zone", "secretfile", "model"},
    "tasks": {"characters", "hang_guard", "model"},
    "runlog": {"corrections", "lockfile", "sources", "spans", "model"},
    "timetable": {"crontab", "zone", "model"},
    "runner": {"tasks", "model"},
    "parse": {"characters", "crontab", "durations", "jsontext", "zone", "model"},
    "redact": set(),
    "database": {"redact", "sources", "parse", "tasks", "zone", "jsontext", "secretfile", "model"},
    "alerts": {"hang_guard", "runner", "tasks", "runlog", "parse", "sources", "model"},
    "triggers": {"timetable", "model"},
    "explain": {"crontab", "timetable", "zone", "model"},
    "scheduler": {"triggers", "timetable", "slots", "spans", "fingerprint", "hostid", "runner", "status", "model"},
    "passes": {"catalog", "reconcile", "fingerprint", "parse", "sources", "model"},
    "claim": {"lockfile", "sources", "runlog", "config", "model"},
    "control": {"status", "model"},
    "desk": {
        "redact",
        "hang_guard",
        "scheduler",
        "hostid",
        "catalog",
        "results",
        "runlog",
        "runner",
        "slots",
        "crontab",
        "tasks",
        "status",
        "config",
        "model",
    },
    "service": {
        "hang_guard",
        "runner",
        "alerts",
        "passes",
        "parse",
        "scheduler",
        "sources",
        "watch",
        "runlog",
        "systemd",
        "health",
        "hostclock",
        "hostid",
        "status",
        "durations",
        "claim",
        "control",
        "desk",
        "results",
        "web",
        "database",
        "secretfile",
        "config",
        "tasks",
        "zone",
        "model",
    },
    "cli": {
        "config",
        "corrections",
        "crontab",
        "durations",
        "explain",
        "service",
        "control",
        "database",
        "status",
        "sources",
        "parse",
        "runner",
        "runlog",
        "tasks",
        "timetable",
        "zone",
        "jsontext",
        "secretfile",
        "model",
    },
}
"""For each room the rooms that it may import. Only downwards: a room stands below all that may import it."""

DOORS = {
    "apscheduler": {"scheduler", "triggers"},
    "watchdog": {"watch"},
    "jsonschema": {"parse"},
    "subprocess": {"tasks"},
    "argparse": {"cli"},
    "signal": {"service", "tasks"},
    "waitress": {"web"},
    "sqlalchemy": {"database"},
    "pymysql": {"database"},
    "jinja2": {"web"},
    "prometheus_client": {"web"},
    "tzlocal": set(),
}
"""For each library the rooms through which it comes in."""


def files() -> list[Path]:
    """Every module of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The room that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Every dotted name that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_the_rooms_below_it(path: Path) -> None:
    """Each import of the package's own is on the list of its room."""
    room = room_of(path)
    if room == "__init__":
        return
    ours = {name.split(".")[1] for name in imported(path) if name.startswith("jobscheduler.")}
    assert ours - ALLOWED[room] - {room, "__version__"} == set()


def test_the_lists_of_rooms_are_in_an_order_without_circles() -> None:
    """No room can reach itself through what it may import."""
    reached: dict[str, set[str]] = {}
    while len(reached) < len(ALLOWED):
        ready = [room for room, below in ALLOWED.items() if room not in reached and below <= reached.keys()]
        assert ready, f"a circle among {ALLOWED.keys() - reached.keys()}"
        reached |= {room: ALLOWED[room] for room in ready}


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_library_comes_in_through_its_door(path: Path) -> None:
    """Each library that has a door is imported nowhere else."""
    used = {name.split(".")[0] for name in imported(path)}
    assert {library for library in used & DOORS.keys() if room_of(path) not in DOORS[library]} == set()


def test_every_room_is_on_the_list() -> None:
    """A new room has to say what it may import."""
    assert {room_of(path) for path in files()} - {"__init__"} == ALLOWED.keys()
