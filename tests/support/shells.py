"""Real shells, in which a user presses Tab: bash and zsh on a terminal of their own, fish by its own engine."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from tests.support.service import ROOT

SCRIPTS = ROOT / "jobscheduler/cli/shells"
LIMIT_S = 30.0  # seconds until a shell has answered
_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[=>]|\([A-Z])|\r|\x07")
_BUFFER = "\x18\x02"  # the key that shows what is on the line: Ctrl-X Ctrl-B

_BASH = """
bind 'set enable-bracketed-paste off' 'set page-completions off' 'set completion-query-items 0' 'set bell-style none'
bind -x '"\\C-x\\C-b": printf "\\nLINE<%s>\\n" "$READLINE_LINE"'
source '{script}'
"""
_ZSH = """
PROMPT='$ '; LISTMAX=10000; unsetopt beep zle_bracketed_paste prompt_sp; zmodload zsh/complist
fpath=('{folder}' $fpath); autoload -Uz compinit; compinit -D -u
show-line() {{ print; print -r -- "LINE<$BUFFER>"; zle reset-prompt }}; zle -N show-line; bindkey '^X^B' show-line
"""


def command_folder(base: Path) -> Path:
    """Make a directory for `PATH` with the command of the checkout."""
    folder = base / "bin"
    folder.mkdir()
    command = folder / "jobscheduler"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/main.py "$@"\n')
    command.chmod(0o755)
    return folder


def environment(base: Path, folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a shell that knows nothing of the user of the tests."""
    path = f"{folder}:/usr/local/bin:/usr/bin:/bin:/usr/sbin"
    return {"PATH": path, "HOME": str(base), "TERM": "xterm", "LANG": "C.UTF-8", "TZ": "UTC", **more}


class Terminal:
    """bash or zsh on a terminal, with the script of `completion` in force."""

    def __init__(self, shell: str, base: Path, folder: Path, **more: str) -> None:
        start = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}[shell]
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (500, 200))
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *start],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=base,
            env=environment(base, folder, more),
        )
        os.close(theirs)
        (base / ".setup").write_text(_setup(shell, base))
        os.write(self._ours, b" . ./.setup; echo REA''DY\n")
        self._read_until("READY\r?\n")

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def tab(self, line: str, key: str = "\t") -> tuple[str, str]:
        """Type a line and press Tab; return what is on the line then, and what was shown below it."""
        os.write(self._ours, f"{line}{key}{_BUFFER}".encode())
        shown = _ESCAPE.sub("", self._read_until("LINE<.*>\r?\n"))
        found = re.search("LINE<(.*)>\n", shown)
        assert found
        os.write(self._ours, b"\x05\x15")  # Ctrl-E Ctrl-U
        return found[1], shown[: found.start()]

    def _read_until(self, pattern: str) -> str:
        text, end = "", time.monotonic() + LIMIT_S
        while not re.search(pattern, text):
            assert time.monotonic() < end, f"the shell showed {text!r}"
            if select.select([self._ours], [], [], 0.5)[0]:
                text += os.read(self._ours, 65536).decode("utf-8", "replace")
        return text


def _setup(shell: str, base: Path) -> str:
    if shell == "bash":
        return _BASH.format(script=SCRIPTS / "jobscheduler.bash")
    functions = base / "functions"
    functions.mkdir()
    (functions / "_jobscheduler").write_bytes((SCRIPTS / "jobscheduler.zsh").read_bytes())
    return _ZSH.format(folder=functions)


def fish(line: str, base: Path, folder: Path, **more: str) -> dict[str, str]:
    """Return the candidates of fish for a line, each with its description."""
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source {SCRIPTS}/jobscheduler.fish; complete -C $argv[1]", line],
        cwd=base,
        env=environment(base, folder, more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_S,
    )
    assert done.stderr == ""
    return dict(line.partition("\t")[::2] for line in done.stdout.splitlines())
