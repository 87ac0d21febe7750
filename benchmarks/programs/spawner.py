"""The floor of a herd: commands started from one loop, four at a time, and nothing else.

    python spawner.py DUE FILE

`FILE` has one list of words a line, as JSON; `DUE` is when to begin, in seconds since the epoch. Prints the processor
time that it used itself for each command, in seconds.
"""

import json
import os
import sys
import time
from pathlib import Path

AT_ONCE = 4


def main() -> None:
    """Start all of them, wait for all of them."""
    due, commands = float(sys.argv[1]), [json.loads(line) for line in Path(sys.argv[2]).read_text().splitlines()]
    environ = {"PATH": "/usr/bin:/bin"}
    time.sleep(max(0.0, due - time.time()))
    used, going = time.process_time(), 0
    for command in commands:
        if going == AT_ONCE:
            os.wait()
            going -= 1
        os.posix_spawn(command[0], command, environ)
        going += 1
    for _ in range(going):
        os.wait()
    print((time.process_time() - used) / len(commands))


main()
