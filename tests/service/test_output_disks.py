"""What runs print, on a disk that does not answer or is full: no run and no stop waits for it, and it is said."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.service.test_output_service import MAIN, ask, run
from tests.support.fork_server import run_program
from tests.support.hung_mounts import Mount, mount
from tests.support.service import Service, job, wait_until

__all__ = ["mount"]

IMPATIENT = {
    "output.trouble.HUNG_S": 0.7,
    "output.place.RETRY_S": 0.5,
    "output.thread.STOP_WAIT_S": 1.0,
    "util.hang_guard.TIMEOUT_S": 0.7,
    "service.supervisor.CHECK_INTERVAL_S": 0.3,
}
"""Seconds after which the service takes a disk for hung, tries again and no longer waits: users have 2 s and more."""


def impatient(base: Path, *options: str) -> Service:
    """Return a service that waits less for a disk than those of users."""
    service = Service(base, *options)
    service.constants = IMPATIENT
    return service


def has_printed(mount: Mount, job_id: str, printed: str) -> bool:
    """Return whether the file of a job holds an output."""
    return any(printed in file.read_text() for file in mount.real.glob(f"output/*/{job_id}.txt"))


def test_a_disk_that_does_not_answer_stops_no_run_and_no_stop(tmp_path: Path, mount: Mount) -> None:
    """It is named in `status`, a reader is told so, and what waits is written when it answers."""
    service = impatient(tmp_path, "--output-dir", str(mount.path / "output"))
    service.write("a.json", job("a", "@yearly", "echo $JOB_RUN_ID"))
    service.write("b.json", job("b", "@yearly", "echo after"))
    service.start()
    for job_id in ("a", "b"):  # once something later is there, memory has forgotten the first
        printed = run(service, job_id, "--wait").stdout
        wait_until(lambda job_id=job_id, printed=printed: has_printed(mount, job_id, printed))
    (first,) = service.words("SUCCESS", job_id="a")
    mount.hang()
    waited = run(service, "a", "--wait")
    assert (waited.returncode, len(waited.stdout)) == (0, 13)
    (lost,) = service.wait_for("output.lost")
    assert lost["problem"].endswith("does not answer")
    status = run_program([*MAIN, "status", "--socket", str(service.socket)], env={**os.environ}, text=True)
    assert "output cannot be kept" in status.stdout
    refused = ask(service, first["run_id"], constants=IMPATIENT)
    assert (refused.returncode, "does not answer" in refused.stderr) == (1, True)
    mount.answer()
    wait_until(lambda: service.words("output.restored"))
    wait_until(lambda: has_printed(mount, "a", waited.stdout))
    mount.hang()
    assert run(service, "a", "--wait").returncode == 0
    assert service.stop() == 0


def test_a_disk_that_takes_nothing_stops_no_run(tmp_path: Path) -> None:
    """It is in `status`; what a run has just printed is shown all the same."""
    full = tmp_path / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "none", str(full)], check=True)
    try:
        (full / "filler").write_bytes(bytes(64 * 1024))
        service = impatient(tmp_path, "--output-dir", str(full / "output"))
        service.write("a.json", job("a", "@yearly", "echo here"))
        service.start()
        assert run(service, "a", "--wait").stdout == "here\n"
        service.wait_for("output.lost")
        status = run_program([*MAIN, "status", "--socket", str(service.socket)], env={**os.environ}, text=True)
        assert "output cannot be kept" in status.stdout
        assert ask(service, "a").stdout == "here\n"
        (full / "filler").unlink()
        wait_until(lambda: service.words("output.restored"))
        assert run(service, "a", "--wait").stdout == "here\n"
        wait_until(lambda: list(full.glob("output/*/a.txt")))
        assert service.stop() == 0
        assert len(service.words("SUCCESS")) == 2
    finally:
        subprocess.run(["umount", "--lazy", str(full)], check=True)
