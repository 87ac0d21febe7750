"""The Debian package in fresh systems of both releases, under the real systemd: installed, upgraded, removed, purged.

The steps of a release follow one another as an administrator's years do. The machine has no network.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import pytest

from jobscheduler.model import Cron, Job, TaskSpec
from jobscheduler.timetable.timetable import timetable_of
from tests.support.accounting import MARKING, Account
from tests.support.booted import Machine
from tests.support.debian_packages import NextVersion, built_package, fresh_machine, version_of
from tests.support.service import job

pytestmark = [pytest.mark.deep, pytest.mark.systemd, pytest.mark.timeout(3600)]

EVERY_SECOND = "* * * * * *"
PLACE = "/usr/lib/jobscheduler"
APT = "DEBIAN_FRONTEND=noninteractive apt-get --yes --allow-downgrades"
SETTINGS = (
    "/etc/scheduler/scheduler.toml",
    "/etc/default/jobscheduler",
    "/etc/needrestart/conf.d/jobscheduler.conf",
)
SHARED = (
    *("man/man1/jobscheduler.1.gz", "man/man5/jobscheduler-job.5.gz", "man/man5/scheduler.toml.5.gz"),
    *("bash-completion/completions/jobscheduler", "zsh/vendor-completions/_jobscheduler"),
    *("fish/vendor_completions.d/jobscheduler.fish", "doc/jobscheduler/bundled.txt"),
)
SECONDS = 600  # for apt on a busy machine


class Years:
    """A machine of a release, and the packages that come in its time."""

    def __init__(self, machine: Machine, package: Path, work: Path) -> None:
        self.machine = machine
        self.first = package
        self.first_version = version_of(package)
        self.work = work

    def make(self, upstream: str, *, breaks: bool = False) -> tuple[str, Path]:
        """Make the package of a later version; return its version and its file."""
        later = NextVersion(self.first, upstream, self.work)
        if breaks:
            (service,) = later.release.glob("lib/python3.*/site-packages/jobscheduler/service/main.py")
            service.write_text("raise ImportError('a library is missing')\n")
        return later.version, later.built()

    def apt(self, words: str) -> str:
        """Run apt, which has to succeed; return what it said."""
        return self.machine(f"{APT} {words} 2>&1", seconds=SECONDS)

    def link(self, name: str) -> str:
        """Where a link below the package's place leads."""
        return self.machine(f"readlink {PLACE}/{name}").strip()

    def runs(self) -> str:
        """The release that the service runs."""
        pid = self.machine("systemctl show --value --property MainPID jobscheduler").strip()
        assert int(pid) > 1, self.machine.story()
        (found,) = re.findall(
            rf"{PLACE}/releases/([^/]+)/", self.machine(f"tr '\\0' '\\n' </proc/{pid}/cmdline | head -1")
        )
        return found

    def records(self, word: str, **values: str) -> list[dict[str, str]]:
        """The lines of the log with this word and these values."""
        lines = [line for line in self.machine.log() if line["word"] == word]
        return [line for line in lines if all(line.get(key) == value for key, value in values.items())]

    def drop(self, name: str, definition: dict[str, object]) -> None:
        """Put a job file into the machine, complete at once."""
        self.machine(
            f"cat > /etc/scheduler/jobs.d/.new <<'END'\n{json.dumps(definition)}\nEND\n"
            f"mv /etc/scheduler/jobs.d/.new /etc/scheduler/jobs.d/{name}.json"
        )

    def wait_for_runs(self, count: int) -> None:
        """Wait until the job of each second has run so often again."""
        before = len(self.records("SUCCESS", job_id="tick"))
        self.machine.wait("runs", lambda: len(self.records("SUCCESS", job_id="tick")) >= before + count, 60)


def a_host_with_make_install_is_told_to_remove_that_first(years: Years) -> None:
    """Both have their unit at one place."""
    unit = "/usr/lib/systemd/system/jobscheduler.service"
    years.machine(f"echo 'ExecStart=/opt/jobscheduler/current/bin/jobscheduler serve' >{unit}")
    done = years.machine.run(f"{APT} install {years.first} 2>&1", seconds=SECONDS)
    assert done.returncode != 0
    assert "error: a scheduler from `make install` is on this host" in done.stdout
    assert "`make uninstall`" in done.stdout
    years.machine(f"rm {unit}")


def one_command_gives_a_running_service(years: Years) -> None:
    """Started, enabled, complete, nothing that another user may write, and dpkg finds its files as it has them."""
    machine = years.machine
    years.apt(f"install {years.first}")

    assert machine("systemctl is-active jobscheduler") == "active\n"
    assert machine("systemctl is-enabled jobscheduler") == "enabled\n"
    assert years.runs() == years.first_version
    assert machine("jobscheduler --version") == "jobscheduler 0.1.0\n"
    assert machine("jobscheduler status") != ""
    for path, mode in (("/etc/scheduler", "750"), ("/etc/scheduler/jobs.d", "750"), ("/var/log/scheduler", "755")):
        assert machine(f"stat -c '%U:%G %a' {path}") == f"root:root {mode}\n"
    assert machine(f"find {PLACE} -perm /022 ! -type l") == ""
    assert machine("dpkg --verify jobscheduler") == ""
    for name in ("urllib3", "apprise", "sqlalchemy", "pymysql", "waitress", "jinja2", "prometheus_client"):
        machine(f"{PLACE}/current/bin/python -c 'import {name}'")
    for path in SHARED:
        machine(f"test -s /usr/share/{path}")
    conffiles = machine("dpkg-query --show --showformat '${Conffiles}' jobscheduler")
    for path in (
        "/etc/scheduler/scheduler.toml",
        "/etc/default/jobscheduler",
        "/etc/needrestart/conf.d/jobscheduler.conf",
    ):
        assert path in conffiles


def a_job_runs(years: Years) -> None:
    """Dropped as a file; the schema is where editors look for it."""
    years.drop("tick", job("tick", EVERY_SECOND, MARKING.format("/run/marks")))
    years.wait_for_runs(2)
    schema = json.loads(years.machine(f"cat {PLACE}/schemas/job.schema.json"))
    assert schema["title"] == "A job of jobscheduler"


def an_upgrade_keeps_jobs_log_settings_and_the_former_version(years: Years) -> None:
    """The new version runs, every slot of the time is accounted for, and one can go back with two commands."""
    machine = years.machine
    machine("sed -i 's|^#timezone = .*|timezone = \"Europe/Berlin\"|' /etc/scheduler/scheduler.toml")
    version, package = years.make("0.2.0")
    said = years.apt(f"install {package}")

    assert "conffile" not in said.lower()
    assert years.runs() == version
    assert machine("jobscheduler --version") == "jobscheduler 0.2.0\n"
    assert "Europe/Berlin" in machine("jobscheduler config --given")
    assert years.link("current") == f"releases/{version}"
    assert years.link("former") == f"releases/{years.first_version}"
    assert machine(f"{PLACE}/former/bin/jobscheduler --version") == "jobscheduler 0.1.0\n"
    years.wait_for_runs(2)

    machine(f"ln -sfn $(readlink {PLACE}/former) {PLACE}/current && systemctl restart jobscheduler")
    assert years.runs() == years.first_version
    years.wait_for_runs(2)
    machine(f"ln -sfn releases/{version} {PLACE}/current && systemctl restart jobscheduler")
    assert years.runs() == version
    years.wait_for_runs(1)
    check_account(years)


def check_account(years: Years) -> None:
    """Every slot of the job has one record, and none ran twice, up to a stop in order."""
    years.machine("systemctl stop jobscheduler")
    log = years.machine.log()
    added = next(number for number, line in enumerate(log) if line["word"] == "job.added")
    timetable = timetable_of(Job("tick", Cron(EVERY_SECOND, "UTC"), TaskSpec("x", "{}")))
    lines = [line for line in log[added:] if line.get("job_id") in {None, "tick"}]
    Account(lines, {"tick": timetable}).check()
    marks = [line.split()[1] for line in years.machine("cat /run/marks").splitlines()]
    assert len(marks) == len(set(marks))
    years.machine("systemctl start jobscheduler")


def an_upgrade_that_is_a_job_does_not_wait_for_itself(years: Years) -> None:
    """It ends as a success, with a note about the restart; the service goes on with the former version until then."""
    version, package = years.make("0.3.0")
    years.drop("upgrade", job("upgrade", "@manual", f"{APT} install {package} 2>&1"))
    years.machine.wait("the job", lambda: years.records("job.added", job_id="upgrade"))
    said = years.machine("jobscheduler run upgrade --wait", seconds=SECONDS)

    assert "this upgrade is a job of the scheduler itself" in said
    assert years.link("current") == f"releases/{version}"
    assert years.runs() != version
    assert version_names(years) == {years.first_version, years.runs(), version} - {years.first_version}
    years.machine("systemctl restart jobscheduler")
    assert years.runs() == version


def version_names(years: Years) -> set[str]:
    """The versions that are there."""
    return set(years.machine(f"ls {PLACE}/releases").split())


def a_version_that_does_not_work_does_not_replace_one_that_does(years: Years) -> None:
    """So says apt; the service goes on, and the next good version mends it."""
    before = years.runs()
    _, package = years.make("0.4.0", breaks=True)
    done = years.machine.run(f"{APT} install {package} 2>&1", seconds=SECONDS)
    assert done.returncode != 0
    assert "a library is missing" in done.stdout
    assert years.link("current") == f"releases/{before}"
    years.wait_for_runs(1)
    years.machine("systemctl restart jobscheduler")
    assert years.runs() == before

    version, package = years.make("0.5.0")
    years.apt(f"install {package}")
    assert years.runs() == version
    assert version_names(years) == {before, version}


def remove_stops_the_service_and_keeps_jobs_log_and_settings(years: Years) -> None:
    """The program is gone, with what the scripts made of it."""
    years.apt("remove jobscheduler")
    machine = years.machine
    assert machine.run("systemctl is-active jobscheduler").stdout == "inactive\n"
    assert machine.run(f"ls -d {PLACE} /usr/bin/jobscheduler").stdout == ""
    for path in ("jobs.d/tick.json", "scheduler.toml"):
        machine(f"test -s /etc/scheduler/{path}")
    assert machine.log()[-1]["word"] == "service.stopped"


def installed_again_it_goes_on_where_it_was(years: Years) -> None:
    """Running and enabled, with the settings; the time without it is accounted for."""
    years.apt(f"install {years.first}")
    assert years.machine("systemctl is-enabled jobscheduler") == "enabled\n"
    assert "Europe/Berlin" in years.machine("jobscheduler config --given")
    years.wait_for_runs(1)
    check_account(years)


def purge_removes_settings_and_logs_and_keeps_what_an_administrator_wrote(years: Years) -> None:
    """It asks nothing, and says what it keeps. Without job files nothing is left."""
    machine = years.machine
    said = years.apt("purge jobscheduler")
    assert "kept /etc/scheduler/jobs.d, which holds job files" in said
    assert machine("ls /etc/scheduler/jobs.d").split() == ["tick.json", "upgrade.json"]
    assert machine.run(f"ls -d {' '.join(SETTINGS)} /var/log/scheduler {PLACE}").stdout == ""
    assert machine("find /etc/systemd /var/lib/systemd -name '*jobscheduler*'") == ""

    machine("rm -r /etc/scheduler")
    years.apt(f"install {years.first}")
    assert "kept" not in years.apt("purge jobscheduler")
    assert machine.run("ls -d /etc/scheduler /var/log/scheduler").stdout == ""
    assert machine("dpkg-query --show --showformat '${db:Status-Abbrev}' jobscheduler || true").strip() in {"", "un"}


YEARS = (
    a_host_with_make_install_is_told_to_remove_that_first,
    one_command_gives_a_running_service,
    a_job_runs,
    an_upgrade_keeps_jobs_log_settings_and_the_former_version,
    an_upgrade_that_is_a_job_does_not_wait_for_itself,
    a_version_that_does_not_work_does_not_replace_one_that_does,
    remove_stops_the_service_and_keeps_jobs_log_and_settings,
    installed_again_it_goes_on_where_it_was,
    purge_removes_settings_and_logs_and_keeps_what_an_administrator_wrote,
)


@pytest.mark.parametrize("release", ["bookworm", "trixie"])
def test_the_package_does_what_each_of_these_steps_says(release: str, tmp_path: Path) -> None:
    """One after the other on one machine, each with what the one before left."""
    package = built_package(release, tmp_path / "packages")
    with fresh_machine(release, tmp_path) as machine:
        years = Years(machine, package, tmp_path)
        for step in YEARS:
            started = time.monotonic()
            step(years)
            sys.stderr.write(f"{release}: {step.__name__}: {time.monotonic() - started:.1f} s\n")


def test_a_package_that_is_built_again_is_the_same_to_the_last_byte(tmp_path: Path) -> None:
    """Of one commit, so that those who install it can check what they have got."""
    one, other = (built_package("trixie", tmp_path / name) for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()
