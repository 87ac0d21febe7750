"""What the command line says about what the host refuses."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace

import pytest

from jobscheduler import cli
from jobscheduler.cli import run_verb


def test_a_refusal_of_the_host_names_the_path(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """`Permission denied` alone says neither what nor where."""

    def refuse(_arguments: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/var/log/x.log")

    monkeypatch.setattr(run_verb, "discard_output", lambda: None)
    module = SimpleNamespace(run=refuse, EXAMPLES="", add_arguments=lambda _: None)
    monkeypatch.setattr(run_verb, "_module", lambda _: module)
    assert cli.main(["list"]) == 1
    assert capfd.readouterr().err == "error: /var/log/x.log: Permission denied\n"
