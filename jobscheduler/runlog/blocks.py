"""Read a log file in blocks of whole lines, from its end or from its beginning, in bounded memory.

Reading backwards, no line is joined from pieces: a block begins at the first line that begins in it, and the next
block ends there. So a few bytes are read twice, and only one block is in memory. Whatever is longer than a block is
not a line of a log, and is skipped.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator

BLOCK = 256 * 1024
_LINE = 32 * 1024  # longer than nearly every line


def blocks_reversed(descriptor: int, size: int) -> Iterator[bytes]:
    """Yield the first `size` bytes of a file as blocks of whole lines, the last block first.

    A last line without its end is left out: a crash truncated it, or it is being written. Reading ends early if the
    file has become shorter meanwhile.
    """
    end = _after_line_before(descriptor, size)
    while end > 0:
        start = max(0, end - BLOCK)
        data = os.pread(descriptor, end - start, start)
        if len(data) < end - start:
            return
        first = data.find(b"\n") + 1 if start else 0
        if first < len(data):
            yield data[first:]
            end = start + first
        else:
            end = _after_line_before(descriptor, start)


def blocks(descriptor: int, size: int) -> Iterator[bytes]:
    """Yield the first `size` bytes of a file as blocks of whole lines, the first block first.

    The rest of a line that is too long for a block is yielded like a line.
    """
    start = 0
    while start < size:
        data = os.pread(descriptor, min(BLOCK, size - start), start)
        if not data:
            return
        length = data.rfind(b"\n") + 1
        if length:
            yield data[:length]
        start += length or len(data)


def lines_of(block: bytes) -> list[bytes]:
    """Return the lines of a block, without their ends."""
    return block.split(b"\n")[:-1]


def lines_with(needles: Iterable[bytes], block: bytes, delimiters: Container[bytes] | None = None) -> list[bytes]:
    """Return the lines of a block that contain any of these needles, without checking the other lines one by one.

    With `delimiters` one of them must follow the needle: then `job_id=a` does not match `job_id=ab`.
    """
    ends: dict[int, int] = {}
    for needle in needles:
        at = block.find(needle)
        while at >= 0:
            after = at + len(needle)
            if delimiters is None or block[after : after + 1] in delimiters:
                after = end = block.find(b"\n", at)
                ends[block.rfind(b"\n", 0, at) + 1] = end
            at = block.find(needle, after)
    return [block[start : ends[start]] for start in sorted(ends)]


def _after_line_before(descriptor: int, position: int) -> int:
    """Return where the last line that is complete at `position` ends; 0 if there is none."""
    while position > 0:
        start = max(0, position - _LINE)
        newline = os.pread(descriptor, position - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        position = start
    return 0
