"""The floor of memory: an interpreter with the modules that are named on standard input, and nothing else."""

import importlib
import sys
import time
from contextlib import suppress

for name in sys.stdin.read().split():
    with suppress(Exception):
        importlib.import_module(name)
print("READY", flush=True)
time.sleep(3600)
