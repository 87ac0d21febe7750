"""A real service has its commands started with the score of commands, and keeps its own."""

from __future__ import annotations

from pathlib import Path

from tests.support.job_files import running
from tests.support.service import job


def test_a_job_has_the_usual_score_and_the_service_keeps_its_own(tmp_path: Path) -> None:
    """The numbers are those that a test without privileges can set: 100 for the service, 200 for commands."""
    with running(tmp_path / "js") as service:
        service.patched(
            """
            from pathlib import Path
            from jobscheduler.service import process
            from jobscheduler.tasks.command import child, oom_score
            Path("/proc/self/oom_score_adj").write_text("100")
            process.OOM_SCORE = child.OOM_SCORE = oom_score.OomScore(of_commands=200)
            """
        )
        service.write("a.json", job("a", command=f"cat /proc/self/oom_score_adj >> {tmp_path}/scores"))
        service.start()
        service.wait_for("SUCCESS", 2, job_id="a")
        assert set((tmp_path / "scores").read_text("ascii").split()) == {"200"}
        assert service.process is not None
        assert Path(f"/proc/{service.process.pid}/oom_score_adj").read_text("ascii") == "100\n"
        assert service.stop() == 0
