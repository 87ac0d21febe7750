"""A pickle is read as data: nothing in it is executed, and reading it costs time and memory by its length alone."""

from __future__ import annotations

import os
import pickle
import pickletools
import struct
import time
import tracemalloc
from pathlib import Path
from random import Random
from typing import Any

import pytest

from jobscheduler.imports.not_expressible import NotExpressible
from jobscheduler.imports.pickle_values import MAX_PICKLE_BYTES, Made, Name, UnreadablePickle, read_pickle
from jobscheduler.imports.stored_job import NAMES, read_job
from tests.support.jobsmanager import state

PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)
SIZE = 60_000


class Calling:
    """What a hostile pickle holds: a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        """Return the call."""
        return self._call


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_values_are_read_as_pickle_reads_them(protocol: int) -> None:
    """Those of JSON, tuples and bytes."""
    value = {"a": [1, -2, 300, 70_000, 2**40, 1.5, True, False, None], "b": ("x", "grüße", (), (1, 2, 3, 4)), "c": {}}
    assert read_pickle(pickle.dumps(value, protocol), ()) == value
    assert read_pickle(pickle.dumps(b"raw", 5), ()) == b"raw"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_hostile_pickle_executes_nothing(protocol: int, tmp_path: Path) -> None:
    """The functions that it names are not even looked for."""
    marker = tmp_path / "executed"
    for call in (
        Calling(os.system, f"touch {marker}"),
        Calling(eval, f"open({str(marker)!r}, 'w')"),
        Calling(getattr, os, "getcwd") if protocol > 3 else Calling(exec, f"open({str(marker)!r}, 'w')"),
    ):
        with pytest.raises((UnreadablePickle, TypeError)) as caught:
            read_pickle(pickle.dumps({"trigger": call}, protocol), NAMES)
        assert "refers to" in str(caught.value) or "cannot pickle" in str(caught.value)
    assert not marker.exists()


def test_an_allowed_name_is_not_called() -> None:
    """It becomes a value that says what would be called."""
    import logging

    made = read_pickle(pickle.dumps(logging.getLogger("never.made")), NAMES)
    del logging.Logger.manager.loggerDict["never.made"]
    assert isinstance(made, Made)
    assert made.maker == Name("logging", "getLogger")
    assert made.arguments == ("never.made",)
    assert "never.made" not in logging.Logger.manager.loggerDict


HOSTILE = {
    "a memo index of 2**31": b"\x80\x04]r\xff\xff\xff\x7f.",
    "bytes of 2**62": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",
    "a text of 2**62": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x.",
    "a frame of 2**62": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.",
    "a number of 60,000 bytes": b"\x80\x04\x8b" + struct.pack("<i", SIZE) + b"\xff" * SIZE + b".",
    "a number in 60,000 digits": b"L" + b"9" * SIZE + b"L\n.",
    "60,000 lists in each other": b"\x80\x04" + b"]" * (SIZE // 2) + b"a" * (SIZE // 2 - 1) + b".",
    "60,000 marks": b"\x80\x04" + b"(" * SIZE + b"t" * SIZE + b".",
    "lists that are doubled 9,000 times": b"\x80\x04]" + b"\x94h\x00\x86" * 9000 + b".",
    "a key whose hash never ends": b"\x80\x04}]" + b"q\x00h\x00h\x00\x86" * 9000 + b"K\x01s.",
    "an object that is built again and again": b"\x80\x04clogging\ngetLogger\n)\x81" + b"}b" * 20_000 + b".",
    "a persistent id": b"\x80\x04Pa\n.",
    "an extension": b"\x80\x04\x82\x01.",
    "an instance of protocol 0": b"(ios\nsystem\n.",
    "a buffer": b"\x80\x05\x97.",
    "nothing": b"",
    "only an end": b".",
    "only marks": b"(.",
    "what is no pickle": b"\xff\xfe\x00",
    "too long": b"\x80\x04]" + b"0]" * MAX_PICKLE_BYTES,
}


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name.replace(" ", "-")) for name, raw in HOSTILE.items()])
def test_a_hostile_pickle_costs_bounded_time_and_memory(raw: bytes) -> None:
    """By its length, whatever it asks for; it is refused in words of one line."""
    tracemalloc.start()
    begun = time.process_time()
    try:
        with pytest.raises(NotExpressible) as caught:
            read_job("a", raw, is_paused=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024 * 1024
    assert time.process_time() - begun < 10
    assert len(caught.value.message) < 300
    assert "\n" not in caught.value.message


def test_a_pickle_that_is_cut_or_changed_is_a_message_and_nothing_else() -> None:
    """At any length, with any byte."""
    random, raw = Random(11), state(second=0, minute="*/5", day="last,2nd tue")
    for length in range(0, len(raw), 7):
        with pytest.raises(NotExpressible):
            read_job("a", raw[:length], is_paused=False)
    accepted = 0
    for _ in range(1500):
        changed = bytearray(raw)
        for _ in range(random.choice((1, 1, 1, 2, 5))):
            changed[random.randrange(len(changed))] = random.randrange(256)
        try:
            read_job("a", bytes(changed), is_paused=False)
        except NotExpressible as reason:
            assert reason.message
        else:
            accepted += 1
    assert accepted  # as where a letter of the command has changed


@pytest.mark.parametrize("protocol", PROTOCOLS[1:])
def test_the_names_that_jobs_hold_are_those_that_are_allowed(protocol: int) -> None:
    """Nothing of a job of JobsManager is missing from the list."""
    raw = state(protocol=protocol, second="*/5", month="jan-mar", day="last,2nd tue", day_of_week="mon-fri", hour="1-3")
    globals_ = {str(argument) for operation, argument, _ in pickletools.genops(raw) if operation.name == "GLOBAL"}
    assert globals_ <= {" ".join(name) for name in NAMES}
    read_job("a", raw, is_paused=False)
