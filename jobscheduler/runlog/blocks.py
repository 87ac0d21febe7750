"""The bytes of a log file in blocks of whole lines, from its end or from its beginning, in bounded memory.

Reading back, no line is put together from pieces: a block begins at the first line that begins in it, and the next one
ends there. So a few bytes are read twice, and nothing is ever held but one block. What is longer than a block is no
line of a log and is passed over.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator

BLOCK = 256 * 1024
_LINE = 32 * 1024  # longer than nearly every line


def blocks_reversed(descriptor: int, size: int) -> Iterator[bytes]:
    """Yield the first `size` bytes of a file as blocks of whole lines, the last block first.

    A last line without its end, cut by a crash or just being written, is left out. It ends early when the file has
    become shorter meanwhile.
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
    """Yield the first `size` bytes of a file as blocks of whole lines, the first block first; else like `blocks_back`.

    The rest of what was too long for a block comes as if it were a line.
    """
    start = 0
    while start < size:
        data = os.pread(descriptor, min(BLOCK, size - start), start)
        if not data:
            return
        whole = data.rfind(b"\n") + 1
        if whole:
            yield data[:whole]
        start += whole or len(data)


def lines_of(block: bytes) -> list[bytes]:
    """Return the lines of a block, without their ends."""
    return block.split(b"\n")[:-1]


def lines_with(needles: Iterable[bytes], block: bytes, delimiters: Container[bytes] | None = None) -> list[bytes]:
    """Return the lines of a block in which any of these occurs, without looking at the others one by one.

    With `delimiters` one of them has to follow the needle: `job_id=a` is not in `job_id=ab` then.
    """
    ends: dict[int, int] = {}
    for needle in needles:
        at = block.find(needle)
        while at >= 0:
            behind = at + len(needle)
            if delimiters is None or block[behind : behind + 1] in delimiters:
                behind = end = block.find(b"\n", at)
                ends[block.rfind(b"\n", 0, at) + 1] = end
            at = block.find(needle, behind)
    return [block[start : ends[start]] for start in sorted(ends)]


def _after_line_before(descriptor: int, position: int) -> int:
    """Return where the last line that is complete at `position` ends; 0 if there is none."""
    while position > 0:
        start = max(0, position - _LINE)
        found = os.pread(descriptor, position - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        position = start
    return 0
