"""What an exit status says, for a record and for people."""

from __future__ import annotations

import signal

from jobscheduler.model import LogValue


def status_details(status: int | None) -> tuple[tuple[str, LogValue], ...]:
    """Return an exit status as details of a record: the signal if it is negative; none if it was lost."""
    if status is None:
        return ()
    return (("signal", _signal_name(-status)),) if status < 0 else (("exit_code", status),)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def explain_status(status: int) -> str:
    """Explain an exit status of a shell; empty if its number says enough."""
    if status == 127:
        return "a shell that ends with 127 did not find a command"
    if status == 126:
        return "a shell that ends with 126 was not permitted to run a command, or it is not a program"
    if status > 128 and status - 128 < signal.NSIG:
        return f"a shell that ends with {status} saw its command killed by {_signal_name(status - 128)}"
    return ""
