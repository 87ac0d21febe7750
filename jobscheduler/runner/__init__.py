"""One run: its attempts, its time limit, its end as a record; nothing in here raises.

1. `Runner.begin` makes a `Run`, a handle that goes on until its record exists: while it waits for a worker, while an
   attempt goes on, and while it waits for a further attempt.
2. A worker calls `Run.attempt`, which returns the record, or `Again` with the seconds after which a worker is to call
   it again: waiting holds no worker. Attempts whose work another process does are made by the one thread of `Loop`.
3. `Run.stop` ends it from any thread, and so does its time limit: the task is told through its context.
4. A task that has not ended `grace` seconds after it was told is *lost*: its record is written by the timer thread,
   the thread that it holds is counted, and what it returns one day is ignored.
"""

from jobscheduler.runner.attempt_result import BLOT, Ending, carry_out
from jobscheduler.runner.leftovers import end_leftovers, hand_over_leftovers, run_once
from jobscheduler.runner.output_cache import OutputRing, tail
from jobscheduler.runner.process_loop import Loop, is_outside
from jobscheduler.runner.run import GRACE, Again, Announce, Run, Runner
from jobscheduler.runner.survivors import in_one_line, lives_on
from jobscheduler.runner.timer import Timer

__all__ = [
    "BLOT",
    "GRACE",
    "Again",
    "Announce",
    "Ending",
    "Loop",
    "OutputRing",
    "Run",
    "Runner",
    "Timer",
    "carry_out",
    "end_leftovers",
    "hand_over_leftovers",
    "in_one_line",
    "is_outside",
    "lives_on",
    "run_once",
    "tail",
]
