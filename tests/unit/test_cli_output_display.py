"""What goes where when an output is shown: the output alone to standard output, all about it to standard error."""

from __future__ import annotations

import pytest

from jobscheduler.cli.output_display import TextDisplay


def test_what_is_missing_is_said_on_standard_error(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """A file gets the kept lines alone; the cut line ends there, so that two halves never look like one line."""
    display = TextDisplay(raw=False, headings=False)
    display.add("first\nbroken", 0)
    display.add("off\nlast\n", 2_000_000)
    display.end()
    shown = capsysbinary.readouterr()
    assert shown.out == b"first\nbroken\noff\nlast\n"
    assert shown.err == b"[... 2,000,000 bytes left out ...]\n"


def test_raw_bytes_stay_as_they_are(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """Nothing is put between them."""
    display = TextDisplay(raw=True, headings=False)
    display.add("first\nbroken", 0)
    display.add("off", 1)
    display.end()
    shown = capsysbinary.readouterr()
    assert (shown.out, shown.err) == (b"first\nbrokenoff", b"[... 1 byte left out ...]\n")
