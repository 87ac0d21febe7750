"""Describe the machine of a measurement: kinds and versions, no names."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from subprocess import DEVNULL

SERVICE = ("main.py", "jobscheduler", "schemas")
"""What a service is made of, in the repository."""

LIBRARIES = ("APScheduler", "watchdog", "jsonschema")


def describe() -> dict[str, str]:
    """Return the lines about the machine, in the order of the document."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores for everything",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": f"Linux {platform.release().partition('-')[0]}",
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
        "Python": platform.python_version(),
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    }


def commit() -> str:
    """Return the commit that is measured, as far as git can tell, and whether the service's files differ from it."""
    root = Path(__file__).resolve().parent.parent
    try:
        commit = subprocess.check_output(["git", "describe", "--always"], cwd=root, stderr=DEVNULL, text=True).strip()
        differs = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *SERVICE], cwd=root, check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}, with changes" if differs else commit


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def yardstick() -> float:
    """Time a fixed loop of Python, in milliseconds by the clock: its variation shows how quiet the machine is."""
    began = time.perf_counter()
    sum(number * number for number in range(1_000_000))
    return (time.perf_counter() - began) * 1000
