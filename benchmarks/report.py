"""Make the document: tables and charts, from the results and nothing else."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from string import Template

from benchmarks import chart
from benchmarks.figures import Row, Spread
from benchmarks.flat import compared, grown
from benchmarks.results import Results
from benchmarks.service import ROOT

DOCUMENT = ROOT / "docs" / "BENCHMARKS.md"
RESULTS = ROOT / "docs" / "benchmarks" / "results.json"
WORDS = Path(__file__).resolve().parent / "document.md"
NOTES = Path(__file__).resolve().parent / "notes.toml"

KINDS = ("sqlite", "mariadb", "postgresql")

ORDER = (
    ("start", 10_000),
    ("start-cpu", 10_000),
    ("herd", 1_000),
    ("first", 1_000),
    ("herd", 10_000),
    ("first", 10_000),
    ("busy", 5_000),
    ("busy-most", 5_000),
    ("own", 0),
    ("own-print", 0),
    ("own-herd", 0),
    ("sustained", 0),
    ("lost", 0),
    ("sustained-herd", 0),
    ("punctual", 0),
    ("punctual-p50", 0),
    ("change", 10_000),
    ("change-p99", 10_000),
    ("bulk", 10_000),
    ("idle", 10_000),
    ("memory", 10_000),
    ("job", 10_000),
    ("slot", 0),
    ("slot-cold", 0),
    ("slot-rare", 0),
    *((f"{key}-{kind}", 1_000) for key in ("claims", "claims-rate") for kind in KINDS),
    *((f"{key}-{kind}", 1_000) for key in ("cluster-herd", "cluster-first") for kind in KINDS),
    *((f"cluster-idle-{role}-{kind}", 0) for role in ("leader", "standby") for kind in KINDS),
    *((f"cluster-takeover-{kind}", 0) for kind in KINDS),
)
"""The rows of the table, by key and size."""

SIZES = (1_000, 10_000, 100_000)
GROWING = {
    "start": "start until `READY`",
    "herd": "all due in one second: last start",
    "idle": "idle",
    "memory": "memory",
    "job": "memory for each job",
    "change": "a changed file until its job is active, p50",
    "bulk": "1,000 changed at once, until the last is active",
}
TITLES = {
    "start": "start",
    "herd": "last start of a herd",
    "first": "first start of a herd",
    "busy": "a change in the middle of a herd",
    "own": "own processor time of a run",
    "own-print": "own processor time of a run that prints",
    "sustained-herd": "200 runs a second, all at the full second",
    "punctual": "one job each second",
    "change": "a changed file until its job is active",
    "idle": "idle",
    "memory": "memory",
    "slot": "next slot",
    "cluster-herd-sqlite": "herds on a cluster",
    "cluster-takeover-sqlite": "a leader that is killed",
    "cluster-idle-leader-sqlite": "an idle cluster",
}
"""The short titles of rows in the text."""

FLOORS = {
    "start": "a plain program: list, read, `json.loads`, compiled validator, bare `add_job`",
    "herd": "the same commands by `posix_spawn` from one loop, four at a time",
    "own": "the processor time of that loop",
    "own-print": "the same run with its line to `/dev/null`",
    "idle": "a program that asks the system for as much as often",
    "punctual": "a loop that sleeps until each full second",
    "change": "a rename and the reading of its event",
    "memory": "an interpreter with the same imports",
    "cluster-herd-sqlite": "the same service on its own, in the same round",
}


UNITS = {"memory": "MiB", "threads": "threads", "descriptors": "descriptors at the least"}


def write(results: Results, document: Path) -> None:
    """Write the document and its charts."""
    document.parent.mkdir(parents=True, exist_ok=True)
    charts = document.parent / "benchmarks"
    charts.mkdir(exist_ok=True)
    for name, drawing in drawings(results).items():
        (charts / f"{name}.svg").write_text(drawing, "utf-8")
    document.write_text(text(results, sorted(drawings(results))), "utf-8")


def text(results: Results, charts: Sequence[str]) -> str:
    """Return the document as Markdown."""
    rows = [row for key, size in ORDER if (row := results.row(key, size))]
    filled = Template(WORDS.read_text("utf-8")).substitute(
        machine=_machine(results),
        table=table(rows),
        score=_score(rows),
        floors="; ".join(_floors(rows)),
        limits=_limits(results),
        peers=_peers(results, charts),
        growth=_growth(results, charts),
        soak=_soak(results, charts),
    )
    return re.sub(r"\n{3,}", "\n\n", filled)


def _machine(results: Results) -> str:
    lines = [f"- {name}: {value}" for name, value in results.machine.items()]
    lines += _codes(results)
    rounds = {len(row.ours) for row in results.rows}
    lines += [f"- rounds: {min(rounds)}" + (f" to {max(rounds)}" if len(rounds) > 1 else "")] if rounds else []
    days = sorted({row.when for row in results.rows if row.when})
    if days:
        lines.append(f"- measured: {days[0]}" + (f" to {days[-1]}" if days[0] != days[-1] else ""))
    if results.yardstick:
        spread = Spread.of(results.yardstick)
        lines.append(
            f"- how quiet it was: a fixed loop of Python took {cell(spread)} ms between the measurements"
            + (": **not quiet**, so look at ratios" if spread.most > 1.5 * spread.least else "")
        )
    return "\n".join(lines) + "\n"


def _codes(results: Results) -> list[str]:
    """Say which commit was measured, and which rows have another one."""
    apart = sorted({f"{row.apart} ({row.code})" for row in results.rows if row.apart})
    lines = [f"- ¹ measured by itself: {one}" for one in apart]
    codes = Counter(row.code for row in results.rows if row.code and not row.apart)
    if not codes:
        return lines
    (usual, _), *others = codes.most_common()
    words = [
        f"{code} for {', '.join(f'“{row.what}”' for row in results.rows if row.code == code and not row.apart)}"
        for code, _ in others
    ]
    return [f"- code: {'; but '.join([usual, *words])}", *lines]


def table(rows: Iterable[Row]) -> str:
    """Return the main table, one line a row."""
    lines = ["| what | service | floor | ratio | goal | met |", "|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(cells(row))} |" for row in rows]
    return "\n".join(lines)


def _score(rows: Iterable[Row]) -> str:
    verdicts = [row.met for row in rows if row.met is not None]
    return f"{sum(verdicts)} of {len(verdicts)} goals are met." if verdicts else ""


def _floors(rows: Iterable[Row]) -> Iterator[str]:
    seen = {row.key for row in rows if row.floor}
    return (f"{TITLES[key]}: {words}" for key, words in FLOORS.items() if key in seen)


def cells(row: Row) -> list[str]:
    """Return the cells of a row."""
    floor = f"{cell(Spread.of(row.floor))} {row.unit}" if row.floor else ""
    ratio = cell(Spread.of(row.ratios)) if row.ratios else ""
    what = f"{row.what} ¹" if row.apart else row.what
    return [what, f"{cell(Spread.of(row.ours))} {row.unit}", floor, ratio, goal(row), met(row)]


def cell(spread: Spread) -> str:
    """Format the median, and the extremes where they differ."""
    middle = chart.figure(spread.median)
    extremes = f"{chart.figure(spread.least)}-{chart.figure(spread.most)}"
    return middle if spread.least == spread.most else f"{middle} ({extremes})"


def goal(row: Row) -> str:
    """Describe the goal."""
    if row.goal is None:
        return ""
    most = chart.figure(row.goal.most)
    return f"≤ {most} x floor" if row.goal.of == "ratio" else f"≤ {most} {row.unit}"


def met(row: Row) -> str:
    """Say in a word whether the goal is met."""
    return {True: "yes", False: "**no**", None: ""}[row.met]


def _limits(results: Results) -> str:
    limits = tomllib.loads(NOTES.read_text("utf-8"))["limits"]
    known = [(key, limits[key]) for key in limits if results.row(key)]
    lines = [f"- **{TITLES[key]}**: {words}\n" for key, words in known]
    return "".join(["### What limits them now\n\n", *lines]) if lines else ""


def _peers(results: Results, charts: Sequence[str]) -> str:
    rows = [row for size in SIZES if (row := results.row("herd", size)) and row.peers]
    if not rows:
        return ""
    lines = [
        "## Beside others\n",
        "The last start of a herd: all jobs due in one second, or in one minute for those that know only minutes.\n",
    ]
    for row in rows:
        lines += [f"| {row.size:,} jobs | last start after, {row.unit} | times the floor |", "|---|---|---|"]
        lines += [
            f"| {name} | {cell(Spread.of(values))} | {cell(Spread.of(_times(values, row.floor)))} |"
            for name, values in candidates(results, row)
        ]
        lines += ["", *_image(charts, f"herd-{row.size}", f"Last start of {row.size:,} jobs")]
    return "\n".join(lines)


def _times(values: Sequence[float], floor: Sequence[float]) -> tuple[float, ...]:
    return tuple(value / least for value, least in zip(values, floor, strict=False))


def candidates(results: Results, row: Row) -> list[tuple[str, tuple[float, ...]]]:
    """Everybody in a row, with names for people."""
    names = {name: f"{name} {version}" for name, version in results.peers.items()} | {"plain": "plain APScheduler"}
    own = [("this service", row.ours), ("floor", row.floor)]
    return own + [(names.get(name, name), values) for name, values in row.peers.items()]


def _growth(results: Results, charts: Sequence[str]) -> str:
    if sum(results.row("start", size) is not None for size in SIZES) < 2:
        return ""
    lines = [
        "## Growth\n",
        "| | " + " | ".join(f"{size:,} jobs" for size in SIZES) + " |",
        "|---" * (len(SIZES) + 1) + "|",
    ]
    for key, words in GROWING.items():
        row_of = {size: results.row(key, size) for size in SIZES}
        lines.append(f"| {words} | " + " | ".join(_grown(row_of[size]) for size in SIZES) + " |")
    words = tomllib.loads(NOTES.read_text("utf-8"))["growth"]
    image = _image(charts, "growth", "How costs grow with the number of jobs")
    return "\n".join([*lines, "", *image, *(f"- **{key}**: {words[key]}" for key in words)])


def _grown(row: Row | None) -> str:
    if row is None:
        return ""
    ratio = f", {chart.figure(Spread.of(row.ratios).median)} x floor" if row.ratios else ""
    return f"{cell(Spread.of(row.ours))} {row.unit}{ratio}"


def _soak(results: Results, charts: Sequence[str]) -> str:
    if not results.soak:
        return ""
    runs, lost = results.soak["runs"]
    minutes = results.soak["minutes"][-1]
    words = f"{minutes:.0f} minutes at 50 runs a second: {runs:,.0f} runs, and {lost:,.0f} slots not run or failed."
    quarters = compared(results.soak).items()
    now = ", ".join(f"{chart.figure(last)} {UNITS[name]} ({chart.figure(first)})" for name, (first, last) in quarters)
    verdict = "**That is not flat.**" if grown(results.soak) else "That is flat."
    words += f" The last quarter of the time (and the second) had {now}. {verdict}\n"
    notes = [f"- {note}" for note in tomllib.loads(NOTES.read_text("utf-8")).get("soak", {}).values()]
    return "\n".join(
        ["## Soak\n", words, *notes, "", *_image(charts, "soak", "Memory, threads and descriptors over time")]
    )


def _image(charts: Sequence[str], name: str, words: str) -> list[str]:
    return [f"![{words}](benchmarks/{name}.svg)", ""] if name in charts else []


def drawings(results: Results) -> dict[str, str]:
    """Return all charts that have figures, as SVG, by name."""
    drawn = {}
    for size in SIZES:
        row = results.row("herd", size)
        if row and row.peers:
            spreads = {name: Spread.of(values) for name, values in candidates(results, row)}
            drawn[f"herd-{size}"] = chart.bars(f"{size:,} jobs due: the last run's start", spreads, "s")
    lines = {words.replace("`", ""): _relative(results, key) for key, words in GROWING.items()}
    lines = {words: line for words, line in lines.items() if len(line) > 1}
    if lines:
        drawn["growth"] = chart.growth(
            "How costs grow (first size = 1)", lines, "jobs", "times as much; dashed: in proportion"
        )
    if soak := results.soak:
        panels = {"memory, MiB": soak["memory"], "threads": soak["threads"], "descriptors": soak["descriptors"]}
        panels["processor, % of a core"] = soak["processor"]
        drawn["soak"] = chart.courses("Fifty runs a second", "minutes", soak["minutes"], panels)
    return drawn


def _relative(results: Results, key: str) -> list[tuple[float, float]]:
    rows = [row for size in SIZES if (row := results.row(key, size)) and Spread.of(row.ours).median > 0]
    return [(row.size, Spread.of(row.ours).median / Spread.of(rows[0].ours).median) for row in rows]
