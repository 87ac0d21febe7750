"""The page, metrics and health of the real service, as a process."""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.job_files import unavailable
from tests.support.service import Service, job, wait_until

HOSTILE = "<script>alert(1)</script>"


def get(url: str, path: str, **headers: str) -> tuple[int, str]:
    """Ask for a page."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode("utf-8")
    connection.close()
    return answer.status, text


def url_of(service: Service) -> str:
    """Where the service says that its page is."""
    return service.wait_for("page.served")[-1]["url"]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service with a page, and jobs that succeed, fail, and are refused."""
    made = Service(tmp_path, "--http", "127.0.0.1:0")
    made.write("good.json", job("good", "* * * * * *", "true", description=HOSTILE))
    made.write("bad.json", job("bad", "* * * * * *", f"echo '{HOSTILE}'; exit 3"))
    made.write("wrong.json", "{")
    made.start()
    made.wait_for("SUCCESS", job_id="good")
    made.wait_for("FAILURE", job_id="bad")
    yield made
    made.close()


def test_the_page_shows_the_results_of_jobs(service: Service) -> None:
    """States, last results, refused files, a job's output: and nothing of it is markup."""
    url = url_of(service)
    service.wait_for("job.refused")
    status, index = wait_until(lambda: found if "exit" in (found := get(url, "/"))[1] else None)
    assert (status, HOSTILE in index) == (200, False)
    for text in ("good", "bad", "wrong.json", "the file ends in the middle of the definition", "timeline"):
        assert text in index
    status, page = get(url, "/job/bad")
    assert (status, HOSTILE in page, "&lt;script&gt;" in page) == (200, False, True)
    assert "Every second" in page


def test_metrics_are_such_as_prometheus_takes(service: Service) -> None:
    """`promtool` has nothing against them; a change of a file is counted with its time."""
    if shutil.which("promtool") is None:
        unavailable("needs promtool: `apt-get install prometheus`")
    url = url_of(service)
    service.write("new.json", job("new", "@yearly", "true"))
    service.wait_for("job.added", job_id="new")
    service.wait_for("job.refused")
    refused = 'jobscheduler_jobs{state="refused"} 1.0'
    status, text = wait_until(lambda: found if refused in (found := get(url, "/metrics"))[1] else None)
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (status, done.returncode, done.stdout + done.stderr) == (200, 0, "")
    count = next(line for line in text.splitlines() if line.startswith("jobscheduler_change_latency_seconds_count"))
    assert float(count.split()[1]) == 1


def test_health_reports_that_jobs_cannot_be_read(service: Service) -> None:
    """200 while all is well, 503 with the reason when it is not, and 200 again."""
    url = url_of(service)
    assert get(url, "/healthz")[0] == 200
    away = service.jobs.rename(service.jobs.with_name("away"))
    status, why = wait_until(lambda: found if (found := get(url, "/healthz"))[0] != 200 else None)
    assert (status, f"the jobs directory `{service.jobs}` does not exist" in why) == (503, True)
    away.rename(service.jobs)
    wait_until(lambda: get(url, "/healthz")[0] == 200)


def test_last_results_are_known_after_a_restart(service: Service) -> None:
    """From the log: a job that is due once a year does not lose its result."""
    service.wait_for("FAILURE", 2, job_id="bad")
    assert service.stop() == 0
    service.write("bad.json", job("bad", "@yearly", "false"))
    service.start()
    url = wait_until(lambda: found[1]["url"] if len(found := service.words("page.served")) > 1 else None)
    assert "failed" in get(url, "/job/bad")[1]


def test_a_page_that_cannot_be_served_keeps_no_job_from_running(tmp_path: Path) -> None:
    """The port is taken: one warning, and jobs run."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        made = Service(tmp_path, "--http", f"127.0.0.1:{other.getsockname()[1]}")
        made.write("good.json", job("good", "@reboot", "true"))
        made.start()
        made.wait_for("SUCCESS", job_id="good")
        (warning,) = made.wait_for("library.warning")
        assert "the page cannot be served on `127.0.0.1`" in warning["problem"]
        assert made.stop() == 0


@pytest.mark.parametrize(
    ("options", "message", "help_"),
    [
        (["--http", "0.0.0.0:9080"], "would show jobs and their output to every host", "--http-token-file FILE"),
        (
            ["--http", "127.0.0.1:9080", "--http-token-file", "nowhere"],
            "the token file `nowhere` cannot be read",
            "make one",
        ),
    ],
)
def test_a_page_that_must_not_be_served_keeps_no_job_from_running(
    tmp_path: Path, options: list[str], message: str, help_: str
) -> None:
    """It is not served. One error, with the way out."""
    made = Service(tmp_path, *options)
    made.write("good.json", job("good", "@reboot"))
    try:
        made.start().wait_for("SUCCESS", job_id="good")
        (error,) = made.words("part.unusable", part="the page")
        assert message in error["problem"]
        assert help_ in error["help"]
        assert not made.words("page.served")
        assert made.stop() == 0
    finally:
        made.close()
