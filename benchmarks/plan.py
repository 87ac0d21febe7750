"""Hold the extent of a measurement: rounds, sizes and peers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.peers import Peer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """The rounds, the peers, and whether a rough answer in a few minutes is enough.

    `tiny` makes everything as small as possible: to see that the harness works.
    """

    rounds: int = 5
    quick: bool = False
    tiny: bool = False
    peers: tuple[Peer, ...] = ()

    def pick(self, full: T, quick: T, tiny: T) -> T:
        """Choose by how thorough the measuring is to be."""
        return tiny if self.tiny else quick if self.quick else full

    def each_round(self, what: str) -> Iterator[int]:
        """Count the rounds, and say on standard error which one is on."""
        for number in range(1, self.rounds + 1):
            print(f"{what}: round {number} of {self.rounds}", file=sys.stderr, flush=True)
            yield number
