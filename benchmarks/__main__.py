"""Measure, print the table, and with `--save` write figures and document: `python -m benchmarks [NAME…]`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Row
from benchmarks.machine import commit, describe, yardstick
from benchmarks.measures import MEASURES, measure
from benchmarks.peers import available
from benchmarks.plan import Plan
from benchmarks.processes import heed_signals
from benchmarks.report import DOCUMENT, RESULTS, cells, write
from benchmarks.results import Results, load, save


def main() -> int:
    """Run the measurements that the arguments name."""
    options = _arguments()
    heed_signals()
    results = load(options.results)
    if not options.render:
        results = _measured(results, options)
    if options.save or options.render:
        write(results, options.document)
    return 0


def _rounds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"at least one round, not {text!r}")
    return int(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"what to measure (default: all): {', '.join(MEASURES)}"
    )
    parser.add_argument("--rounds", type=_rounds, default=5, help="how often (default: 5)")
    parser.add_argument("--quick", action="store_true", help="a rough answer: smaller and shorter, and no growth")
    parser.add_argument("--tiny", action="store_true", help="as small as can be, to see that the harness works")
    parser.add_argument("--no-peers", action="store_true", help="leave other schedulers out")
    parser.add_argument("--save", action="store_true", help="write the figures and the document after each measurement")
    parser.add_argument("--render", action="store_true", help="only write the document anew")
    parser.add_argument("--results", type=Path, default=RESULTS, help=argparse.SUPPRESS)
    parser.add_argument("--document", type=Path, default=DOCUMENT, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.names) - set(MEASURES):
        parser.error(f"nobody measures {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}")
    return options


def _measured(results: Results, options: argparse.Namespace) -> Results:
    """Measure one thing after the other; show and save each result at once.

    What is measured by itself says where: the other figures may be those of another machine, or of a quieter hour.
    """
    plan = _plan(options)
    peers = {peer.name: peer.version for peer in plan.peers}
    results, loops, code = replace(results, peers=results.peers | peers), [yardstick()], commit()
    is_apart = bool(options.names and results.rows)
    for name in options.names or MEASURES:
        rows = measure(name)(plan)
        loops.append(yardstick())
        apart = _apart(name, loops[-2:]) if is_apart else ""
        rows = [row.stamped(datetime.now(UTC), code, apart) for row in rows]
        print("\n".join(map(line, rows)), flush=True)
        results = results.with_rows(rows)
        if not is_apart:
            results = replace(results, machine=describe(), yardstick=tuple(loops))
        if options.save:
            save(results, options.results)
            write(results, options.document)
    return results


def _apart(name: str, loops: list[float]) -> str:
    """Say what was measured by itself, where, and how long the fixed loop took before and after it."""
    return f"`{name}` on {describe()['processor']}; the loop took {min(loops):.0f} to {max(loops):.0f} ms"


def _plan(options: argparse.Namespace) -> Plan:
    peers, missing = ([], []) if options.no_peers or "herd" not in (options.names or MEASURES) else available()
    for words in missing:
        print(words, file=sys.stderr)
    return Plan(options.rounds, options.quick, options.tiny, tuple(peers))


def line(row: Row) -> str:
    """Format a row for a terminal."""
    what, ours, floor, ratio, goal, met = cells(row)
    against = f"; floor {floor}" if floor else ""
    against += f", {ratio} times that" if ratio else ""
    verdict = f"; goal {goal}: {met.strip('*')}" if goal else ""
    others = "".join(f"; {name} {sorted(values)[len(values) // 2]:.3g}" for name, values in row.peers.items())
    return f"{what}: {ours}{against}{verdict}{others}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
