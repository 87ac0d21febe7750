"""Text of a user in a message."""

from __future__ import annotations

from jobscheduler.util import text


def test_long_text_is_cut_and_hidden_characters_are_shown() -> None:
    """A message stays on one line and short."""
    assert text.quote("a\nb") == "`a\N{REPLACEMENT CHARACTER}b`"
    assert text.quote("x" * 61) == f"`{'x' * 60}…`"
    assert text.truncate("abc", 2) == "ab…"


def test_the_nearest_name_is_suggested_whatever_its_case() -> None:
    """In the case in which it is known."""
    assert text.did_you_mean("BACKPU", ["Backup", "report"]) == "did you mean `Backup`?"
    assert text.did_you_mean("invoice", ["Backup", "report"]) is None
    assert text.nearest("b" * 10**6, ["Backup"]) is None


def test_a_number_agrees_with_its_noun() -> None:
    """From a thousand on digits are grouped."""
    assert text.plural(1, "run") == "1 run"
    assert text.plural(2000, "run") == "2,000 runs"
    assert text.plural(2, "entry", "entries") == "2 entries"
