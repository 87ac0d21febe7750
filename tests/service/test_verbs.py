"""The verbs that ask the running service, each as a process: against a service, and with none."""

from __future__ import annotations

import json
import os
import pty
import pwd
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobscheduler.cli.output_display import TextDisplay
from tests.support.fork_server import run_program, start_program
from tests.support.service import ROOT, Service, job, wait_until

USER = pwd.getpwuid(os.getuid()).pw_name
EVERY_VERB = {
    "agenda": [],
    "list": [],
    "run": ["daily"],
    "pause": ["daily"],
    "resume": ["daily"],
    "status": [],
    "explain": ["daily"],
}
"""Each verb that asks the service, with what it needs."""


def ask(service: Service, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Call the command as a user would."""
    command = [sys.executable, str(ROOT / "main.py"), *words, "--socket", str(service.socket)]
    return run_program(
        command,
        env={**os.environ, "TZ": "UTC", "COLUMNS": "100", **env},
        text=True,
        timeout=60,
    )


def answer(service: Service, *words: str) -> list[dict[str, Any]]:
    """Call the command with `--json`."""
    done = ask(service, *words, "--json")
    return [json.loads(line) for line in done.stdout.splitlines()]


def hold(at: Path) -> str:
    """A command that prints, and then ends when a file appears."""
    return f"echo began; until [ -e {at} ]; do sleep 0.02; done; echo ended"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a job in every state."""
    base = tmp_path_factory.mktemp("verbs")
    made = Service(base)
    go = base / "go"
    past = datetime.now(UTC) - timedelta(days=2)
    soon = datetime.now(UTC) + timedelta(seconds=3)
    made.write("daily.json", job("daily", "0 1 * * *", "echo done; echo oops >&2"))
    made.write("fails.json", job("fails", "0 1 * * *", "echo why; exit 3"))
    made.write("off.json", job("off", "* * * * *", "true", enabled=False))
    made.write("past.json", job("past", past.isoformat(timespec="seconds"), "true"))
    made.write("once.json", job("once", soon.isoformat(timespec="seconds"), "true"))
    made.write("held.json", job("held", "0 1 * * *", hold(go), overlap="queue"))
    made.write("busy.json", job("busy", "0 1 * * *", hold(go)))
    made.write("retry.json", job("retry", "0 1 * * *", "exit 9", retry={"attempts": 2, "delay": 600}))
    made.write("rotten.json", job("rotten", "@yearly", "true"))
    made.write("broken.json", '{\n  "job_id": "broken",\n  "shedule": "* * * * *"\n}')
    made.start()
    made.write("rotten.json", "{")
    made.wait_for("job.stale", job_id="rotten")
    made.wait_for("SUCCESS", job_id="once")
    for name in ("held", "held", "busy", "retry"):
        assert ask(made, "run", name).returncode == 0
    made.wait_for("run.attempt_failed", job_id="retry")
    yield made
    go.touch()
    made.stop(signal.SIGTERM)


def test_list_shows_every_state(service: Service) -> None:
    """One word for each job; of a refused file the name."""
    reply = {one["job_id"] or one["file"]: one for one in answer(service, "list")}

    assert {name: (one["state"], one["status"]) for name, one in reply.items()} == {
        "daily": ("scheduled", "ok"),
        "fails": ("scheduled", "ok"),
        "off": ("disabled", "disabled"),
        "past": ("expired", "expired"),
        "once": ("done", "done"),
        "held": ("running", "running"),
        "busy": ("running", "running"),
        "retry": ("waiting", "waiting"),
        "rotten": ("stale", "stale"),
        "broken.json": ("refused", "refused"),
    }
    assert [run["waiting_for"] for run in reply["held"]["active_runs"]] == [None, "turn"]
    assert [run["waiting_for"] for run in reply["retry"]["active_runs"]] == ["retry"]
    assert reply["once"]["last"]["status"] == "SUCCESS"
    assert reply["broken.json"]["problems"][0]["line"] == 1
    assert reply["daily"]["next"].endswith("T01:00:00Z")
    assert reply["off"]["next"] is None


def test_list_is_a_table_that_fits(service: Service) -> None:
    """On a terminal in as many columns as there are, in a pipe without colour and whole."""
    done = ask(service, "list")
    lines = done.stdout.splitlines()

    assert (done.returncode, lines[0].split()) == (0, ["JOB", "STATUS", "LAST", "TOOK", "USUAL", "NEXT"])
    assert max(map(len, on_a_terminal(service, "list", COLUMNS="40", NO_COLOR="1").splitlines()[:-1])) <= 40
    assert [line.split()[0] for line in lines[1:5]] == ["broken.json", "rotten", "busy", "held"]
    assert len(lines) == 11
    assert "\x1b" not in done.stdout
    assert done.stderr == "9 jobs: 2 running, 1 waiting, 2 files with problems\n"


def test_list_filters_by_pattern_and_state(service: Service) -> None:
    """A stale job counts as such whatever else it is; a pattern without a match is reported."""
    assert {one["job_id"] for one in answer(service, "list", "o*")} == {"off", "once"}
    assert {one["job_id"] for one in answer(service, "list", "--state", "running,STALE")} == {"held", "busy", "rotten"}
    nothing = ask(service, "list", "nope")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "there is no job `nope`" in nothing.stderr
    some = ask(service, "list", "once", "nope", "--json")
    assert (some.returncode, json.loads(some.stdout)["job_id"]) == (1, "once")
    assert "there is no job `nope`" in some.stderr
    unknown = ask(service, "list", "dialy", "x*", "roten", "--tag", "shop").stderr
    assert "help: did you mean `daily`?" in unknown
    assert "no job matches `x*`" in unknown
    assert "help: did you mean `rotten`?" in unknown
    assert "no job has the tag `shop`" in unknown
    other = ask(service, "list", "daily", "--state", "refused")
    assert "no job that matches `daily` is in such a state" in other.stderr
    assert "help: `jobscheduler list` shows all jobs" in other.stderr
    plain = ask(service, "list", "once", "--plain").stdout.rstrip("\n").split("\t")
    assert (plain[:3], len(plain)) == (["once", "done", "SUCCESS"], 7)


def test_slots_are_shown_of_jobs_by_id_and_tag(service: Service) -> None:
    """Of those in force; of the jobs directory when no service answers."""
    shown = ask(service, "next", "daily", "-n", "1")
    assert (shown.returncode, shown.stdout.splitlines()[0]) == (0, "daily: 0 1 * * * (UTC)")
    assert ask(service, "next", "dialy").stderr.startswith(
        "error: there is no job `dialy`\n help: did you mean `daily`?"
    )
    unasked = ask(service, "next", "once", "--jobs-dir", str(service.jobs), "--socket", "/nonexistent")
    assert unasked.stdout.startswith("once: ")
    agenda = answer(service, "agenda", "daily", "off", "--to", "24h")
    assert [(one["job_id"], one["start"][11:]) for one in agenda] == [("daily", "01:00:00Z")]


def on_a_terminal(service: Service, *words: str, **env: str) -> str:
    """What the command prints on a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    command = [sys.executable, str(ROOT / "main.py"), *words, "--socket", str(service.socket)]
    cleaned = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "TERM"}}
    with subprocess.Popen(
        command, env={**cleaned, "COLUMNS": "100", "TERM": "xterm", **env}, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        text = b""
        try:
            while part := os.read(ours, 65536):
                text += part
        except OSError:  # the other end is closed
            pass
        process.wait(30)
    os.close(ours)
    return text.decode()


def test_colour_is_for_terminals_and_never_with_no_color(service: Service) -> None:
    """Not for dumb ones either."""
    assert "\x1b[32mrunning" in on_a_terminal(service, "list")
    assert "\x1b" not in on_a_terminal(service, "list", NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(service, "list", TERM="dumb")


def test_run_starts_a_run_and_says_which(service: Service) -> None:
    """Its record names the user, and has no slot."""
    done = ask(service, "run", "daily")
    run_id = done.stdout.split()[1]

    assert (done.returncode, done.stderr.startswith("note: the next slot, ")) == (0, True)
    (record,) = service.wait_for("SUCCESS", run_id=run_id)
    assert (record["trigger"], record["by"], "scheduled" in record) == ("manual", str(os.getuid()), False)


def test_run_wait_gives_output_and_exit_status(service: Service) -> None:
    """What the job printed goes to standard output, how it ended to standard error."""
    good, bad = ask(service, "run", "daily", "--wait"), ask(service, "run", "fails", "--wait")

    assert (good.returncode, sorted(good.stdout.splitlines())) == (0, ["done", "oops"])
    assert re.match(r"SUCCESS after (\d+ms|\d\.\ds) exit_code=0\n", good.stderr)
    assert (bad.returncode, bad.stdout) == (1, "why\n")
    assert "reason=exit exit_code=3" in bad.stderr
    (reply,) = answer(service, "run", "fails", "--wait")
    assert (reply["record"]["status"], reply["record"]["exit_code"], reply["output"]) == ("FAILURE", 3, "why")


def test_what_a_job_prints_cannot_command_the_terminal(service: Service) -> None:
    """Neither by its output nor by the words of its error; lines and tabs stay. With `--raw` a pipe gets the bytes."""
    script = r"printf 'a\tb\n\033]0;pwn\007\033[2J\302\233\342\200\256\n'; exit 126"
    service.write("hostile.json", job("hostile", "@yearly", script))
    service.wait_for("job.added", job_id="hostile")
    shown = on_a_terminal(service, "run", "hostile", "--wait", NO_COLOR="1")

    assert not set(shown) & {"\x1b", "\x07", "\x9b", "\u202e"}
    assert "a\tb\r\n\\x1b]0;pwn\\x07\\x1b[2J\\x9b\\u202e\r\n" in shown
    assert r"\x1b]0;pwn\x07" in ask(service, "run", "hostile", "--wait").stdout
    assert "\x1b]0;pwn\x07" in ask(service, "run", "hostile", "--wait", "--raw").stdout


def test_the_words_of_an_error_are_spelled_out_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where standard error is a file that is read on a terminal later."""
    record = {"status": "FAILURE", "duration": 1.0, "error": "\x1b]0;owned\x07\nSUCCESS"}
    TextDisplay(raw=False, headings=False).finish(record)

    assert capsys.readouterr().err == "FAILURE after 1.0s error=\\x1b]0;owned\\x07\\nSUCCESS\n"


@pytest.mark.parametrize("name", ["off", "past", "once", "rotten"])
def test_run_works_on_jobs_that_have_no_slot_to_come(service: Service, name: str) -> None:
    """Disabled, expired, done; of a stale one the last good version."""
    assert ask(service, "run", name, "--wait").returncode == 0


def test_run_respects_overlap(service: Service) -> None:
    """A job that skips is skipped, with a record; one that queues has one place to wait."""
    for name in ("busy", "held"):
        done = ask(service, "run", name)
        assert (done.returncode, "its last run is still in progress" in done.stdout) == (1, True)
        service.wait_for("SKIPPED", job_id=name, reason="overlap", trigger="manual")


def test_ctrl_c_ends_the_waiting_and_not_the_run(service: Service, tmp_path: Path) -> None:
    """The job goes on, and there is no trace of the interpreter's."""
    go = tmp_path / "go"
    service.write("patient.json", job("patient", "@yearly", hold(go)))
    service.wait_for("job.added", job_id="patient")
    command = [sys.executable, str(ROOT / "main.py"), "run", "patient", "--wait", "--socket", str(service.socket)]
    with subprocess.Popen(["env", "--default-signal=INT", *command], stderr=subprocess.PIPE, text=True) as waiting:
        (begun,) = service.wait_for("run.started", job_id="patient")
        waiting.send_signal(signal.SIGINT)
        _, errors = waiting.communicate(timeout=20)
    go.touch()

    assert (waiting.returncode, "Traceback" in errors) == (130, False)
    service.wait_for("SUCCESS", run_id=begun["run_id"])


def test_pause_and_resume(service: Service) -> None:
    """Its effect is shown, its user is logged, and it survives an edit; the second time changes nothing."""
    service.write("tick.json", job("tick", "* * * * * *", "true", tags=["fast"]))
    service.wait_for("SUCCESS", 1, job_id="tick")
    first, second = ask(service, "pause", "tag:fast", "--reason", "a test"), ask(service, "pause", "tag:fast")

    assert first.stdout == f"paused: `tag:fast` until it is resumed by {USER}: a test\n"
    assert second.stdout.startswith("already paused, for at least as long (1 job):\npaused: `tag:fast` until")
    service.wait_for("SKIPPED", 2, job_id="tick", reason="paused")
    service.write("tick.json", job("tick", "* * * * * *", "true", tags=["fast"], description="edited"))
    service.wait_for("job.updated", job_id="tick")
    service.wait_for("SKIPPED", len(service.words("SKIPPED", job_id="tick")) + 2, job_id="tick", reason="paused")
    (listed,) = answer(service, "list", "tick")
    assert (listed["state"], listed["next"], listed["tags"]) == ("paused", None, ["fast"])
    assert service.words("job.paused")[0]["by"] == str(os.getuid())
    assert f"  tag:fast  until it is resumed by {USER}: a test" in ask(service, "status").stdout
    assert f"with `tag:fast` until it is resumed, by {USER}: a test" in ask(service, "explain", "tick").stdout
    slot = service.words("SKIPPED", job_id="tick", reason="paused")[0]["scheduled"]
    told = ask(service, "explain", "tick", "--at", slot).stdout
    assert "was skipped: the job was paused" in told
    assert f", with `tag:fast` by {USER}: a test" in told

    ran = len(service.words("SUCCESS", job_id="tick"))
    resumed = ask(service, "resume", "t?ck")
    assert resumed.stdout == "goes on: the pause of `tag:fast`, without `t?ck`\n`tick` runs again\n"
    assert "nothing of that was paused" in ask(service, "resume", "tick").stdout
    service.wait_for("SUCCESS", ran + 1, job_id="tick")
    assert ask(service, "resume", "tag:fast").stdout == "ended: the pause of `tag:fast`\n"
    (service.jobs / "tick.json").unlink()
    service.wait_for("job.removed", job_id="tick")


def test_several_jobs_are_run_at_once(service: Service) -> None:
    """By id and by pattern; the exit status is that of the worst, and one that is refused stops no other."""
    done = ask(service, "run", "fail?", "daily", "--wait")
    assert (done.returncode, "why" in done.stdout, "done" in done.stdout) == (1, True, True)
    assert ask(service, "run", "dail?", "--wait").returncode == 0
    begun = answer(service, "run", "daily", "fails")
    assert [one["job_id"] for one in begun] == ["daily", "fails"]
    wrong = ask(service, "run", "daily", "tag:nope")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "no job has the tag `nope`" in wrong.stderr
    service.wait_for("FAILURE", len(service.words("run.requested", job_id="fails")), job_id="fails")
    service.wait_for("SUCCESS", len(service.words("run.requested", job_id="daily")), job_id="daily")


def test_a_pause_has_an_end_and_several_jobs(service: Service) -> None:
    """Of what is named, until a time or for a while; the answer says what is in force."""
    (paused,) = answer(service, "pause", "daily", "off", "--for", "90m", "--reason", "r")
    assert (paused["changed"], paused["jobs"], len(paused["pauses"])) == (True, ["daily", "off"], 2)
    assert paused["pauses"] == paused["in_force"]
    (longer,) = answer(service, "pause", "--all", "--until", "2190-01-01T00:00Z")
    assert (longer["pauses"][0]["jobs"], longer["pauses"][0]["until"]) == ("*", "2190-01-01T00:00:00Z")
    assert len(longer["in_force"]) == 3
    assert "daily" in longer["jobs"]
    (resumed,) = answer(service, "resume", "daily")
    assert [one["jobs"] for one in resumed["ended"]] == ["daily"]
    assert [(one["jobs"], one["except"]) for one in resumed["exempt"]] == [("*", ["daily"])]
    assert "all jobs except `daily`  until 2190-01-01" in ask(service, "status").stdout
    assert len(answer(service, "resume", "--all")[0]["ended"]) == 2


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["pause"], 2, "name jobs, or `--all`"),
        (["pause", "--all", "daily"], 2, "name jobs, or `--all`, not both"),
        (["pause", "daily", "--for", "soon"], 2, "`soon` is not a duration"),
        (["pause", "daily", "--for", "1h", "--until", "06:00"], 2, "exclude each other"),
        (["pause", "daily", "--until", "2020-01-01T00:00Z"], 1, "a pause ends in the future"),
        (["pause", "daily", "--reason", "x" * 201], 1, "the reason of a pause has at most 200 characters"),
        (["pause", "daily", "--reason", "two\nlines"], 1, "the reason of a pause is one line of text"),
        (["pause", "daily", "bill-*"], 1, "no job matches `bill-*`"),
        (["pause", "tag:nope"], 1, "no job has the tag `nope`"),
        (["resume", "dai*", "nope"], 1, "there is no job `nope`"),
    ],
)
def test_a_wrong_pause_changes_nothing_and_says_why(
    service: Service, arguments: list[str], status: int, said: str
) -> None:
    """Also where others of the jobs are known."""
    before = len(service.words("job.paused"))
    done = ask(service, *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert len(service.words("job.paused")) == before


@pytest.mark.parametrize("verb", ["run", "pause", "resume"])
def test_an_unknown_job_is_refused_with_a_suggested_id(service: Service, verb: str) -> None:
    """Also when its file is refused: then that is why."""
    near, refused = ask(service, verb, "dayli"), ask(service, verb, "broken")

    assert (near.returncode, near.stdout) == (1, "")
    assert near.stderr == "error: there is no job `dayli`\n help: did you mean `daily`?\n"
    assert refused.returncode == 1
    assert "the file `broken.json` is refused" in refused.stderr


def test_status_is_a_check_of_health(service: Service) -> None:
    """All that is wrong is named, with place and help; the exit status says that something is."""
    done = ask(service, "status")

    assert done.returncode == 1
    assert ": the service is well, " in done.stdout
    assert "broken.json:3:3  unknown field `shedule` - did you mean `schedule`?" in done.stdout
    assert re.search(r"^running +\d  (busy|held) ", done.stdout, re.MULTILINE)
    assert f"log        {service.log}\n" in done.stdout
    (reply,) = answer(service, "status")
    assert (reply["pid"], reply["issues"], reply["late_part"]) == (service.process.pid, [], None)
    assert reply["last_tick_age"] < 60
    assert {one["state"] for one in reply["problems"]} == {"refused", "stale"}


def test_explain_asks_the_service(service: Service) -> None:
    """What only that knows: that the job is disabled by its file is not all; where its log is it says itself."""
    done = ask(service, "explain", "rotten")
    assert done.returncode == 0
    assert "its last good version is active" in done.stdout
    assert "disabled" in ask(service, "explain", "off").stdout
    assert ask(service, "explain", "broken").returncode == 1


@pytest.mark.parametrize("verb", EVERY_VERB)
def test_without_a_service_a_verb_says_what_to_do(tmp_path: Path, verb: str) -> None:
    """Exit status 3, one problem, no trace."""
    done = ask(Service(tmp_path), verb, *EVERY_VERB[verb], JOBSCHEDULER_JOBS_DIR=str(tmp_path / "jobs.d"))

    assert done.returncode == 3
    assert f"no service is reachable: there is no socket `{tmp_path / 'control.sock'}`" in done.stderr
    assert "systemctl status jobscheduler" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", EVERY_VERB)
def test_each_verb_helps_with_examples(verb: str) -> None:
    """And takes `--json`."""
    command = [sys.executable, str(ROOT / "main.py"), verb, "--help"]
    done = run_program(command, text=True)

    assert done.returncode == 0
    assert f"  jobscheduler {verb}" in done.stdout
    assert "--json" in done.stdout
    assert "Exit status:" in done.stdout


def test_a_healthy_service_says_so(tmp_path: Path) -> None:
    """Exit status 0, and nothing on standard error; one without its directory says why, and the way out."""
    made = Service(tmp_path)
    made.write("x.json", job("x", "@yearly", "true"))
    made.start()
    done = ask(made, "status")
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    assert "the service is well, 1 job, " in done.stdout
    made.jobs.rename(tmp_path / "elsewhere")
    made.wait_for("directory.lost")
    done = ask(made, "status")
    assert done.returncode == 1
    why = f"the jobs directory `{made.jobs}` does not exist: the last known jobs stay active"
    assert f"service     1  {why} (help: make it: `mkdir -p {made.jobs}`)" in done.stdout
    assert made.stop() == 0


def test_a_service_without_its_socket_runs_jobs_all_the_same(tmp_path: Path) -> None:
    """One warning with the way out."""
    made = Service(tmp_path)
    made.socket = tmp_path / "missing" / "control.sock"
    made.write("x.json", job("x", "* * * * * *", "true"))
    made.start()
    made.wait_for("SUCCESS")
    (warning,) = made.wait_for("control.unavailable")
    assert warning["help"].startswith(f"make its directory with `mkdir -p {tmp_path / 'missing'}`")
    assert made.stop() == 0


def test_a_queued_run_at_a_stop_is_reported_to_the_waiting_client(tmp_path: Path) -> None:
    """`run --wait` ends when the service does."""
    made = Service(tmp_path)
    made.write("x.json", job("x", "@yearly", "sleep 30"))
    made.start()
    command = [sys.executable, str(ROOT / "main.py"), "run", "x", "--wait", "--socket", str(made.socket)]
    impatient = {"cli.service_restart.RETURN_S": 1.0}  # it waits less for the service to come back
    with start_program(command, constants=impatient, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as waiting:
        made.wait_for("run.started")
        made.process.send_signal(signal.SIGTERM)
        made.wait_for("service.stopping")
        made.process.send_signal(signal.SIGTERM)
        made.process.wait(20)
        waiting.communicate(timeout=40)
    assert waiting.returncode in {1, 3}
    wait_until(lambda: made.words("FAILURE", reason="shutdown"))


def test_a_run_by_hand_has_its_record_after_a_crash(tmp_path: Path) -> None:
    """One that had begun, and one that waited for it; both name the user."""
    made = Service(tmp_path)
    made.write("x.json", job("x", "@yearly", "sleep 60", overlap="queue"))
    made.start()
    first, second = (answer(made, "run", "x")[0]["run_id"] for _ in range(2))
    made.wait_for("run.started", run_id=first)
    made.wait_for("run.requested", run_id=second)
    assert made.stop(signal.SIGKILL) == -signal.SIGKILL
    made.start()

    by = str(os.getuid())
    assert made.wait_for("FAILURE", run_id=first, reason="interrupted", trigger="manual", by=by)
    assert made.wait_for("MISSED", run_id=second, reason="down", trigger="manual", by=by)
    assert made.stop() == 0
    made.start()
    assert made.stop() == 0
    assert len(made.words("MISSED")) == len(made.words("FAILURE")) == 1
