"""The output of a run as it is kept: the first and the last part of each attempt, and how much is missing between."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

_NOTE = b"\n[... %d bytes left out ...]\n"


@dataclass(frozen=True, slots=True)
class OutputPart:
    """Consecutive bytes of an output. `offset` is where they begin, counted in all that was printed."""

    offset: int
    data: bytes

    @property
    def end(self) -> int:
        """Where the next byte would begin."""
        return self.offset + len(self.data)


@dataclass(frozen=True, slots=True)
class KeptOutput:
    """What is kept of an output of `total` bytes: its first bytes, and its last ones if there are others between."""

    head: bytes = b""
    tail: bytes = b""
    total: int = 0

    @property
    def missing(self) -> int:
        """The bytes that are not kept."""
        return self.total - len(self.head) - len(self.tail)

    @property
    def text(self) -> bytes:
        """The kept bytes. A line in the middle has the number of bytes left out."""
        return self.head + _NOTE % self.missing + self.tail if self.missing else self.head + self.tail

    def since(self, offset: int, most: int) -> OutputPart:
        """Return at most `most` bytes from `offset` on, from the next kept byte if those at `offset` are missing."""
        if offset < len(self.head):
            return OutputPart(offset, self.head[offset : offset + most])
        start = self.total - len(self.tail)
        begin = max(offset, start)
        return OutputPart(begin, self.tail[begin - start :][:most])


def split_text(text: bytes, missing: int, head: int) -> KeptOutput | None:
    """Return what `KeptOutput.text` was made of: the reverse of it. None if the text is another one."""
    if not missing:
        return KeptOutput(text, b"", len(text))
    note = _NOTE % missing
    if not text.startswith(note, head):
        return None
    tail = text[head + len(note) :]
    return KeptOutput(text[:head], tail, head + missing + len(tail))


@dataclass(frozen=True, slots=True)
class StoredAttempt:
    """What one attempt of a run has printed. `ended` is None while it goes on, or if its end is not known."""

    run_id: str
    attempt: int
    began: datetime
    ended: datetime | None
    kept: KeptOutput


@dataclass(frozen=True, slots=True)
class AttemptOutput(StoredAttempt):
    """The output of an attempt on its way to a file. `run_started` is when the first attempt of the run began."""

    job_id: str
    run_started: datetime
