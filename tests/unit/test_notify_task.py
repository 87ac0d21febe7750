"""The task type `notify`: what is sent to whom, what is refused, and receivers that hang, refuse and drip."""

from __future__ import annotations

import io
import json
import math
import os
import re
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_string
from email.message import Message
from email.policy import default as policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

pytest.importorskip("apprise", reason="the extra `notify` is not installed")

from jobscheduler.alerts import AlertKind, AlertSenderPool, Circumstances, PendingAlert, ResultChange, build_payload
from jobscheduler.control.redact import redacted_definition
from jobscheduler.jobs.parser import ParseContext, definition_warnings, parse
from jobscheduler.model import Cron, Event, Job, Problem, Record, Status, TaskSpec
from jobscheduler.runner import AttemptResult, execute_task
from jobscheduler.tasks import Alert, Context, task_names, task_type
from jobscheduler.tasks.notify import library
from jobscheduler.tasks.notify import send as program
from jobscheduler.tasks.notify import task as notify
from jobscheduler.tasks.notify.template import FIELDS
from tests.support.service import ROOT, wait_until

AT = datetime(2026, 11, 22, 2, 30, tzinfo=UTC)
TOKENS = ("T1JJ3T3L2", "A1BRTD4JD", "TIiajkdnlazkcOXrIdevi7FQ")
WEBHOOK = ("4174216298", "JHMHI8qBe7bk2ZwO5U711o3dV_js")


# --- receivers -------------------------------------------------------------------------------------------


@dataclass
class Receiver:
    """A server of the test's own: what it was sent, and how it behaves."""

    requests: list[tuple[str, bytes]] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)
    http: int = 0
    smtp: int = 0
    flooded: int = 0  # bytes of an answer without end that were taken
    over: threading.Event = field(default_factory=threading.Event)


def http_handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Answer as the path asks."""
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            receiver.requests.append((self.path, body))
            if "hang" in self.path:
                receiver.over.wait(30)
                return
            status = 404 if "gone" in self.path else 200
            answer = b"no such channel " + self.path.encode() if status == 404 else b"ok"
            self.send_response(status)
            if "flood" in self.path:
                self.end_headers()
                with suppress(OSError):
                    while not receiver.over.is_set():
                        receiver.flooded += self.connection.send(bytes(2**20))
                return
            if "drip" in self.path:
                self.send_header("Content-Length", "1000000")
                self.end_headers()
                with suppress(OSError):
                    while not receiver.over.wait(0.02):
                        self.wfile.write(b".")
                return
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            return

    return Handler


def smtp_handler(receiver: Receiver) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 hello\r\n")
            while line := self.rfile.readline():
                word = line[:4].upper()
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = [*iter(lambda: self.rfile.readline().decode(), ".\r\n")]
                    receiver.mails.append("".join(lines))
                self.wfile.write({b"EHLO": b"250 me\r\n", b"QUIT": b"221 bye\r\n"}.get(word, b"250 ok\r\n"))

    return Handler


class Threads(socketserver.ThreadingTCPServer):
    """A server whose connections end with the test."""

    daemon_threads = True


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """One for HTTP and one for mail."""
    made = Receiver()
    web = ThreadingHTTPServer(("127.0.0.1", 0), http_handler(made))
    mail = Threads(("127.0.0.1", 0), smtp_handler(made))
    made.http, made.smtp = web.server_port, mail.server_address[1]
    for server in (web, mail):
        threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.02}).start()
    yield made
    made.over.set()
    for server in (web, mail):
        server.shutdown()
        server.server_close()


@pytest.fixture
def patched(receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Slack and Discord at the address of the receiver: their plug-ins have no setting for that."""
    program = tmp_path / "send.py"
    program.write_text(
        "import runpy\n"
        "from apprise.plugins.discord import NotifyDiscord\n"
        "from apprise.plugins.slack import NotifySlack\n"
        f"NotifySlack.webhook_url = 'http://127.0.0.1:{receiver.http}/slack'\n"
        f"NotifyDiscord.notify_url = 'http://127.0.0.1:{receiver.http}/discord'\n"
        f"runpy.run_path({str(notify.PROGRAM)!r}, run_name='__main__')\n"
    )
    monkeypatch.setattr(notify, "PROGRAM", program)


def alert(kind: AlertKind = AlertKind.FAILURE, **circumstances: Any) -> Alert:
    status = Status.SUCCESS if kind is AlertKind.RECOVERY else Status.FAILURE
    output = "connecting\npg_dump: error: connection refused" if kind.is_bad else None
    details = (("exit_code", 1),) if kind.is_bad else ()
    reason = "exit" if kind.is_bad else None
    record = Record(AT, status, "backup", "5f3c2a9d", AT, AT, 4.2, reason, details, output)
    change = ResultChange(TaskSpec("notify", "{}"), kind, record, "Dump.", circumstances=Circumstances(**circumstances))
    return build_payload(change, host="db1")


def run_id() -> str:
    """Return the id of a run of its own: another test, or another checkout's, may end all processes of its run."""
    return os.urandom(6).hex()


def send(to: object, told: Alert | None = None, **fields: Any) -> AttemptResult:
    """Send a message to these receivers."""
    given = ({"to": to} if to is not None else {}) | fields
    return execute_task(TaskSpec.from_params("notify", given), Context("backup", run_id(), AT, alert=told))


def error_of(result: AttemptResult) -> str:
    return str(dict(result.details).get("error", ""))


# --- what is sent ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("patched")
def test_slack_discord_ntfy_and_mail_get_what_one_wants_to_know(receiver: Receiver) -> None:
    """Job, host, result, how often, since when, exit code, the end of the output, and where there is more."""
    receivers = [
        f"slack://{'/'.join(TOKENS)}",
        f"discord://{'/'.join(WEBHOOK)}",
        f"ntfy://127.0.0.1:{receiver.http}/alerts",
        f"mailto://127.0.0.1:{receiver.smtp}/?from=jobs@example.org&to=ops@example.org",
    ]
    told = alert(failures=3, since=AT - timedelta(days=2))
    result = send(receivers, told)
    assert result.reason is None, result

    sent = {path.split("/")[1]: body.decode() for path, body in receiver.requests}
    (mail,) = receiver.mails
    message: Message = message_from_string(mail, policy=policy)
    body = message.get_body(("plain",)).get_content()  # type: ignore[attr-defined]
    for text in (sent["slack"], sent["discord"], sent[""], body):
        plain = json.dumps(json.loads(text)) if text.startswith("{") else text
        for part in ("exit code 1", "3 times in a row", "2026-11-20T02:30:00Z", "connection refused", "explain backup"):
            assert part in plain, (part, plain)
    assert "backup failed" in str(message["Subject"])
    assert "ops@example.org" in str(message["To"])
    assert "github.com" not in "".join(sent.values()), "no picture of somebody else's"
    assert dict(result.details)["receivers"] == 4


@pytest.mark.parametrize(
    ("kind", "circumstances", "title", "parts"),
    [
        (
            AlertKind.FAILURE,
            {"failures": 1},
            "backup failed (db1)",
            ["exit, exit code 1", "started 2026-11-22T02:30:00Z"],
        ),
        (AlertKind.RECOVERY, {}, "backup works again (db1)", ["took 4.200 s"]),
        (AlertKind.OVERDUE, {"overdue": True}, "backup is overdue (db1)", ["it has never succeeded"]),
        (AlertKind.OVERDUE, {"overdue": True, "success": AT}, "backup is overdue (db1)", [f"no success since {AT:%F}"]),
        (AlertKind.REMINDER, {"failures": 9, "since": AT}, "backup still fails (db1)", ["9 times in a row"]),
        (AlertKind.TEST, {}, "backup is not failing: this is a test (db1)", []),
    ],
)
def test_without_texts_a_message_says_what_has_happened(
    kind: AlertKind, circumstances: dict[str, Any], title: str, parts: list[str]
) -> None:
    """For each kind of alert."""
    task = notify.Notify({"to": "json://localhost"})
    context = Context("backup", "0123456789ab", AT, alert=alert(kind, **circumstances))
    request = task._request(context)
    assert request["title"] == title
    assert all(part in request["body"] for part in (*parts, "jobscheduler explain backup")), request["body"]
    assert ("connection refused" in request["body"]) is kind.is_bad
    assert ("exit code" in request["body"]) is (kind.is_bad and kind is not AlertKind.TEST)


def test_texts_have_fields() -> None:
    """Of an alert as well as of a job whose task it is; a doubled brace is a brace, and output cannot be a template."""
    fields = {"to": "json://h", "title": "{{{job_id}}} {exit_code}", "body": "{status} {what} {run_id}\n{output}"}
    first = notify.Notify(fields)._request(Context("backup", "0123456789ab", AT, alert=alert()))
    assert first["title"] == "{backup} 1"
    assert first["body"] == "FAILURE failed 5f3c2a9d\nconnecting\npg_dump: error: connection refused"
    fields = {"to": "json://h", "title": "{job_id} {exit_code}!", "body": "{scheduled}"}
    second = notify.Notify(fields)._request(Context("backup", "0123456789ab", AT))
    assert (second["title"], second["body"]) == ("backup !", "2026-11-22T02:30:00Z")


def test_the_page_lists_every_field() -> None:
    """In docs/alerts.md."""
    page = (ROOT / "docs/alerts.md").read_text("utf-8")
    listed = page.split("<!-- fields -->")[1].split("<!-- end -->")[0]
    assert set(re.findall(r"`\{(\w+)\}`", listed)) == set(FIELDS)


def test_only_the_end_of_a_long_output_is_sent() -> None:
    """Receivers take 2,000 characters or few more."""
    record = Record(AT, Status.FAILURE, "backup", output="\n".join(f"line {n} {'x' * 200}" for n in range(40)))
    told = build_payload(ResultChange(TaskSpec("notify", "{}"), AlertKind.FAILURE, record), host="h")
    body = notify.Notify({"to": "json://h"})._request(Context("backup", "0", AT, alert=told))["body"]
    assert len(body) < 1500
    assert "line 39" in body


# --- receivers that do not answer ------------------------------------------------------------------------


def limit_for_this_host(receiver: Receiver) -> int:
    """Return a limit in seconds that is enough for receivers that answer, by how long a message to one takes here."""
    began = time.monotonic()
    assert send(f"json://127.0.0.1:{receiver.http}/first").reason is None
    return min(25, max(3, math.ceil(4 * (time.monotonic() - began))))  # a receiver that hangs does so for 30 s


def test_the_time_to_load_the_library_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message is not sent after its limit, when it is told that it was not."""
    now, started = [0.0], list[int]()

    def load(*_: Any) -> None:
        now[0] += 31.0

    monkeypatch.setattr(program.sys, "stdin", io.StringIO(json.dumps({"urls": ["json://h"], "timeout": 30})))
    monkeypatch.setattr(program.time, "monotonic", lambda: now[0])
    monkeypatch.setattr("apprise.Apprise.instantiate", load)
    monkeypatch.setattr(program, "_bound_memory", lambda: None)
    monkeypatch.setattr(program, "_start", lambda number, url, request: started.append(number))
    program.main()
    assert not started


def test_receivers_that_hang_drip_refuse_and_fail_cost_no_other_its_message(receiver: Receiver) -> None:
    """Each has a clear error without its secret, all within the limit, and what they answered is shown."""
    limit = limit_for_this_host(receiver)
    paths = ("hang-s3cr3t-1?rto=600", "drip-s3cr3t-2", "gone-s3cr3t-3", "good-s3cr3t-4")
    began = time.monotonic()
    urls = [f"json://127.0.0.1:{receiver.http}/{path}" for path in paths]
    result = send([*urls, "json://127.0.0.1:1/none-s3cr3t-5", "json://nowhere.invalid/s3cr3t-6"], timeout=limit)
    took = time.monotonic() - began

    assert took < limit + 22
    assert result.reason == "task"
    assert error_of(result).split("; ") == [
        f"json (1 of 6): the receiver did not take it within {limit} s",
        f"json (2 of 6): the receiver did not take it within {limit} s",
        "json (3 of 6): the receiver answered with status 404",
        "json (5 of 6): its server refuses the connection",
        "json (6 of 6): the name of its server cannot be resolved",
    ]
    assert b"no such channel" in result.output
    assert "s3cr3t" not in repr(result)
    assert "/good-s3cr3t-4" in [path for path, _ in receiver.requests]


def test_an_answer_without_end_costs_neither_memory_nor_the_message_to_another(receiver: Receiver) -> None:
    """It is read up to the memory that a process may have beyond the library, and that is what its error says."""
    paths = ("flood-s3cr3t-1", "good-s3cr3t-2")
    result = send([f"json://127.0.0.1:{receiver.http}/{path}" for path in paths], timeout=60)
    assert error_of(result) == "json (1 of 2): its server sent an answer without end"
    assert receiver.flooded < 160 * 1024**2
    assert "/good-s3cr3t-2" in [path for path, _ in receiver.requests]
    assert "s3cr3t" not in repr(result)


@pytest.mark.parametrize(("victim", "paths"), [("os.getppid()", ["kill"]), ("os.getpid()", ["kill", "good"])])
def test_a_process_that_was_killed_is_not_taken_for_a_receiver_that_did_not_answer(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str, paths: list[str]
) -> None:
    """As by the kernel, for want of memory: the whole program, or the process for one receiver."""
    program = tmp_path / "send.py"
    program.write_text(
        "import os, runpy, signal, time\n"
        "from apprise.plugins.custom_json import NotifyJSON as JSON\n"
        "send = JSON.send\n"
        f"die = lambda: os.kill({victim}, signal.SIGKILL) or time.sleep(60)\n"
        "JSON.send = lambda self, *a, **k: die() if 'kill' in self.fullpath else send(self, *a, **k)\n"
        f"runpy.run_path({str(notify.PROGRAM)!r}, run_name='__main__')\n"
    )
    monkeypatch.setattr(notify, "PROGRAM", program)
    result = send([f"json://127.0.0.1:{receiver.http}/{path}" for path in paths])
    assert result.reason == "task"
    assert error_of(result).partition(": ")[2] == "the process that sends it was ended by SIGKILL"


def test_a_stop_ends_the_message_at_once(receiver: Receiver) -> None:
    """As at the limit of an alert; the reason is that of the stop, and no process is left."""
    context = Context("backup", run_id(), AT)
    spec = TaskSpec.from_params("notify", {"to": f"json://127.0.0.1:{receiver.http}/hang", "timeout": 60})
    results: list[AttemptResult] = []
    thread = threading.Thread(target=lambda: results.append(execute_task(spec, context)))
    thread.start()
    wait_until(lambda: receiver.requests)
    began = time.monotonic()
    context.stop("timeout")
    thread.join(20)

    assert time.monotonic() - began < 8
    assert results[0].reason == "timeout"


def test_a_receiver_that_hangs_delays_the_alerts_of_no_other(receiver: Receiver) -> None:
    """The queues of alerts tell receivers apart by their addresses."""
    events: list[Event] = []
    sender = AlertSenderPool(events.append, limit=30)

    def due(job_id: str, path: str) -> PendingAlert:
        task = TaskSpec.from_params("notify", {"to": [f"json://127.0.0.1:{receiver.http}/{path}"], "timeout": 20})
        record = Record(AT, Status.FAILURE, job_id)
        return PendingAlert(task, build_payload(ResultChange(task, AlertKind.FAILURE, record), host="h"))

    hanging = [due(f"h{number}", "hang") for number in range(6)]
    assert len({one.receiver for one in (*hanging, due("x", "good"))}) == 2
    assert "hang" not in hanging[0].receiver
    sender.put(hanging[0])
    sender.put(due("good", "good"))
    wait_until(lambda: [one for one in events if one.name == "alert.sent"])
    receiver.over.set()
    sender.stop(0)


# --- secrets ---------------------------------------------------------------------------------------------

SECRET_URLS = [
    f"slack://{'/'.join(TOKENS)}/#ops",
    f"discord://{'/'.join(WEBHOOK)}",
    "mailto://jobs:hunter22@smtp.example.org?to=ops@example.org",
    "ntfy://user:hunter22@ntfy.example.org/topic4711?token=tk_4711abcd",
]


@pytest.mark.parametrize("url", SECRET_URLS)
def test_an_address_is_shown_nowhere(url: str) -> None:
    """In a definition as `list` and the page show it; only its kind is."""
    task = TaskSpec.from_params("notify", {"to": [url], "body": "{output}"})
    shown = redacted_definition(Job("x", Cron("@daily", "UTC"), task, on_failure=task))
    schema = url.partition("://")[0]
    assert shown["task"]["to"] == shown["on_failure"]["to"] == [f"{schema}://[secret]"]
    assert shown["task"]["body"] == "{output}"
    secrets = set(task_type("notify")(task.params).secrets())
    assert {"hunter22", *TOKENS, *WEBHOOK} & set(re.split(r"[/:@?&=]", url)) <= secrets


def test_a_file_with_receivers_is_read_when_a_message_is_sent(receiver: Receiver, tmp_path: Path) -> None:
    """One URL a line; it must be closed to others, and its URLs are secrets too."""
    tmp_path.chmod(0o755)
    file = tmp_path / "receivers"
    file.write_text(f"# people\n\njson://127.0.0.1:{receiver.http}/gone-t0ken-1\n")
    file.chmod(0o644)
    opened = send(None, to_file=str(file))
    assert (opened.reason, "is open to others" in error_of(opened)) == ("start", True)
    file.chmod(0o600)
    result = send(None, to_file=str(file))
    assert error_of(result) == "json: the receiver answered with status 404"
    assert "t0ken" not in repr(result)
    file.write_text("jsn://127.0.0.1/x\n")
    (warning,) = task_type("notify").warnings({"to_file": str(file)})
    assert (warning.message, warning.host_dependent) == ("URL 1 in it: no kind of receiver is called `jsn`", True)
    file.write_text("")
    assert "holds 0 URLs" in error_of(send(None, to_file=str(file)))


# --- what is refused -------------------------------------------------------------------------------------


def problems(**task: Any) -> tuple[Problem, ...]:
    raw = json.dumps(definition(**task)).encode()
    found = parse(raw, "a.json", CONTEXT)
    return () if isinstance(found, Job) else found


def definition(**task: Any) -> dict[str, Any]:
    command = {"type": "execute_command", "command": "true"}
    return {"job_id": "a", "schedule": "@daily", "task": command, "on_failure": {"type": "notify", **task}}


CONTEXT = ParseContext(ZoneInfo("UTC"), task_type, task_names())


@pytest.mark.parametrize(
    ("task", "message", "help_"),
    [
        ({"to": "slak://a/b/c"}, "no kind of receiver is called `slak`", "did you mean `slack`?"),
        (
            {"to": ["json://h", "slack://T1JJ3T3L2"]},
            "the URL is not complete for `slack`",
            "write `slack://{token_a}/{token_b}/{token_c}`; https://appriseit.com/services/slack/ explains it",
        ),
        ({"to": "ops"}, "this is not a URL of a receiver", "write one such as `ntfy://ntfy.example.org/jobs`"),
        (
            {"to": "json://h", "title": "{jobid}"},
            "`{jobid}` is not a field of a notification",
            "did you mean `job_id`?",
        ),
        ({"to": "json://h", "body": "100 % }"}, "a brace stands alone", "write `{{` or `}}` for a brace"),
        ({"to": "json://h", "body": "{output.x}"}, "`{output.x}` is not a field of a notification", None),
        ({"to": "json://h", "to_file": "/x"}, "`to` and `to_file` exclude each other", "drop one of them"),
        ({}, "no receiver is named", None),
        ({"to_file": "x"}, "`x` is not an absolute path", "write it from `/` on"),
        ({"to": "json://h", "timeout": 0}, "`0` is not more than 0 and at most an hour", None),
    ],
)
def test_a_mistake_is_a_problem_with_place_and_help(task: dict[str, Any], message: str, help_: str | None) -> None:
    """At `validate` as in the service; no address is quoted."""
    (found,) = problems(**task)
    assert found.message == message
    assert help_ is None or (found.help or "").startswith(help_)
    assert found.line == 1
    assert "T1JJ3T3L2" not in repr(found), "not even in the line that is shown"


def test_a_missing_library_stops_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """`validate` and `status` say how to get it, and so does the alert that could not be sent."""
    monkeypatch.setattr(library, "find_spec", lambda _: None)
    monkeypatch.setattr(library, "_is_needed", threading.Event())
    assert library.missing() == ()
    raw = json.dumps(definition(to="slack://T1JJ3T3L2/x")).encode()
    found = parse(raw, "a.json", CONTEXT)
    assert isinstance(found, Job)

    (warning,) = definition_warnings(raw, "a.json", found, CONTEXT)
    assert (warning.message, warning.help) == ("`notify` needs the library Apprise", library.INSTALL)
    (issue,) = library.missing()
    assert "make install EXTRAS=notify" in issue
    result = send("json://127.0.0.1:1/x")
    assert (result.reason, error_of(result)) == ("start", f"the library Apprise is not installed: {library.INSTALL}")
