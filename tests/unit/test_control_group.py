"""The service puts itself into a leaf of the control group that systemd has delegated to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.job_files import need
from tests.support.service import ROOT
from tests.support.tasks import as_root

# In a hierarchy of version 2, mounted in a namespace of its own; the groups are removed at the end.
ENTER = """
import os, sys
from pathlib import Path
from jobscheduler.service.control_group import enter_leaf
root, delegated = Path(sys.argv[1]), sys.argv[2] == "delegated"
group = root / f"jobscheduler-test-{os.getpid()}"
group.mkdir()
home = [line[3:] for line in open("/proc/self/cgroup") if line.startswith("0::")][0].strip()
try:
    if delegated:
        os.setxattr(group, "user.delegate", b"1")
    (group / "cgroup.procs").write_text(str(os.getpid()))
    enter_leaf(root)
    enter_leaf(root)
    (found,) = [line[3:].strip() for line in open("/proc/self/cgroup") if line.startswith("0::")]
    print(found.rpartition(group.name)[2])
finally:
    (root / home.lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))
    for path in (group / "service", group):
        if path.exists():
            path.rmdir()
"""


@as_root
@pytest.mark.parametrize(("delegation", "leaf"), [("delegated", "/service"), ("none", "")])
def test_a_service_enters_a_leaf_of_a_delegated_group_and_of_no_other(
    tmp_path: Path, delegation: str, leaf: str
) -> None:
    """A second time changes nothing: the leaf itself is not delegated."""
    need("unshare", "mount")
    script = 'set -e; mount --make-rprivate /; mount -t cgroup2 none "$1"; exec "$2" -c "$3" "$1" "$4"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), sys.executable, ENTER, delegation]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "LANG": "C"}
    )
    assert (done.returncode, done.stdout.strip()) == (0, leaf), done.stderr
