"""Whether the page may be served: the extra, the address, the token file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from jobscheduler.model import Problem
from jobscheduler.web import WebConfigError, load_token, setup

HERE, ABROAD = ("127.0.0.1", 9080), ("0.0.0.0", 9080)
TOKEN = "0123456789abcdef" * 2


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A token file as it should be."""
    made = tmp_path / "token"
    made.write_text(f"{TOKEN}\n")
    made.chmod(0o600)
    return made


def problem(address: tuple[str, int], file: Path | None) -> Problem:
    with pytest.raises(WebConfigError) as caught:
        load_token(address, file)
    return caught.value.problem


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1"])
def test_this_host_alone_needs_no_token(host: str, file: Path) -> None:
    """A token that is given holds all the same."""
    assert load_token((host, 9080), None) is None
    assert load_token((host, 9080), file) == TOKEN


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "2001:db8::1"])
def test_an_address_that_others_reach_is_refused_without_a_token(host: str, file: Path) -> None:
    """With the reason, and both ways out."""
    answer = problem((host, 9080), None)
    assert "every host" in answer.message
    assert answer.help
    assert "--http-token-file" in answer.help
    assert "--http 127.0.0.1:9080" in answer.help
    assert load_token((host, 9080), file) == TOKEN


def test_without_the_extra_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything else, and at the start, not at the first request."""
    monkeypatch.setattr(setup, "_LIBRARIES", ("waitress", "not_there"))
    answer = problem(HERE, None)
    assert answer.help
    assert "make install EXTRAS=web" in answer.help


def mended(answer: Problem, file: Path) -> bool:
    """Run the command of the help; return whether another file has replaced this one."""
    before = file.stat().st_ino
    subprocess.run(str(answer.help).split("`")[1], shell=True, check=True)
    return file.stat().st_ino != before


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o602, 0o601])
def test_a_token_that_others_may_read_or_write_is_none(file: Path, mode: int) -> None:
    """The help mends it: by a copy where others could write, who may still have the file open."""
    file.chmod(mode)
    assert mended(problem(ABROAD, file), file) == (mode & 0o022 != 0)
    assert load_token(ABROAD, file) == TOKEN


def test_a_group_may_read_the_token(file: Path) -> None:
    """The scraper's, for example."""
    file.chmod(0o640)
    assert load_token(ABROAD, file) == TOKEN


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_token_of_another_user_is_none(file: Path) -> None:
    """Who could change it could also read the page."""
    os.chown(file, 65534, -1)
    assert mended(problem(ABROAD, file), file)
    assert load_token(ABROAD, file) == TOKEN


@pytest.mark.parametrize("text", ["", "\n", "two words and more", "a" * 16 + "\n" + "b" * 16, "é" * 16, "a" * 5000])
def test_what_is_no_token_is_refused_with_the_command_that_makes_one(file: Path, text: str) -> None:
    """The text itself is not shown."""
    file.write_text(text)
    answer = problem(ABROAD, file)
    assert answer.help == f"make one with `(umask 077; openssl rand -hex 32 > {file})`"
    assert text.strip() == "" or text.strip() not in answer.message


def test_a_short_token_is_refused(file: Path) -> None:
    """It could be guessed."""
    file.write_text("secret")
    assert "fewer than 16 characters" in problem(ABROAD, file).message


def test_a_file_that_is_not_there_or_is_no_file_is_refused(tmp_path: Path) -> None:
    """A pipe without a writer would hold up the start."""
    assert "No such file" in problem(HERE, tmp_path / "none").message
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "not a regular file" in problem(HERE, tmp_path / "pipe").message
    assert problem(HERE, tmp_path).message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_way_to_a_token_counts(file: Path) -> None:
    """Who may exchange a directory on it decides what the token is."""
    os.chown(file.parent, 65534, -1)
    answer = problem(ABROAD, file)
    assert f"cannot be trusted: `{file.parent}` belongs to `nobody`" in answer.message
    assert answer.help
