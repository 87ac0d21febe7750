"""The boundaries: which package may import which, and which package may import a library."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent.parent / "jobscheduler"

PARTS_OF_THE_SERVICE = {
    *("config", "scheduler", "jobs", "runner", "runlog", "output"),
    *("status", "tasks", "timetable", "util", "model"),
}
"""The packages of which a service is made, without its faces."""

ALLOWED: dict[str, set[str]] = {
    "model": set(),
    "util": {"model"},
    "config": {"jobs", "tasks", "timetable", "util", "model"},
    "tasks": {"util", "model"},
    "timetable": {"util", "model"},
    "runner": {"tasks", "util", "model"},
    "runlog": {"util", "model"},
    "output": {"util", "model"},
    "status": {"util", "model"},
    "scheduler": {"runner", "status", "timetable", "util", "model"},
    "jobs": {"timetable", "util", "model"},
    "explain": {"timetable", "util", "model"},
    "imports": {"timetable", "util", "model"},
    "control": PARTS_OF_THE_SERVICE,
    "web": {"status", "timetable", "util", "model"},
    "alerts": {"jobs", "runner", "runlog", "status", "tasks", "util", "model"},
    "database": {"jobs", "tasks", "timetable", "util", "model"},
    "cluster": {"database", "scheduler", "runner", "runlog", "timetable", "util", "model"},
    "service": PARTS_OF_THE_SERVICE | {"control", "web", "alerts", "database", "cluster"},
    "cli": {
        "cluster",
        "config",
        "service",
        "control",
        "database",
        "jobs",
        "explain",
        "imports",
        "runlog",
        "output",
        "status",
        "tasks",
        "timetable",
        "util",
        "model",
    },
}
"""For each package the packages that it may import. Only downwards: a package stands below all that may import it."""

LAYERS = (
    {"model", "util", "config"},
    {"tasks", "timetable"},
    {"runner", "runlog", "output", "status"},
    {"scheduler", "jobs", "explain", "imports"},
    {"control", "web", "alerts", "database"},
    {"cluster"},
    {"service"},
    {"cli"},
)
"""The packages from the bottom to the top."""

KNOWN_UPWARDS: set[tuple[str, str]] = set()
"""Imports against the order of the layers, as (package, imported package), that are still to be mended."""

DOORS = {
    "apscheduler": {"scheduler"},
    "watchdog": {"jobs"},
    "jsonschema": {"jobs"},
    "subprocess": {"tasks"},
    "argparse": {"cli"},
    "signal": {"service", "tasks"},
    "waitress": {"web"},
    "sqlalchemy": {"database", "cluster"},
    "pymysql": {"database"},
    "jinja2": {"web"},
    "prometheus_client": {"web"},
    "apprise": {"tasks"},
    "tzlocal": set(),
}
"""For each library the packages that may import it."""


def files() -> list[Path]:
    """Every module of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def package_of(path: Path) -> str:
    """Return the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def imported(path: Path) -> frozenset[str]:
    """Every dotted name that a file imports, wherever in the file."""
    return frozenset(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    nodes: list[ast.AST] = [ast.parse(path.read_text("utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from names_in(node)
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):  # only a statement can be an import
            nodes += getattr(node, block, ())


def names_in(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """Yield the dotted names of one import."""
    prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
    yield from (f"{prefix}{name.name}" for name in node.names)


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_package_imports_only_the_packages_below_it(path: Path) -> None:
    """Each import of the package's own is on the list of its package."""
    package = package_of(path)
    if package == "__init__":
        return
    ours = {name.split(".")[1] for name in imported(path) if name.startswith("jobscheduler.")}
    assert ours - ALLOWED[package] - {package, "__version__"} == set()


def test_the_lists_of_packages_are_in_an_order_without_cycles() -> None:
    """No package can reach itself through what it may import."""
    reached: dict[str, set[str]] = {}
    while len(reached) < len(ALLOWED):
        ready = [package for package, below in ALLOWED.items() if package not in reached and below <= reached.keys()]
        assert ready, f"a cycle among {ALLOWED.keys() - reached.keys()}"
        reached |= {package: ALLOWED[package] for package in ready}


def test_packages_import_no_package_of_their_own_layer_or_above() -> None:
    """Except at the bottom, where the values and the leaves stand, and for what is known."""
    layer_of = {package: number for number, layer in enumerate(LAYERS) for package in layer}
    upwards = {
        (package, other)
        for package, below in ALLOWED.items()
        for other in below
        if layer_of[other] >= layer_of[package] > 0
    }
    assert upwards == KNOWN_UPWARDS


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_library_is_imported_by_its_package_only(path: Path) -> None:
    """Each library on the list is imported nowhere else."""
    used = {name.split(".")[0] for name in imported(path)}
    assert {library for library in used & DOORS.keys() if package_of(path) not in DOORS[library]} == set()


def test_a_service_on_its_own_imports_nothing_of_a_cluster() -> None:
    """What needs it imports it when it is used: a single service is no slower and no larger for it."""
    for path in files():
        body = ast.parse(path.read_text("utf-8")).body if package_of(path) != "cluster" else []
        at_once = {name for node in body if isinstance(node, ast.Import | ast.ImportFrom) for name in names_in(node)}
        assert {name for name in at_once if name.startswith("jobscheduler.cluster")} == set(), path


def test_every_package_is_on_the_list() -> None:
    """A new package has to say what it may import."""
    assert {package_of(path) for path in files()} - {"__init__"} == ALLOWED.keys()
