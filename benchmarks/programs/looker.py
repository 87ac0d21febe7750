"""The floor of an idle service: a program that wakes up as often, asks the same of the system, and compares nothing.

    python looker.py DIRECTORY

Once a second it looks at the directory, and twice a minute at every name in it.
"""

import os
import sys
import time

EVERY = 30


def main() -> None:
    """Look again and again."""
    directory = sys.argv[1]
    print("READY", flush=True)
    second = 0
    while True:
        os.stat(directory)  # noqa: PTH116 - as few objects as can be
        if second % EVERY == 0:
            for entry in os.scandir(directory):
                entry.stat()
        second += 1
        time.sleep(1)


main()
