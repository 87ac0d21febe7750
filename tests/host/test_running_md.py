"""RUNNING.md does what it says.

Its fenced blocks are executed in order, in a copy of the checkout:

- `console`: a line after `$` is run as a shell command and one after `#` as root in a booted machine; the lines below
  it are compared with what it prints. `make run` and the service stay in the foreground, so they are started and go on.
- `text`: lines that the service in the foreground prints, in this order, perhaps with others between. There may be a
  second one in another terminal; then they are its lines.
- `json`: a file, saved under the name at the end of the paragraph before.

Instants, ids, durations and processor time may differ. A line `…` stands for any lines, and `…` within a line for any
text.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.booted import booted, copy_of_the_checkout, filled, without_make
from tests.support.executed_pages import (
    AS_IN_A_TERMINAL,
    blocks,
    commands,
    file_of,
    in_machine,
    is_as_shown,
    pattern_of,
    plain,
    run_as_shown,
)
from tests.support.service import ROOT, parse_line, wait_until

PAGE = (ROOT / "RUNNING.md").read_text("utf-8")
CUT = "## As a service of the host"


class Terminal:
    """A command that stays in the foreground of a terminal of its own."""

    def __init__(self, checkout: Path, command: str, number: int) -> None:
        self._seen = checkout.parent / f"terminal-{number}"
        with self._seen.open("wb") as output:
            environment = {**without_make(), "TZ": "UTC"}
            self.process = subprocess.Popen(
                shlex.split(command),
                cwd=checkout,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_hearing_ctrl_c,  # noqa: PLW1509 - a test without threads
            )
        self._from = 0

    def lines(self) -> list[str]:
        """What it has shown so far, complete lines."""
        return [line[:-1] for line in self._seen.read_text("utf-8").splitlines(keepends=True) if line.endswith("\n")]

    def wait_for(self, shown: list[str], seconds: float) -> None:
        """Wait until these lines have appeared, in this order, after what was waited for before."""

        def appeared() -> bool:
            lines, at = [plain(line) + "\n" for line in self.lines()], self._from
            for pattern in map(pattern_of, ([line] for line in shown)):
                at = next((number for number in range(at, len(lines)) if pattern.fullmatch(lines[number])), -1) + 1
                if not at:
                    return False
            self._from = at
            return True

        try:
            wait_until(appeared, seconds)
        except pytest.fail.Exception as failure:
            pytest.fail(f"{failure}\nshown:\n" + "\n".join(shown) + "\nappeared:\n" + "\n".join(self.lines()[-30:]))

    def press_ctrl_c(self) -> None:
        """What a terminal does: the signal goes to everybody in its foreground."""
        os.killpg(self.process.pid, signal.SIGINT)

    def close(self) -> None:
        """End everything in it."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(20)


def _hearing_ctrl_c() -> None:
    """Begin as in a terminal: what a shell starts in the background has Ctrl-C ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def in_directory(directory: Path) -> Callable[[str], tuple[int, str]]:
    """Running shell commands in a directory."""

    def run(command: str) -> tuple[int, str]:
        shell = ["sh", "-c", f"{AS_IN_A_TERMINAL}; {{ {command}\n}} 2>&1"]
        done = subprocess.run(shell, cwd=directory, capture_output=True, text=True, timeout=100, check=False)
        return done.returncode, done.stdout

    return run


@pytest.mark.timeout(400)  # it installs the packages first, on a disk that may be busy
def test_from_a_clone_to_a_job_that_fired_and_one_that_was_broken(tmp_path: Path) -> None:
    """The first half of the page, in a fresh copy of the checkout with nothing made yet."""
    checkout = copy_of_the_checkout(tmp_path / "clone")
    run, terminals = in_directory(checkout), list[Terminal]()
    try:
        for block in blocks(PAGE.partition(CUT)[0]):
            if "Ctrl-C" in block.before:
                terminals[0 if "first terminal" in block.before else -1].press_ctrl_c()
            if block.kind == "json":
                (checkout / file_of(block)).write_text(block.text, "utf-8")
            elif block.kind == "text":
                terminals[-1].wait_for(block.text.splitlines(), 30)
            else:
                assert block.kind == "console"
                for prompt, command, shown in commands(block):
                    assert prompt == "$"
                    if command == "make run" or "main.py --" in command:
                        if terminals and "another terminal" not in block.before:
                            assert terminals.pop().process.wait(20) in {-signal.SIGINT, 0}  # the first is how make ends
                        terminals.append(Terminal(checkout, command, len(terminals)))
                        terminals[-1].wait_for(shown, 100)
                    else:
                        run_as_shown(run, command, shown)
        assert [terminal.process.wait(20) for terminal in terminals] == [0, 0]
    finally:
        for terminal in terminals:
            terminal.close()
    lines = [parse_line(line) for line in (checkout / "var/scheduler.log").read_text("utf-8").splitlines()]
    first = next(line for line in lines if line["word"] == "SUCCESS")
    waited = datetime.fromisoformat(first["time"]) - datetime.fromisoformat(lines[0]["time"])
    assert waited.total_seconds() < 10
    assert (lines[0]["word"], lines[-1]["word"]) == ("service.alive", "service.stopped")


@pytest.mark.systemd
def test_as_a_service_of_the_host(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The second half: what needs the internet is done here, the rest as root in a machine that has none."""
    wheels = filled(tmp_path_factory.getbasetemp())
    with booted(wheels.checkout) as machine:
        for block in blocks(PAGE.partition(CUT)[2]):
            if block.kind == "json":
                machine(f"cat > {file_of(block)} <<'END'\n{block.text}END")
            for prompt, command, shown in commands(block):
                if prompt == "$":
                    assert command == "make wheels"  # was done in this very directory, once for all tests
                    assert is_as_shown(wheels.said, shown), wheels.said
                else:
                    run_as_shown(in_machine(machine, wheels.checkout), command, shown)


def test_every_block_of_the_page_is_of_a_kind_that_is_executed() -> None:
    """Each job file is valid JSON with a name to save it under, and no block escapes."""
    every = blocks(PAGE)
    assert len(every) == PAGE.count("```") / 2
    assert {block.kind for block in every} == {"console", "text", "json"}
    for block in every:
        if block.kind == "json":
            assert json.loads(block.text)["job_id"] in file_of(block)
        if block.kind == "console":
            shown = sum(1 + len(lines) for _, _, lines in commands(block))
            assert shown == len(block.text.splitlines()), block.text


def test_the_example_of_the_readme_is_a_valid_job(tmp_path: Path) -> None:
    """It may be copied as it stands; all that may be warned of is that its script is not on this host."""
    (block,) = [one for one in blocks((ROOT / "README.md").read_text("utf-8")) if one.kind == "json"]
    (tmp_path / "example.json").write_text(block.text, "utf-8")
    command = f".venv/bin/python main.py validate --portable {shlex.quote(str(tmp_path))}"
    status, printed = in_directory(ROOT)(command.replace(".venv/bin/python", shlex.quote(sys.executable)))
    assert (status, printed) == (0, "1 file checked, no errors\n")
