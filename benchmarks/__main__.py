"""Measure, print the table, and with `--save` write it down: `python -m benchmarks [NAME…]`."""

from __future__ import annotations

import argparse
import sys

from benchmarks.measures import MEASURES, measure
from benchmarks.peers import available
from benchmarks.plan import Plan


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    peers, missing = available() if options.peers else ([], [])
    print(*missing, sep="\n")
    plan = Plan(options.rounds, options.quick, options.tiny, tuple(peers))
    for name in options.names or MEASURES:
        for row in measure(name)(plan):
            print(row, row.ratios, row.met, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
