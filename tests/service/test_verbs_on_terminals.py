"""Every verb as a process: in 80 and in 200 columns, in a pipe, and with the variables that say about colour."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import Iterator

import pytest

from jobscheduler.cli.table import display_width
from jobscheduler.cli.verbs import VERBS
from tests.support.fork_server import run_program, start_program
from tests.support.service import ROOT, Service, job

LONG = "a-" + "very-long-identifier-" * 6  # as long as an id may be
LONG_IDS = (LONG[:100] + "-one", LONG[:100] + "-two")
MIDDLE = "backup-of-the-database-at-the-other-site"  # as wide as the column of ids becomes
WIDE = "日本語のジョブ" * 9
OUTPUT = f"{WIDE} e\u0301 \U0001f600 an end that is told in many words for a line of eighty columns"

VERBS_SHOWN: dict[str, list[list[str]]] = {
    "status": [[]],
    "list": [[], ["--failing"], ["--sort", "name"], ["wide"]],
    "history": [[], ["--stats"], ["wide"]],
    "output": [["fails"], ["wide"], ["--failed"]],
    "agenda": [["--to", "2d"]],
    "next": [["daily", "-n", "3"], [MIDDLE], ["--cron", "*/5 1,2 * * mon-fri"]],
    "explain": [["fails"], ["wide"], [LONG_IDS[0]], ["rotten"]],
    "cluster": [[]],
    "run": [["daily"], ["wide", "--wait"], ["fail"]],
    "stop": [["daily"], ["tag:nope"]],
    "pause": [["daily", "--for", "1h", "--reason", WIDE]],
    "resume": [["daily"], ["daily"]],
    "alert": [["test", "alerting"], ["test", "daily"]],
    "validate": [["JOBS"]],
    "plan": [["JOBS"]],
    "config": [[]],
    "reload": [[]],
    "db": [["list"]],
}
"""What each verb is asked; `JOBS` is the jobs directory."""
CALLS = [(verb, *words) for verb, calls in VERBS_SHOWN.items() for words in calls]
ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with jobs whose ids, outputs, descriptions and problems are long or wide."""
    made = Service(tmp_path_factory.mktemp("terminals"))
    made.write("daily.json", job("daily", "0 1 * * *", "echo done", description=WIDE, tags=["night"]))
    made.write("fails.json", job("fails", "0 1 * * *", f"echo '{OUTPUT}'; exit 3", timezone="Europe/Berlin"))
    made.write("wide.json", job("wide", "*/7 * * * *", f"echo '{OUTPUT}'"))
    made.write("middle.json", job(MIDDLE, "5 4 * * sun", "true", jitter="30m"))
    made.write("alerting.json", job("alerting", "@manual", "true", on_failure=job("x", "@yearly", "true")["task"]))
    for number, job_id in enumerate(LONG_IDS):
        made.write(f"{number}.json", job(job_id, "0 1 * * *", "echo why; exit 1"))
    made.write("rotten.json", job("rotten", "@yearly", "true"))
    made.write(f"{WIDE[:40]}.json", '{\n  "job_id": "broken",\n  "' + WIDE[:50] + '": "* * * * *"\n}')
    made.start()
    made.write("rotten.json", "{")
    made.wait_for("job.stale", job_id="rotten")
    ask(made, "run", "fails", "wide", *LONG_IDS, "--wait")
    yield made
    made.stop(signal.SIGTERM)


def command(service: Service, words: tuple[str, ...]) -> list[str]:
    """The command line of a user."""
    named = [str(service.jobs) if word == "JOBS" else word for word in words]
    options = ["--socket", str(service.socket)] if words[0] not in {"config", "db"} else []
    logged = ["--log-file", str(service.log)] if words[0] in {"history", "output", "explain"} else []
    return [sys.executable, str(ROOT / "main.py"), *named, *options, *logged]


def environment(**more: str) -> dict[str, str]:
    """The variables of a user, without those about terminals but these."""
    others = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM"}
    return {**{key: value for key, value in os.environ.items() if key not in others}, "TZ": "UTC", **more}


def ask(service: Service, *words: str, **more: str) -> str:
    """What the command writes into a pipe."""
    done = run_program(command(service, words), env=environment(**more), text=True)
    assert "Traceback" not in done.stderr
    return str(done.stdout + done.stderr)


def on_a_terminal(service: Service, words: tuple[str, ...], columns: int, **more: str) -> str:
    """What the command writes on a terminal of so many columns, which it learns from the terminal itself."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    variables = environment(TERM="xterm", **more)
    with start_program(command(service, words), env=variables, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        parts = []
        try:
            while part := os.read(ours, 65536):
                parts.append(part)
        except OSError:  # the other end is closed
            pass
        process.wait(30)
    os.close(ours)
    return b"".join(parts).decode().replace("\r\n", "\n")


def test_every_verb_is_looked_at() -> None:
    """But for the service itself, what prints a program, and what reads tables of other schedulers."""
    assert set(VERBS_SHOWN) == set(VERBS) - {"serve", "completion", "import"}


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("words", CALLS, ids=lambda words: " ".join(words)[:40])
def test_a_verb_keeps_to_its_terminal_and_cuts_no_id(service: Service, words: tuple[str, ...], columns: int) -> None:
    """A word that is wider than the terminal stays whole on a line of its own, for it is copied; so does output."""
    shown = on_a_terminal(service, words, columns, **({"NO_COLOR": "1"} if columns == 200 else {}))
    plain = ESCAPE.sub("", shown)

    assert shown.strip()
    assert "Traceback" not in shown
    assert [line for line in plain.split("\n") if display_width(line) > columns and not may_be_wider(line)] == []
    assert not re.search(r"(a-very|backup-of)[^\s`]*…", plain)
    if columns == 200:
        assert shown == plain
    if words[0] in TABLES:
        assert_aligned(plain)


@pytest.mark.parametrize("words", CALLS, ids=lambda words: " ".join(words)[:40])
def test_a_pipe_gets_whole_lines_and_no_colour_unless_that_is_forced(service: Service, words: tuple[str, ...]) -> None:
    """Forced colours change nothing else, and `NO_COLOR` wins."""
    assert "\x1b" not in ask(service, *words, FORCE_COLOR="1", NO_COLOR="1")
    forced = ask(service, *words, FORCE_COLOR="1")
    assert "\x1b" in forced or words[0] in PLAIN
    assert words[0] not in TABLES or "…" not in forced


TABLES = {"list", "agenda", "history"}
PLAIN = {
    "cluster",
    "next",
    "explain",
    "pause",
    "resume",
    "reload",
    "run",
}  # with nothing to colour, but for problems and results
_ONE_WORD = re.compile(r" *(?:-->|! refused|paused:|also|(?:failing|files) +\d+|\d+ \|)? *\S+")


def may_be_wider(line: str) -> bool:
    """Whether a line is one word that is wider than a terminal, or what a job has printed."""
    return bool(_ONE_WORD.fullmatch(line)) or OUTPUT in line


def assert_aligned(text: str) -> None:
    """No cell reaches into the next column: the columns of a table that are blank in all lines part its titles."""
    lines = [line for line in text.splitlines() if line and not may_be_wider(line)]
    rows = [line for line in lines if not re.match(r"\d+ jobs?\b|also ", line)]
    blank = [all(column(row, at) == " " for row in rows) for at in range(max(map(display_width, rows)))]
    runs = [at for at, is_blank in enumerate(blank) if not is_blank and (at == 0 or blank[at - 1])]
    assert len(runs) >= len(re.split(r" {2,}", rows[0])), text


def column(row: str, at: int) -> str:
    """The character in a column of a terminal."""
    for character in row:
        at -= display_width(character)
        if at < 0:
            return character
    return " "
