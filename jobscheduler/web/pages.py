"""The pages, as HTML: each collects its values and passes them to a template, which escapes all of them."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from functools import partial
from importlib.resources import files
from typing import Any

from jobscheduler.status.snapshot import Snapshot
from jobscheduler.web import formatting
from jobscheduler.web.activity import Activity, Check
from jobscheduler.web.front_page import FrontPage, issues_of, verdict
from jobscheduler.web.job_list import list_page
from jobscheduler.web.job_page import JobPage
from jobscheduler.web.page_query import REFRESH_S, PageQuery, parse_query
from jobscheduler.web.run_page import RunPage
from jobscheduler.web.templates import templates
from jobscheduler.web.time_axis import zone_of
from jobscheduler.web.view import ServiceView


class Pages:
    """Render the pages. `style` and `icons` are the files that they refer to."""

    def __init__(self, view: ServiceView) -> None:
        self._view = view
        own = files("jobscheduler.web") / "files"
        self.style = (own / "style.css").read_bytes()
        self.icons = {kind: (own / f"icon{kind and '-'}{kind}.svg").read_bytes() for kind in ("", "failure", "warning")}
        self._host = socket.gethostname()
        activity = Activity(view)
        self._front = FrontPage(view, activity)
        self._job = JobPage(view, activity)
        self._run = RunPage(view, activity)

    def index(self, query: Mapping[str, str], check: Check = lambda: None) -> str:
        """Render the first page: what needs an operator, what runs, the jobs, and the timeline.

        `check` is called now and then while the log is read; an exception that it raises ends the reading.

        Raises:
            Busy: other requests read the log for longer than this one waits.

        """
        snapshot, wanted = self._view.snapshot(), parse_query(query)
        values = self._front.values(snapshot, wanted, check)
        return self._render("index.html", snapshot, wanted, root="", **values)

    def files(self, query: Mapping[str, str]) -> str:
        """Render all files that are refused or stale, with their problems."""
        snapshot, wanted = self._view.snapshot(), parse_query(query)
        sheet = list_page([job for job in snapshot.jobs if job.problems], wanted.page)
        return self._render("files.html", snapshot, wanted, root="", sheet=sheet)

    def job(self, job_id: str, query: Mapping[str, str], check: Check = lambda: None) -> str | None:
        """Render one job, or the problems of a refused file; None if there is neither.

        Nothing is read for a text that cannot be a job's id. `check` and `Busy` are as for `index`.
        """
        snapshot = self._view.snapshot()
        values = self._job.values(job_id, snapshot, check)
        if values is None:
            return None
        return self._render("job.html", snapshot, parse_query(query), root="../", **values)

    def run(self, run_id: str, query: Mapping[str, str], check: Check = lambda: None) -> str | None:
        """Render one run: how it is or ended, its attempts, and what was kept of their output; None if unknown.

        `check` and `Busy` are as for `index`.
        """
        snapshot = self._view.snapshot()
        values = self._run.values(run_id, snapshot, check)
        if values is None:
            return None
        return self._render("run.html", snapshot, parse_query(query), root="../", **values)

    def output(self, run_id: str, check: Check = lambda: None) -> bytes | None:
        """Return all that was kept of what a run printed, None if that is nothing. `check` and `Busy` are as before."""
        return self._run.output(run_id, check)

    def not_found(self, root: str, job_id: str = "") -> str:
        """Render the page for an unknown path; that of an unknown job names the job that was probably meant."""
        near = self._job.nearest(job_id, self._view.snapshot()) if job_id else None
        return (
            templates()
            .get_template("nothing.html")
            .render(root=root, host=self._host, query=PageQuery(), icon="", mark="", job_id=job_id, near=near)
        )

    def _render(self, name: str, snapshot: Snapshot, query: PageQuery, **values: Any) -> str:
        zone, now = zone_of(snapshot), snapshot.at
        issues = issues_of(snapshot, self._view.health())
        seen = self._front.overview(snapshot)
        verdict_ = verdict(seen, bool(issues))
        return (
            templates()
            .get_template(name)
            .render(
                snapshot=snapshot,
                service=snapshot.service,
                now=now,
                zone=zone,
                host=self._host,
                query=query,
                refreshes=REFRESH_S,
                issues=issues,
                verdict=verdict_,
                job_count=seen.count_of_jobs,
                icon=verdict_.icon,
                mark=verdict_.mark,
                today=formatting.format_day(now, zone),
                clock=partial(formatting.format_clock, zone=zone, now=now),
                short=partial(formatting.format_short, zone=zone, now=now),
                full=formatting.format_full,
                utc=formatting.format_utc,
                distance=partial(formatting.format_relative, now=now),
                **values,
            )
        )
