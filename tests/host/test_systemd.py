"""The service under the real systemd: installed, started, killed, upgraded, stopped, removed.

One machine is booted for all of it, and the tests follow one another as an administrator's day does. Each needs what
the one before left; so the first failure ends the day.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobscheduler.model import Cron, Job, TaskSpec
from jobscheduler.timetable.timetable import timetable_of
from tests.support.accounting import MARKING, Account
from tests.support.booted import Machine, booted, filled_checkout
from tests.support.job_files import unavailable
from tests.support.service import ROOT, job, wait_until

__all__ = ["filled_checkout"]
pytestmark = pytest.mark.systemd

EVERY_SECOND = "* * * * * *"


@pytest.fixture(scope="module")
def machine(filled_checkout: Path) -> Iterator[Machine]:
    """The one machine of this module."""
    with booted(filled_checkout) as made:
        yield made


@pytest.fixture(scope="module")
def failed_before(request: pytest.FixtureRequest) -> int:
    """How many tests had failed when this module began."""
    return request.session.testsfailed


@pytest.fixture(autouse=True)
def _one_after_another(request: pytest.FixtureRequest, failed_before: int) -> None:
    """Do not begin what builds on a test that failed."""
    if request.session.testsfailed > failed_before:
        unavailable("an earlier test of this day failed")


def drop(machine: Machine, name: str, definition: dict[str, object]) -> None:
    """Put a job file into the machine, complete at once."""
    machine(
        f"cat > /etc/scheduler/jobs.d/.new <<'END'\n{json.dumps(definition)}\nEND\n"
        f"mv /etc/scheduler/jobs.d/.new /etc/scheduler/jobs.d/{name}"
    )


def records(machine: Machine, word: str, **values: str) -> list[dict[str, str]]:
    return [
        line
        for line in machine.log()
        if line["word"] == word and all(line.get(key) == value for key, value in values.items())
    ]


def processes(machine: Machine, *words: str) -> list[str]:
    """The command lines of the machine that contain one of these words."""
    every = machine("for one in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $one; echo; done 2>/dev/null")
    return [line for line in every.splitlines() if any(word in line for word in words)]


def main_pid(machine: Machine) -> str:
    found = machine("systemctl show --value --property MainPID jobscheduler").strip()
    assert int(found) > 1, "the service does not run"  # a signal to 0 would reach everybody here
    return found


def test_make_install_without_a_network_puts_everything_in_place(machine: Machine, filled_checkout: Path) -> None:
    """Environment, command, schema, unit, settings and directories, with root as owner and nobody else to write."""
    said = machine("make install", cwd=filled_checkout)

    assert "systemctl enable --now jobscheduler" in said
    assert machine("jobscheduler --version") == "jobscheduler 0.1.0\n"
    assert json.loads(machine("cat /opt/jobscheduler/schemas/job.schema.json"))["title"] == "A job of jobscheduler"
    for path in ("/var/log/scheduler", "/opt/jobscheduler/current/"):
        assert machine(f"stat -c '%U:%G %a' {path}") == "root:root 755\n"
    for path in ("/etc/scheduler", "/etc/scheduler/jobs.d"):
        assert machine(f"stat -c '%U:%G %a' {path}") == "root:root 750\n"
    assert machine("find /opt/jobscheduler -perm /022 ! -type l") == ""
    assert machine("systemctl is-enabled jobscheduler; true") == "disabled\n"


def test_the_unit_is_what_systemd_expects(machine: Machine) -> None:
    """`systemd-analyze verify` has nothing to say about it, and every directive has its reason above it."""
    done = machine.run("systemd-analyze verify --man=no jobscheduler.service")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")

    lines = (ROOT / "systemd/jobscheduler.service").read_text("utf-8").split("[Service]")[1].split("[Install]")[0]
    for block in lines.strip().split("\n\n"):
        assert block.startswith("#"), block


def test_the_unit_has_the_service_killed_last_and_lets_it_divide_its_control_group(machine: Machine) -> None:
    """A sandbox may forbid the lower score; systemd then goes on without it."""
    properties = ("OOMScoreAdjust", "ManagedOOMPreference", "Delegate", "OOMPolicy")
    shown = machine(f"systemctl show jobscheduler --property {','.join(properties)}").split()
    assert set(shown) == {"OOMScoreAdjust=-500", "ManagedOOMPreference=avoid", "Delegate=yes", "OOMPolicy=continue"}


def test_a_job_dropped_into_the_started_service_leaves_its_record_in_log_and_journal(machine: Machine) -> None:
    """`systemctl start` returns when the service is ready; failures are errors in the journal, successes are not."""
    machine("systemctl enable --now jobscheduler")
    assert [line["word"] for line in machine.log()] == ["service.alive", "service.started"]

    drop(machine, "good.json", job("good", EVERY_SECOND, "echo fine"))
    drop(machine, "bad.json", job("bad", EVERY_SECOND, "echo broken; exit 3"))
    machine.wait("a success in the log", lambda: records(machine, "SUCCESS", job_id="good"))
    machine.wait("a failure in the log", lambda: records(machine, "FAILURE", job_id="bad", output="broken"))

    journal = "journalctl --no-pager --unit jobscheduler --output cat --priority {} | grep -E ' (SUCCESS|FAILURE) '"
    errors = machine(journal.format("0..4")).splitlines()
    assert {line.split()[1] for line in errors} == {"FAILURE"}
    everything = machine(journal.format("0..7")).splitlines()
    assert {line.split()[1] for line in everything} == {"SUCCESS", "FAILURE"}
    log = machine("cat /var/log/scheduler/scheduler.log").splitlines()
    assert set(everything) <= set(log)
    assert machine("stat -c '%U:%G %a' /var/log/scheduler/scheduler.log") == "root:root 640\n"


def test_after_kill_9_systemd_starts_it_again_and_the_jobs_go_on(machine: Machine) -> None:
    """A new process, and further records of the same job."""
    former = main_pid(machine)
    machine(f"kill -9 {former}")

    machine.wait("a second start", lambda: len(records(machine, "service.started")) == 2)
    (*_, started) = records(machine, "service.started")
    assert started["pid"] == main_pid(machine) != former
    machine.wait(
        "a run after the second start",
        lambda: [r for r in records(machine, "SUCCESS", job_id="good") if r["started"] > started["time"]],
    )
    assert machine("systemctl is-active jobscheduler") == "active\n"


def test_reload_looks_again_without_a_restart(machine: Machine) -> None:
    """`systemctl reload` is SIGHUP; the unit is active again when the service says so."""
    former = main_pid(machine)
    machine("systemctl reload jobscheduler")

    machine.wait("the reload is over", lambda: records(machine, "service.reloaded"))
    machine.wait("active", lambda: machine.run("systemctl is-active jobscheduler").stdout == "active\n")
    assert main_pid(machine) == former


def test_a_job_that_restarts_the_scheduler_and_waits_for_it_is_told_so(machine: Machine) -> None:
    """`validate` before, the record after; with `--no-block` all is well."""
    machine("sed -i 's/^#drain-timeout = .*/drain-timeout = 1/' /etc/scheduler/scheduler.toml")
    machine("systemctl restart jobscheduler")
    starts = len(records(machine, "service.started"))
    drop(machine, "self.json", job("self", "@yearly", "systemctl restart jobscheduler; echo after"))
    said = machine("jobscheduler validate /etc/scheduler/jobs.d/self.json")
    assert "warning: " in said
    assert "add `--no-block`, as the last command of the job" in said
    machine("jobscheduler run self")
    machine.wait("the restart", lambda: len(records(machine, "service.started")) == starts + 1, 30)
    (record,) = records(machine, "FAILURE", job_id="self")
    assert record["reason"] == "shutdown"
    assert "the service was stopped from within this run (`systemctl --no-block`" in record["error"]

    drop(machine, "self.json", job("self", "@yearly", "systemctl --no-block restart jobscheduler"))
    machine.wait("the new command", lambda: records(machine, "job.updated", job_id="self"))
    machine("jobscheduler run self")
    machine.wait("another restart", lambda: len(records(machine, "service.started")) == starts + 2, 30)
    assert records(machine, "SUCCESS", job_id="self")
    machine("rm /etc/scheduler/jobs.d/self.json")
    machine("sed -i 's/^drain-timeout = .*/#drain-timeout = \"30s\"/' /etc/scheduler/scheduler.toml")
    machine("systemctl restart jobscheduler")


def drop_in(machine: Machine, text: str) -> None:
    """Change the unit until the next boot and restart it; an empty text takes the change back."""
    place = "/run/systemd/system/jobscheduler.service.d"
    machine(f"rm -rf {place}")
    if text:
        machine(f"mkdir -p {place}; cat > {place}/test.conf <<'END'\n{text}\nEND")
    machine("systemctl daemon-reload; systemctl restart jobscheduler")


def test_a_frozen_service_is_ended_by_the_watchdog_and_started_again(machine: Machine) -> None:
    """SIGSTOP: it cannot ping, whatever it would like to say; the account goes on where it stopped."""
    assert machine("systemctl show --value --property WatchdogUSec jobscheduler") == "1min\n"
    drop_in(machine, "[Service]\nWatchdogSec=2s")
    former, starts = main_pid(machine), len(records(machine, "service.started"))
    machine(f"kill -STOP {former}")

    machine.wait("a start after the freeze", lambda: len(records(machine, "service.started")) > starts)
    assert main_pid(machine) != former
    assert "Watchdog timeout" in machine("journalctl --no-pager --unit jobscheduler")
    runs = len(records(machine, "SUCCESS", job_id="good"))
    machine.wait("runs", lambda: len(records(machine, "SUCCESS", job_id="good")) > runs)


def test_a_file_system_that_hangs_gives_the_watchdog_no_cause(machine: Machine) -> None:
    """A job file is a link to it: the service goes on in the same process, names the file, and can be restarted."""
    drop_in(machine, "[Service]\nWatchdogSec=2s")
    machine("test -e /dev/fuse || mknod /dev/fuse c 10 229; mkdir -p /srv/real /srv/mnt")
    options = "entry_timeout=0,attr_timeout=0"
    machine(f"systemd-run --unit=far bindfs -f -o {options} /srv/real /srv/mnt; sleep 1; mountpoint -q /srv/mnt")
    machine(f"cat > /srv/real/far.json <<'END'\n{json.dumps(job('far', '@yearly'))}\nEND")
    machine("ln -s /srv/mnt/far.json /etc/scheduler/jobs.d/far.json")
    machine.wait("the job", lambda: records(machine, "job.added", job_id="far"))
    former, restarts = main_pid(machine), machine("systemctl show --value --property NRestarts jobscheduler")
    machine("systemctl kill --signal=STOP far; kill -HUP " + former)

    machine.wait("its name", lambda: records(machine, "job.stale", file="far.json"))
    runs = len(records(machine, "SUCCESS", job_id="good"))
    machine.wait("runs", lambda: len(records(machine, "SUCCESS", job_id="good")) > runs + 8, 12)
    assert main_pid(machine) == former
    assert machine("systemctl show --value --property NRestarts jobscheduler") == restarts
    said = machine.run("jobscheduler status")
    assert said.returncode == 1
    assert "far.json` does not answer" in said.stdout
    starts = len(records(machine, "service.started"))
    machine("systemctl restart jobscheduler")
    assert len(records(machine, "service.started")) == starts + 1
    machine("systemctl kill --signal=CONT far")
    machine.wait("the job again", lambda: records(machine, "job.mended", file="far.json"))
    machine("rm /etc/scheduler/jobs.d/far.json; umount --lazy /srv/mnt; systemctl stop far || true")
    machine.wait("it is gone", lambda: records(machine, "job.removed", job_id="far"))


FAULTY = """
import os, sys
from jobscheduler import cli
from jobscheduler.scheduler.apscheduler_classes import WakingScheduler
real = WakingScheduler._process_jobs
def process(self):
    if os.path.exists("/run/fault"):
        os.unlink("/run/fault")
        raise RuntimeError("injected")
    return real(self)
WakingScheduler._process_jobs = process
raise SystemExit(cli.main(default="serve"))
"""


def test_a_service_whose_scheduling_thread_died_is_started_again(machine: Machine) -> None:
    """It ends with 70, by itself."""
    machine(f"cat > /run/faulty.py <<'END'\n{FAULTY}\nEND")
    drop_in(machine, "[Service]\nExecStart=\nExecStart=/opt/jobscheduler/current/bin/python /run/faulty.py serve")
    starts = len(records(machine, "service.started"))
    machine("touch /run/fault")

    machine.wait("a start after the death", lambda: len(records(machine, "service.started")) > starts)
    assert records(machine, "service.died")[-1]["exit_status"] == "70"
    assert "status=70" in machine("journalctl --no-pager --unit jobscheduler")
    drop_in(machine, "")


def test_restarts_in_the_middle_of_slots_and_runs_lose_and_double_nothing(machine: Machine) -> None:
    """Three of them: what was under way ends in its time, and what came due meanwhile is caught up."""
    drop(machine, "exact.json", job("exact", EVERY_SECOND, MARKING.format("/run/marks") + "; sleep 0.6"))
    machine.wait("it runs", lambda: records(machine, "SUCCESS", job_id="exact"))
    for _ in range(3):
        machine("systemctl restart jobscheduler")
    machine.wait(
        "it runs again", lambda: records(machine, "SUCCESS", job_id="exact")[-1]["scheduled"] > settled(machine)
    )
    machine("systemctl stop jobscheduler")

    log = machine.log()
    added = next(number for number, line in enumerate(log) if line["word"] == "job.added" and line["job_id"] == "exact")
    lines = [line for line in log[added:] if line.get("job_id") in {None, "exact"}]
    timetable = timetable_of(Job("exact", Cron(EVERY_SECOND, "UTC"), TaskSpec("x", "{}")))
    Account(lines, {"exact": timetable}).check()
    missed = [line for line in lines if line["word"] == "MISSED"]
    assert all(line["reason"] == "down" for line in missed)
    marks = [line.split()[1] for line in machine("cat /run/marks").splitlines()]
    assert len(marks) == len(set(marks))
    machine("rm /etc/scheduler/jobs.d/exact.json; systemctl start jobscheduler")


def settled(machine: Machine) -> str:
    """When the last start was over."""
    return records(machine, "service.started")[-1]["time"]


def exposure(machine: Machine) -> str:
    """What `systemd-analyze security` gives the service, from 0 (safe) to 10."""
    (line,) = [
        one for one in machine.run("systemd-analyze security --no-pager jobscheduler").stdout.splitlines() if "→" in one
    ]
    return line.split(":")[1].split()[0]


def test_the_hardened_drop_in_lets_some_jobs_run_and_stops_others(machine: Machine) -> None:
    """One that works in /tmp as its user runs; one of root that writes to /usr does not. The numbers are documented."""
    before = exposure(machine)
    place = "/etc/systemd/system/jobscheduler.service.d/hardened.conf"
    machine(f"install -D -m 644 /opt/jobscheduler/current/hardened.conf {place}")
    assert machine.run("systemd-analyze verify --man=no jobscheduler.service").stderr == ""
    machine("systemctl daemon-reload; systemctl restart jobscheduler")
    allowed = job(
        "allowed", EVERY_SECOND, "test $(id -un) = nobody && echo x > /tmp/mine && cat /tmp/mine", user="nobody"
    )
    allowed["task"]["user"] = allowed.pop("user")  # type: ignore[index]
    drop(machine, "allowed.json", allowed)
    drop(machine, "stopped.json", job("stopped", EVERY_SECOND, "touch /usr/changed"))

    machine.wait("the allowed job", lambda: records(machine, "SUCCESS", job_id="allowed"))
    failure = machine.wait("the stopped job", lambda: records(machine, "FAILURE", job_id="stopped"))[0]  # type: ignore[index]
    assert "Read-only file system" in failure["output"]
    assert not records(machine, "SUCCESS", job_id="stopped")
    after = exposure(machine)
    told = re.findall(r"exposure (\S+) ", (ROOT / "systemd/README.md").read_text("utf-8"))
    assert float(after) < 5
    assert float(before) > 9
    if machine("systemctl --version").startswith("systemd 252 "):
        assert told == [before, after]

    machine(f"rm -r {place.rpartition('/')[0]} /etc/scheduler/jobs.d/allowed.json /etc/scheduler/jobs.d/stopped.json")
    machine("systemctl daemon-reload; systemctl restart jobscheduler")


def test_the_hardened_drop_in_changes_nothing_about_trust(machine: Machine) -> None:
    """Its read-only mounts are of file systems that others write: what the plain unit refuses, the hardened one does.

    And both find each other's lock, so that no second service runs on the same jobs directory.
    """
    place = "/etc/systemd/system/jobscheduler.service.d"
    machine("install -d -m 775 -g nogroup /srv/jobs.d; echo '{}' > /srv/jobs.d/x.json; chmod 664 /srv/jobs.d/x.json")
    machine(f"install -D -m 644 /opt/jobscheduler/current/hardened.conf {place}/hardened.conf")
    machine(f"printf '[Service]\\nEnvironment=JOBSCHEDULER_JOBS_DIR=/srv/jobs.d\\n' > {place}/place.conf")
    machine("systemctl daemon-reload")
    assert machine.run("systemctl restart jobscheduler").returncode != 0
    said = machine("journalctl --no-pager --unit jobscheduler --output cat")
    assert "`/srv/jobs.d` may be written by its group (mode 0775)" in said
    machine("chmod 755 /srv/jobs.d; systemctl stop jobscheduler; systemctl restart jobscheduler")
    machine.wait("the file is refused", lambda: records(machine, "job.refused", file="x.json"))
    pid = machine("systemctl show --value --property MainPID jobscheduler").strip()
    second = machine.run("jobscheduler serve --jobs-dir /srv/jobs.d --log-file /root/second.log --socket /root/second")
    assert second.returncode == 1
    assert f"is in use by process {pid}" in second.stderr

    machine(f"rm -r {place} /srv/jobs.d; systemctl daemon-reload; systemctl restart jobscheduler")


def test_only_root_and_its_group_may_look_at_the_jobs(machine: Machine) -> None:
    """Job files may have passwords in them; so it is if the unit makes the directories, too."""
    machine("mv /etc/scheduler /etc/kept; systemctl restart jobscheduler")
    assert machine("stat -c %a /etc/scheduler /etc/scheduler/jobs.d") == "750\n750\n"
    machine("rm -r /etc/scheduler; mv /etc/kept /etc/scheduler; systemctl restart jobscheduler")
    assert machine("stat -c %a /etc/scheduler /etc/scheduler/jobs.d") == "750\n750\n"
    denied = machine.run("setpriv --reuid nobody --regid nogroup --clear-groups jobscheduler validate")
    assert denied.returncode == 1
    assert "help: only root has to read it: run this as root" in denied.stdout
    assert "Traceback" not in denied.stderr


def test_a_wrong_setting_is_not_tried_again(machine: Machine) -> None:
    """Exit status 2: it fails once, with the setting's name in the journal."""
    machine("mkdir -p /run/systemd/system/jobscheduler.service.d")
    machine(
        "printf '[Service]\\nEnvironment=JOBSCHEDULER_MAX_WORKERS=many\\n' "
        "> /run/systemd/system/jobscheduler.service.d/wrong.conf; systemctl daemon-reload"
    )
    assert machine.run("systemctl restart jobscheduler").returncode != 0
    assert machine.run("systemctl is-failed jobscheduler").stdout == "failed\n"
    assert "JOBSCHEDULER_MAX_WORKERS: `many`" in machine("journalctl --no-pager --unit jobscheduler --output cat")

    machine("rm -r /run/systemd/system/jobscheduler.service.d; systemctl daemon-reload; systemctl start jobscheduler")


def test_an_upgrade_keeps_jobs_log_and_settings_and_does_not_disturb_the_running_service(
    machine: Machine, filled_checkout: Path
) -> None:
    """The process goes on in its own release until it is restarted; edited settings and pauses stay as they are."""
    machine("sed -i 's/^#log-backups = .*/log-backups = 3/' /etc/scheduler/scheduler.toml")
    jobs = machine("sha256sum /etc/scheduler/jobs.d/* /etc/scheduler/scheduler.toml")
    machine("jobscheduler pause --all --for 2h --reason 'the upgrade'")
    paused = json.loads(machine("jobscheduler status --json"))["pauses"]
    assert [pause["reason"] for pause in paused] == ["the upgrade"]
    lines, former, release = len(machine.log()), main_pid(machine), machine("readlink /opt/jobscheduler/current")

    said = machine("make install", cwd=filled_checkout)

    assert "systemctl restart jobscheduler" in said
    assert "/etc/scheduler/scheduler.toml has been edited" in said
    assert machine("readlink /opt/jobscheduler/current") != release
    assert machine("sha256sum /etc/scheduler/jobs.d/* /etc/scheduler/scheduler.toml") == jobs
    assert main_pid(machine) == former
    assert release.strip() in machine(f"tr '\\0' ' ' < /proc/{former}/cmdline")

    machine("systemctl restart jobscheduler")
    log = machine.log()
    assert len(log) > lines
    assert log[0]["word"] == "service.alive"
    assert release.strip() not in machine(f"tr '\\0' ' ' < /proc/{main_pid(machine)}/cmdline")
    assert json.loads(machine("jobscheduler status --json"))["pauses"] == paused
    machine("jobscheduler resume --all")


def test_variables_of_a_host_without_a_settings_file_are_carried_over_and_new_ones_win(
    machine: Machine, filled_checkout: Path
) -> None:
    """As on a host that had an older release: the service has the same settings before and after."""
    machine("mv /etc/scheduler/scheduler.toml /etc/scheduler/kept.toml")
    machine("printf 'JOBSCHEDULER_MAX_WORKERS=5\\nJOBSCHEDULER_TIMEZONE=Asia/Tokyo\\n' > /etc/default/jobscheduler")

    said = machine("make install", cwd=filled_checkout)

    assert "2 settings carried over to /etc/scheduler/scheduler.toml: max-workers, timezone" in said
    assert machine("stat -c '%U:%G %a' /etc/scheduler/scheduler.toml") == "root:root 644\n"
    assert machine("cat /etc/default/jobscheduler.old").startswith("JOBSCHEDULER_MAX_WORKERS=5\n")
    machine("echo JOBSCHEDULER_MAX_WORKERS=6 >> /etc/default/jobscheduler; systemctl restart jobscheduler")
    told = json.loads(machine("jobscheduler config --json"))["settings"]
    assert (told["max-workers"]["value"], told["max-workers"]["origin"]) == ("6", "JOBSCHEDULER_MAX_WORKERS")
    assert told["timezone"]["value"] == "Asia/Tokyo"
    assert told["timezone"]["origin"].startswith("/etc/scheduler/scheduler.toml:")

    machine("mv /etc/scheduler/kept.toml /etc/scheduler/scheduler.toml; rm /etc/default/jobscheduler.old")
    machine("cp /opt/jobscheduler/current/jobscheduler.default /etc/default/jobscheduler")
    machine("systemctl restart jobscheduler")


def test_an_install_that_fails_leaves_the_old_one_working(machine: Machine, filled_checkout: Path) -> None:
    """Here a package is missing: the message says what to do, and nothing has changed."""
    before = machine("readlink /opt/jobscheduler/current; ls /opt/jobscheduler/releases /usr/local/bin")
    (wheel,) = (filled_checkout / "wheels").glob("watchdog-*")
    away = wheel.rename(filled_checkout / wheel.name)
    try:
        done = machine.run("make install", cwd=filled_checkout)
    finally:
        away.rename(wheel)

    assert done.returncode != 0
    assert "the packages in wheels/ do not suffice" in done.stderr
    assert machine("readlink /opt/jobscheduler/current; ls /opt/jobscheduler/releases /usr/local/bin") == before
    assert machine("jobscheduler --version; systemctl is-active jobscheduler") == "jobscheduler 0.1.0\nactive\n"


def test_stop_leaves_nothing_behind(machine: Machine) -> None:
    """No process of the service or of a job that ignores TERM for an hour, nothing in /run; the stop is in the log."""
    drop(machine, "long.json", job("long", EVERY_SECOND, "trap '' TERM; sleep 3601 & sleep 3602; sleep 3602"))
    machine("sed -i 's/^#drain-timeout = .*/drain-timeout = 0/' /etc/scheduler/scheduler.toml")
    machine("systemctl restart jobscheduler")
    machine.wait("the long job runs", lambda: processes(machine, "sleep 3602"))

    machine("systemctl stop jobscheduler")

    assert processes(machine, "sleep 360", "jobscheduler") == []
    assert machine.run("ls -d /run/scheduler").stdout == ""
    assert machine.log()[-1]["word"] == "service.stopped"
    assert records(machine, "FAILURE", job_id="long")[-1]["reason"] == "shutdown"
    assert machine("systemctl show --value --property Result jobscheduler") == "success\n"


def test_uninstall_keeps_jobs_and_logs_and_says_so(machine: Machine, filled_checkout: Path) -> None:
    """Unit, command and /opt/jobscheduler are gone, also when the service runs; edited settings are somebody's work."""
    machine("systemctl start jobscheduler")
    jobs = machine("sha256sum /etc/scheduler/jobs.d/*")

    said = machine("make uninstall", cwd=filled_checkout)

    for kept in ("/etc/scheduler/jobs.d", "/var/log/scheduler", "/etc/scheduler/scheduler.toml"):
        assert f"kept {kept}\n" in said
    assert "/etc/default" not in said
    assert machine("sha256sum /etc/scheduler/jobs.d/*") == jobs
    assert machine.log()[-1]["word"] == "service.stopped"
    assert processes(machine, "jobscheduler") == []
    assert machine.run("systemctl cat jobscheduler").returncode != 0
    left = "ls -d /opt/jobscheduler /usr/local/bin/jobscheduler /etc/systemd/system/*/jobscheduler.service"
    assert machine.run(left).stdout == ""


def has_ended(process_id: int) -> bool:
    """Whether a process is gone, or has ended and nobody has asked how."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{process_id}/status").read_text("utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return True


@contextmanager
def mounts_of_its_own() -> Iterator[tuple[list[str], Path]]:
    """Make a host of its own as far as mounts go: what others mount meanwhile is not seen there.

    Yield the beginning of a command line that runs the rest there, and the file that shows its mounts. They are shared
    among themselves, as those of a host are: what one process mounts all see, unless it takes care.
    """
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "mount --make-rshared / && echo && exec cat"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin
        assert holder.stdout
        assert holder.stdout.readline() == "\n"
        yield ["nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", "--"], Path(f"/proc/{holder.pid}/mounts")
        holder.stdin.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_machine_leaves_nothing_on_the_host_however_it_ends(
    machine: Machine, tmp_path: Path, number: signal.Signals
) -> None:
    """Its systemd dies with the tool that booted it, whatever ends that; mounts were only ever in its namespace.

    Only control groups outlive a SIGKILL; the next machine removes them.
    """
    with mounts_of_its_own() as (enter, mounts):
        before = mounts.read_text("utf-8")
        process = subprocess.Popen(
            [*enter, sys.executable, ROOT / "tests/systemd/boot", "--share", tmp_path, "--hold"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin
        assert process.stdout
        with process.stdin, process.stdout:
            init = int(process.stdout.readline())
            process.send_signal(number)
            process.wait(20)
            wait_until(lambda: has_ended(init), why="its systemd is gone")
        assert mounts.read_text("utf-8") == before

    groups = re.findall(r"^\S+ (\S+) cgroup2? ", before, re.MULTILINE)
    found = {path.name for group in groups for path in Path(group).glob("throwaway-*") if path.name != machine.groups}
    left = {name for name in found if has_ended(int(name.rpartition("-")[2]))}  # others have machines of their own
    assert left <= ({f"throwaway-{process.pid}"} if number is signal.SIGKILL else set())
