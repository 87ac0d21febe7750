"""What the command line says about what the host refuses."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace

import pytest

from jobscheduler import cli


def test_a_refusal_of_the_host_names_the_path(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """`Permission denied` alone says neither what nor where."""

    def refuse(_arguments: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/var/log/x.log")

    monkeypatch.setattr(cli, "_silence", lambda: None)
    monkeypatch.setattr(cli, "_parser", lambda _: SimpleNamespace(parse_args=lambda _: SimpleNamespace(verb="list")))
    monkeypatch.setattr(cli, "_module", lambda _: SimpleNamespace(run=refuse))
    assert cli.main(["list"]) == 1
    assert capfd.readouterr().err == "jobscheduler: /var/log/x.log: Permission denied\n"
