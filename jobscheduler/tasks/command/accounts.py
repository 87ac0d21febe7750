"""Find the account of a command, make its environment, and wrap the command in helpers that switch to the account.

The helpers are small programs that exec one another (`nice`, `setpriv`, `env`). The service does not switch between
fork and exec itself: each start would then copy the page tables of the service, and run Python code in a child of a
process with many threads.
"""

from __future__ import annotations

import functools
import grp
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeVar

from jobscheduler.tasks.command.account_expiry import expired_on
from jobscheduler.tasks.command.run_markers import ATTEMPT_VAR, RUN_ID_VAR
from jobscheduler.tasks.hung_paths import ACCOUNT_TIMEOUT_S, GUARD

T = TypeVar("T")

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # search path of a command and of its helpers

_INHERITED_VARS = (b"LANG", b"TZ")

_MARKERS = (RUN_ID_VAR.encode(), ATTEMPT_VAR.encode())  # by which the processes of a run are found

_ANSWER_S = 5.0  # seconds that `env` has to answer about its options

_RESTORED_VARS = (signal.SIGPIPE, signal.SIGXFSZ)  # by Popen; KILL and STOP cannot be changed
_CHECKED = tuple(
    sorted(signal.valid_signals().intersection(range(1, 32)) - {signal.SIGKILL, signal.SIGSTOP, *_RESTORED_VARS})
)


class NoSuchAccount(LookupError):
    """Raised for an unknown user or group; the message names it."""


class AccountExpired(NoSuchAccount):
    """Raised for an expired account, as which no command may run; `help` suggests a fix."""

    def __init__(self, name: str, day: date) -> None:
        super().__init__(f"the account of the user `{name}` expired on {day}")
        self.help = f"`chage -E -1 {name}` lets it never expire"


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this host with the group of its processes.

    `is_current_user`: the service already runs as this user and group.
    """

    name: str
    uid: int
    gid: int
    home: str
    shell: str
    is_current_user: bool

    def directory(self) -> str:
        """Return the home directory, or `/` if it does not exist. The answer is cached for a second.

        Raises:
            CallHung: the directory does not answer.

        """
        return _directory(self.home, int(time.monotonic()), self.uid == os.geteuid())


def account(user: str | None = None, group: str | None = None) -> Account:
    """Return the account of `user` (None: the user of the service), with `group` in place of its primary group.

    The answer is cached for a second, because each lookup reads files or asks another host.

    Raises:
        NoSuchAccount: the host knows no such user or group.
        AccountExpired: the account has expired.
        CallHung: the host does not answer.

    """
    return _account(user, group, os.geteuid(), int(time.monotonic()))


@functools.lru_cache(maxsize=256)
def _account(user: str | None, group: str | None, uid: int, second: int) -> Account:
    del second  # only limits the time in the cache
    entry = _user(user)
    if uid == 0 and entry.pw_uid != 0 and (day := expired_on(entry.pw_name, datetime.now(UTC).date())):
        raise AccountExpired(entry.pw_name, day)
    gid = _group(group) if group is not None else entry.pw_gid if user is not None else os.getegid()
    is_ours = (entry.pw_uid, gid) == (uid, os.getegid())
    return Account(entry.pw_name, entry.pw_uid, gid, entry.pw_dir or "/", entry.pw_shell or "/bin/sh", is_ours)


@functools.lru_cache(maxsize=256)
def _directory(home: str, second: int, is_ours: bool) -> str:
    """Return a home, or `/`. The home of the service needs no guard thread, because it exists."""
    del second
    try:
        if is_ours:
            os.stat(home)  # noqa: PTH116 - runs often
        else:
            GUARD.call(f"the home directory `{home}`", functools.partial(os.stat, home), patience=ACCOUNT_TIMEOUT_S)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return "/"
    except OSError:  # closed to the service (a home on NFS), but open to its user
        pass
    return home


def _user(name: str | None) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(os.geteuid()) if name is None else _ask(f"user `{name}`", pwd.getpwnam, name)
    except KeyError:
        if name is None:  # a container that runs as a uid without an entry
            return pwd.struct_passwd((str(os.geteuid()), "", os.geteuid(), os.getegid(), "", "/", "/bin/sh"))
    raise NoSuchAccount(f"this host knows no user `{name}`")


def _ask(what: str, ask: Callable[[str], T], name: str) -> T:
    """Look up a name through the guard, because the host may ask another host that does not answer."""
    subject = f"the host, when it is asked for the {what},"
    return GUARD.call(subject, functools.partial(ask, name), patience=ACCOUNT_TIMEOUT_S)


def _group(name: str) -> int:
    try:
        return _ask(f"group `{name}`", grp.getgrnam, name).gr_gid
    except KeyError:
        raise NoSuchAccount(f"this host knows no group `{name}`") from None


def environment(user: Account, run_variables: Mapping[bytes, bytes], own: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return the whole environment of a command, which inherits nothing else.

    `own` are the variables of the job. The markers among those of the run come first, because only the head of an
    environment is read to find the processes of a run.
    """
    made = _full_environment(user.name, user.home, user.shell)
    return {**run_variables, **made, **run_variables, **own}


@functools.lru_cache(maxsize=256)
def _full_environment(name: str, home: str, shell: str) -> Mapping[bytes, bytes]:
    made = {"PATH": PATH, "HOME": home, "LOGNAME": name, "USER": name, "SHELL": shell}
    return {**encode_environment(made), **inherited_environment()}


@functools.cache
def inherited_environment() -> Mapping[bytes, bytes]:
    """Return the variables that a command inherits. Read once, because a service does not change its environment."""
    return {name: value for name in _INHERITED_VARS if (value := os.environb.get(name)) is not None}


def encode_environment(variables: Mapping[str, str]) -> dict[bytes, bytes]:
    """Encode variables in UTF-8, like job files, independent of the locale of the service."""
    return {name.encode(): value.encode() for name, value in variables.items()}


@functools.cache
def find_helper(name: str) -> str | None:
    """Return the path of a helper, None if this host does not have it."""
    return shutil.which(name, path=PATH)


def wrap_command(
    command: Sequence[bytes],
    variables: Mapping[bytes, bytes],
    user: Account,
    *,
    nice: int | None = None,
    directory: str | None = None,
    first: Sequence[str] = (),
) -> tuple[list[bytes], Mapping[bytes, bytes]]:
    """Return `command` behind its helpers, and the environment of the helpers. `first` stands in front of all others.

    Both remain unchanged if no helper is needed. The user of the command enters `directory`, because root may not be
    allowed to (a home on NFS). The last helper sets `variables` and already runs as the user. Otherwise `setpriv`
    would load an LD_PRELOAD of the job while it is root.
    """
    is_ours = user.is_current_user
    before = [*first]
    if nice:
        before += [_needed("nice"), "-n", str(nice), "--"]
    if not is_ours:
        before += [_needed("setpriv"), *_identity(user), "--"]
    options = _env_options(None if is_ours else directory)
    if not before and not options:
        return list(command), variables
    before += [_needed("env"), *options]
    assignment = (
        [_needed("setpriv").encode(), b"--"] if b"=" in command[0] else []
    )  # `env` would take the command for an assignment
    return [
        *(word.encode() for word in before),
        _restore_argument(variables),
        *assignment,
        *command,
    ], _masked_environment(variables)


def _masked_environment(variables: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return the environment of the helpers: the variables of the command under names without a meaning for them.

    Only their user may read an environment, while every user sees arguments. The markers keep their names, so that a
    run can be found and ended while its helpers run.
    """
    under = {b"JOB_VARIABLE_%d" % number: value for number, value in enumerate(variables.values())}
    markers = {name: variables[name] for name in _MARKERS if name in variables}
    return {**markers, b"PATH": PATH.encode(), b"LC_ALL": b"C", **under}


def _restore_argument(variables: Mapping[bytes, bytes]) -> bytes:
    """Return the argument by which `env` restores the names of masked variables and drops all others.

    One argument together with `-S`, because some releases of uutils misread the second of two as an option.
    """
    assignments = (b"'%b'=\"${JOB_VARIABLE_%d}\"" % (_quoted(name), number) for number, name in enumerate(variables))
    return b" ".join((b"-S-i", b"--", *assignments))


def _quoted(name: bytes) -> bytes:
    return name.replace(b"\\", b"\\\\").replace(b"'", b"\\'")


def _env_options(directory: str | None) -> list[str]:
    is_needed = bool(ignored_signals()) and env_restores_signals()
    options = [f"--default-signal={','.join(ignored_signals())}"] if is_needed else []
    return [*options, f"--chdir={directory}"] if directory else options


@functools.cache
def env_restores_signals() -> bool:
    """Return whether `env` has `--default-signal`. That of uutils before 0.1 has not, and `posix_spawn` has to do.

    Asks `env` itself, once. Its output counts, because another thread may reap it and take its exit status.
    """
    command = [_needed("env"), "--default-signal=HUP", "echo", "yes"]
    try:
        asked = subprocess.run(
            command, env={"PATH": PATH}, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_ANSWER_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.stdout == b"yes\n"


@functools.cache
def ignored_signals() -> tuple[str, ...]:
    """Return the signals, without `SIG`, that this process ignores and a command would inherit, as after `nohup`.

    Read once, because a service sets its signals before the first run.
    """
    names = (signal.Signals(number).name for number in _CHECKED if signal.getsignal(number) is signal.SIG_IGN)
    return tuple(name.removeprefix("SIG") for name in names)


def _identity(user: Account) -> tuple[str, ...]:
    """Return the options of `setpriv` for another user. It must drop inheritable capabilities, which would survive."""
    groups = "--init-groups" if _has_entry(user) else "--clear-groups"
    return f"--reuid={user.name}", f"--regid={user.gid}", groups, *(("--inh-caps=-all",) if has_inheritable() else ())


@functools.cache
def has_inheritable() -> bool:
    """Return whether this process has inheritable capabilities. Read once, because a service does not change them.

    They are dropped only then, because `setpriv` fails at that if the kernel has a capability unknown to it.
    """
    try:
        status = Path("/proc/thread-self/status").read_bytes()
    except OSError:  # without /proc it is assumed: a step too many is harmless
        return True
    return any(line.startswith(b"CapInh:") and int(line.split()[1], 16) for line in status.splitlines())


def _has_entry(user: Account) -> bool:
    return user.name != str(user.uid)


def _needed(name: str) -> str:
    path = find_helper(name)
    if path is None:
        raise FileNotFoundError(2, "no such program", name)
    return path
