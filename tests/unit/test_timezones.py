"""Time zones by name, and the host's: whatever is odd about it is a clear error and never a crash."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zoneinfo
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobscheduler.jobs.parser import ParseContext, parse
from jobscheduler.tasks import task_names, task_type
from jobscheduler.timetable.former_zone_names import CURRENT_NAME
from jobscheduler.timetable.timezones import UnknownTimezone, get_zone, service_zone, zone_note
from jobscheduler.timetable.zone_rules import zone_data
from tests.support.properties import examples
from tests.support.zone_data import ZONE_DATA, only_zone_data_of, use_directories

DATA = "/usr/share/zoneinfo"  # of a host; the tests use its names only


def refusal(name: str) -> UnknownTimezone:
    with pytest.raises(UnknownTimezone) as refused:
        get_zone(name)
    return refused.value


@pytest.mark.parametrize("name", ["Europe/Berlin", "UTC", "Etc/GMT+12", "America/Argentina/Ushuaia", "EST5EDT", "GMT0"])
def test_a_zone_has_its_iana_name(name):
    """And keeps it as its key; the same name gives the same object."""
    assert get_zone(name).key == name
    assert get_zone(name) is get_zone(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("europe/berlin", "Europe/Berlin"),
        ("utc ", "UTC"),
        ("Berlin", "Europe/Berlin"),
        ("America/New York", "America/New_York"),
        ("new york", "America/New_York"),
        ("Europe/Berlim", "Europe/Berlin"),
        ("Europe/Berlin/", "Europe/Berlin"),
        ("./Europe/Berlin", "Europe/Berlin"),
        ("posix/Europe/Berlin", "Europe/Berlin"),
        ("right/Europe/Berlin", "Europe/Berlin"),
        (f"{DATA}/Europe/Berlin", "Europe/Berlin"),
        (":Europe/Berlin", "Europe/Berlin"),
        ("UTC+2", "Etc/GMT-2"),
        ("GMT-03:00", "Etc/GMT+3"),
        ("+01:00", "Etc/GMT-1"),
        ("UTC+0", "Etc/UTC"),
        ("GMT+05:30", "Asia/Kolkata"),
        ("+05:45", "Asia/Kathmandu"),
        ("Asia/Yangoon", "Asia/Yangon"),
        ("us/pacific", "US/Pacific"),
        ("Europe", None),
        ("America/Argentina", None),
        ("CEST", None),
        ("", None),
        (" ", None),
        ("localtime", None),
        ("posixrules", None),
        ("../../../etc/passwd", None),
        ("..", None),
        ("/etc/passwd", None),
        ("/", None),
        ("zone.tab", None),
        ("tzdata.zi", None),
        ("Europe/Berlin\0", None),
        ("Europe/Berlin\n", None),
        ("\u0415urope/Berlin", None),
        ("\ud800", None),
        ("+99", None),
        ("CET-1CEST,M3.5.0,M10.5.0/3", None),
        ("x" * 1_000_000, None),
        ("a/" * 500_000, None),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_an_unknown_name_is_refused_with_the_one_that_was_meant(name, meant):
    """Case, missing regions, blanks, typos, offsets; and nothing is suggested that is no zone."""
    refused = refusal(name)
    suggested = re.findall(r"`([^`]+)`", refused.help)
    assert suggested
    assert [get_zone(suggestion).key for suggestion in suggested] == suggested
    assert meant is None or suggested == [meant]
    assert len(refused.message) < 200
    assert refused.message.isprintable()


@given(st.text(max_size=30) | st.text(st.sampled_from(list("EuropeBrlin/._-+ 12\0")), max_size=20))
@examples(150)
def test_no_name_raises_anything_but_the_refusal(name):
    """Any text is a zone or a refusal; so is any value of TZ."""
    for attempt in (lambda: get_zone(name), lambda: service_zone(None, {"TZ": name}, Path("/nowhere"))):
        with suppress(UnknownTimezone):
            assert isinstance(attempt(), ZoneInfo)


def test_a_region_is_said_to_be_one():
    """With a zone of it as an example."""
    assert refusal("Europe").message == "`Europe` is a region, not a time zone"


def test_a_host_without_zone_data_is_told_to_install_it():
    """In a process without any zone data the service is imported, and the error names the package; for UTC too."""
    program = """
import sys, zoneinfo
sys.modules["tzdata"] = None
zoneinfo.reset_tzpath([])
import jobscheduler.service
from jobscheduler.timetable.zone_rules import ZONE_RULES, zone_data
from jobscheduler.timetable.timezones import UnknownTimezone, get_zone, zone_note, service_zone
from jobscheduler.timetable.former_zone_names import CURRENT_NAME
for attempt in (lambda: get_zone("Europe/Berlin"), lambda: get_zone("UTC"), lambda: service_zone(None, {"TZ": ""})):
    try:
        print(attempt())
    except UnknownTimezone as unknown:
        print(unknown.message, "|", unknown.help)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["this host has no time zone data | install the package `tzdata`"] * 3


MODERN = [name for name in zoneinfo.available_timezones() if name not in CURRENT_NAME and name != "localtime"]


@pytest.fixture
def modern(tmp_path: Path) -> Iterator[Path]:
    """Have zone data without the former names, as Debian 13 has it without `tzdata-legacy`."""
    for name in MODERN:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(ZONE_DATA / name)
    with only_zone_data_of(tmp_path):
        yield tmp_path


def offsets(name: str) -> list[object]:
    """Give the offsets of a zone at the beginning of each month of a year."""
    return [datetime(2027, 1, 1, tzinfo=ZoneInfo(name)).replace(month=month).utcoffset() for month in range(1, 13)]


@pytest.mark.parametrize("former", sorted(CURRENT_NAME))
def test_todays_name_of_a_zone_has_the_same_rules(former: str) -> None:
    """No suggestion moves a schedule."""
    assert offsets(former) == offsets(CURRENT_NAME[former])
    assert CURRENT_NAME[former] not in CURRENT_NAME


@pytest.mark.parametrize(
    ("former", "today"),
    [
        *[
            ("US/Pacific", "America/Los_Angeles"),
            ("Asia/Saigon", "Asia/Ho_Chi_Minh"),
            ("Asia/Calcutta", "Asia/Kolkata"),
        ],
        *[
            ("EST5EDT", "America/New_York"),
            ("Japan", "Asia/Tokyo"),
            ("GB", "Europe/London"),
            ("Cuba", "America/Havana"),
        ],
        *[("EST", "America/Panama"), ("MST", "America/Phoenix"), ("HST", "Pacific/Honolulu"), ("Zulu", "Etc/UTC")],
        *[("Europe/Kiev", "Europe/Kyiv"), ("posix/Japan", "Asia/Tokyo")],
    ],
)
def test_a_former_name_is_refused_with_todays_and_the_package(modern: Path, former: str, today: str) -> None:
    """On a host without it; and it is a finding about the host, judged again when the package may be there."""
    refused = refusal(former)
    assert refused.help.startswith(f"write `{today}`, its name today")
    assert "`tzdata-legacy`" in refused.help
    assert refused.of_host
    assert not refusal("Europe/Berlim").of_host


def test_a_former_name_is_judged_by_the_data_of_this_host() -> None:
    """Debian 12 has it, and Debian 13 has it with `tzdata-legacy`. Here no data are pinned."""
    program = """
import sys
sys.modules["tzdata"] = None
from jobscheduler.timetable.timezones import UnknownTimezone, get_zone
try:
    print(get_zone("US/Pacific").key)
except UnknownTimezone as unknown:
    print(unknown.message, "|", unknown.help)
"""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONTZPATH"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    refused = (
        "this host has no time zone `US/Pacific` | write `America/Los_Angeles`, its name today, "
        "or install the package `tzdata-legacy` for names of former releases"
    )
    assert done.stdout.strip() == ("US/Pacific" if Path(DATA, "US/Pacific").exists() else refused)


def test_a_zone_that_is_merely_spelled_alike_is_never_suggested(modern: Path) -> None:
    """Saigon is no Yangon, which is half an hour off; a typing mistake leads to today's name."""
    assert "Yangon" not in refusal("Asia/Saigon").help
    assert refusal("Asia/Saigonn").help == "did you mean `Asia/Ho_Chi_Minh`?"
    assert "did you mean" not in refusal("America/Bostona").help
    assert "did you mean" not in refusal("Europe/Munich").help


def test_a_name_that_is_newer_than_the_hosts_data_is_refused_with_its_former_one(modern: Path) -> None:
    """As Kyiv on a host whose data are from before 2022."""
    (modern / "Europe/Kyiv").rename(modern / "Europe/Kiev")
    use_directories([modern])
    assert refusal("Europe/Kyiv").help == (
        "write `Europe/Kiev`, its former name, or bring the package `tzdata` up to date"
    )


def test_data_that_is_installed_again_is_seen_at_the_next_look(modern: Path) -> None:
    """Without a restart or a signal."""
    assert refusal("Japan").of_host
    (modern / "Japan").symlink_to(ZONE_DATA / "Japan")
    assert get_zone("Japan").key == "Japan"


def test_a_job_in_a_zone_that_the_host_lost_is_judged_again_without_an_edit(modern: Path) -> None:
    """So that the next rescan after `apt install tzdata-legacy` takes it; one in no zone at all waits for an edit."""
    rules = ParseContext(ZoneInfo("UTC"), task_type, task_names())
    for zone, again in (("Japan", True), ("Europe/Berlim", False)):
        task = {"type": "execute_command", "command": "true"}
        text = json.dumps({"job_id": "a", "schedule": "@daily", "timezone": zone, "task": task})
        problems = parse(text.encode(), "a.json", rules)
        assert isinstance(problems, tuple)
        assert [problem.host_dependent for problem in problems] == [again]


def test_an_offset_is_refused_with_the_turned_sign_said() -> None:
    """`Etc/GMT-3` is ahead of UTC."""
    assert refusal("+03:00").help == "write `Etc/GMT-3`, which is 3 h ahead of UTC: the sign in these names is reversed"
    assert refusal("\u22123").help == "write `Etc/GMT+3`, which is 3 h behind UTC: the sign in these names is reversed"
    assert "GMT" not in refusal("UTC:5").help
    assert refusal("+05:30").help == "write the name of a place; `Asia/Kolkata` has that offset all year"


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("Etc/GMT+3", "`Etc/GMT+3` is 3 hours behind UTC: the sign in these names is reversed"),
        ("Etc/GMT-1", "`Etc/GMT-1` is 1 hour ahead of UTC: the sign in these names is reversed"),
        ("EST", "`EST` has no summer time; `America/New_York` has"),
        ("MST", "`MST` has no summer time; `America/Denver` has"),
        ("HST", "`HST` has no summer time"),
        ("Europe/Berlin", None),
        ("UTC", None),
        ("Etc/GMT", None),
    ],
)
def test_what_surprises_about_a_zone_is_said(name: str, note: str | None) -> None:
    """And nothing about the others."""
    assert zone_note(name) == note
    assert get_zone(name).key == name


def test_a_lost_zone_in_tz_has_one_help_with_todays_name(modern: Path) -> None:
    """And no example of another zone beside it."""
    with pytest.raises(UnknownTimezone) as refused:
        service_zone(None, {"TZ": "US/Pacific"}, Path("/nowhere"))
    assert "America/Los_Angeles" in refused.value.help
    assert "Europe/Berlin" not in refused.value.help


# The service's zone.


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make an empty host."""
    (tmp_path / "etc").mkdir()
    return tmp_path


def test_an_explicit_name_wins(root):
    """Over TZ and over the host; and an unknown one is not replaced by them."""
    assert service_zone("Asia/Tokyo", {"TZ": "Europe/Berlin"}, root).key == "Asia/Tokyo"
    for name in ("", "Nowhere"):
        with pytest.raises(UnknownTimezone):
            service_zone(name, {"TZ": "Europe/Berlin"}, root)


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        (":Europe/Berlin", "Europe/Berlin"),
        (f"{DATA}/Europe/Berlin", "Europe/Berlin"),
        (f":{DATA}/posix/Europe/Berlin", "Europe/Berlin"),
        ("posix/Europe/Berlin", "Europe/Berlin"),
        ("right/Europe/Berlin", "Europe/Berlin"),
        ("EST5EDT", "EST5EDT"),
        ("", "UTC"),
        (":", "UTC"),
        ("localtime", "Asia/Kolkata"),
        (":/etc/localtime", "Asia/Kolkata"),
    ],
)
def test_tz_is_read_as_glibc_reads_it(root, setting, name):
    """A name, a leading colon, a path into the zone data, nothing for UTC; it wins over /etc/localtime."""
    (root / "etc/localtime").symlink_to(f"{DATA}/Asia/Kolkata")
    assert service_zone(None, {"TZ": setting}, root).key == name


@pytest.mark.parametrize(
    "setting",
    [
        "CET-1CEST",
        "UTC0",
        "<+03>-3",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "EST5EDT,J60,J300",
        "Foo/Bar",
        "/nope",
        "/etc",
        "/a\0",
        "/" + "a" * 10_000,
        "\0",
        "a\0",
    ],
)
def test_a_tz_that_names_no_zone_is_refused(root, setting):
    """Rules in POSIX form, unknown names, paths to nothing: the way out is to give a name."""
    with pytest.raises(UnknownTimezone) as refused:
        service_zone(None, {"TZ": setting}, root)
    assert "--timezone" in refused.value.help


def test_rules_in_tz_are_told_from_a_typo(root):
    """`CET-1CEST` is understood, and that it has no name is said."""
    with pytest.raises(UnknownTimezone, match="gives rules and names no zone"):
        service_zone(None, {"TZ": "CET-1CEST"}, root)


def test_a_host_without_any_setting_is_in_utc(root):
    """No TZ and no /etc/localtime, as in small containers."""
    assert service_zone(None, {}, root).key == "UTC"


@pytest.mark.parametrize(
    "target",
    [
        f"{DATA}/Europe/Berlin",
        "../usr/share/zoneinfo/Europe/Berlin",
        "../usr/share/zoneinfo/posix/Europe/Berlin",
        f"{DATA}/right/Europe/Berlin",
        "/etc/zoneinfo/Europe/Berlin",
        "/usr/lib/zoneinfo/../zoneinfo/./Europe/Berlin",
    ],
)
def test_a_link_names_the_zone(root, target):
    """Absolute, relative, with a prefix, from another directory of zone data; its target need not be there."""
    (root / "etc/localtime").symlink_to(target)
    assert service_zone(None, {}, root).key == "Europe/Berlin"


def test_a_link_to_a_link_is_followed(root):
    """Also through the zone data's own `localtime`, and through a link that leads there from elsewhere."""
    (root / "etc/localtime").symlink_to("mine")
    (root / "etc/mine").symlink_to("/usr/share/zoneinfo/localtime")
    (root / "usr/share/zoneinfo").mkdir(parents=True)
    (root / "usr/share/zoneinfo/localtime").symlink_to("/etc/real")
    (root / "etc/real").symlink_to("../usr/share/zoneinfo/Asia/Tokyo")
    assert service_zone(None, {}, root).key == "Asia/Tokyo"


def content(name: str) -> bytes:
    data = zone_data(name)
    assert data is not None
    return data


def test_a_copy_is_told_by_its_content(root):
    """By /etc/timezone among those that fit, else by the likeliest name."""
    (root / "etc/localtime").write_bytes(content("Europe/Berlin"))
    told = service_zone(None, {}, root).key
    assert content(told) == content("Europe/Berlin")
    (root / "etc/timezone").write_text("Europe/Berlin\n")
    assert service_zone(None, {}, root).key == "Europe/Berlin"
    (root / "etc/timezone").write_text("Asia/Tokyo\n")  # stale: the data counts
    assert content(service_zone(None, {}, root).key) == content("Europe/Berlin")
    (root / "etc/timezone").write_bytes(b"\xff\0../..\n")
    assert content(service_zone(None, {}, root).key) == content("Europe/Berlin")


def test_a_copy_of_utc_is_utc(root):
    """Of its eight names, the usual one."""
    (root / "etc/localtime").write_bytes(content("UTC"))
    assert service_zone(None, {}, root).key == "Etc/UTC"


def test_an_old_copy_is_believed_when_its_rule_is_todays(root):
    """/etc/localtime copied from older zone data, with /etc/timezone beside it."""
    data = content("Europe/Berlin")
    (root / "etc/localtime").write_bytes(b"TZif2 other history\n" + data.split(b"\n")[-2] + b"\n")
    (root / "etc/timezone").write_text("Europe/Berlin\n")
    assert service_zone(None, {}, root).key == "Europe/Berlin"
    (root / "etc/timezone").write_text("Asia/Tokyo\n")
    with pytest.raises(UnknownTimezone, match="has no name on this host"):
        service_zone(None, {}, root)


@pytest.mark.parametrize("kind", ["dangling", "loop", "directory", "garbage", "empty", "unknown zone", "fifo", "long"])
def test_an_odd_localtime_is_refused(root, kind):
    """Where glibc would silently be in UTC, the service says what is wrong."""
    import os

    file = root / "etc/localtime"
    if kind == "dangling":
        file.symlink_to("/etc/nothing")
    elif kind == "loop":
        file.symlink_to("localtime")
    elif kind == "directory":
        file.mkdir()
    elif kind == "garbage":
        file.write_bytes(b"\0" * 100)
    elif kind == "empty":
        file.touch()
    elif kind == "unknown zone":
        file.symlink_to(f"{DATA}/Europe/Atlantis")
    elif kind == "fifo":
        os.mkfifo(file)
    else:
        file.write_bytes(b"TZif" + b"x" * 3_000_000)
    with pytest.raises(UnknownTimezone) as refused:
        service_zone(None, {}, root)
    assert refused.value.help


def test_a_host_that_cannot_be_read_is_refused(root, monkeypatch):
    """An error of the system becomes the refusal, with what the system said."""

    def denied(_):
        raise PermissionError(13, "Permission denied", "localtime")

    (root / "etc/localtime").symlink_to("/etc/other")
    monkeypatch.setattr(Path, "readlink", denied)
    with pytest.raises(UnknownTimezone, match="Permission denied"):
        service_zone(None, {}, root)


def test_this_host_has_a_zone():
    """The real thing."""
    assert service_zone(None, {}).key
