"""Mutated and hostile files: a Job or Problems, nothing else, in bounded time and memory."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobscheduler import tasks
from jobscheduler.jobs.parser import ParseContext, id_conflict, parse
from jobscheduler.model import Job, Problem
from tests.support.definitions import full_job
from tests.support.service import ROOT, job

RULES = ParseContext(ZoneInfo("Europe/Berlin"), tasks.task_type, tasks.task_names())
MIB = 1024 * 1024

MAX_PARSE_S = 4.0  # processor time for one file; a typical one takes 0.0001

MAX_MEMORY_BYTES = 256 * MIB  # for all files together


def checked_parse(raw: bytes) -> Job | tuple[Problem, ...]:
    """Parse, and check the result against what is promised of it."""
    began = time.process_time()
    found = parse(raw, "a.json", RULES)
    took = time.process_time() - began
    assert took < MAX_PARSE_S, f"{took:.1f} s for {raw[:200]!r}"
    if isinstance(found, Job):
        assert found == parse(raw, "b.json", RULES)
        hash(found)
        assert id_conflict(raw, "a.json", found.id, "b.json").line
        return found
    assert isinstance(found, tuple)
    assert 0 < len(found) <= 100
    for problem in found:
        assert isinstance(problem, Problem)
        assert problem.message
        assert "\n" not in problem.message
        assert len(problem.message) < 5_000
        assert len(problem.excerpt or "") <= 102
        assert (problem.line is None) == (problem.column is None)
        if problem.line is not None:
            assert 1 <= problem.line <= raw.count(b"\n") + 1
            assert problem.width >= 1
            assert 0 <= problem.caret <= len(problem.excerpt or "")
        (problem.message + (problem.help or "") + (problem.excerpt or "")).encode()
    return found


# --- mutations of valid files ----------------------------------------------------------------------------

FULL = full_job(
    ["/bin/echo", "a b", "ä\U0001f600"],
    description="everything \u00e9",
    retry={"attempts": 3, "delay": "30s", "backoff": 2, "max_delay": "10m"},
    not_before="2026-01-01T00:00:00Z",
    not_after="2030-01-01T00:00:00+02:00",
)
WITH_TASK = job("task", "@hourly")
WITH_TASK["task"] |= {"env": {"A": "b"}, "cwd": "/", "umask": "022", "nice": 5, "success_exit_codes": [0, 3]}
WITH_TASK["task"] |= {"env_file": ["/etc/scheduler/a.env"], "pass_env": ["LANGUAGE"]}
VALID = [
    json.dumps(job()),
    json.dumps(FULL, indent=2),
    json.dumps(FULL, ensure_ascii=False, indent="\t"),
    json.dumps(WITH_TASK, indent=1),
    json.dumps(job("once", "2027-10-27T10:00:00Z")),
    *(path.read_text() for path in sorted((ROOT / "examples" / "jobs.d").glob("*.json"))),
]
TOKENS = [
    *('"', "{", "}", "[", "]", ",", ":", "null", "true", "NaN", "-Infinity", "1e999", "-0", "1E-400", "9" * 400),
    *('"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"\\x"', "\\", "\x00", "\x1f", "\u2028", "\ufeff", "'", "//", "#"),
    *('"job_id"', '"schedule"', '"task"', '"type"', '"retry"', '"x":', "[" * 40, "{" * 40, '{"a":' * 33, "\n" * 50),
    *('"* * * * *"', '"60 * * * *"', '"2026-02-30T00:00:00Z"', '"0 0 30 2 *"', '"http_request"', '"1h"', '"-1s"'),
    *("0.1", "-1", "1e308", "123456789012345678901234567890", '""', '" "', '"\U0001f600"', "٣"),
]

mutation = st.one_of(
    st.tuples(st.just("flip"), st.integers(0, 5_000), st.integers(1, 255)),
    st.tuples(st.just("cut"), st.integers(0, 5_000), st.integers(0, 50)),
    st.tuples(st.just("truncate"), st.integers(0, 5_000), st.just(0)),
    st.tuples(st.just("insert"), st.integers(0, 5_000), st.sampled_from(TOKENS)),
    st.tuples(st.just("replace"), st.integers(0, 200), st.sampled_from(TOKENS)),
    st.tuples(st.just("swap"), st.integers(0, 200), st.integers(0, 200)),
    st.tuples(st.just("double"), st.integers(0, 200), st.integers(0, 200)),
    st.tuples(st.just("bytes"), st.integers(0, 5_000), st.binary(max_size=8)),
    st.tuples(st.just("blow up"), st.integers(0, 5_000), st.integers(0, 4_000)),
)


def mutated(raw: bytes, kind: str, at: int, what: Any) -> bytes:
    """Apply one mutation; positions wrap around, and tokens are what a space or a comma ends."""
    where = at % (len(raw) + 1)
    match kind:
        case "flip" if where < len(raw):
            return raw[:where] + bytes([raw[where] ^ what]) + raw[where + 1 :]
        case "cut":
            return raw[:where] + raw[where + what :]
        case "truncate":
            return raw[:where]
        case "insert":
            return raw[:where] + what.encode("utf-8", "surrogatepass") + raw[where:]
        case "bytes":
            return raw[:where] + what + raw[where:]
        case "blow up":
            return raw[:where] + raw[where : where + 1] * what + raw[where:]
    parts = raw.replace(b",", b" , ").replace(b":", b" : ").split(b" ")
    at %= len(parts)
    match kind:
        case "replace":
            parts[at] = what.encode("utf-8", "surrogatepass")
        case "swap":
            other = what % len(parts)
            parts[at], parts[other] = parts[other], parts[at]
        case "double":
            parts[at:at] = parts[at : at + what % 8 + 1]
    return b" ".join(parts)


def fuzz(examples: int) -> Callable[[], None]:
    """Return a test of so many mutated files."""

    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.sampled_from(VALID), st.lists(mutation, min_size=1, max_size=4))
    def run(text: str, mutations: list[tuple[str, int, Any]]) -> None:
        raw = text.encode()
        for kind, at, what in mutations:
            raw = mutated(raw, kind, at, what)
        checked_parse(raw)

    return run


def test_every_valid_file_is_a_job() -> None:
    """What is mutated below is good to begin with."""
    assert [text for text in VALID if not isinstance(checked_parse(text.encode()), Job)] == []


def test_a_mutated_file_is_a_job_or_problems() -> None:
    """Bytes flipped, cut, doubled; tokens swapped and replaced; depth, numbers, surrogates: 150 of them."""
    fuzz(150)()


@pytest.mark.deep
def test_ten_thousand_mutated_files_are_jobs_or_problems() -> None:
    """The same, at length."""
    fuzz(10_000)()


@pytest.mark.deep
@settings(max_examples=3_000, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_problems(raw: bytes) -> None:
    """No content makes the parser fail."""
    assert not isinstance(checked_parse(raw), Job)


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.deep
@settings(max_examples=3_000, deadline=None, derandomize=True, database=None)
@given(st.sampled_from([*FULL, *WITH_TASK["task"]]), json_value)
def test_any_value_in_any_field_is_a_job_or_problems(name: str, value: Any) -> None:
    """Well-formed nonsense, where it does most harm."""
    definition = json.loads(json.dumps(FULL))
    (definition if name in FULL else definition["task"])[name] = value
    checked_parse(json.dumps(definition).encode())


# --- hostile files of up to 1 MiB ------------------------------------------------------------------------


def filled(before: str, unit: str, after: str, size: int = MIB) -> bytes:
    """Make a file of just that size, out of one thing over and over."""
    room = size - len(before.encode()) - len(after.encode())
    return (before + unit * (room // len(unit.encode())) + after).encode()


def numbered(before: str, each: str, after: str, size: int = MIB) -> bytes:
    """Make a file of about that size, out of things that differ."""
    parts, total, number = [], 0, 0
    while total < size - len(before) - len(after) - 40:
        parts.append(each % number)
        total += len(parts[-1]) + 1
        number += 1
    return (before + ",".join(parts) + after).encode()


HEAD = '{"job_id": "x", "schedule": "@daily", "task": {"type": "execute_command", "command": '
HOSTILE = {
    "one string": partial(filled, '{"job_id": "', "x", '"}'),
    "a giant description": partial(filled, HEAD + '"true"}, "description": "', "ä", '"}'),
    "a giant command": partial(filled, HEAD + '"', "x", '"}}'),
    "a giant schedule": partial(filled, '{"job_id": "x", "schedule": "', "1,", '1 * * * *", "task": {}}'),
    "many schedule fields": partial(filled, '{"job_id": "x", "schedule": "', "* ", '"}'),
    "a giant zone": partial(filled, HEAD + '"x"}, "timezone": "', "../", '"}'),
    "a giant type": partial(filled, '{"job_id": "x", "task": {"type": "', "execute_command", '"}}'),
    "a giant duration": partial(filled, HEAD + '"x"}, "timeout": "', "1h", '"}'),
    "a giant number": partial(filled, HEAD + '"x"}, "timeout": ', "9", "}"),
    "a giant fraction": partial(filled, HEAD + '"x"}, "timeout": 0.', "1", "}"),
    "a giant exponent": partial(filled, HEAD + '"x"}, "timeout": 1e', "1", "}"),
    "a giant key": partial(filled, '{"', "k", '": 1}'),
    "unknown keys": partial(numbered, "{", '"k%d": 1', "}"),
    "keys like the known ones": partial(numbered, "{", '"schedul%d": 1', "}"),
    "unknown keys of a task": partial(numbered, HEAD + '"x", ', '"command%d": 1', "}}"),
    "bad variables": partial(numbered, HEAD + '"x", "env": {', '"A%d=": 1', "}}}"),
    "good variables": partial(numbered, HEAD + '"x", "env": {', '"A%d": "1"', "}}}"),
    "bad arguments": partial(numbered, HEAD + "[", "%d", "]}}"),
    "good arguments": partial(numbered, HEAD + "[", '"%d"', "]}}"),
    "bad exit codes": partial(numbered, HEAD + '"x", "success_exit_codes": [', '"%d"', "]}}"),
    "lists": partial(filled, "", "[", ""),
    "objects": partial(filled, "", '{"a":', ""),
    "closed lists": partial(filled, "[", "[],", "[]]"),
    "a list that is a description": partial(filled, HEAD + '"x"}, "description": [', "1,", "1]}"),
    "doubled at the end": partial(numbered, "{", '"k%d": 1', ', "k0": 2}'),
    "white space": partial(filled, "", " ", ""),
    "lines": partial(filled, "{", "\n", "}"),
    "escapes": partial(filled, '{"a": "', "\\ud83d\\ude00", '"}'),
    "half a pair at the end": partial(filled, '{"a": "', "\\ud83d\\ude00", '\\ud800"}'),
    "backslashes": partial(filled, '{"a": "', "\\\\", '"}'),
    "open strings": partial(filled, '{"a": ', '"', ""),
    "quotes": partial(filled, "", '"', ""),
    "NUL": lambda: bytes(MIB),
    "not UTF-8": lambda: b"\xff" * MIB,
    "not UTF-8 at the end": lambda: b" " * (MIB - 1) + b"\xff",
    "commas": partial(filled, "[", ",", "]"),
    "a comma at the end": partial(filled, "[", "1,", "]"),
    "numbers": partial(filled, "[", "-", "]"),
    "one byte too many": lambda: b" " * (MIB + 1),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_takes_no_longer_than_others(make: Callable[[], bytes]) -> None:
    """One mebibyte of whatever costs most: parsed in bounded time, with few problems."""
    raw = make()
    assert len(raw) <= MIB + 1
    checked_parse(raw)


def test_memory_stays_bounded() -> None:
    """After all of the above, in one process."""
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < MAX_MEMORY_BYTES + own_size()


def own_size() -> int:
    """Return the memory of the tests themselves."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
