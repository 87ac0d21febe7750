"""What belongs to the process as a whole."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.service import ROOT
from tests.support.tasks import as_root

DURING_THE_START = """
import os, signal, sys, time
from jobscheduler.service.process import prepare_process
if sys.argv[2] == "prepared":
    prepare_process()
os.kill(os.getpid(), getattr(signal, sys.argv[1]))
time.sleep(0.2)
print("alive")
"""


@as_root
@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_a_signal_ends_the_first_process_of_a_container_also_during_its_start(number: str) -> None:
    """The kernel would ignore it, and the container would be killed after its time to stop."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", DURING_THE_START, number]
    done = subprocess.run([*command, "prepared"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@as_root
def test_without_a_handler_the_first_process_goes_on() -> None:
    """So the test above tests something."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", DURING_THE_START, "SIGTERM", "bare"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "alive\n")
