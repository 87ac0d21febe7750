"""docs/alerts.md does what it says: its files, as written there, with a real service.

Only paths and addresses that belong to a host are replaced by those of the test: `/etc/scheduler`, `/usr/sbin/sendmail`
and the webhook's server.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from email import message_from_bytes
from email.message import Message
from email.policy import default as policy
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from jobscheduler.alerts import AlertKind, ResultChange, build_payload
from jobscheduler.alerts.alert_queues import MAX_PER_RECEIVER, MAX_WAITING, MAX_WAITING_OF_JOB
from jobscheduler.alerts.damping import BURST_SIZE, BURST_WINDOW_S, MIN_ALERT_INTERVAL_S
from jobscheduler.alerts.payload import MAX_JOB_LIST_CHARS, MAX_JSON_JOBS, build_summary
from jobscheduler.alerts.sender_pool import ALERT_TIMEOUT_S, LONG_RUN_S, MAX_THREADS, MAX_WORKERS
from jobscheduler.jobs.parser import ParseContext, parse
from jobscheduler.model import AlertRule, Job, Record, Status, TaskSpec
from jobscheduler.runlog.parse import to_json_object
from jobscheduler.tasks import Alert, task_type
from tests.support.service import ROOT, Service, job, wait_until
from tests.support.tasks import SLOT
from tests.unit.test_http_task import Server, respond, serve

__all__ = ["serve"]

PAGE = (ROOT / "docs" / "alerts.md").read_text("utf-8")
FAKE = """#!/bin/sh
printf '%s\\n' "$@" > "$0.arguments"
cat > "$0.$$" && mv "$0.$$" "$0.mail.$JOB_ALERT"
"""
HOSTILE = "a\r\n.\r\nMAIL FROM:<x@y>\r\nquit\x1b]0;t\x07" + "z" * 3000
"""The end of a mail and the beginning of another, as old relays read it, a command for a terminal, and a long line."""
NASTY = "Bcc: all@example.org\n\n.\nSubject: forged\nand nothing more"


def block(kind: str, number: int = 0) -> str:
    """A fenced block of the page."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[number]


class Etc:
    """What stands in /etc/scheduler on a host, in a directory of the test."""

    def __init__(self, base: Path) -> None:
        self.base = base
        base.chmod(0o755)

    def here(self, text: str) -> str:
        return text.replace("/etc/scheduler", str(self.base)).replace("/usr/sbin/sendmail", str(self.base / "sendmail"))

    def file(self, name: str, text: str, mode: int = 0o644) -> Path:
        path = self.base / name
        path.write_text(text, "utf-8")
        path.chmod(mode)
        return path


@pytest.fixture
def etc(tmp_path: Path) -> Etc:
    """The directory, empty."""
    return Etc(tmp_path)


def mail(etc: Etc, on: str) -> Message:
    """The mail that the fake sendmail got."""
    path = etc.base / f"sendmail.mail.{on}"
    wait_until(path.exists)
    return message_from_bytes(path.read_bytes(), policy=policy)


def test_the_recipe_for_mail_sends_what_cron_sent(etc: Etc, service: Service) -> None:
    """To the address, with host and job in the subject, the output in the body, and nothing of a job in a header."""
    etc.file("sendmail", FAKE, 0o755)
    etc.file("mail-alert", etc.here(block("sh")), 0o755)
    for name in ("on-failure.json", "on-recovery.json"):
        etc.file(name, etc.here(block("json", 2)))
    service.env["JOBSCHEDULER_CONFIG"] = str(etc.file("scheduler.toml", etc.here(block("toml"))))
    works = etc.base / "works"
    command = ["/bin/sh", "-c", 'test -e "$1" || { printf %s "$2"; exit 3; }', "-", str(works), NASTY]
    service.write("a.json", job("backup", command=command, description=NASTY))
    service.start()

    failed = mail(etc, "failure")
    works.touch()
    recovered = mail(etc, "recovery")
    service.wait_for("alert.sent", 2, job_id="backup", exit_code="0")

    assert dict(failed.items()) == {
        "To": "root",
        "Subject": f"[{os.uname().nodename}] backup: FAILURE",
        "MIME-Version": "1.0",
        "Content-Type": 'text/plain; charset="UTF-8"',
        "Content-Transfer-Encoding": "8bit",
        "Auto-Submitted": "auto-generated",
    }
    body = failed.get_content()
    (record, *_) = service.words("FAILURE")
    assert body.startswith(NASTY.replace("\n", " ").replace("  ", " "))
    assert f"started {record['started']}, took {record['duration']} s\nreason exit, exit code 3" in body
    assert body.endswith(f"\n\n{NASTY}\n")
    assert (etc.base / "sendmail.arguments").read_text().split() == ["-i", "--", "root"]
    assert recovered["Subject"] == f"[{os.uname().nodename}] backup: SUCCESS"


def test_a_mail_that_cannot_be_sent_is_logged(etc: Etc, service: Service) -> None:
    """With the message of sendmail; the pipe's status is sendmail's."""
    etc.file("sendmail", "#!/bin/sh\ncat > /dev/null; echo no such mailbox >&2; exit 67\n", 0o755)
    etc.file("mail-alert", etc.here(block("sh")), 0o755)
    service.options = ("--on-failure", str(etc.file("on-failure.json", etc.here(block("json", 2)))))
    service.write("a.json", job("backup", command="false"))
    service.start()
    (failed,) = service.wait_for("alert.failed")

    assert (failed["exit_code"], failed["output"]) == ("67", "no such mailbox")


def test_the_recipe_for_a_webhook_posts_the_record(etc: Etc, service: Service, serve: Callable[..., Server]) -> None:
    """To a real server; the record is that of the log, and the secret stands in no line."""
    server = serve(respond(204))
    text = block("json", 3).replace("https://hooks.example.org", server.url(""))
    text = text.replace("30 2 * * *", "* * * * * *").replace("/usr/local/sbin/backup", f"test -e {etc.base / 'works'}")
    service.write("backup.json", text)
    service.options = ("--log-format", "json")
    service.start()
    service.wait_for("alert.sent", 1, on="failure", http_status="204")
    (etc.base / "works").touch()
    service.wait_for("alert.sent", 1, on="recovery")
    service.stop(signal.SIGTERM)

    (failed, recovered) = server.asked
    assert (failed.method, failed.target, failed.headers["content-type"]) == ("POST", "/jobs", "application/json")
    assert (failed.headers["authorization"], failed.headers["x-host"]) == ("Bearer 0123456789", "db1")
    lines = service.log.read_text().splitlines()
    records = [to_json_object(line.encode()) for line in lines if '"status"' in line]
    assert json.loads(failed.body) in records
    assert json.loads(recovered.body) in records
    assert json.loads(failed.body)["status"] == "FAILURE"
    assert "0123456789" not in "".join(lines).replace(json.loads(failed.body)["run_id"], "")
    shown = json.loads(block("json", 4))
    assert shown.keys() - {"output"} == json.loads(failed.body).keys()


def test_the_rule_that_the_page_shows_is_accepted() -> None:
    """As a job file."""
    found = parse(block("json").encode(), "backup.json", ParseContext(ZoneInfo("UTC"), task_type))
    assert isinstance(found, Job)
    assert (found.success_within, found.alert) == (93600, AlertRule(2, 86400, missed=True))


def test_the_recipe_for_messages_writes_to_every_receiver(
    etc: Etc, service: Service, serve: Callable[..., Server]
) -> None:
    """As in the page, with receivers of the test's own; no line of the log has an address."""
    pytest.importorskip("apprise", reason="the extra `notify` is not installed")
    server = serve(respond(200))
    etc.file("receivers", f"json{server.url('').removeprefix('http')}/t0ken-1\n", 0o600)
    path = etc.file("on-failure.json", etc.here(block("json", 1)))
    service.options = ("--on-failure", str(path))
    service.write("a.json", job("backup", "@yearly", command="echo no space left; exit 1"))
    service.start()
    run = [sys.executable, str(ROOT / "main.py"), "run", "backup", "--wait", "--socket", str(service.socket)]
    subprocess.run(run, check=False, capture_output=True)
    (sent,) = service.wait_for("alert.sent")
    service.stop(signal.SIGTERM)

    (asked,) = server.asked
    message = json.loads(asked.body)
    assert message["title"] == f"backup failed ({os.uname().nodename})"
    assert "exit code 1" in message["message"]
    assert "no space left" in message["message"]
    assert (sent["receivers"], sent["http_status"]) == ("1", "200")
    assert "t0ken" not in service.log.read_text()


def test_the_page_lists_every_variable_and_every_bound() -> None:
    """By name and number."""
    listed = set(re.findall(r"^\| `(JOB_\w+)` \|", PAGE, re.MULTILINE))
    change = ResultChange(TaskSpec("x", "{}"), AlertKind.FAILURE, Record(SLOT, Status.FAILURE, "a"))
    assert listed == build_payload(change, host="").variables.keys()
    assert f"after {ALERT_TIMEOUT_S:g} seconds" in PAGE
    assert f"{MAX_WAITING:,} may wait" in PAGE
    assert (MAX_WORKERS, MAX_PER_RECEIVER, LONG_RUN_S, MAX_THREADS, MAX_WAITING_OF_JOB) == (8, 4, 5.0, 64, 2)
    assert (MIN_ALERT_INTERVAL_S, BURST_SIZE, BURST_WINDOW_S, MAX_JSON_JOBS, MAX_JOB_LIST_CHARS) == (
        300.0,
        20,
        60.0,
        500,
        32 * 1024,
    )


@pytest.mark.parametrize(
    "alert",
    [
        build_payload(
            ResultChange(
                TaskSpec.from_params("x", {}),
                AlertKind.FAILURE,
                Record(SLOT, Status.FAILURE, "a", output=HOSTILE),
                description="x" * 5000,
                changes=7,
            ),
            host="h",
        ),
        build_summary(
            [
                ResultChange(TaskSpec.from_params("x", {}), AlertKind.FAILURE, Record(SLOT, Status.FAILURE, f"j{n}"))
                for n in range(30)
            ],
            host="h",
        ),
    ],
)
def test_the_recipe_makes_a_mail_that_no_relay_misreads(etc: Etc, alert: Alert) -> None:
    """Whatever a job prints: no bare carriage return, no control character, and no line that is too long."""
    etc.file("sendmail", "#!/bin/sh\ncat\n", 0o755)
    script = etc.file("mail-alert", etc.here(block("sh")), 0o755)
    env = {"PATH": os.environ["PATH"], "MAILTO": "root", "JOB_ID": "a", **alert.variables}
    text = subprocess.run([str(script)], env=env, capture_output=True, check=True).stdout

    assert not set(text) & ({*range(32)} - {9, 10})
    assert max(map(len, text.split(b"\n"))) <= 900
    assert (b"has changed 7 times" in text) is (alert.on == "failure")
    assert (b"started" in text) is (alert.on == "failure")
    assert (b"FAILURE j7" in text) is (alert.on == "summary")
