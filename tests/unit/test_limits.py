"""`limits` of a job: how they are read, refused, defaulted, shown, hashed, and warned of."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from jobscheduler.jobs.parser import Defaults, parse
from jobscheduler.jobs.parser.warnings import _limits as warnings_of
from jobscheduler.model import Job, Limits
from jobscheduler.model.hash_digits import has_same_slots
from jobscheduler.status.snapshot_json import definition_json
from jobscheduler.timetable.definition_hash import definition_hash
from jobscheduler.util.control_groups import controllers
from jobscheduler.util.sizes import format_size, parse_size
from tests.support.service import job
from tests.unit.test_parser import BERLIN, parsed, problems

REQUEST = {"type": "http_request", "url": "https://example.org/"}


def limits_of(limits: Any) -> Limits | None:
    found = parsed(job(limits=limits))
    assert isinstance(found, Job), found
    return found.limits


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"memory": "512M", "cpu": "50%", "processes": 100}, Limits(512 << 20, 0.5, 100)),
        ({"memory": 1 << 30}, Limits(memory=1 << 30)),
        ({"memory": "2GiB"}, Limits(memory=2 << 30)),
        ({"cpu": "250%"}, Limits(cpu=2.5)),
        ({"cpu": "0.5%", "processes": 1.0}, Limits(cpu=0.005, processes=1)),
        (None, None),
    ],
)
def test_limits_are_a_size_a_share_and_a_number(given: Any, meant: Limits | None) -> None:
    """Each of them alone, or together."""
    assert limits_of(given) == meant


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ("512M", "`limits` must be an object, not text"),
        ({}, "`limits` must not be empty"),
        ({"memry": "1G"}, "unknown field `memry`"),
        ({"memory": "12X"}, "`12X` is not a size"),
        ({"memory": 12}, "a limit of memory lies between 1M and 1024T"),
        ({"memory": -1}, "a limit of memory lies between 1M and 1024T"),
        ({"memory": 1.5}, "`limits.memory` must be a whole number or text, not a number"),
        ({"cpu": "50"}, "`50` is not a share of processor time"),
        ({"cpu": "0%"}, "`0%` is not a share of processor time"),
        ({"cpu": 50}, "`limits.cpu` must be text, not a number"),
        ({"processes": 0}, "`limits.processes` must be at least 1"),
    ],
)
def test_what_is_no_limit_is_refused_with_what_to_write(limits: Any, message: str) -> None:
    """The other jobs are not concerned."""
    ((told, help_),) = problems(job(limits=limits))
    assert told == message
    assert help_


def test_only_a_command_has_limits() -> None:
    """Other tasks have no processes."""
    definition = {"job_id": "a", "schedule": "@daily", "task": REQUEST, "limits": {"processes": 9}}
    message = "`limits` are for the processes of a command, and `http_request` has none"
    assert problems(definition) == [(message, "leave it out")]


def test_default_limits_are_for_commands_and_merge_key_by_key() -> None:
    """Of a job of another type they say nothing, and `null` takes them away."""
    context = replace(BERLIN, defaults=Defaults({"limits": {"memory": "1G", "processes": 9}}))

    def parsed_with(**fields: Any) -> Limits | None:
        found = parse(json.dumps(job(**fields)).encode(), "a.json", context)
        assert isinstance(found, Job), found
        return found.limits

    assert parsed_with() == Limits(1 << 30, None, 9)
    assert parsed_with(limits={"memory": "2G"}) == Limits(2 << 30, None, 9)
    assert parsed_with(limits=None) is None
    assert parsed_with(task=REQUEST) is None


def test_limits_are_shown_as_in_a_job_file_and_belong_to_the_definition() -> None:
    """They decide no slots, and a job without any has the hash that it had before there were limits."""
    plain = parsed(job())
    limited = parsed(job(limits={"memory": "1M", "cpu": "12.5%"}))
    assert isinstance(plain, Job)
    assert isinstance(limited, Job)
    assert definition_json(limited)["limits"] == {"memory": 1 << 20, "cpu": "12.5%"}
    assert "limits" not in definition_json(plain)
    assert plain.changed_fields(limited) == ("limits",)
    hashes = definition_hash(plain), definition_hash(limited)
    assert hashes[0] != hashes[1]
    assert has_same_slots(*hashes)
    assert definition_hash(replace(limited, limits=None)) == hashes[0]


def test_a_limit_that_this_host_cannot_keep_is_a_warning() -> None:
    """One for each; a run goes on without it."""
    limited = parsed(job(limits={"memory": "1G", "processes": 9}))
    assert isinstance(limited, Job)
    told = list(warnings_of(limited, lambda: frozenset({"memory", "cpu"})))
    assert [warning.path for warning in told] == [("limits", "processes")]
    assert "this host has no controller `pids`" in told[0].message
    assert list(warnings_of(limited, lambda: frozenset({"memory", "pids"}))) == []
    assert list(warnings_of(replace(limited, limits=None), frozenset)) == []


def test_controllers_are_those_that_the_kernel_names(tmp_path: Any) -> None:
    """None where there are no control groups of version 2."""
    assert controllers(tmp_path) == frozenset()
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    assert controllers(tmp_path) == {"cpu", "memory", "pids"}


def test_sizes_are_parsed_in_units_of_1024_and_written_for_people() -> None:
    """A number is bytes."""
    assert [parse_size(text) for text in ("0", "7", "1K", "2mb", "1GiB", "3T")] == [
        *(0, 7, 1024, 2 << 20, 1 << 30, 3 << 40)
    ]
    assert parse_size(5) == 5
    for wrong in ("", "M", "1.5G", "-1", "1 G", "1P"):
        with pytest.raises(ValueError, match="is not a size"):
            parse_size(wrong)
    assert [format_size(size) for size in (512, 4096, 410_000_000)] == ["512 B", "4.1 kB", "410 MB"]
