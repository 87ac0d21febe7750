"""Who a command runs as: the account, the environment made from it, and the programs that switch to it.

The switch is made by small programs that exec one another (`nice`, `setpriv`, `env`) and not by the service between
fork and exec: that would make each start copy the service's page tables, and run Python code in a child of a process
with many threads.
"""

from __future__ import annotations

import functools
import grp
import os
import pwd
import shutil
import signal
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

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The search path of a command, and of the programs that start it."""

_INHERITED_VARS = (b"LANG", b"TZ")

_MARKS = (RUN_ID_VAR.encode(), ATTEMPT_VAR.encode())  # by which a process tree is found

_RESTORED_VARS = (signal.SIGPIPE, signal.SIGXFSZ)  # by Popen; KILL and STOP cannot be changed
_CHECKED = tuple(
    number
    for number in range(1, 32)
    if number not in (signal.SIGKILL, signal.SIGSTOP, *_RESTORED_VARS) and number in signal.valid_signals()
)


class NoSuchAccount(LookupError):
    """The host knows no user or group of this name; the message says which."""


class AccountExpired(NoSuchAccount):
    """The account is expired, so that nothing may run as its user; `help` says how to mend that."""

    def __init__(self, name: str, day: date) -> None:
        super().__init__(f"the account of the user `{name}` expired on {day}")
        self.help = f"`chage -E -1 {name}` lets it never expire"


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this host, and the group its processes get."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str

    @property
    def is_current_user(self) -> bool:
        """Whether the service already runs as this user and group."""
        return (self.uid, self.gid) == (os.geteuid(), os.getegid())

    def directory(self) -> str:
        """Return the home directory, `/` if it did not exist within this second.

        Raises:
            Hung: it does not answer.

        """
        return _directory(self.home, int(time.monotonic()), self.uid == os.geteuid())


def account(user: str | None = None, group: str | None = None) -> Account:
    """The account of `user` (the service's own if None), with `group` in place of its first group.

    What the host says is believed for a second: it reads its files, or asks another host, each time.

    Raises:
        NoSuchAccount: the host knows no such user or group.
        AccountExpired: the account is no longer valid.
        Hung: the host does not say.

    """
    return _account(user, group, os.geteuid(), int(time.monotonic()))


@functools.lru_cache(maxsize=256)
def _account(user: str | None, group: str | None, uid: int, second: int) -> Account:
    del second  # when this was asked
    entry = _user(user)
    if uid == 0 and entry.pw_uid != 0 and (day := expired_on(entry.pw_name, datetime.now(UTC).date())):
        raise AccountExpired(entry.pw_name, day)
    gid = _group(group) if group is not None else entry.pw_gid if user is not None else os.getegid()
    return Account(entry.pw_name, entry.pw_uid, gid, entry.pw_dir or "/", entry.pw_shell or "/bin/sh")


@functools.lru_cache(maxsize=256)
def _directory(home: str, second: int, is_ours: bool) -> str:
    """Return a home, or `/`. The service's own is looked at without a thread for it: it is there."""
    del second
    try:
        if is_ours:
            os.stat(home)  # noqa: PTH116 - runs often
        else:
            GUARD.call(f"the home directory `{home}`", functools.partial(os.stat, home), patience=ACCOUNT_TIMEOUT_S)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return "/"
    except OSError:  # there, but not for the service (a home on NFS): its user may enter it
        pass
    return home


def _user(name: str | None) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(os.geteuid()) if name is None else _ask(f"user `{name}`", pwd.getpwnam, name)
    except KeyError:
        if name is None:  # a container that runs with a number nobody has an entry for
            return pwd.struct_passwd((str(os.geteuid()), "", os.geteuid(), os.getegid(), "", "/", "/bin/sh"))
    raise NoSuchAccount(f"this host knows no user `{name}`")


def _ask(what: str, ask: Callable[[str], T], name: str) -> T:
    """Ask the host, which may have to ask another one, and may get no answer."""
    thing = f"the host, when it is asked for the {what},"
    return GUARD.call(thing, functools.partial(ask, name), patience=ACCOUNT_TIMEOUT_S)


def _group(name: str) -> int:
    try:
        return _ask(f"group `{name}`", grp.getgrnam, name).gr_gid
    except KeyError:
        raise NoSuchAccount(f"this host knows no group `{name}`") from None


def environment(who: Account, marks: Mapping[bytes, bytes], own: Mapping[str, str]) -> dict[bytes, bytes]:
    """The whole environment of a command: made, not inherited. `marks` are the run's variables, `own` the job's.

    The marks come first: only the head of an environment is read to find the processes of a run.
    """
    made = _full_environment(who.name, who.home, who.shell)
    return {**marks, **made, **marks, **encode_environment(own)} if own else {**marks, **made, **marks}


@functools.lru_cache(maxsize=256)
def _full_environment(name: str, home: str, shell: str) -> Mapping[bytes, bytes]:
    made = {"PATH": PATH, "HOME": home, "LOGNAME": name, "USER": name, "SHELL": shell}
    return {**encode_environment(made), **inherited_environment()}


@functools.cache
def inherited_environment() -> Mapping[bytes, bytes]:
    """What a command gets as the service has it. Asked once: a service does not change its environment."""
    return {name: value for name in _INHERITED_VARS if (value := os.environb.get(name)) is not None}


def encode_environment(variables: Mapping[str, str]) -> dict[bytes, bytes]:
    """In UTF-8, as job files are, whatever the locale of the service."""
    return {name.encode(): value.encode() for name, value in variables.items()}


@functools.cache
def find_helper(name: str) -> str | None:
    """The path of one of the programs that prepare a command, None if this host does not have it."""
    return shutil.which(name, path=PATH)


def wrap_command(
    command: Sequence[bytes],
    variables: Mapping[bytes, bytes],
    who: Account,
    *,
    nice: int | None = None,
    directory: str | None = None,
) -> tuple[list[bytes], Mapping[bytes, bytes]]:
    """`command` behind the programs that must run before it, and what they get as environment.

    Both are as they were when nothing needs such a program. `directory` is entered as the user of the command, who
    may be able to where root is not (a home on NFS). `variables` are set by the last of the programs, which is the
    user already: LD_PRELOAD of a job would else be loaded by `setpriv` while it is root.
    """
    is_ours = who.is_current_user
    before: list[str] = []
    if nice:
        before += [_needed("nice"), "-n", str(nice), "--"]
    if not is_ours:
        before += [_needed("setpriv"), *_identity(who), "--"]
    options = _env_options(None if is_ours else directory)
    if not before and not options:
        return list(command), variables
    before += [_needed("env"), *options]
    assignment = [_needed("setpriv").encode(), b"--"] if b"=" in command[0] else []  # env would take it for one
    return [
        *(word.encode() for word in before),
        _restore_argument(variables),
        *assignment,
        *command,
    ], _masked_environment(variables)


def _masked_environment(variables: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """The environment of the programs that prepare a command: its variables under names that mean nothing to them.

    In the environment, which only their user may read, and not in arguments, which everybody sees. The marks keep
    their names, so that also a run that is still being prepared can be found and ended.
    """
    under = {b"JOB_VARIABLE_%d" % number: value for number, value in enumerate(variables.values())}
    marks = {name: variables[name] for name in _MARKS if name in variables}
    return {**marks, b"PATH": PATH.encode(), b"LC_ALL": b"C", **under}


def _restore_argument(variables: Mapping[bytes, bytes]) -> bytes:
    """What has `env` give `_hidden` values their names back, and drop all else.

    One word with `-S`: as two words some releases of uutils take what follows for an option of their own.
    """
    words = (b"'%b'=\"${JOB_VARIABLE_%d}\"" % (_quoted(name), number) for number, name in enumerate(variables))
    return b" ".join((b"-S-i", b"--", *words))


def _quoted(name: bytes) -> bytes:
    return name.replace(b"\\", b"\\\\").replace(b"'", b"\\'")


def _env_options(directory: str | None) -> list[str]:
    options = [f"--default-signal={','.join(ignored_signals())}"] if ignored_signals() else []
    return [*options, f"--chdir={directory}"] if directory else options


@functools.cache
def ignored_signals() -> tuple[str, ...]:
    """Signals that this process ignores and a command would ignore too (after `nohup`, say), without `SIG`.

    Asked once: a service sets its signals before it runs anything.
    """
    names = (signal.Signals(number).name for number in _CHECKED if signal.getsignal(number) is signal.SIG_IGN)
    return tuple(name.removeprefix("SIG") for name in names)


def _identity(who: Account) -> tuple[str, ...]:
    """How `setpriv` becomes another user. Inheritable capabilities of the service would stay across the change."""
    groups = "--init-groups" if _has_entry(who) else "--clear-groups"
    return f"--reuid={who.name}", f"--regid={who.gid}", groups, *(("--inh-caps=-all",) if has_inheritable() else ())


@functools.cache
def has_inheritable() -> bool:
    """Whether this process has inheritable capabilities. Asked once: a service does not change them.

    Only then are they dropped: `setpriv` refuses that where the kernel knows a capability that it does not know.
    """
    try:
        status = Path("/proc/thread-self/status").read_bytes()
    except OSError:
        return True
    return any(line.startswith(b"CapInh:") and int(line.split()[1], 16) for line in status.splitlines())


def _has_entry(who: Account) -> bool:
    return who.name != str(who.uid)


def _needed(name: str) -> str:
    path = find_helper(name)
    if path is None:
        raise FileNotFoundError(2, "no such program", name)
    return path
