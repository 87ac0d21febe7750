"""Carry out one run: its attempts, its time limit, its record. Nothing in here raises.

1. `Runner.new_run` makes a `Run`, a handle until its record exists. A run waits for a worker, makes an attempt, and
   may wait for a further attempt. `RunState` decides what each event leads to.
2. A worker calls `Run.attempt`, which returns the record, or `RetryAfter` with the seconds until the next call. So a
   waiting run holds no worker. The one thread of `ProcessLoop` makes the attempts that other processes carry out.
3. `Run.stop` ends a run from any thread, and so does its time limit. Both stop the task through its context.
4. A task that has not ended `grace` seconds after the request is *lost*. The timer thread writes its record, the
   runner counts the thread that it holds, and a late result is ignored.
"""

from jobscheduler.runner.attempt_result import REDACTED, AttemptResult, execute_task
from jobscheduler.runner.crash_cleanup import kill_leftovers
from jobscheduler.runner.outputs import KeepsNothing, OutputKeeper, tail
from jobscheduler.runner.process_loop import ProcessLoop
from jobscheduler.runner.process_start import runs_as_process
from jobscheduler.runner.run import Attempt, Run
from jobscheduler.runner.run_ids import new_run_id
from jobscheduler.runner.run_reporter import LogThen
from jobscheduler.runner.run_state import RetryAfter
from jobscheduler.runner.runner import STOP_GRACE_S, Runner
from jobscheduler.runner.stop_fields import STOPPED, stopped_fields
from jobscheduler.runner.timer import TimerThread
from jobscheduler.runner.unkillable_processes import describe_unkillable, is_alive

__all__ = [
    "REDACTED",
    "STOPPED",
    "STOP_GRACE_S",
    "Attempt",
    "AttemptResult",
    "KeepsNothing",
    "LogThen",
    "OutputKeeper",
    "ProcessLoop",
    "RetryAfter",
    "Run",
    "Runner",
    "TimerThread",
    "describe_unkillable",
    "execute_task",
    "is_alive",
    "kill_leftovers",
    "new_run_id",
    "runs_as_process",
    "stopped_fields",
    "tail",
]
