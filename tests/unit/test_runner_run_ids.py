"""The ids of runs, by which their processes are found."""

from __future__ import annotations

import os
import random
import re

from jobscheduler.runner import Runner, run_ids
from jobscheduler.runner.run_ids import new_run_id
from tests.support.tasks import Log, job


def test_ids_are_twelve_digits_and_unique():
    found = [new_run_id() for _ in range(5000)]
    assert len(set(found)) == 5000
    assert all(re.fullmatch("[0-9a-f]{12}", one) for one in found)


def test_ids_do_not_come_from_a_generator_that_can_be_predicted():
    log = Log()
    runner = Runner(log.record, log.emit)

    def first() -> str:
        run_ids._ready.clear()
        random.seed(7)
        return runner.new_run(job(), None).run_id

    try:
        assert first() != first()
    finally:
        runner.close()


def test_one_system_call_makes_many_ids(monkeypatch):
    """Each call releases the interpreter lock."""
    asked, ask = [], os.urandom
    monkeypatch.setattr(run_ids.os, "urandom", lambda size: (asked.append(size), ask(size))[1])
    run_ids._ready.clear()
    for _ in range(600):
        new_run_id()
    assert asked == [4096]


def test_a_forked_process_makes_other_ids():
    new_run_id()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, new_run_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100).decode() != new_run_id()
    os.close(reader)
    os.close(writer)
