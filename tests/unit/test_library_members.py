"""The private members of libraries that modules use: each is named in the docstring of its module, and is there."""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pymysql
import pymysql.connections
import pytest
import waitress.wasyncore

import jobscheduler
from jobscheduler.cli import usage
from jobscheduler.database import mysql
from jobscheduler.scheduler import apscheduler_classes, run_threads, triggers, waker
from jobscheduler.web import connections

PACKAGE = Path(jobscheduler.__file__).parent
TABLES = [usage, run_threads, mysql, connections]
APSCHEDULER = {Path(str(module.__file__)) for module in (apscheduler_classes, triggers, waker)}
"""See test_scheduler_apscheduler.py."""


def made() -> Mapping[str, object]:
    """Return an untouched object of each class of a library, by the name in the tables."""
    pool = ThreadPoolExecutor(1)
    return {
        "ArgumentParser": argparse.ArgumentParser(),
        "ThreadPoolExecutor": pool,
        "Connection": pymysql.connections.Connection(defer_connect=True),
        "_auth": pymysql._auth,
        "TcpWSGIServer": waitress.wasyncore.dispatcher(map={}),
    }


def rows(module: ModuleType) -> list[tuple[str, str]]:
    """Return class and member of each row of a module's table."""
    return re.findall(r"^\| `(\w+)` +\| `(\w+)`", module.__doc__ or "", re.MULTILINE)


@pytest.mark.parametrize(("name", "member"), [row for module in TABLES for row in rows(module)])
def test_a_private_member_that_is_used_exists(name: str, member: str) -> None:
    """On an object that the library has made."""
    assert hasattr(made()[name], member)


def test_the_private_members_are_of_the_expected_kind() -> None:
    """A pool has a limit, threads and a queue; a parser its options by name; a server its sockets by descriptor."""
    pool, parser = ThreadPoolExecutor(1), argparse.ArgumentParser(add_help=False)
    option = parser.add_argument("--one")
    word = parser.add_argument("word")
    sockets: dict[int, object] = {}

    assert (pool._max_workers, pool._shutdown, len(pool._threads), pool._work_queue.qsize()) == (1, False, 0, 0)
    assert parser._actions == [option, word]
    assert parser._get_positional_actions() == [word]
    assert parser._option_string_actions == {"--one": option}
    assert parser._subparsers is None
    assert isinstance(parser._get_formatter(), argparse.HelpFormatter)
    assert waitress.wasyncore.dispatcher(map=sockets)._map is sockets  # type: ignore[attr-defined]


class Class(NamedTuple):
    """A class of ours: its file, its bases, what it defines and sets, and what it uses of itself."""

    file: Path
    bases: list[str]
    own: set[str]
    used: set[str]


def classes() -> dict[str, list[Class]]:
    """Return all classes of the package by name; a name may stand for several."""
    found: dict[str, list[Class]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases = [re.split(r"[.\[]", ast.unparse(base))[0] for base in node.bases]
                found.setdefault(node.name, []).append(Class(path, bases, {*own_names(node)}, {*used_names(node)}))
    return found


def own_names(node: ast.ClassDef) -> Iterator[str]:
    """Yield what a class defines, and sets on itself."""
    for item in ast.walk(node):
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            yield item.name
        elif isinstance(item, ast.Name | ast.Attribute) and isinstance(item.ctx, ast.Store):
            yield item.id if isinstance(item, ast.Name) else item.attr


def used_names(node: ast.ClassDef) -> Iterator[str]:
    """Yield the private names that a class uses of itself or of its parent class."""
    for item in ast.walk(node):
        if (
            isinstance(item, ast.Attribute)
            and isinstance(item.ctx, ast.Load)
            and re.match("_[a-z]", item.attr)
            and ast.unparse(item.value) in {"self", "cls", "super()"}
        ):
            yield item.attr


def inherited(name: str, known: Mapping[str, list[Class]], seen: frozenset[str] = frozenset()) -> set[str]:
    """Return what the classes of a name define and set, their parents in the package included."""
    ours = [] if name in seen else known.get(name, [])
    parents = (inherited(base, known, seen | {name}) for one in ours for base in one.bases)
    return set().union(*(one.own for one in ours), *parents)


def test_every_private_member_that_is_used_is_listed() -> None:
    """What a class uses of itself and no class of ours has is a library's: it is in the table of its module.

    `scripts/code-figures` counts the private members that are used of anything else: there are none.
    """
    known = classes()
    listed = {Path(str(module.__file__)): {member for _, member in rows(module)} for module in TABLES}
    not_listed = [
        (str(one.file.relative_to(PACKAGE)), name, member)
        for name, ours in known.items()
        for one in ours
        if one.file not in APSCHEDULER
        for member in one.used - inherited(name, known) - listed.get(one.file, set())
    ]
    assert not_listed == []


def test_every_function_of_pymysqls_private_module_that_is_used_is_listed() -> None:
    """The module as a whole is private."""
    tree = ast.parse(Path(mysql.__file__).read_text("utf-8"))
    used = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "auth"
    }
    assert used == {member for name, member in rows(mysql) if name == "_auth"}
