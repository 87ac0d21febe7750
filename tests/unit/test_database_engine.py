"""A connection to a database that dies: the library that connects says so by exceptions, and in no other way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

DIES = """
import logging, sys
from jobscheduler.database.engine import Database

with Database(sys.argv[1]).connect(create=True) as connection:
    with connection.begin():
        connection.exec_driver_sql("SELECT 1")
    connection.connection.dbapi_connection.close()  # as by a server that has died
if len(sys.argv) > 2:
    logging.getLogger("sqlalchemy.pool.impl.NullPool").error("a word of the library")
"""


def said(tmp_path: Path, *more: str) -> str:
    """Return what a program with such a connection writes to standard error; no handler of tests is there."""
    command = [sys.executable, "-c", DIES, f"sqlite:///{tmp_path}/x.db", *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return done.stderr


def test_a_dead_connection_is_closed_without_a_stack_trace(tmp_path: Path) -> None:
    """Nothing is undone on a connection that is closed anyway, and words of the library reach no user."""
    assert said(tmp_path) == said(tmp_path, "and logs") == ""
