"""What is kept of an output."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobscheduler.runner import tail
from jobscheduler.tasks.command.output_buffer import LIMIT, HeadTailBuffer, trim_end, trim_start
from tests.support.tasks import execute


def kept(*chunks: bytes, limit: int = LIMIT) -> bytes:
    output = HeadTailBuffer(limit)
    for chunk in chunks:
        output.add(chunk)
    return output.kept().text


def test_a_short_output_is_kept_whole():
    """Up to the limit nothing is left out."""
    assert kept(b"a" * 40_000, b"b" * (LIMIT - 40_000)) == b"a" * 40_000 + b"b" * (LIMIT - 40_000)


def test_a_long_output_keeps_its_ends_and_says_what_is_missing():
    """First and last part together stay within the limit."""
    whole = b"".join(b"%07d\n" % number for number in range(100_000))
    shown = kept(whole)
    left_out = int(re.search(rb"\n\[\.\.\. (\d+) bytes left out \.\.\.\]\n", shown)[1])
    start, _, end = re.split(rb"\n\[\.\.\. (\d+) bytes left out \.\.\.\]\n", shown)
    assert len(shown) <= LIMIT
    assert whole.startswith(start)
    assert whole.endswith(end)
    assert len(start) + left_out + len(end) == len(whole)


@given(st.lists(st.binary(max_size=300), max_size=12))
def test_the_sizes_of_chunks_do_not_change_what_is_kept(chunks):
    """Never more than the limit, and nothing that was not printed."""
    whole = b"".join(chunks)
    shown = kept(*chunks, limit=400)
    assert shown == kept(whole, limit=400)
    assert len(shown) <= 400
    assert (shown == whole) == (len(whole) <= 400)


def test_no_character_is_cut():
    """Neither at the end of the first part nor at the start of the last one."""
    for width in range(4):
        kept(b"x" * width + "é€😀".encode() * 30_000).decode()


@pytest.mark.parametrize("character", ["é", "€", "😀"])
def test_a_cut_character_is_dropped_and_a_whole_one_kept(character):
    """For every width, at both ends."""
    encoded = character.encode()
    assert trim_end(b"a" + encoded) == b"a" + encoded
    assert trim_start(encoded + b"a") == encoded + b"a"
    for cut in range(1, len(encoded)):
        assert trim_end(b"a" + encoded[:cut]) == b"a"
        assert trim_start(encoded[cut:] + b"a") == b"a"


def test_the_tail_is_at_most_two_kibibytes_from_the_end():
    """Whole characters only; the last line break is not shown."""
    assert tail("€".encode() * 1000 + b"\n") == "€" * 682
    assert tail(b"short\n") == "short"


def test_the_tail_shows_bytes_that_are_not_text():
    """With a backslash, so that no byte is lost."""
    assert tail(b"a\xff\xfeb") == r"a\xff\xfeb"


def memory() -> int:
    """Return the peak resident memory of this process since the last reset, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


@pytest.mark.parametrize("mebibytes", [64, pytest.param(1024, marks=pytest.mark.deep)])
def test_a_flood_is_kept_within_five_mebibytes_of_memory(mebibytes):
    """However much a command prints, and its last line is there."""
    execute("true")
    reset_peak()
    before = memory()
    outcome = execute(f"head -c {mebibytes}M /dev/zero; echo end")
    assert memory() - before < 5 * 1024 * 1024
    assert len(outcome.output) <= LIMIT
    assert outcome.output.endswith(b"\0end\n")
    assert b"bytes left out" in outcome.output
