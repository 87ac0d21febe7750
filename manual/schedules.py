"""How schedules and durations are written: what the schema of a job file is too short for."""

from __future__ import annotations

FORMS = (  # what is written, what it means, and an example that has to be accepted
    (
        "minute hour day-of-month month day-of-week",
        "A crontab expression as Debian's cron reads it: `*`, numbers, lists, ranges, steps, and three-letter names in "
        "any case. 0 and 7 are Sunday. When both day fields are restricted, either may match; when one of them starts "
        "with `*`, both must.",
        "30 2 1,15 jan-jun mon-fri",
    ),
    ("second minute hour day-of-month month day-of-week", "The same with seconds in front.", "*/10 * * * * *"),
    ("L", "As a day of the month: its last day, as in `0 9 L * *`.", "0 9 L * *"),
    ("friL, 5L", "As a day of the week: the last Friday of the month, as in `0 9 * * friL`.", "0 9 * * friL"),
    ("fri#3, 5#3", "As a day of the week: the third Friday of the month, as in `0 9 * * fri#3`.", "0 9 * * fri#3"),
    ("@hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually", "As in crontab(5).", "@daily"),
    ("@reboot", "Once, when the service first starts after the host has booted.", "@reboot"),
    ("@manual", "Never by itself: for jobs that are only run by hand or by a program.", "@manual"),
    (
        "2027-01-31T10:00:00+01:00",
        "Once, at an ISO 8601 date and time; without an offset it is one of the zone of the job.",
        "2027-01-31T10:00:00+01:00",
    ),
)
REMARKS = (
    "What cron would accept and never run, or half ignore, is refused with the reason; so are signs of other "
    "schedulers, such as `?`, `W` and `H`. `jobscheduler next --cron` shows what an expression means.",
    "When clocks are set forward, a slot at a fixed time that does not exist runs once, at the first instant after the "
    "gap. When they are set back, one in the repeated hour runs once, in the first pass. A schedule whose minute or "
    "hour starts with `*` follows real time: it does not run for times that do not exist, and runs in both passes.",
)
DURATIONS = "A duration is a number of seconds, or text such as `90s`, `1.5h`, `1h30m` or `2d`."
