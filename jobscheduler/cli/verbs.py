"""The table of verbs: their modules, and their summaries for the overview, which imports none of them."""

from __future__ import annotations

from jobscheduler import __version__

DESCRIPTION = "A job scheduler for Linux hosts: files in, runs out, an honest log."
EXIT_STATUSES = {
    0: "fine",
    1: "problems found or a failed run",
    2: "wrong usage",
    3: "service not reachable",
    70: "an internal part died",
}

# A verb is the module of its name here, with `_` for `-`. It is imported only when its verb is asked for.
# It has `EXAMPLES`, `add_arguments(parser)` and `run(arguments) -> exit status`.
GROUPS: dict[str, dict[str, str]] = {
    "see": {
        "status": "show the situation: what needs you, what runs, what comes next",
        "list": "show the jobs, those that need you first",
        "history": "show the records of the log files, follow them, or sum them up",
        "output": "show what a run has printed, also as it comes",
        "agenda": "show all slots of all jobs in order of time",
        "next": "show the next slots of jobs, of job files or of a crontab expression",
        "explain": "say why a job did or did not run at a time, or when it will run next",
        "cluster": "show the nodes of a cluster, which one leads, and in what they differ",
    },
    "act": {
        "run": "run jobs now, whatever their schedules say",
        "stop": "end runs at work, with their further attempts",
        "pause": "keep the slots of jobs from running, for a time or until they are resumed",
        "resume": "let the slots of paused jobs run again",
        "alert": "send an alert as a test",
    },
    "set up": {
        "serve": "run the service",
        "import": "make jobs from crontabs, or from JobsManager",
        "validate": "check job files and show all their problems",
        "plan": "show what putting job files in force would change",
        "config": "show every setting, its value and where it comes from",
        "reload": "have the service read settings, time zone, job files and alerts again",
        "db": "manage jobs in a database",
        "completion": "print the script by which a shell completes verbs, options and the ids of jobs",
    },
}
VERBS: dict[str, str] = {verb: summary for group in GROUPS.values() for verb, summary in group.items()}

# What people type who know other programs, and the verbs that do it here; the first of them that exists is suggested.
ALIASES: dict[str, tuple[str, ...]] = {
    "logs": ("output", "history"),
    "log": ("output", "history"),
    "tail": ("output", "history"),
    "cat": ("output", "history"),
    "ls": ("list",),
    "jobs": ("list",),
    "ps": ("status",),
    "top": ("status",),
    "info": ("explain",),
    "show": ("explain",),
    "describe": ("explain",),
    "why": ("explain",),
    "runs": ("history",),
    "records": ("history",),
    "stats": ("history",),
    "calendar": ("agenda",),
    "nodes": ("cluster",),
    "leader": ("cluster",),
    "upcoming": ("agenda",),
    "kill": ("stop", "run"),
    "cancel": ("stop", "run"),
    "trigger": ("run",),
    "exec": ("run",),
    "disable": ("pause",),
    "suspend": ("pause",),
    "enable": ("resume",),
    "unpause": ("resume",),
    "check": ("validate",),
    "lint": ("validate",),
    "verify": ("validate",),
    "diff": ("plan", "validate"),
    "start": ("serve",),
    "daemon": ("serve",),
    "settings": ("config",),
    "version": ("--version",),
}


def version_text() -> str:
    """Return what `--version` prints."""
    return f"jobscheduler {__version__}"


def overview() -> str:
    """Return the help of the command itself: every verb with its summary."""
    width = max(map(len, VERBS))
    statuses = [f"{status} {text}" for status, text in EXIT_STATUSES.items()]
    lines = [
        "usage: jobscheduler [VERB] [OPTIONS]",
        "",
        f"{DESCRIPTION} Without a verb: `status`.",
    ]
    for title, verbs in GROUPS.items():
        lines += ["", f"{title}:", *(f"  {verb:{width}}  {summary}" for verb, summary in verbs.items())]
    lines += [
        "",
        "options:",
        "  -h, --help     show this, or with a verb the help of that",
        "  -V, --version  show the version",
        "",
        "`jobscheduler help VERB` tells more of a verb, with examples.",
        f"Exit status: {', '.join(statuses[:-1])},",
        f"{statuses[-1]}.",
    ]
    return "\n".join(lines)
