"""How runs at work are: the last line that each has printed, and what it uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from jobscheduler.runner import Run
from jobscheduler.status.run_detail import LiveRun
from jobscheduler.status.run_stats import last_line_of
from jobscheduler.tasks.command.live_usage import live_usage

LINE_BYTES = 4096  # of the end of an output in which its last line is looked for


def live_runs(run_ids: Iterable[str], active_run: Callable[[str], Run | None]) -> dict[str, LiveRun]:
    """Return how these runs are, by id; those that have ended are left out. It reads memory and /proc alone."""
    found = {}
    for run_id in run_ids:
        run = active_run(run_id)
        if run is not None and run.record is None:
            found[run_id] = _live(run)
    return found


def _live(run: Run) -> LiveRun:
    usage = None if run.pid is None else live_usage(run.pid)
    line = _last_line(run)
    return LiveRun(line) if usage is None else LiveRun(line, usage.cpu, usage.memory)


def _last_line(run: Run) -> str | None:
    attempt = run.running_attempt
    output = None if attempt is None else attempt.live_output()
    return None if output is None else last_line_of(output.kept.text[-LINE_BYTES:].decode("utf-8", "replace"))
