"""What jobs of several users must not share, and accounts that must not run anything."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from jobscheduler.tasks.command import accounts
from jobscheduler.tasks.command.account_expiry import expired_on
from jobscheduler.tasks.command.task import ExecuteCommand
from tests.support.tasks import as_root, execute, failure, in_thread, text

ROOT = Path(__file__).resolve().parent.parent.parent

ADD = """
import ctypes
call = ctypes.CDLL(None, use_errno=True).syscall
key = call({add_key}, b"user", b"ticket", b"root's ticket", 13, -3)
print(key)
"""

READ = """
import ctypes
room = ctypes.create_string_buffer(64)
size = ctypes.CDLL(None).syscall({keyctl}, 11, {key}, room, 64)
print(room.raw[:size] if size >= 0 else "denied")
"""

NUMBERS = {"x86_64": (248, 250), "aarch64": (217, 219)}


def has_keyrings() -> bool:
    answers: list[bool] = []
    with in_thread(lambda: answers.append(join_by_system_call())):
        pass
    return answers == [True]


def join_by_system_call() -> bool:
    """Give this thread a session keyring without the code under test: a fault of it must not end in a skip."""
    _, keyctl = NUMBERS.get(platform.machine(), (0, 0))
    return keyctl > 0 and ctypes.CDLL(None).syscall(keyctl, 1, None) > 0


@as_root
@pytest.mark.parametrize("user", [None, "nobody"])
def test_a_key_that_one_job_adds_to_its_session_is_not_readable_in_another(user):
    """`setpriv` changes ids and not the keyring, and possession is what counts."""
    if not has_keyrings():
        pytest.skip("this kernel has no keyrings, or this container forbids them")
    add_key, keyctl = NUMBERS[platform.machine()]
    join_by_system_call()  # as the service has one under systemd
    key = int(text([sys.executable, "-c", ADD.format(add_key=add_key)]))
    assert key > 0
    python = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
    fields = {} if user is None else {"user": user}
    assert text([python, "-c", READ.format(keyctl=keyctl, key=key)], **fields) == "denied\n"


def test_a_thread_that_starts_no_command_keeps_its_keyring():
    """Only a thread that starts a command changes its own."""
    number = NUMBERS.get(platform.machine())
    if number is None or not has_keyrings():
        pytest.skip("no keyrings")
    call = ctypes.CDLL(None).syscall
    before = call(number[1], 0, -3, 0)
    with in_thread(lambda: execute("true")):
        pass
    assert call(number[1], 0, -3, 0) == before


@as_root
def test_a_job_of_another_user_has_none_of_the_capabilities_of_the_service():
    """Inheritable ones, which the change of user leaves alone, and ambient ones included."""
    program = (
        "import sys; from tests.support.tasks import text;"
        "sys.stdout.write(text(['/bin/grep', 'Cap[IPEA]', '/proc/self/status'], user='nobody'))"
    )
    caps = ["--inh-caps", "+net_raw,+sys_admin", "--ambient-caps", "+net_raw,+sys_admin"]
    found = subprocess.run(
        ["setpriv", *caps, sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    shown = dict(line.split() for line in found.stdout.splitlines())
    assert shown == dict.fromkeys(("CapInh:", "CapPrm:", "CapEff:", "CapAmb:"), "0" * 16)


def test_no_capability_is_dropped_that_is_not_there():
    """`setpriv` refuses to drop all of them on a kernel that is newer than itself."""
    who = accounts.account()
    assert accounts.has_inheritable() == any("inh-caps" in word for word in accounts._identity(who))


SHADOW = """root:*:19000:0:99999:7:::
gone:!:19000:0:99999:7::20000:
never:!:19000:0:99999:7:::
old:!:19000:0:99999:7::0:
odd:!:19000:0:99999:7::x:
far:!:19000:0:99999:7::99999999999:
short
"""


@pytest.mark.parametrize(
    ("name", "day", "expected"),
    [
        ("gone", date(2024, 10, 3), None),
        ("gone", date(2024, 10, 4), date(2024, 10, 4)),  # the day 20000 itself, as PAM has it
        ("never", date(2900, 1, 1), None),
        ("old", date(2024, 1, 1), date(1970, 1, 1)),
        ("odd", date(2900, 1, 1), None),
        ("far", date(2900, 1, 1), None),
        ("short", date(2900, 1, 1), None),
        ("unknown", date(2900, 1, 1), None),
    ],
)
def test_an_account_is_expired_from_its_day_on(tmp_path, name, day, expected):
    shadow = tmp_path / "shadow"
    shadow.write_text(SHADOW)
    assert expired_on(name, day, shadow) == expected


def test_a_change_of_the_file_is_noticed_and_a_missing_file_expires_no_account(tmp_path):
    shadow, today = tmp_path / "shadow", date(2026, 1, 1)
    assert expired_on("gone", today, shadow) is None
    shadow.write_text(SHADOW)
    assert expired_on("gone", today, shadow) is not None
    shadow.write_text(SHADOW.replace("::20000:", "::30000:::"))
    assert expired_on("gone", today, shadow) is None


@as_root
def test_a_job_of_an_expired_account_is_refused(alice):
    """Like cron does. It runs when the account has been given more time."""
    fields = {"command": ["true"], "user": alice.name}
    subprocess.run(["chage", "-E", "0", alice.name], check=True)
    accounts._account.cache_clear()
    try:
        failed = failure(["true"], user=alice.name)
        (complaint,) = ExecuteCommand.check(fields)
    finally:
        subprocess.run(["chage", "-E", "-1", alice.name], check=True)
        accounts._account.cache_clear()
    assert failed.reason == "start"
    assert str(failed) == f"the account of the user `{alice.name}` expired on 1970-01-01"
    assert complaint.path == ("user",)
    assert complaint.host_dependent
    assert complaint.help == f"`chage -E -1 {alice.name}` lets it never expire"
    assert not list(ExecuteCommand.check(fields))
    execute(["true"], user=alice.name)
