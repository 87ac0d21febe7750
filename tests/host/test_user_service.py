"""A user's own service under the real systemd: its unit, its paths, the verbs that find it, and lingering.

One machine is booted for all of it, and the tests follow one another.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.booted import Machine, booted, filled_checkout
from tests.support.service import job, parse_line

__all__ = ["filled_checkout"]
pytestmark = pytest.mark.systemd

HOME = "/home/carla"
LOG = f"{HOME}/.local/state/scheduler/scheduler.log"
UNIT = "jobscheduler.service"


class Carla:
    """An ordinary user of the machine who is logged in: runs shell commands."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.uid = machine("id -u carla").strip()

    def line(self, command: str) -> str:
        """Return the command line by which root runs this as the user."""
        environment = f"env -i HOME={HOME} USER=carla PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 TZ=UTC"
        runtime = f"XDG_RUNTIME_DIR=/run/user/{self.uid}"
        return f"setpriv --reuid carla --regid carla --init-groups {environment} {runtime} sh -c {shlex.quote(command)}"

    def __call__(self, command: str, status: int = 0) -> str:
        """Run a command; return all that it printed."""
        done = self.machine.run(self.line(f"cd; {command}"))
        assert done.returncode == status, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}{self.story()}"
        return done.stdout + done.stderr

    def log(self) -> list[dict[str, str]]:
        """Return the lines of the log of her service."""
        text = self.machine.run(f"cat {LOG}").stdout
        return [parse_line(line[:-1]) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def words(self, word: str) -> list[dict[str, str]]:
        return [line for line in self.log() if line["word"] == word]

    def story(self) -> str:
        return self.machine.run("journalctl --no-pager -n 40").stdout

    def drop(self, definition: dict[str, object]) -> None:
        """Put a job file into her jobs directory."""
        name = definition["job_id"]
        self(f"cd .config/scheduler/jobs.d; echo {shlex.quote(json.dumps(definition))} > .new; mv .new {name}.json")


@pytest.fixture(scope="module")
def carla(filled_checkout: Path) -> Iterator[Carla]:
    """A user of a machine on which the scheduler is installed and the host's own service runs."""
    with booted(filled_checkout) as machine:
        machine("make install && systemctl enable --now jobscheduler", cwd=filled_checkout)
        machine("useradd --create-home --shell /bin/sh carla")
        machine("systemctl start dbus.socket systemd-logind && systemctl start user@$(id -u carla).service")
        yield Carla(machine)


def test_the_unit_for_users_is_what_systemd_expects(carla: Carla) -> None:
    """And it leaves the directories to the service, because systemd's own for users differ between versions."""
    assert carla(f"systemd-analyze --user --man=no verify {UNIT}") == ""
    text = carla(f"systemctl --user cat {UNIT}")
    directives = {line.partition("=")[0] for line in text.splitlines() if line[:1].isupper()}
    assert not {one for one in directives if one.endswith("Directory")}


def test_a_start_by_hand_without_its_paths_is_one_problem_with_three_ways_out(carla: Carla) -> None:
    """An ordinary user who follows the first line of the README."""
    carla.machine("mv /etc/scheduler /etc/away; mv /var/log/scheduler /var/log/away")
    said = carla("jobscheduler serve", status=1)
    carla.machine("mv /etc/away /etc/scheduler; mv /var/log/away /var/log/scheduler")
    assert said.count("error: ") == 1
    assert "`/etc/scheduler/jobs.d` does not exist; the log's directory `/var/log/scheduler` does not exist" in said
    for way in ("mkdir -p", "--jobs-dir DIR --log-file FILE", "`serve --user` runs a service of your own"):
        assert way in said


def test_a_socket_that_cannot_be_made_is_a_warning(carla: Carla) -> None:
    """Jobs run; only the verbs have nothing to ask."""
    paths = "--jobs-dir jobs.d --log-file by-hand.log"
    said = carla(f"mkdir jobs.d; timeout --preserve-status 2 jobscheduler serve {paths}")
    assert "WARNING control.unavailable" in said
    assert "INFO service.started" in said


def test_her_service_starts_with_her_directories_and_says_that_it_ends_with_her_login(carla: Carla) -> None:
    """They are hers alone, where the XDG rules put them."""
    carla("systemctl --user enable --now jobscheduler")

    (warned,) = carla.words("linger.off")
    assert warned["help"] == "`loginctl enable-linger carla`"
    for folder in (
        f"{HOME}/.config/scheduler/jobs.d",
        f"{HOME}/.local/state/scheduler",
        f"/run/user/{carla.uid}/scheduler",
    ):
        assert carla.machine(f"stat -c '%U %a' {folder}") == "carla 700\n"


def test_her_verbs_find_her_service_and_those_of_root_the_hosts(carla: Carla) -> None:
    """Both run; neither says anything of the other."""
    carla.drop(job("hers", "* * * * * *", "id -un"))
    carla.machine.wait("a run", lambda: carla.words("SUCCESS"))

    assert "hers" in carla("jobscheduler list")
    assert "carla" in carla("jobscheduler run hers --wait")
    assert "SUCCESS" in carla("jobscheduler history hers")
    assert f"log        {LOG}" in carla("jobscheduler status -v")
    assert "1 file checked, no errors" in carla("jobscheduler validate")
    assert "log        /var/log/scheduler/scheduler.log" in carla.machine("jobscheduler status -v")
    assert "may not be used" in carla("jobscheduler list --socket /run/scheduler/control.sock", status=3)


def test_her_settings_file_is_read_and_reloaded(carla: Carla) -> None:
    """The messages name the commands of her own systemd."""
    carla("printf 'timezone = \"Asia/Tokyo\"\\nmax-workers = 3\\n' > .config/scheduler/scheduler.toml")

    said = carla("jobscheduler reload")

    assert "need a restart: max-workers; `systemctl --user restart jobscheduler` applies them" in said
    assert f"{HOME}/.config/scheduler/scheduler.toml:1" in carla("jobscheduler config --given")
    carla("systemctl --user reload jobscheduler")


def test_a_stopped_service_of_hers_is_still_the_one_that_her_verbs_mean(carla: Carla) -> None:
    """She may not ask the host's, and has a jobs directory of her own."""
    carla("systemctl --user stop jobscheduler")
    assert carla.words("service.stopped")

    assert "SUCCESS" in carla("jobscheduler history hers")
    assert "`systemctl --user status jobscheduler`" in carla("jobscheduler status", status=3)


def test_with_lingering_nothing_is_warned_of(carla: Carla) -> None:
    """The service stays when she logs out."""
    carla.machine("loginctl enable-linger carla")
    carla("systemctl --user start jobscheduler")

    assert len(carla.words("service.started")) == 2
    assert len(carla.words("linger.off")) == 1
    carla("systemctl --user disable --now jobscheduler")
