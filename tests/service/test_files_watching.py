"""Watching that cannot go blind: every way in which a directory can go wrong, with the real service.

In each the schedule is right again within two seconds after the cause has ended (or within the rescan interval where
there is no event at all), and there is exactly one warning and one all-clear.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.job_files import (
    PROMPT,
    Apart,
    assert_every_second_once,
    assert_prompt,
    assert_said_once,
    moment,
    now,
    put,
    running,
)
from tests.support.service import ROOT, Service, job, wait_until

YEARLY = "0 0 1 1 *"
OFTEN = "--rescan-interval", "0.5"
NEVER = "--rescan-interval", "1h"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service with one job that runs every second, whose rescan never comes to the rescue."""
    with running(tmp_path, *NEVER) as made:
        made.write("tick.json", job("tick"))
        yield made.start()


def assert_sees(service: Service, directory: Path, job_id: str = "seen", seconds: float = PROMPT) -> None:
    """What is written there now becomes active in time, and what is deleted goes."""
    began = now()
    path = put(directory, f"{job_id}.json", job(job_id, YEARLY))
    (line,) = service.wait_for("job.added", job_id=job_id)
    assert_prompt(line, began, seconds)
    began = now()
    path.unlink()
    (line,) = service.wait_for("job.removed", job_id=job_id)
    assert_prompt(line, began, seconds + 1)


def assert_watch_is_alive(service: Service, directory: Path, job_id: str = "heard") -> None:
    """The watch is alive: a change is seen before the next rescan."""
    late = []
    for number in range(5):
        began = now()
        put(directory, f"{job_id}.json", job(job_id, YEARLY, description=str(number)))
        line = service.wait_for("job.updated" if number else "job.added", max(1, number), job_id=job_id)[-1]
        late.append((now() - began).total_seconds())
        assert line
    assert sorted(late)[2] < 0.3


def assert_nothing_is_wrong(service: Service) -> None:
    """Only good news; a host may be so busy that a run outlasts its second."""
    lines = [line for line in service.lines() if (line["level"], line.get("reason")) != ("SKIPPED", "overlap")]
    assert [line for line in lines if line["level"] not in {"INFO", "SUCCESS"}] == []


def assert_never_noticed(service: Service, job_id: str = "tick") -> None:
    """The job ran through all of it."""
    service.wait_for("SUCCESS", 2, job_id=job_id)
    assert_every_second_once(service, job_id, 2)
    assert service.words("job.removed", job_id=job_id) == []


def cpu_seconds(service: Service) -> float:
    """What the service has used of the processor."""
    assert service.process is not None
    fields = Path(f"/proc/{service.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- the directory goes and comes back -------------------------------------------------------------------


def deleted(jobs: Path) -> None:
    shutil.rmtree(jobs)


def renamed(jobs: Path) -> None:
    jobs.rename(jobs.with_name("away"))


def replaced_by_an_empty_one(jobs: Path) -> None:
    jobs.rename(jobs.with_name("away"))
    jobs.mkdir()


def replaced_by_a_file(jobs: Path) -> None:
    jobs.rename(jobs.with_name("away"))
    jobs.write_text("")


def replaced_by_a_broken_link(jobs: Path) -> None:
    jobs.rename(jobs.with_name("away"))
    jobs.symlink_to("nowhere")


def open_to_everybody(jobs: Path) -> None:
    jobs.chmod(0o777)


@pytest.mark.parametrize(
    "lose",
    [
        deleted,
        replaced_by_an_empty_one,
        pytest.param(open_to_everybody, marks=pytest.mark.deep),
        pytest.param(renamed, marks=pytest.mark.deep),
        pytest.param(replaced_by_a_file, marks=pytest.mark.deep),
        pytest.param(replaced_by_a_broken_link, marks=pytest.mark.deep),
    ],
)
def test_a_directory_that_is_lost_is_found_again(service: Service, lose: Callable[[Path], None]) -> None:
    """Its jobs stay active meanwhile; then what is there now is what counts."""
    if os.geteuid() != 0 and lose is open_to_everybody:
        pytest.skip("written by everybody is refused for everybody, but this test is about root's rule")
    began = now()
    lose(service.jobs)
    (lost,) = service.wait_for("directory.lost")
    assert_prompt(lost, began)
    assert str(service.jobs) in lost["problem"]
    used = cpu_seconds(service)
    service.wait_for("SUCCESS", len(service.words("SUCCESS", job_id="tick")) + 1, job_id="tick")
    assert cpu_seconds(service) - used < 0.3 * ((now() - moment(lost)).total_seconds() + 0.5), "it spins while lost"

    if lose is open_to_everybody:
        assert f"chmod go-w {service.jobs}" in lost["help"]
        service.jobs.chmod(0o755)
    else:
        fresh = service.jobs.with_name("fresh")
        fresh.mkdir()
        put(fresh, "tick.json", job("tick"))
        put(fresh, "new.json", job("new", YEARLY))
        if service.jobs.is_dir():
            service.jobs.rmdir()
        service.jobs.unlink(missing_ok=True)
        fresh.rename(service.jobs)
    back = now()
    (found,) = service.wait_for("directory.found")
    assert_prompt(found, back)
    if lose is not open_to_everybody:
        assert_prompt(service.wait_for("job.added", job_id="new")[0], back)
    assert_watch_is_alive(service, service.jobs)
    assert_said_once(service, "directory.lost", "directory.found")
    assert_never_noticed(service)


def test_a_directory_that_is_made_again_between_two_checks_is_another_one(service: Service) -> None:
    """Deleted with all its files and made again, empty: not believed (`test_sources.py` has the same inode)."""
    assert service.process is not None
    service.process.send_signal(signal.SIGSTOP)
    shutil.rmtree(service.jobs)
    service.jobs.mkdir(mode=0o755)
    service.process.send_signal(signal.SIGCONT)
    service.wait_for("directory.lost")
    back = now()
    service.write("tick.json", job("tick"))
    assert_prompt(service.wait_for("directory.found")[0], back)
    assert_watch_is_alive(service, service.jobs)
    assert_said_once(service, "directory.lost", "directory.found")
    assert service.words("job.removed") == []


def test_a_directory_that_is_replaced_by_one_with_other_files_is_believed(service: Service) -> None:
    """What is not in the new one is gone after a second, without an issue in the log."""
    service.write("old.json", job("old", YEARLY))
    service.wait_for("job.added", job_id="old")
    fresh = service.jobs.with_name("fresh")
    fresh.mkdir()
    put(fresh, "tick.json", job("tick"))
    put(fresh, "new.json", job("new", YEARLY))
    service.jobs.rename(service.jobs.with_name("away"))
    fresh.rename(service.jobs)
    done = now()

    assert_prompt(service.wait_for("job.added", job_id="new")[0], done)
    assert_prompt(service.wait_for("job.removed", job_id="old")[0], done, PROMPT + 1)
    assert_watch_is_alive(service, service.jobs)
    assert_nothing_is_wrong(service)
    assert_never_noticed(service)


# --- links -----------------------------------------------------------------------------------------------


def test_a_symlinked_directory_is_watched_and_a_re_pointed_link_is_followed(tmp_path: Path) -> None:
    """Events arrive through the link; a release that is switched in by another link counts at once."""
    with running(tmp_path, *NEVER) as service:
        for release in ("one", "two"):
            put_into = tmp_path / release
            put_into.mkdir()
            put(put_into, "tick.json", job("tick"))
            put(put_into, f"{release}.json", job(release, YEARLY))
        service.jobs.rmdir()
        service.jobs.symlink_to("one")
        service.start()
        assert_watch_is_alive(service, tmp_path / "one", "in-one")
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").rename(service.jobs)
        done = now()
        assert_prompt(service.wait_for("job.added", job_id="two")[0], done)
        assert_prompt(service.wait_for("job.removed", job_id="one")[0], done, PROMPT + 1)
        assert_watch_is_alive(service, service.jobs, "in-two")
        assert_nothing_is_wrong(service)
        assert_never_noticed(service)


def test_links_to_files_elsewhere_follow_their_targets(tmp_path: Path) -> None:
    """No event comes when the target is edited: the rescan sees it. A link set anew counts at once."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with running(tmp_path, *OFTEN) as service:
        for kind in ("soft", "hard"):
            put(elsewhere, kind, job(kind, YEARLY))
        (service.jobs / "soft.json").symlink_to(elsewhere / "soft")
        (service.jobs / "hard.json").hardlink_to(elsewhere / "hard")
        service.start()
        for kind in ("soft", "hard"):
            began = now()
            (elsewhere / kind).write_text(str(job(kind, "0 0 2 1 *")).replace("'", '"'))
            (line,) = service.wait_for("job.updated", job_id=kind)
            assert_prompt(line, began, 0.5)
        began = now()
        put(elsewhere, "soft2", job("soft", "0 0 3 1 *"))
        (elsewhere / "link").symlink_to("soft2")
        (elsewhere / "link").rename(service.jobs / "soft.json")
        assert (service.jobs / "soft.json").is_symlink()
        (service.jobs / "soft2").symlink_to(elsewhere / "soft2")
        (service.jobs / "soft2").rename(service.jobs / "soft.json")
        assert_prompt(service.wait_for("job.updated", 2, job_id="soft")[1], began)
        began = now()
        (elsewhere / "soft2").unlink()
        service.wait_for("job.stale", file="soft.json")
        put(elsewhere, "soft2", job("soft", "0 0 3 1 *"))
        assert_said_once(service, "job.stale", service.wait_for("job.mended", file="soft.json")[0]["word"])


def config_map(volume: Path, version: int, jobs: dict[str, str]) -> None:
    """Publish a version as kubelet does: a directory with a time stamp, and a link to it renamed over `..data`."""
    stamp = volume / f"..2026_11_22_01_00_{version:02}.123456789"
    stamp.mkdir()
    stamp.chmod(0o755)
    for name, schedule in jobs.items():
        put(stamp, f"{name}.json", job(name, schedule))
    former = (volume / "..data").readlink() if (volume / "..data").is_symlink() else None
    (volume / "..data_tmp").symlink_to(stamp.name)
    (volume / "..data_tmp").rename(volume / "..data")
    for name in jobs:
        if not (volume / f"{name}.json").is_symlink():
            (volume / f"{name}.json").symlink_to(f"..data/{name}.json")
    for link in volume.glob("*.json"):
        if link.stem not in jobs:
            link.unlink()
    if former is not None:
        shutil.rmtree(volume / former)


def test_a_config_map_counts_at_once(tmp_path: Path) -> None:
    """A projected volume, which is a read-only mount of a sticky directory: each `..data` swap is one event."""
    volume = tmp_path / "volume"
    volume.mkdir()
    first = f'mount -t tmpfs none {volume}; mkdir -m 1777 {volume}/cm; mount --bind -o ro {volume}/cm "$1"'
    with Apart(tmp_path, first, *NEVER) as apart:
        service = apart.service
        service.start()
        inside = apart.inside(volume) / "cm"
        for version, schedule in enumerate(("0 0 1 1 *", "0 0 2 1 *", "0 0 3 1 *")):
            began = now()
            config_map(inside, version, {"tick": "* * * * * *", "x": schedule, f"v{version}": YEARLY})
            line = service.wait_for("job.added", job_id=f"v{version}")[0]
            assert_prompt(line, began)
            if version:
                assert_prompt(service.wait_for("job.updated", version, job_id="x")[-1], began)
                assert_prompt(service.wait_for("job.removed", job_id=f"v{version - 1}")[0], began, PROMPT + 1)
        with pytest.raises(OSError, match="Read-only"):
            put(apart.jobs, "no.json", job("no"))
        assert_nothing_is_wrong(service)
        assert_never_noticed(service)


# --- mounts ----------------------------------------------------------------------------------------------


def test_an_unmounted_directory_is_unknown_until_it_is_mounted_again(tmp_path: Path) -> None:
    """The empty directory below is not taken for an empty configuration; another file system may come back."""
    put_in = 'mount -t tmpfs -o mode=755 none "$1"; mkdir -m 755 "$1/.x"'
    with Apart(tmp_path, put_in, *NEVER) as apart:
        service = apart.service
        service.start()
        put(apart.jobs, "tick.json", job("tick"))
        service.wait_for("SUCCESS", job_id="tick")
        apart.umount(service.jobs)
        (lost,) = service.wait_for("directory.lost")
        assert "another directory and empty" in lost["problem"]
        service.wait_for("SUCCESS", len(service.words("SUCCESS")) + 1)
        apart.run(f"mount -t tmpfs -o mode=755 none {service.jobs}")
        put(apart.jobs, "tick.json", job("tick"))
        back = now()
        (found,) = service.wait_for("directory.found")
        assert_prompt(found, back)
        assert_watch_is_alive(service, apart.jobs)
        assert_said_once(service, "directory.lost", "directory.found")
        assert_never_noticed(service)


def test_a_file_system_without_events_is_rescanned_by_the_clock(tmp_path: Path) -> None:
    """An overlay gives no event when a file is written below it, as a network file system does for other hosts."""
    first = 'mkdir low up work; mount -t overlay -o lowerdir=low,upperdir=up,workdir=work none "$1"'
    for name in ("low", "up", "work"):
        (tmp_path / name).mkdir()
    first = first.replace("mkdir low up work; ", f"cd {tmp_path}; ")
    with Apart(tmp_path, f"{first}; cd {ROOT}", *OFTEN) as apart:
        service = apart.service
        service.start()
        put(apart.jobs, "tick.json", job("tick"))
        service.wait_for("job.added", job_id="tick")
        for number in range(3):
            began = now()
            (tmp_path / "up" / f"{number}.json").write_text(str(job(f"x{number}", YEARLY)).replace("'", '"'))
            (line,) = service.wait_for("job.added", job_id=f"x{number}")
            assert_prompt(line, began, 0.5)
        assert_nothing_is_wrong(service)
        assert_never_noticed(service)


# --- inotify at its limits -------------------------------------------------------------------------------


def test_an_overflow_of_the_queue_is_noticed_and_made_up_for(service: Service) -> None:
    """More events than the kernel keeps, a new job and an edit among them: both are active right after."""
    assert service.process is not None
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if most > 100_000:
        pytest.skip("the queue is too long to be filled here")
    service.process.send_signal(signal.SIGSTOP)
    noise = [service.jobs / f".{number}" for number in range(most // 3 + 500)]
    for path in noise:  # three events each
        path.write_text("")
        path.unlink()
    service.write("new.json", job("new", YEARLY))
    service.write("tick.json", job("tick", description="edited"))
    service.process.send_signal(signal.SIGCONT)
    woken = now()

    soon = 5.0  # a whole queue is read first
    assert_prompt(service.wait_for("job.added", job_id="new")[0], woken, soon)
    assert_prompt(service.wait_for("job.updated", job_id="tick")[0], woken, soon)
    service.wait_for("watch.restored")
    assert_watch_is_alive(service, service.jobs)
    degraded, restored = assert_said_once(service, "watch.degraded", "watch.restored")
    assert "overflow" in degraded["problem"]
    assert_prompt(restored, woken, soon)


def fewest(process: Path) -> tuple[int, int]:
    """Descriptors and threads while nothing happens: a few samples at most."""
    samples = [(len(list((process / "fd").iterdir())), len(list((process / "task").iterdir()))) for _ in range(20)]
    return min(samples)


@pytest.mark.parametrize(
    "limit", ["max_inotify_instances", pytest.param("max_inotify_watches", marks=pytest.mark.deep)]
)
def test_without_inotify_it_falls_back_to_a_rescan_every_second(tmp_path: Path, limit: str) -> None:
    """And says so, once; nothing leaks while it tries again, and it recovers when there is room again."""
    knob = f"/proc/sys/user/{limit}"
    kinds = "--user", "--map-root-user"
    with Apart(tmp_path, f"echo 0 > {knob}", *NEVER, kinds=kinds) as apart:
        service = apart.service
        service.write("tick.json", job("tick"))
        service.start()
        process = Path(f"/proc/{service.process.pid}")
        began = now()
        put(service.jobs, "one.json", job("one", YEARLY))
        assert_prompt(service.wait_for("job.added", job_id="one")[0], began)
        least = fewest(process)
        put(service.jobs, "two.json", job("two", YEARLY))
        service.wait_for("job.added", job_id="two")
        wait_until(lambda: fewest(process) <= least)
        apart.run(f"echo 100 > {knob}")
        raised = now()
        (restored,) = service.wait_for("watch.restored")
        assert_prompt(restored, raised)
        assert_watch_is_alive(service, service.jobs)
        degraded, _ = assert_said_once(service, "watch.degraded", "watch.restored")
        assert degraded["problem"].startswith("the directory cannot be watched: ")
        assert_never_noticed(service)


# --- parts of the service that fail ----------------------------------------------------------------------


@contextmanager
def sabotaged(base: Path) -> Iterator[tuple[Service, Path]]:
    """A service in which something can be broken by order."""
    order = base / "order"
    with running(base, *NEVER) as service:
        service.env["SABOTAGE"] = str(order)
        service.program = [*service.program[:-1], str(ROOT / "tests/support/fault_injection.py")]
        service.write("tick.json", job("tick"))
        service.start()
        yield service, order


@pytest.mark.parametrize("part", ["handler", pytest.param("pass", marks=pytest.mark.deep)])
def test_a_sync_that_fails_is_logged_once_and_made_up_for(tmp_path: Path, part: str) -> None:
    """In the Observer's handler only, or in every sync: what was changed meanwhile is active afterwards."""
    with sabotaged(tmp_path) as (service, order):
        put(order.parent, order.name, part)
        began = now()
        service.write("new.json", job("new", YEARLY))
        (degraded,) = service.wait_for("watch.degraded")
        assert_prompt(degraded, began)
        assert degraded["problem"] == f"a sync failed: RuntimeError: {part} is broken"
        if part == "pass":
            service.wait_for("SUCCESS", len(service.words("SUCCESS")) + 1)
            assert service.words("job.added") == []
        order.unlink()
        mended = now()
        assert_prompt(service.wait_for("job.added", job_id="new")[0], began if part == "handler" else mended)
        assert_prompt(service.wait_for("watch.restored")[0], mended)
        assert_watch_is_alive(service, service.jobs)
        assert_said_once(service, "watch.degraded", "watch.restored")
        assert_never_noticed(service)


@pytest.mark.parametrize("part", ["observer", pytest.param("emitter", marks=pytest.mark.deep)])
def test_a_dead_thread_of_the_watch_is_replaced(tmp_path: Path, part: str) -> None:
    """The one that calls the handler, or the one that reads inotify; nothing that happened meanwhile is lost."""
    with sabotaged(tmp_path) as (service, order):
        put(order.parent, order.name, f"{part} dies")
        wait_until(lambda: not order.exists())
        died = now()
        service.write("new.json", job("new", YEARLY))
        assert_prompt(service.wait_for("job.added", job_id="new")[0], died)
        assert_prompt(service.wait_for("watch.restored")[0], died)
        assert_watch_is_alive(service, service.jobs)
        degraded, _ = assert_said_once(service, "watch.degraded", "watch.restored")
        assert degraded["problem"] == "the watching thread had died"
        assert_never_noticed(service)


@pytest.mark.deep
def test_a_rescan_finds_changes_without_an_event(tmp_path: Path) -> None:
    """Also with a watch that hears nothing at all: a file that came, one that was edited and one that went."""
    with running(tmp_path, *OFTEN) as service:
        (tmp_path / "elsewhere").mkdir()
        service.start()
        began = time.monotonic()
        assert_sees(service, service.jobs, seconds=1)
        assert time.monotonic() - began < 5
