"""What selects jobs: an id, a pattern, a tag, all; and what was probably meant."""

from __future__ import annotations

import time

import pytest

from jobscheduler.model.selection import ALL, Selector, is_selected, selectors
from jobscheduler.status.selection import no_job_problem, select_jobs

JOBS = {
    "backup-db": ("backup", "nightly"),
    "backup-www": ("backup",),
    "billing-export": ("shop",),
    "billing-rollup": (),
    "report-001": ("shop", "nightly"),
    "nightly-x": (),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("report-001", ["report-001"]),
        ("billing-*", ["billing-export", "billing-rollup"]),
        ("*-00?", ["report-001"]),
        ("b[ai]*-[!dr]*", ["backup-www", "billing-export"]),
        ("tag:backup", ["backup-db", "backup-www"]),
        ("tag:n*", ["backup-db", "report-001"]),
        (ALL, sorted(JOBS)),
        ("Report-001", []),
        ("report", []),
        ("tag:", []),
        ("tag:*", ["backup-db", "backup-www", "billing-export", "report-001"]),
        ("[", []),
        ("[z-a]*", []),
        ("[[:alpha:]]*", []),
        ("no such job", []),
    ],
)
def test_a_text_selects_by_id_by_pattern_or_by_tag(text: str, expected: list[str]) -> None:
    """Case counts, as in ids and tags."""
    assert list(select_jobs([text], JOBS).ids) == expected


def test_several_texts_select_each_job_once_in_their_order() -> None:
    """Those of one text are sorted."""
    found = select_jobs(["tag:nightly", "backup-*", "billing-rollup", "backup-db", "nope", "tag:nope"], JOBS)
    assert found.ids == ("backup-db", "report-001", "backup-www", "billing-rollup")
    assert found.unmatched == (Selector("nope"), Selector("tag:nope"))


def test_a_job_that_comes_later_is_selected_by_what_it_is() -> None:
    """Its id and its tags, without a list of the jobs of the moment."""
    wanted = selectors(["billing-*", "tag:backup", "billing-*"])
    assert len(wanted) == 2
    assert is_selected(wanted, "billing-new")
    assert is_selected(wanted, "new", ["x", "backup"])
    assert not is_selected(wanted, "new", ["x"])


def test_a_selector_says_whether_it_names_one_job() -> None:
    """Only an id does."""
    assert Selector("a.b-c_1").job_id == "a.b-c_1"
    assert [Selector(text).job_id for text in ("a*", "a?", "[a]", "tag:a", ALL)] == [None] * 5
    assert (Selector("tag:a").tag, Selector("a").tag) == ("a", None)
    assert [str(Selector(text)) for text in (ALL, "a*", "tag:b")] == ["all jobs", "a*", "tag:b"]


@pytest.mark.parametrize(
    ("text", "message", "help_"),
    [
        ("report-01", "there is no job `report-01`", "did you mean `report-001`?"),
        ("shop", "there is no job `shop`", "did you mean the tag, `tag:shop`?"),
        ("xyz", "there is no job `xyz`", "`jobscheduler list` shows all jobs"),
        ("bill_*", "no job matches `bill_*`", "`jobscheduler list` shows all jobs"),
        ("tag:bakup", "no job has the tag `bakup`", "did you mean `tag:backup`?"),
        ("tag:x", "no job has the tag `x`", "there are `backup`, `nightly`, `shop`"),
    ],
)
def test_where_none_is_selected_the_problem_says_what_was_meant(text: str, message: str, help_: str) -> None:
    """An id that is nearly right, a tag without its prefix, or the tags that there are."""
    problem = no_job_problem(Selector(text), JOBS)
    assert (problem.message, problem.help) == (message, help_)


def test_without_any_tag_the_problem_says_where_they_come_from() -> None:
    """And many tags are not all named."""
    assert no_job_problem(Selector("tag:x"), {"a": ()}).help == "no job has any; `tags` in a job file gives it some"
    many = {f"job-{number}": (f"word{number:02}",) for number in range(12)}
    help_ = no_job_problem(Selector("tag:zzz"), many).help or ""
    assert help_.count("`") == 20
    assert help_.endswith(" and others")


def test_a_hostile_pattern_costs_no_time() -> None:
    """Many stars against an id that nearly fits, and one that is far too long."""
    began = time.process_time()
    assert not Selector("a*" * 60 + "b").matches("a" * 128)
    assert not Selector("*" * 100_000).matches("a")
    assert time.process_time() - began < 1
