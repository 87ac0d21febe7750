"""How many examples a property test draws: a part of them in `make test`, and all in `make test-deep`.

The profiles are in `tests/conftest.py`. Every test that is given examples is marked `property`, and `make test-deep`
runs those too, with the profile `deep`.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

ALL = 100
"""The examples of a test that does not name a number, in `make test-deep`."""

EVERYDAY = 30


def load_profiles() -> None:
    """Register both profiles and load the one of every day.

    It draws the same examples each time, however busy the machine is.
    """
    for name, examples in (("everyday", EVERYDAY), ("deep", ALL)):
        settings.register_profile(
            name,
            max_examples=examples,
            derandomize=True,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            database=None,
        )
    settings.load_profile("everyday")


def examples(number: int) -> settings:
    """Return the settings of a test that draws so many examples in `make test-deep`."""
    return settings(max_examples=number * settings().max_examples // ALL)
