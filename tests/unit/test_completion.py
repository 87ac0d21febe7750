"""What may follow a command line that is being typed: verbs, options, values; and what a shell is told of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jobscheduler import cli
from jobscheduler.cli import complete, completion_values
from jobscheduler.cli.completion import SHELLS
from jobscheduler.cli.verb_arguments import write_arguments
from jobscheduler.cli.verbs import VERBS
from jobscheduler.config import OPTIONS
from jobscheduler.control.names import MAX_DESCRIPTION_CHARS, names_answer
from jobscheduler.model import Cron, Job, TaskSpec
from tests.support.service import ROOT

KNOWN = {"jobs": {"backup": "", "report-1": "Sales: daily"}, "tags": ["nightly"], "runs": {"5f3c2a": "backup"}}


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], str]]:
    """A service that answers; what it was asked for."""
    questions: list[tuple[list[str], str]] = []

    def ask(words: list[str], begin: str) -> Mapping[str, Any]:
        questions.append((words, begin))
        return KNOWN

    monkeypatch.setattr(completion_values, "_ask", ask)
    return questions


def answer(shell: str, *typed: str) -> tuple[list[str], list[str]]:
    """The kind and the note of an answer, and its candidates."""
    head, *lines = complete.complete([shell, *typed]).split("\n")
    return head.split("\t"), lines


def names(*typed: str) -> set[str]:
    """The candidates for the last of these words."""
    return {line.split("\t")[0] for line in answer("fish", *typed)[1]}


def flags(*typed: str) -> set[str]:
    """The options that may still stand there."""
    return names(*typed, "--")


def test_the_file_of_arguments_is_what_the_parsers_say(tmp_path: Path) -> None:
    """After a change of a verb or an option: `scripts/update-arguments`."""
    write_arguments(tmp_path / "arguments.json")
    assert (tmp_path / "arguments.json").read_bytes() == complete.ARGUMENTS.read_bytes(), "run scripts/update-arguments"


def test_the_first_word_is_a_verb() -> None:
    """With `help`, after which verbs stand as well, and nothing after those."""
    assert names("") == names("help", "") | {"help"} == {*VERBS, "help"}
    assert names("re") == {"resume", "reload"}
    assert names("help", "list", "") == set()
    assert names("no-verb", "") == set()


def test_options_without_a_verb_are_those_of_the_default_verb() -> None:
    """And the version."""
    assert names("--f") == {"--failing"}
    assert names("--failing", "--w") == {"--watch"}
    assert {"--version", "--help"} < names("--")


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_every_verb_is_completed_with_its_help(verb: str) -> None:
    """All that the help of the verb lists."""
    described = json.loads(complete.ARGUMENTS.read_text("utf-8"))[verb]
    known = {name for option in described["options"] for name in option["names"]}
    assert names(verb, "-") == known
    _, lines = answer("zsh", verb, "--")
    assert len(lines) == len({name for name in known if name.startswith("--")})
    assert all(line.partition(":")[2] for line in lines)


def test_an_option_that_was_given_or_is_excluded_is_not_offered_again() -> None:
    """One that may repeat is; `--for` and `--until` of `pause` exclude each other."""
    assert "--json" not in flags("list", "--json")
    assert "--tag" in flags("list", "--tag", "x")
    assert "--follow" not in flags("history", "-f")
    assert {"--for", "--until"} < flags("pause")
    assert not {"--for", "--until"} & flags("pause", "--for", "1h")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("list", "--sort", "ne"), {"next"}),
        (("list", "--sort=ne",), {"--sort=next"}),
        (("serve", "--log-format", ""), {"text", "json"}),
        (("completion", ""), set(SHELLS)),
        (("alert", ""), {"test"}),
        (("list", "--state", "ru"), {"running"}),
        (("list", "--state", "failing,ru"), {"failing,running"}),
        (("history", "--status=success,success"), set()),
        (("history", "--since", "y"), {"yesterday"}),
        (("next", "--timezone", "Europe/Berl"), {"Europe/Berlin"}),
        (("history", "-n", ""), set()),
        (("pause", "--reason", ""), set()),
    ],
)  # fmt: skip
def test_values_are_completed(words: tuple[str, ...], expected: set[str]) -> None:
    """Words, lists of words with commas, times, zones; nothing where only the user knows."""
    assert names(*words) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("explain", ""), {"backup", "report-1"}),
        (("explain", "--at", "02:30", "re"), {"report-1"}),
        (("explain", "backup", ""), {"--help", "--at", "--json", "--user", "--config", "--jobs-dir", "--log-file"}
         | {"--log-backups", "--timezone", "--socket"}),
        (("run", ""), {"backup", "report-1", "tag:nightly"}),
        (("run", "backup", ""), {"report-1", "tag:nightly"}),
        (("run", "--wait", "tag:n"), {"tag:nightly"}),
        (("run", "--", "re"), {"report-1"}),
        (("run", "--", "--"), set()),
        (("stop", "5"), {"5f3c2a"}),
        (("output", "-f", "5"), {"5f3c2a"}),
        (("explain", "5"), set()),
        (("alert", "test", "b"), {"backup"}),
        (("list", "--tag", ""), {"nightly"}),
        (("next", "b"), {"backup"}),
        (("db", "remove", ""), {"backup", "report-1"}),
    ],
)  # fmt: skip
def test_names_that_the_service_knows_are_completed(words: tuple[str, ...], expected: set[str]) -> None:
    """Ids, tags where several jobs may stand, ids of runs where a run may."""
    assert names(*words) == expected


def test_verbs_below_a_verb_have_options_of_their_own() -> None:
    """`db` has several."""
    assert {"init", "import", "export", "remove"} < names("db", "")
    assert "--delete" in flags("db", "import", "x")
    assert "--delete" not in flags("db", "init")


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("validate", ""), "files"),
        (("validate", "--as", ""), "users"),
        (("serve", "--socket-group", ""), "groups"),
        (("serve", "--jobs-dir", ""), "directories"),
        (("serve", "--jobs-dir=",), "directories"),
        (("db", "export", ""), "directories"),
        (("next", ""), "files"),
        (("list", "--state", ""), "list"),
        (("list", "--sort", ""), "words"),
    ],
)  # fmt: skip
def test_the_shell_is_told_what_it_completes_itself(words: tuple[str, ...], kind: str) -> None:
    """Files, directories, users and groups; the help is the note."""
    found, note = answer("zsh", *words)[0]
    assert found == kind
    assert note


def test_each_setting_that_has_few_values_says_which() -> None:
    """The values are those that its parser accepts."""
    for option in OPTIONS:
        assert all(option.parse(word) == word for word in option.words)


def test_each_shell_gets_the_form_that_it_reads() -> None:
    """For zsh the description is after a colon, for fish after a tab; bash wants what it has not cut off itself."""
    assert answer("zsh", "explain", "re")[1] == ["report-1:Sales: daily"]
    assert answer("zsh", "run", "tag:n")[1] == [r"tag\:nightly:jobs with this tag"]
    assert answer("fish", "explain", "re")[1] == ["report-1\tSales: daily"]
    assert answer("bash", "jobscheduler run tag:n", "n")[1] == ["nightly"]
    assert answer("bash", "jobscheduler list --sort=ne", "ne")[1] == ["next"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("jobscheduler ", [""]),
        ("jobscheduler li", ["li"]),
        ("jobscheduler run 'a b' c\\ d ", ["run", "a b", "c d", ""]),
        ("jobscheduler run 'bil", ["run", "bil"]),
        ('jobscheduler run "a $x', ["run", "a $x"]),
        ("jobscheduler pause --reason=it\\'s re", ["pause", "--reason=it's", "re"]),
        ("", [""]),
    ],
)
def test_a_line_of_bash_is_split_as_bash_splits_it(line: str, words: list[str]) -> None:
    """Quotes may still be open."""
    assert complete.split_line(line) == words


def test_the_service_is_found_by_the_command_line(asked: list[tuple[list[str], str]]) -> None:
    """It is asked for the ids that begin so, and for all tags once a tag is typed."""
    names("explain", "--socket", "/x", "re")
    names("run", "tag:n")
    assert asked == [(["explain", "--socket", "/x"], "re"), (["run"], "")]
    found = completion_values._finding(["run", "--socket", "~/x", "--config=/c", "--user"])
    assert vars(found) == {"user": True, "socket": str(Path("~/x").expanduser()), "config": "/c"}


def test_no_line_is_longer_than_a_description_may_be() -> None:
    """Descriptions are cut, and are one line; ids are filtered by their beginning."""
    task = TaskSpec.from_params("execute_command", {"command": "true"})
    jobs = {
        name: Job(name, Cron("@daily", "UTC"), task, description=text, tags=tags)
        for name, text, tags in [("a", "x" * 500, ("t",)), ("ab", "two\nlines", ("t", "u")), ("b", "", ())]
    }
    found = names_answer(jobs, [], "a")
    assert found == {"jobs": {"a": "x" * (MAX_DESCRIPTION_CHARS - 1) + "…", "ab": "two lines"}, "tags": ["t", "u"],
                     "runs": {}}  # fmt: skip


@pytest.mark.parametrize("shell", SHELLS)
def test_the_verb_prints_the_script(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    """As it stands in the package."""
    assert cli.main(["completion", shell]) == 0
    assert capsys.readouterr().out == (ROOT / f"jobscheduler/cli/shells/jobscheduler.{shell}").read_text("utf-8")


def test_a_completion_imports_no_verb_and_little_else() -> None:
    """At each Tab a process starts."""
    code = (
        "import sys; from jobscheduler import cli; cli.main(['__complete', 'zsh', 'next', '']);"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = set(done.stderr.split())
    assert not modules & {f"jobscheduler.cli.{verb}" for verb in VERBS}
    assert not modules & {"jobscheduler.jobs", "jobscheduler.timetable", "apscheduler", "jsonschema", "logging"}
