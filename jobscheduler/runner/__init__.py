"""One run: its attempts, its time limit, its end as a record; nothing in here raises.

1. `Runner.begin` makes a `Run`, a handle that goes on until its record exists: while it waits for a worker, while an
   attempt goes on, and while it waits for a further attempt.
2. A worker calls `Run.attempt`, which returns the record, or `Again` with the seconds after which a worker is to call
   it again: waiting holds no worker. Attempts whose work another process does are made by the one thread of `Loop`.
3. `Run.stop` ends it from any thread, and so does its time limit: the task is told through its context.
4. A task that has not ended `grace` seconds after it was told is *lost*: its record is written by the timer thread,
   the thread that it holds is counted, and what it returns one day is ignored.
"""

from jobscheduler.runner.attempt_result import REDACTED, AttemptResult, execute_task
from jobscheduler.runner.leftovers import detach_output_pipes, kill_leftovers, run_once
from jobscheduler.runner.output_cache import OutputCache, tail
from jobscheduler.runner.process_loop import ProcessLoop, runs_as_process
from jobscheduler.runner.run import STOP_GRACE_S, LogThen, RetryAfter, Run, Runner
from jobscheduler.runner.survivors import describe_survivors, is_alive
from jobscheduler.runner.timer import TimerThread

__all__ = [
    "REDACTED",
    "STOP_GRACE_S",
    "AttemptResult",
    "LogThen",
    "OutputCache",
    "ProcessLoop",
    "RetryAfter",
    "Run",
    "Runner",
    "TimerThread",
    "describe_survivors",
    "detach_output_pipes",
    "execute_task",
    "is_alive",
    "kill_leftovers",
    "run_once",
    "runs_as_process",
    "tail",
]
