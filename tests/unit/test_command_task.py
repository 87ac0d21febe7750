"""`execute_command`: what a command gets, and how its end is recorded."""

import os
import pwd
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from jobscheduler.tasks import Context
from jobscheduler.tasks.command import accounts
from jobscheduler.tasks.command.accounts import PATH, ignored_signals
from jobscheduler.tasks.command.child import ChildProcess
from tests.support.tasks import as_root, context, execute, failure, open_to_all, text


def variables(output: str) -> dict[str, str]:
    return dict(line.partition("=")[::2] for line in output.splitlines())


def test_text_is_run_by_the_shell():
    """Pipes, variables and expansions work as on a command line."""
    assert text("echo one two | wc -w | tr -d ' '") == "2\n"


def test_a_list_is_run_without_a_shell():
    """What a shell would expand reaches the program as it is."""
    assert text(["echo", "$HOME", "*", ";"]) == "$HOME * ;\n"


def test_a_percent_sign_is_an_ordinary_character():
    """Unlike in a crontab."""
    assert text("echo 100%") == "100%\n"


def test_the_shell_can_be_chosen():
    """`shell` gets the text with -c."""
    assert text("echo $BASH_VERSION", shell="/bin/bash").strip()


@pytest.fixture
def another_environment():
    """The cached environment of the service is read again."""
    accounts.inherited_environment.cache_clear()
    accounts._full_environment.cache_clear()
    yield
    accounts.inherited_environment.cache_clear()
    accounts._full_environment.cache_clear()


@pytest.mark.usefixtures("another_environment")
def test_the_environment_is_made_and_not_inherited(monkeypatch):
    """Exactly the variables of the contract, nothing of the service's own."""
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("TZ", "Europe/Paris")
    monkeypatch.setenv("SECRET_OF_THE_SERVICE", "x")
    me = pwd.getpwuid(os.geteuid())
    assert variables(text(["env"], run_context=context("5f3c2a9d", attempt=2))) == {
        "PATH": PATH,
        "HOME": me.pw_dir,
        "LOGNAME": me.pw_name,
        "USER": me.pw_name,
        "SHELL": me.pw_shell,
        "LANG": "C.UTF-8",
        "TZ": "Europe/Paris",
        "JOB_ID": "report-001",
        "JOB_RUN_ID": "5f3c2a9d",
        "JOB_SCHEDULED_TIME": "2026-11-22T01:00:00Z",
        "JOB_ATTEMPT": "2",
    }


@pytest.mark.usefixtures("another_environment")
def test_variables_that_the_service_does_not_have_are_left_out(monkeypatch):
    """An empty LANG or TZ would have a meaning."""
    monkeypatch.delenv("LANG", raising=False)
    monkeypatch.delenv("TZ", raising=False)
    assert not {"LANG", "TZ"} & variables(text(["env"])).keys()


def test_a_manual_run_has_no_scheduled_time():
    """There is no slot whose time it could be."""
    by_hand = Context("report-001", "5f3c2a9d", None)
    assert "JOB_SCHEDULED_TIME" not in variables(text(["env"], run_context=by_hand))


def test_env_comes_last():
    """The job's own variables win over those that are made."""
    assert text("echo $HOME $A", env={"HOME": "/elsewhere", "A": "é"}) == "/elsewhere é\n"


def test_a_list_is_found_on_the_path_of_the_job(tmp_path):
    """`PATH` in `env` is where the program is looked for."""
    program = tmp_path / "hello"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o755)
    assert text(["hello"], env={"PATH": f"{tmp_path}:/bin"}) == "hello\n"


def test_stdin_is_empty_by_default():
    """A command that reads finds the end at once."""
    assert text("readlink /proc/self/fd/0; cat") == "/dev/null\n"


def test_stdin_is_the_given_text():
    """Whole, whatever its size."""
    assert text("wc -c", stdin="é" * 500_000).strip() == "1000000"


def test_a_command_need_not_read_its_stdin():
    """Neither a deadlock nor a broken pipe comes of it."""
    assert execute("exit 0", stdin="x" * 1_000_000).details == (("exit_code", 0),)


def test_it_starts_in_the_home_directory():
    """As a command under cron does; in `/` if there is none."""
    home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
    assert text("pwd -P").strip() == str(home.resolve() if home.exists() else "/")


def test_it_starts_in_cwd(tmp_path):
    """`cwd` is entered before the command starts."""
    assert text("pwd -P", cwd=str(tmp_path)).strip() == str(tmp_path.resolve())


def test_the_umask_is_022_whatever_the_service_has():
    """`umask` sets another one."""
    before = os.umask(0o077)
    try:
        assert (text("umask"), text("umask", umask="027")) == ("0022\n", "0027\n")
    finally:
        os.umask(before)


def test_nice_is_added_to_that_of_the_service():
    """Without it nothing changes."""
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert text(["nice"]) == f"{ours}\n"
    assert text(["nice"], nice=3) == f"{ours + 3}\n"


def test_a_program_name_with_an_equals_sign_is_not_an_assignment(tmp_path):
    """Also with helpers."""
    program = tmp_path / "a=b"
    program.write_text("#!/bin/sh\necho $1\n")
    program.chmod(0o755)
    assert text([str(program), "x"], nice=1) == "x\n"


def test_it_leads_a_session_of_its_own():
    """So that its group differs from the service's."""
    pid, session = text("echo $$ $(ps -o sid= -p $$)").split()
    assert pid == session
    assert int(session) != os.getsid(0)


def test_no_descriptor_of_the_service_reaches_it(tmp_path):
    """Not even one that is marked as inheritable."""
    with (tmp_path / "ours").open("w") as ours:
        os.set_inheritable(ours.fileno(), True)
        assert text("ls /proc/$$/fd") == "0\n1\n2\n"


def test_signals_are_at_their_defaults():
    """Whatever the service ignores or blocks in the thread that starts the command."""
    ignored = (signal.SIGHUP, signal.SIGUSR1, signal.SIGTSTP)
    before = [signal.signal(number, signal.SIG_IGN) for number in ignored]
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR2])
    ignored_signals.cache_clear()
    try:
        shown = text("grep -E 'Sig(Blk|Ign)' /proc/self/status")
        still = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in zip(ignored, before, strict=True):
            signal.signal(number, handler)
        ignored_signals.cache_clear()
    _, blocked_there, _, ignored_there = shown.split()
    libc_own = 0b11 << 31  # signals 32 and 33, which make leaves ignored and only the C library can change
    assert (int(blocked_there, 16), int(ignored_there, 16) & ~libc_own) == (0, 0)
    assert still >= {signal.SIGTERM, signal.SIGUSR2}


def test_both_outputs_come_in_the_order_in_which_they_were_written():
    """Standard output and standard error share one pipe."""
    assert text("echo 1; echo 2 >&2; echo 3") == "1\n2\n3\n"


def test_bytes_that_are_not_utf8_survive():
    """The output is bytes."""
    assert execute(r"printf '\377\000\376'").output == b"\xff\x00\xfe"


def test_a_success_has_the_exit_code():
    """Also in its record."""
    assert execute("true").details == (("exit_code", 0),)


def test_another_exit_code_is_a_failure():
    """With the code and the output. No message repeats that."""
    failed = failure("echo oh; exit 3")
    assert (failed.reason, str(failed)) == ("exit", "")
    assert (failed.outcome.details, failed.outcome.output) == ((("exit_code", 3),), b"oh\n")


def test_other_codes_can_mean_success():
    """And then 0 means it only if it is among them."""
    assert execute("exit 3", success_exit_codes=[1, 3]).details == (("exit_code", 3),)
    assert failure("exit 0", success_exit_codes=[1]).outcome.details == (("exit_code", 0),)


def test_a_death_by_signal_names_the_signal():
    """It is never a success."""
    failed = failure("kill -KILL $$", success_exit_codes=[0, 9, 137])
    assert (failed.reason, failed.outcome.details) == ("exit", (("signal", "SIGKILL"),))


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("no-such-command-at-all", "did not find"),
        ("/etc/passwd", "not permitted"),
        ("sh -c 'kill -9 $$'; exit 137", "SIGKILL"),
    ],
)
def test_the_status_of_a_shell_is_explained(command, word):
    """126, 127 and 128 + n have a meaning to shells."""
    assert word in str(failure(command))


def test_a_status_that_was_collected_elsewhere_is_not_a_success():
    """Popen returns 0 when other code has reaped its process. Here it is a failure."""
    run_context = context()
    reaped = threading.Event()

    def steal(waiting):
        os.waitpid(waiting._child.pid, 0)
        reaped.set()
        return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jobscheduler.tasks.command.running_command.ProcessWaiter.wait", steal)
        failed = failure("exit 3", run_context)
    assert "exit status was lost" in str(failed)


def test_an_ignored_sigchld_does_not_make_a_success():
    """The kernel then drops the status, and an unknown status is not a success."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert "exit status was lost" in str(failure("exit 3"))
    finally:
        signal.signal(signal.SIGCHLD, before)


@as_root
class TestAnotherUser:
    """`user` and `group`, which only root can set."""

    def test_ids_and_groups_are_those_of_the_user(self):
        """As after a login."""
        shown = subprocess.run(["id", "nobody"], capture_output=True, text=True, check=True).stdout
        assert text(["id"], user="nobody") == shown

    def test_the_environment_is_that_of_the_user(self):
        """HOME, LOGNAME, USER and SHELL."""
        daemon = pwd.getpwnam("daemon")
        found = variables(text(["env"], user="daemon"))
        assert [found[name] for name in ("HOME", "LOGNAME", "USER", "SHELL")] == [
            daemon.pw_dir,
            "daemon",
            "daemon",
            daemon.pw_shell,
        ]
        assert not found.keys() & {"PWD", "OLDPWD", "SUDO_USER"}

    def test_the_variables_of_a_job_never_reach_a_program_that_is_still_root(self, monkeypatch):
        """`setpriv` would load LD_PRELOAD as root. The command gets it all the same, and no argument shows a value."""
        plans = []
        start = ChildProcess.start
        monkeypatch.setattr(ChildProcess, "start", lambda plan: (plans.append(plan), start(plan))[1])
        names = ["LD_PRELOAD", "LD_LIBRARY_PATH", "GLIBC_TUNABLES", "PATH", "it's $odd\\", "-i", "EMPTY", "a b"]
        env = {name: "" if name == "EMPTY" else f"/no such/${{HOME}} '\"\\{n}" for n, name in enumerate(names)}
        output = execute(["/usr/bin/env", "-0"], user="nobody", env=env).output  # the loader complains on a line
        shown = output.replace(b"\n", b"\0").split(b"\0")
        assert {f"{name}={value}".encode() for name, value in env.items()} <= set(shown)
        (plan,) = plans
        assert plan.environment[b"PATH"] == PATH.encode()
        assert all(re.fullmatch(rb"PATH|LC_ALL|JOB_(RUN_ID|ATTEMPT|VARIABLE_\d+)", name) for name in plan.environment)
        assert b"/no such" not in b"".join(plan.command)
        assert not any(line.startswith((b"LC_ALL", b"JOB_VARIABLE")) for line in shown)

    def test_a_home_that_does_not_exist_is_replaced_by_the_root_directory(self):
        """As for `nobody`."""
        assert text(["pwd"], user="nobody") == "/\n"

    def test_the_directory_is_entered_as_the_user(self, tmp_path):
        """One that only root could enter is refused, as at a login."""
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        failed = failure(["true"], user="nobody", cwd=str(closed))
        assert failed.reason == "start"
        assert "cannot change directory" in str(failed)

    def test_group_replaces_the_first_group(self):
        """With and without a user."""
        assert text(["id", "-gn"], user="nobody", group="mail") == "mail\n"
        assert text("id -un; id -gn", group="mail") == "root\nmail\n"

    def test_a_command_of_another_user_can_open_its_output_by_name(self):
        """Scripts write to `/dev/stderr`, which opens the pipe anew."""
        assert text("echo out >/dev/stdout; echo err >/dev/stderr", user="nobody") == "out\nerr\n"

    def test_nothing_of_root_is_left(self):
        """Neither capabilities nor the right to come back."""
        assert text("grep -E 'Cap(Eff|Prm)' /proc/self/status", user="nobody").split()[1::2] == ["0" * 16] * 2
        assert "SUCCEEDED" not in text(
            ["python3", "-c", "import os\ntry:\n os.setuid(0); print('SUCCEEDED')\nexcept OSError: pass"], user="nobody"
        )

    def test_a_command_that_does_not_exist_is_a_failed_start(self):
        """Although it is a helper that notices."""
        failed = failure(["no-such-command-at-all"], user="nobody")
        assert failed.reason == "start"
        assert "no-such-command-at-all" in str(failed)

    def test_all_fields_work_together(self, tmp_path):
        """At once."""
        tmp_path.chmod(0o755)
        open_to_all(tmp_path)
        shown = text(
            "id -un; nice; umask; pwd; cat", user="daemon", nice=2, umask="077", cwd=str(tmp_path), stdin="end"
        )
        assert shown == f"daemon\n{os.getpriority(os.PRIO_PROCESS, 0) + 2}\n0077\n{tmp_path}\nend"
