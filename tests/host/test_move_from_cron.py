"""Debian's own cron beside the service: a line and its job do the same, and an evening's move loses no minute.

The package is downloaded with the host's apt and unpacked. Its daemon runs in a mount namespace of its own, with a
table of the test in place of /etc/cron.d.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobscheduler import cli
from tests.support.job_files import need, unavailable
from tests.support.service import Service, wait_until

PROBE = """#!/bin/sh
# what a command gets: arguments, directory, user, variables, mask and input
[ -n "$JOB_RUN_ID" ] && by=job || by=cron
{ printf '<%s> ' "$@"; echo; pwd; id -un; echo "$SHELL" "$PATH" "$HOME" "$LOGNAME" "$X" "$MAILTO"; umask; cat; } \\
  > "PLACE/.$by-$1.$$" && mv "PLACE/.$by-$1.$$" "PLACE/$by-$1"
"""
TICK = """#!/bin/sh
[ -n "$JOB_RUN_ID" ] && by=job || by=cron
echo "$(date -u +%H:%M) $by" >> PLACE/ticks
"""
TABLE = r"""SHELL=/bin/bash
PATH=PLACE:/usr/bin:/bin
X="two  words"
* * * * * root probe a 'x y' 100\% "$X"%line 1%100\% two%three
* * * * * root probe b \\% after
'X' = "'q'"
HOME=/var
* * * * * root probe c "$0" $((1+1)) <<< here
* * * * * root probe d%%
* * * * * root probe e 'a\\nb' 'c\nd' \d%a\\b\%c
X=$HOME/x  
* * * * * daemon  cd / && probe f   trailing  
MAILTO=""
* * * * * root probe g "[$MAILTO]"
* * * * * root tick
"""  # noqa: W291 - blanks at the end of a value do not count
PROBES = "abcdefg"


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a table, its programs, and Debian's cron at work on the table; other users may enter it."""
    need("apt-get", "dpkg-deb", "unshare")
    with tempfile.TemporaryDirectory(prefix="move-from-cron-") as made:
        base = Path(made)
        base.chmod(0o755)
        _write_table(base)
        daemon = _cron(base)
        try:
            yield base
        finally:
            daemon.terminate()
            daemon.wait(30)


def _write_table(base: Path) -> None:
    for name, mode in (("out", 0o777), ("cron.d", 0o755)):
        (base / name).mkdir()
        (base / name).chmod(mode)
    out = base / "out"
    for name, text in (("probe", PROBE), ("tick", TICK)):
        (out / name).write_text(text.replace("PLACE", str(out)))
        (out / name).chmod(0o755)
    (base / "cron.d/probe").write_text(TABLE.replace("PLACE", str(out)))
    (base / "cron.d/probe").chmod(0o644)


def _cron(place: Path) -> subprocess.Popen[bytes]:
    """Start Debian's cron on the table, and on no other table of the host."""
    subprocess.run(["apt-get", "-q", "download", "cron"], cwd=place, check=False, capture_output=True, timeout=120)
    package = next(place.glob("cron_*.deb"), None)
    if package is None:
        unavailable("apt gave no package `cron`")
    subprocess.run(["dpkg-deb", "-x", package, place / "cron"], check=True, timeout=60)
    hidden = "mount -t tmpfs none /var/spool; mkdir -p /var/spool/cron/crontabs; mount -t tmpfs none /run"
    tables = f"mkdir -p /etc/cron.d; mount --bind {shlex.quote(str(place / 'cron.d'))} /etc/cron.d"
    daemon = f"exec {shlex.quote(str(place / 'cron/usr/sbin/cron'))} -f"
    return subprocess.Popen(["unshare", "--mount", "sh", "-ec", f"{hidden}; {tables}; {daemon}"])


@pytest.mark.deep
@pytest.mark.timeout(600)
def test_a_host_moves_over_without_a_minute_lost_or_doubled(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each line's command gets from the service what it gets from cron, and each minute has one run.

    A job knows its home also where cron stays in its spool, so the users of the probes have a home.
    """
    out = place / "out"
    wait_until(lambda: all((out / f"cron-{name}").exists() for name in PROBES), 75, "a minute of cron", step=0.2)
    service = Service(place)
    service.env["JOBSCHEDULER_TIMEZONE"] = "UTC"
    service.start()
    try:
        start = (datetime.now(UTC) + timedelta(seconds=75)).replace(second=0, microsecond=0) + timedelta(minutes=1)
        words = ["--to", str(service.jobs), "--from", start.isoformat(), "--timezone", "UTC"]
        assert cli.main(["import", "crontab", str(place / "cron.d"), *words]) == 0
        command = capsys.readouterr().out.splitlines()[-1].strip()
        assert command.startswith("mv ")
        last_minute = start - timedelta(seconds=50)
        wait_until(lambda: datetime.now(UTC) >= last_minute, 180, "the last minute of cron", step=0.2)
        subprocess.run(command, shell=True, check=True)
        end = start + timedelta(seconds=70)
        wait_until(lambda: datetime.now(UTC) >= end, 150, "two minutes of the service", step=0.2)
    finally:
        service.close()
    for name in PROBES:
        assert (out / f"job-{name}").read_text() == (out / f"cron-{name}").read_text(), name
    ticks = [line.split() for line in (out / "ticks").read_text().splitlines()]
    minutes = Counter(minute for minute, _ in ticks)
    assert set(minutes.values()) == {1}, ticks
    assert len(minutes) == _minutes_between(ticks[0][0], ticks[-1][0]) + 1, ticks
    assert [by for minute, by in ticks if minute == f"{start:%H:%M}"] == ["job"]
    assert re.fullmatch("(cron )+(job )+", "".join(f"{by} " for _, by in ticks))


def _minutes_between(first: str, last: str) -> int:
    at = [datetime.strptime(text, "%H:%M").replace(tzinfo=UTC) for text in (first, last)]
    return int((at[1] - at[0]).total_seconds() // 60) % (24 * 60)
