"""The command line itself: verbs, wrong usage, and how little is imported for it."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from jobscheduler import cli
from jobscheduler.cli import history
from jobscheduler.cli.usage import VerbParser
from jobscheduler.cli.verbs import ALIASES, VERBS
from tests.support.service import ROOT


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """What wrong usage prints, line by line; it never goes to standard output, and the status is 2."""
    assert cli.main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    return shown.err.splitlines()


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_of_the_table_has_its_module(verb: str) -> None:
    """With all that the table expects of it."""
    module = import_module(f"jobscheduler.cli.{verb.replace('-', '_')}")
    assert module.EXAMPLES.startswith(("example:", "examples:"))
    assert callable(module.add_arguments)
    assert callable(module.run)


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (RuntimeError("can't start new thread"), "no thread or no memory for one left"),
        (MemoryError(), "no memory left"),
    ],
)
def test_a_host_without_a_thread_or_memory_is_named_without_a_trace(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception, what: str
) -> None:
    """A limit of the user or the unit is too low for the service, or for a verb."""

    def fail(arguments: object) -> int:
        raise error

    monkeypatch.setattr(history, "run", fail)
    assert cli.main(["history"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: this host has {what}\n help: `ulimit -a`")


def test_any_other_fault_is_shown_with_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ours, and the trace says where."""

    def fail(arguments: object) -> int:
        raise RuntimeError("a fault")

    monkeypatch.setattr(history, "run", fail)
    with pytest.raises(RuntimeError, match="a fault"):
        cli.main(["history"])


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_the_overview_names_every_verb(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    """In columns that fit a terminal of 100 columns."""
    assert cli.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines if line.startswith("  ") and not line.startswith("  -")} == set(VERBS)
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("words", [["--version"], ["-V"]])
def test_the_version_is_told(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    """Also by its short name."""
    assert cli.main(words) == 0
    assert capsys.readouterr().out == "jobscheduler 0.1.0\n"


def test_help_of_a_verb_is_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    """`help VERB` is `VERB --help`."""
    with pytest.raises(SystemExit) as done:
        cli.main(["help", "pause"])
    assert done.value.code == 0
    assert capsys.readouterr().out.startswith("usage: jobscheduler pause ")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["lst"],
            [
                "error: there is no verb `lst`",
                " help: did you mean `list`? `jobscheduler --help` lists the verbs",
                "usage: jobscheduler [VERB] [OPTIONS]",
            ],
        ),
        (
            ["list", "--stat", "running"],
            [
                "error: `jobscheduler list` has no option `--stat`",
                " help: did you mean `--state`?",
                "usage: jobscheduler list [OPTIONS] [JOB ...]",
            ],
        ),
        (
            ["next", "-n", "0"],
            [
                "error: `-n` takes a whole number from 1 to 100000, not `0`",
                "usage: jobscheduler next [OPTIONS] [JOB|PATH ...]",
            ],
        ),
        (
            ["explain"],
            [
                "error: `jobscheduler explain` needs JOB",
                " help: `jobscheduler explain --help` has examples",
                "usage: jobscheduler explain [OPTIONS] JOB",
            ],
        ),
        (
            ["explain", "a", "b"],
            ["error: `b` is one argument too many", "usage: jobscheduler explain [OPTIONS] JOB"],
        ),
        (
            ["explain", "a", "--at"],
            [
                "error: `--at` needs a value",
                " help: `jobscheduler explain --help` says which",
                "usage: jobscheduler explain [OPTIONS] JOB",
            ],
        ),
        (
            ["status", "--json=yes"],
            ["error: `--json` takes no value", "usage: jobscheduler status [OPTIONS]"],
        ),
        (
            ["db", "lits"],
            [
                "error: there is no verb `lits`",
                " help: did you mean `list`?",
                "usage: jobscheduler db [OPTIONS] VERB ...",
            ],
        ),
    ],
)
def test_wrong_usage_is_told_as_problems_are(
    capsys: pytest.CaptureFixture[str], words: list[str], expected: list[str]
) -> None:
    """What, help with the nearest word, and the usage line of the verb that was meant."""
    assert refusal(capsys, *words) == expected


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("output", "`jobscheduler output` needs JOB|RUN"),
        ("output -f", "`jobscheduler output` needs JOB|RUN"),
        ("output a --failed -f", "`--failed` and `--follow` exclude each other"),
        ("output a --raw --json", "`--raw` and `--json` exclude each other"),
        ("next --cron @daily --aftr 2h", "`jobscheduler next` has no option `--aftr`"),
        ("next --cron @daily a", "`--cron` and `JOB` exclude each other"),
        ("next --cron @daily --after 2h --until 1h", "`--until` is before `--after`"),
        ("next --cron @daily --until 2020-01-01", "`--until` is before now"),
        ("next --after 25:00", "`25:00` is not a time of day"),
        ("agenda --ical --json", "`--ical` and `--json` exclude each other"),
        ("agenda --from 2h --to 1h", "`--to` is before `--from`"),
        ("agenda --to tomorow", "`tomorow` is not a time"),
        ("list --json --plain", "`--json` and `--plain` exclude each other"),
        ("list --plain --watch", "`--plain` and `--watch` exclude each other"),
        ("status --json --watch", "`--json` and `--watch` exclude each other"),
        ("stop --force", "`jobscheduler stop` has no option `--force`"),
        ("explain -x", "`jobscheduler explain` has no option `-x`"),
        ("list --tag=", "the tag of `--tag` is empty"),
        ("list --sort nme", "there is no order `nme`"),
        ("history --all", "`--all` is for one job"),
        ("history -f --stats", "`--follow` and `--stats` exclude each other"),
        ("history -f --until 1h", "`--follow` and `--until` exclude each other"),
        ("history -f --fail-if-none", "`--follow` and `--fail-if-none` exclude each other"),
        ("history --since 1h --until 2h", "`--until` is before `--since`"),
        ("history -n", "`-n/--limit` needs a value"),
        ("explain a --at yesterdya", "`yesterdya` is not a time"),
        ("run", "`jobscheduler run` needs JOB"),
        ("stop", "`jobscheduler stop` needs JOB|RUN"),
        ("pause", "name jobs, or `--all`"),
        ("pause a --for 2x", "`--for`: `2x` is not a duration"),
        ("pause a --until 26:00", "`26:00` is not a time of day"),
        ("pause a --for 2h --until 06:00", "`--until` and `--for` exclude each other"),
        ("resume a --all", "name jobs, or `--all`, not both"),
        ("alert tset", "there is no action `tset`"),
        ("run EMPTY", "JOB is empty"),
        ("run a EMPTY", "JOB is empty"),
        ("stop EMPTY", "JOB|RUN is empty"),
        ("output EMPTY", "JOB|RUN is empty"),
        ("output EMPTY --failed", "JOB|RUN is empty"),
        ("pause EMPTY", "JOB is empty"),
        ("pause a EMPTY", "JOB is empty"),
        ("resume EMPTY", "JOB is empty"),
        ("explain EMPTY", "JOB is empty"),
        ("list EMPTY", "JOB is empty"),
        ("history EMPTY", "JOB is empty"),
        ("agenda EMPTY", "JOB|PATH is empty"),
        ("next EMPTY", "JOB|PATH is empty"),
        ("alert EMPTY", "the action is empty"),
        ("alert test EMPTY", "JOB is empty"),
        ("db remove EMPTY", "ID is empty"),
        ("validate EMPTY", "a path is empty"),
        ("plan EMPTY", "a path is empty"),
        ("validate --portable", "`--portable` needs a path"),
        ("plan", "`jobscheduler plan` needs PATH"),
        ("serve --max-workers x", "--max-workers: `x`: a whole number from 1 to 1000 is expected"),
        ("serve --log-format x", "--log-format: `x`: `text` or `json` is expected"),
        ("config --max-workers x", "--max-workers: `x`: a whole number from 1 to 1000 is expected"),
        ("history --log-backups x", "--log-backups: `x`: a whole number from 1 to 1000 is expected"),
        ("next --cron @daily --timezone Wrong", "unknown time zone `Wrong`"),
        ("agenda --timezone Wrong", "unknown time zone `Wrong`"),
        ("plan . --timezone Wrong", "unknown time zone `Wrong`"),
        ("validate . --timezone Wrong", "unknown time zone `Wrong`"),
        ("config --timezone Wrong", "unknown time zone `Wrong`"),
        ("db list --jsn", "`jobscheduler db list` has no option `--jsn`"),
        ("db add a.json --jsn b.json", "`jobscheduler db add` has no option `--jsn`"),
        ("db init more", "`more` is one argument too many"),
    ],
)
def test_each_verb_tells_wrong_usage_with_its_own_usage_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: str, error: str
) -> None:
    """Whoever finds it, the parser or the verb, and before any service is asked that matters for it."""
    monkeypatch.setenv("JOBSCHEDULER_SOCKET", str(tmp_path / "none"))
    given = [word.replace("EMPTY", "") for word in words.split()]
    shown = [line for line in refusal(capsys, *given) if not line.startswith("note: no service")]
    verb = " ".join(words.split()[: 2 if words.startswith("db") else 1])
    assert shown[0] == f"error: {error}"
    assert shown[-1].startswith(f"usage: jobscheduler {verb} [OPTIONS]")


@pytest.mark.parametrize(
    ("words", "same"),
    [
        ("a --limit 3 b", "--limit 3 a b"),
        ("a -n3 b -f", "-n3 -f a b"),
        ("a -fn 3 b", "-fn 3 a b"),
        ("a --since=2h b", "--since=2h a b"),
        ("a -- --json b", "-- a --json b"),
        ("a -1 b -f", "-f a -1 b"),
        ("- -f", "-f -"),
    ],
)
def test_options_may_stand_between_the_arguments(words: str, same: str) -> None:
    """As with other commands: `run a --wait b` runs both."""
    parser = VerbParser(prog="jobscheduler history")
    history.add_arguments(parser)
    assert parser.parse_words(words.split()) == parser.parse_words(same.split())


@pytest.mark.parametrize(("words", "where"), [("agenda --to 25:00", "ahead"), ("explain a --at 25:00", "ago")])
def test_help_for_a_time_says_how_a_duration_would_count(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: str, where: str
) -> None:
    """Ahead of now for slots to come, ago for what has happened."""
    monkeypatch.setenv("JOBSCHEDULER_SOCKET", str(tmp_path / "none"))
    help_ = next(line for line in refusal(capsys, *words.split()) if "help: " in line)
    assert f"how {'far ahead' if where == 'ahead' else 'long ago'}, like `2h`" in help_


def test_the_only_action_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where nothing else could be meant."""
    assert refusal(capsys, "alert", "tst")[:2] == [
        "error: there is no action `tst`",
        " help: did you mean `test`? the only action is `test`",
    ]
    assert refusal(capsys, "alert", "backup")[1] == " help: the only action is `test`"


def test_a_wrong_state_or_status_has_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    """And all that there are."""
    assert refusal(capsys, "list", "--state", "runing")[:2][1].startswith(" help: did you mean `running`? there are ")
    assert refusal(capsys, "history", "--status", "failed")[1].startswith(" help: did you mean `failure`? there are ")


@pytest.mark.parametrize(("word", "verb"), [("logs", ALIASES["logs"]), ("ls", ("list",)), ("why", ("explain",))])
def test_a_word_of_other_programs_leads_to_the_verb(
    capsys: pytest.CaptureFixture[str], word: str, verb: tuple[str, ...]
) -> None:
    """The first one of its verbs that there is, with what it does."""
    known = next(name for name in verb if name in VERBS)
    assert refusal(capsys, word)[1] == f" help: `jobscheduler {known}`: {VERBS[known]}"


def test_options_of_the_service_without_a_verb_lead_to_serve(capsys: pytest.CaptureFixture[str]) -> None:
    """The bare command is `status`; main.py alone is the service."""
    shown = refusal(capsys, "--jobs-dir", "x")
    assert shown[1] == " help: to run the service: `jobscheduler serve --jobs-dir x`"


def test_the_bare_command_without_a_service_says_how_to_start_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Status 3, as every verb that asks."""
    monkeypatch.setenv("JOBSCHEDULER_SOCKET", str(tmp_path / "none"))
    assert cli.main([]) == 3
    assert "to start the service: `systemctl start jobscheduler`" in capsys.readouterr().err


def imported(*words: str) -> set[str]:
    """The modules that a fresh interpreter has after the command, without those of an empty program."""
    code = f"import sys; sys.argv[1:] = {list(words)!r}; from jobscheduler import cli; before = set(sys.modules)\n"
    run = "try:\n cli.main()\nexcept SystemExit:\n pass\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code + run], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("words", [["--version"], ["--help"]])
def test_version_and_overview_import_next_to_nothing(words: list[str]) -> None:
    """Neither a verb nor argparse: people and completion scripts wait for these."""
    modules = imported(*words)
    assert {name for name in modules if name.startswith("jobscheduler")} == {
        "jobscheduler",
        "jobscheduler.cli",
        "jobscheduler.cli.verbs",
    }
    assert "argparse" not in modules


def test_a_verb_that_asks_the_service_imports_what_it_needs() -> None:
    """No schedule, no schema, no HTTP library, no other verb."""
    modules = imported("list", "--socket", "/nonexistent/socket")
    ours = {name for name in modules if name.startswith("jobscheduler.")}
    heavy = ("timetable", "jobs", "tasks", "runlog", "scheduler", "service", "explain")
    assert not {name for name in ours if name.split(".")[1] in heavy}
    assert not modules & {"http.client", "ssl", "jsonschema", "tomllib", "apscheduler", "subprocess"}
    assert len(ours) < 46
