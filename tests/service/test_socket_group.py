"""A service that opens its control socket to a group of operators."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.service import job, wait_until
from tests.support.settings_place import Place, place
from tests.support.throwaway_users import ThrowawayGroup, ThrowawayUser

__all__ = ["place"]

ASK = """
import socket, sys
with socket.socket(socket.AF_UNIX) as client:
    try:
        client.connect(sys.argv[1])
    except PermissionError:
        sys.exit("refused")
    client.sendall(f"{sys.argv[2]} HTTP/1.0\\r\\n\\r\\n".encode())
    print(client.makefile("r").readline().split()[1])
"""


@pytest.fixture
def open_place(place: Place) -> Iterator[Place]:
    """One whose socket is in a directory that all users may enter, as `/run/scheduler` is."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        place.service.socket = Path(folder) / "control.sock"
        place.settings["socket"] = str(place.service.socket)
        yield place
        with suppress(ProcessLookupError):
            place.service.close()


def ask(user: ThrowawayUser, place: Place, request: str, *groups: int) -> str:
    """Return the status of the answer that a user gets, or why there is none."""
    command = ["/usr/bin/python3", "-c", ASK, str(place.service.socket), request]
    with user.popen(command, groups=groups, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        said = process.communicate(timeout=30)
    return b"".join(said).decode().strip()


def test_a_member_of_the_group_may_ask_and_another_user_may_not(
    open_place: Place, alice: ThrowawayUser, mallory: ThrowawayUser, operators: ThrowawayGroup
) -> None:
    """The log names the member; jobs run with the group of the service as before."""
    open_place.write(socket_group=operators.name)
    open_place.service.write("a.json", job("a", "@manual", "test $(id -g) = 0"))
    open_place.start()
    assert ask(alice, open_place, "GET /v1/status", operators.gid) == "200"
    assert ask(alice, open_place, "POST /v1/jobs/a/run", operators.gid) == "202"
    assert ask(mallory, open_place, "GET /v1/status") == "refused"
    assert ask(alice, open_place, "GET /v1/status") == "refused"
    (record,) = open_place.service.wait_for("SUCCESS", job_id="a")
    assert record["by"] == str(alice.uid)
    assert open_place.verb("status").returncode == 0
    assert not open_place.service.words("control.group_refused")

    entry = json.loads(open_place.verb("config", "--json").stdout)["settings"]["socket-group"]
    assert entry == {"value": operators.name, "origin": f"{open_place.file}:4"}
    open_place.write(socket_group="root")
    assert "need a restart: socket-group;" in open_place.verb("reload").stdout
    assert ask(alice, open_place, "GET /v1/status", operators.gid) == "200"


def test_a_group_that_does_not_exist_stops_no_job(open_place: Place, alice: ThrowawayUser) -> None:
    """A warning and an issue; the socket stays with the group of the service, by which root reaches it."""
    open_place.write(socket_group="no-such-group")
    open_place.service.write("a.json", job("a", "@reboot"))
    open_place.start()
    open_place.service.wait_for("SUCCESS", job_id="a")
    (warning,) = open_place.service.wait_for("control.group_refused")
    assert (warning["level"], warning["group"]) == ("WARNING", "no-such-group")
    assert warning["problem"] == "this host knows no group `no-such-group`"
    status = wait_until(lambda: found if (found := open_place.verb("status")).returncode == 1 else None)
    assert "the group of the control socket cannot be used: this host knows no group" in " ".join(status.stdout.split())
    made = open_place.service.socket.stat()
    assert (made.st_gid, made.st_mode & 0o777) == (0, 0o660)
    assert ask(alice, open_place, "GET /v1/status") == "refused"
    assert open_place.service.stop() == 0
