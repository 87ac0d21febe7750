"""The application: the page of each path, the headers of every answer, and the answer after a fault."""

from __future__ import annotations

import gzip
import json
import logging
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

pytest.importorskip("jinja2", reason="the extra `web` is not installed")

from jobscheduler.model import KeptOutput, Pause, Problem, StoredAttempt
from jobscheduler.model.selection import Selector
from jobscheduler.status.run_detail import LiveRun, RunDetail
from jobscheduler.status.snapshot import ActiveRun
from jobscheduler.web import activity, front_page
from jobscheduler.web.access import AccessCheck
from jobscheduler.web.activity import MAX_STALE_S, TIMELINE_MAX_AGE_S
from jobscheduler.web.app import App
from jobscheduler.web.job_list import PER_PAGE, JobList, list_jobs
from jobscheduler.web.job_page import HISTORY, MAX_OUTPUT_BYTES
from jobscheduler.web.overview import Entry
from jobscheduler.web.page_query import PageQuery
from jobscheduler.web.timeline import timeline as laid_out
from tests.support.service import wait_until
from tests.support.web_view import HOSTILE, NOW, FakeServiceView, a_day, a_day_in_a_cluster, hostile, local, many

VOID = {"meta", "link", "input", "br", "img", "hr"}


@dataclass
class Got:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def get(view: FakeServiceView | App, url: str = "/", method: str = "GET", **headers: str) -> Got:
    """Ask the application, as a server does."""
    app = view if isinstance(view, App) else App(view, AccessCheck("build7", None))
    path, _, query = url.partition("?")
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query}
    environ |= {"HTTP_HOST": "localhost", **headers}
    reply: list[Any] = []
    body = b"".join(app(environ, lambda status, pairs: reply.extend((status, pairs))))
    return Got(int(reply[0][:3]), dict(reply[1]), body)


class Reader(HTMLParser):
    """Reads a page as strictly as the standard allows: every element is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        """What is read, on one line."""
        return re.sub(r"\s+", " ", " ".join(self.words))


PAGES = ("/", "/files", "/job/backup-database", "/job/nobody", "/?q=a&state=failing&page=2", "/?refresh=1")
EVERYTHING = (*PAGES, "/metrics", "/healthz", "/style.css", "/icon.svg", "/output/none", "/run/none", "/no/such/page")


@pytest.mark.parametrize("url", PAGES)
@pytest.mark.parametrize("view", [a_day(), hostile(), FakeServiceView()], ids=["a day", "hostile", "no jobs"])
def test_every_page_is_sound_and_needs_nothing_from_elsewhere(view: FakeServiceView, url: str) -> None:
    """No script, no style and no event in the text; every address is one of its own."""
    page = Reader(get(view, url).text)
    assert not page.tags & {"script", "img", "iframe", "style", "object", "embed", "base"}
    for name, value in page.attributes:
        assert name != "style"
        assert not name.startswith("on")
        if name in {"href", "src", "action"}:
            assert re.match(r"(\.\./|\./|\?|#|[a-z]+(?:[/.?#]|$))", value or ""), value
            assert ":" not in (value or "").partition("?")[0]


@pytest.mark.parametrize("url", EVERYTHING)
@pytest.mark.parametrize("broken", [False, True])
def test_every_answer_forbids_everything_that_it_does_not_need(url: str, broken: bool) -> None:
    """Also refusals and faults."""
    view = a_day()
    view.broken = broken
    for headers in ({}, {"HTTP_HOST": "evil.example"}):
        got = get(view, url, **headers).headers
        policy = dict(part.split(" ", 1) for part in got["Content-Security-Policy"].split("; "))
        assert policy.pop("default-src") == "'none'"
        assert policy == {
            "style-src": "'self'",
            "img-src": "'self'",
            "form-action": "'self'",
            "base-uri": "'none'",
            "frame-ancestors": "'none'",
        }
        assert got["X-Content-Type-Options"] == "nosniff"
        assert got["Referrer-Policy"] == "no-referrer"
        assert got["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in got


@pytest.mark.parametrize("url", EVERYTHING)
def test_head_is_get_without_the_body(url: str) -> None:
    """With the same length; figures of the process itself may have grown by a digit."""
    view = a_day()
    got, head = get(view, url), get(view, url, "HEAD")
    assert head.body == b""
    assert head.status == got.status
    assert abs(int(head.headers["Content-Length"]) - len(got.body)) < 20


def test_a_refused_request_reaches_nothing() -> None:
    """Not even a broken service."""
    view = a_day()
    view.broken = True
    app = App(view, AccessCheck("build7", "secret-secret-secret"))
    assert get(app).status == 401
    assert get(app, method="POST").status == 405
    assert get(app, HTTP_HOST="evil.example").status == 421
    assert get(app, HTTP_AUTHORIZATION="Bearer secret-secret-secret").status == 500


def test_a_fault_is_one_line_of_the_log_and_shows_the_reader_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """What it was may be a secret; the log has it, with its place."""
    view = a_day()
    view.broken = True
    got = get(view, "/job/x")
    assert (got.status, got.text) == (500, "The page could not be made. The log says why.\n")
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "RuntimeError: a secret of the service" in record.getMessage()
    assert "\n" not in record.getMessage()
    assert record.exc_info is None


def test_health_is_200_only_while_all_is_well() -> None:
    """And it says what is not."""
    view = a_day()
    assert (get(view, "/healthz").status, get(view, "/healthz").text) == (200, "ok\n")
    view.wrong = "the watcher is late"
    assert (get(view, "/healthz").status, get(view, "/healthz").text) == (503, "the watcher is late\n")


def test_unknown_pages_and_jobs_are_not_found() -> None:
    """With a way back that works from where one is."""
    for url in ("/nothing", "/job/", "/job/nobody", "/job/a/b", "//evil.example/", "/style.css/x", "/files/x"):
        assert get(a_day(), url).status == 404, url
    assert 'href="../"' in get(a_day(), "/job/nobody").text
    assert 'href="../../"' in get(a_day(), "/job/a/b").text


# --- what is shown ------------------------------------------------------------------------------------------


def test_a_job_has_one_status_its_last_result_its_next_start_and_its_schedule_in_words() -> None:
    """In local time, with UTC to be had."""
    text = jobs_table(a_day())
    assert "failing \N{MULTIPLICATION SIGN}2 backup-database Dump the shop's database to the second site." in text
    assert "failed 2 h ago , took 1 min 4 s" in text
    assert "in 1 h 16:00 At 00:00, 04:00, 08:00, 12:00, 16:00 and 20:00 every day 0 */4 * * *" in text
    assert "running sync-warehouse Compare stock with the warehouse. skipped 2 min ago" in text
    assert 'title="2026-11-22 15:00:00 UTC">16:00</time>' in get(a_day()).text


def jobs_table(view: FakeServiceView, url: str = "/") -> str:
    """What is read in the table of jobs."""
    return Reader(re.findall(r"<tbody>.*?</tbody>", get(view, url).text, re.DOTALL)[0]).text


def test_the_worst_jobs_come_first() -> None:
    """A failure, an overdue job, a refused file, a stale one; then what runs; then the others by id."""
    names = re.findall(r'<td class="job">(?:<a[^>]*>|<code>)([^<]*)', get(a_day()).text)
    worst = ["backup-database", "certificates", "newsletter.json", "prune-logs", "sync-warehouse", "metrics-rollup"]
    assert names[:6] == worst
    assert names[6:-1] == sorted(names[6:-1])
    assert names[-1] == "cleanup-tmp"


def test_what_needs_an_operator_comes_before_everything_else() -> None:
    """A failing job with since when, how often and what it printed last; an overdue one; a run that takes too long."""
    text = Reader(get(a_day()).text).text
    assert "failing backup-database since 08:28:30 , 2 times pg_dump: error: could not write to output file" in text
    assert "overdue certificates since 14:31:10 no success within its time" in text
    assert "long sync-warehouse since 12:00:01 running for 2 h 32 min, usually 7 min 54 s" in text
    assert text.index("Needs you") < text.index("Running now") < text.index("Jobs 15") < text.index("A day back")
    assert "Needs you" not in get(FakeServiceView()).text


def test_a_failing_job_leads_to_its_last_failure() -> None:
    """Also if a slot was skipped since; the log has the failure then."""
    view = a_day()
    failure = next(one for one in view.told[::-1] if one.job_id == "backup-database")
    view.skipped("backup-database", local("22 13:00"))
    page = get(view).text
    assert f'href="run/{failure.run_id}"' in page
    assert f'id="run-{failure.run_id}"' in get(view, "/job/backup-database").text
    assert "pg_dump: error: could not write" in page


def test_a_running_job_is_shown_with_its_usual_time_and_its_limit() -> None:
    """As a bar, and in words."""
    text = Reader(get(a_day()).text).text
    assert "Running now 1 of 32 workers long sync-warehouse for 2 h 32 min usually 7 min 54 s, limit 4 h" in text


def test_a_running_job_is_shown_with_what_it_uses_and_printed_last() -> None:
    """Asked for once for all viewers of a snapshot; what a job prints stays text."""
    view = a_day()
    (run,) = next(job for job in view.jobs if job.id == "sync-warehouse").active_runs
    view.live[run.run_id] = LiveRun("shard 31 of <b>48\x1b[2J", 1320.0, 410 * 1024**2)
    page = get(view).text
    assert "limit 4 h cpu 22 min, memory 430 MB" in Reader(page).text
    assert "shard 31 of &lt;b&gt;48" in page
    view.live[run.run_id] = LiveRun("waits")
    text = Reader(get(view).text).text
    assert ("waits" in text, "memory" in text) == (True, False)


def test_the_first_line_the_title_and_the_icon_carry_the_worst() -> None:
    """So that a tab in the background says it."""
    page = get(a_day()).text
    assert "<title>✕3 " in page
    assert 'href="icon.svg?failure"' in page
    assert (
        "the service is well · 14 jobs: 1 failing , 1 overdue , 1 running long , 2 files with problems"
        in Reader(page).text
    )
    quiet = FakeServiceView()
    quiet.add("@daily", "a")
    assert "✕" not in get(quiet).text
    assert 'href="icon.svg"' in get(quiet).text
    quiet.refuse("b.json", Problem("no"))
    assert "<title>⚠1 " in get(quiet).text
    assert len({get(quiet, f"/icon.svg{which}").body for which in ("", "?failure", "?warning")}) == 3
    assert get(quiet, "/icon.svg?nothing").body == get(quiet, "/icon.svg").body


def test_files_with_problems_are_shown_with_place_line_and_help() -> None:
    """A refused one, and a stale one whose job stays active; what is in backticks is code."""
    page = get(a_day()).text
    text = Reader(page).text
    assert "refused newsletter.json line 4, column 3 unknown field shedule — did you mean schedule ?" in text
    assert "prune-logs.json the last good version stays" in text
    assert "unknown field <code>shedule</code>" in page
    assert "4 |   &#34;shedule&#34;: &#34;0 8 * * mon&#34;,\n  |   ^^^^^^^^^</pre>" in page
    assert "<details open" not in page


def test_files_with_the_same_mistake_are_one_line() -> None:
    """With their names behind it; another mistake has a line of its own."""
    view = FakeServiceView()
    for number in range(40):
        view.refuse(f"bad-{number:02}.json", Problem("unknown field `shedule`", help="did you mean `schedule`?"))
    view.refuse("other.json", Problem("not JSON"))
    page = get(view).text
    assert page.count('class="row file"') == 2
    assert "files 40 files unknown field shedule" in Reader(page).text
    assert "bad-19.json and 20 more" in Reader(page).text.replace(" , ", ", ")


def test_at_most_eight_things_that_need_an_operator_are_shown() -> None:
    """And how many there are; files keep two lines."""
    view = FakeServiceView()
    for number in range(23):
        view.add("@daily", f"job-{number:02}")
        view.ran(f"job-{number:02}", local(f"22 {number % 13:02}:00"), 1, reason="exit")
    for number in range(5):
        view.refuse(f"bad-{number}.json", Problem(f"problem {number}"))
    page = get(view).text
    assert page.count('class="row failing"') == 6
    assert page.count('class="row file"') == 2
    assert ">all 23 failing</a>" in page
    assert ">all 5 files with problems</a>" in page


def test_issues_of_the_service_are_at_the_top() -> None:
    """In words, with the command that helps as code; otherwise it says that all is well."""
    view = a_day()
    assert "the service is well" in get(view).text
    view.service = replace(view.service, issues=("the jobs directory is gone: `mkdir /x`",), overdue="the watcher")
    text = Reader(get(view).text).text
    assert "the service has problems" in text
    assert text.index("the jobs directory is gone") < text.index("Needs you")
    assert "the watcher is not on time" in text
    assert "<code>mkdir /x</code>" in get(view).text
    assert "<title>! " in get(view).text


def test_a_node_shows_its_cluster_and_what_it_does_there() -> None:
    """Who leads, each node with its last sign of life, and the jobs in which this one differs."""
    alone = get(a_day()).text
    assert "h-cluster" not in alone
    view = a_day_in_a_cluster()
    text = " ".join(Reader(get(view).text).text.split())
    assert "stands by for shop-1" in text
    assert "Cluster shop-1 leads, term 7; 1 run waiting, 4 at work" in text
    assert "leader shop-1 alive 1.20 s ago version 0.1.0, clock +0.02 s, host shop-1.example.org" in text
    assert "stands by shop-2 this node alive 2.50 s ago other jobs or time zone data than the leader" in text
    assert "silent shop-3 for 3 min 20 s" in text
    assert "Not the same here as on the leader: report-001 (different)." in text
    assert view.service.cluster is not None
    away = replace(view.service.cluster, leader=None, away_since=NOW)
    view.service = replace(view.service, cluster=away)
    text = " ".join(Reader(get(view).text).text.split())
    assert "stands by, no node leads" in text
    assert "Cluster no node leads; the database does not answer since" in text
    assert "stands by, no node leads" in " ".join(Reader(get(view, "/files").text).text.split())


def test_updating_keeps_what_was_asked_for() -> None:
    """And what is asked for keeps updating: search, status, tag, order and zoom are in every link."""
    asked = "/?q=a&state=ok&tag=shop&sort=last&zoom=6h&refresh=5"
    page = get(a_day(), asked).text
    assert '<meta http-equiv="refresh" content="5">' in page
    links = [link for link in re.findall(r'href="(\?[^"]*)"', page) if "#h-jobs" in link or "zoom" in link]
    assert len(links) > 10
    assert [link for link in links if "refresh=" not in link] == [links[0]]
    assert 'href="?q=a&amp;state=ok&amp;tag=shop&amp;sort=last&amp;zoom=6h">off</a>' in page
    assert 'href="?q=a&amp;state=ok&amp;tag=shop&amp;sort=last&amp;zoom=6h&amp;refresh=30">30 s</a>' in page
    for name, value in {"state": "ok", "tag": "shop", "sort": "last", "zoom": "6h", "refresh": "5"}.items():
        assert f'<input type="hidden" name="{name}" value="{value}">' in page
    assert 'href="?refresh=30">30 s</a>' in get(a_day(), "/job/backup-database").text
    assert 'content="30"' in get(a_day(), "/job/backup-database?refresh=30").text


def test_a_job_has_a_page_with_its_standing_schedule_starts_figures_and_records() -> None:
    """In local time; what one came for, the records, is not below the next slots."""
    page = get(a_day(), "/job/backup-database").text
    text = Reader(page).text
    assert "failing since 08:28:30 , 6 h ago, 2 times in a row" in text
    assert "At 00:00, 04:00, 08:00, 12:00, 16:00 and 20:00 every day 0 */4 * * * · Europe/Berlin" in text
    assert "next starts in 1 h 16:00 in 5 h 20:00 in 9 h Mon 23 Nov 00:00" in text
    assert "succeeded 66.7 % p50 30 min p95 32 min 40 s longest 32 min 40 s" in text
    assert "jobscheduler run backup-database --wait jobscheduler pause backup-database --for 2h" in text
    assert '"command": "/opt/scripts/backup-database"' in text
    assert "Sun 22 Nov 12:00:00 failed 1 min 4 s pg_dump: error: could not write" in text
    assert "Sat 21 Nov 20:00:00 succeeded 31 min 20 s" in text


def test_a_running_job_has_the_command_that_stops_it_on_its_page() -> None:
    """And says for how long it has been running, beside its usual time and its limit."""
    text = Reader(get(a_day(), "/job/sync-warehouse").text).text
    assert "running for 2 h 32 min, since 12:00:01 slot 12:00, usually 7 min 54 s, limit 4 h" in text
    assert "jobscheduler stop sync-warehouse" in text
    assert "jobscheduler stop" not in get(a_day(), "/job/backup-database").text


def test_a_refused_file_has_a_page_with_its_problems() -> None:
    """By its name, as the service knows no id of it."""
    view = FakeServiceView()
    view.refuse("newsletter.json", Problem("unknown field `shedule`"))
    assert 'href="job/newsletter"' in get(view).text
    assert "unknown field shedule" in Reader(get(view, "/job/newsletter").text).text


def test_an_unknown_job_gets_the_likely_one() -> None:
    """As on the command line."""
    got = get(a_day(), "/job/bakup-database")
    assert got.status == 404
    assert 'Did you mean <a href="../job/backup-database">backup-database</a>?' in got.text


def test_colours_of_an_output_are_left_out_and_other_control_characters_spelled_out() -> None:
    """Nothing that a job prints can hide something on the page."""
    view = FakeServiceView()
    view.add("0 * * * *", "a")
    view.ran(
        "a", local("22 12:00"), 1, reason="exit", output="\x1b[1;31mred\x1b[0m \x07 \u202egpj.exe\r\nfine\ttab".encode()
    )
    text = get(view, "/job/a").text
    assert "<pre>red \\x07 \\u202egpj.exe\nfine\ttab</pre>" in text


def test_a_run_has_a_page_with_its_attempts_and_all_that_was_kept() -> None:
    """And with how it ended; a run that is not known has none."""
    view = FakeServiceView()
    view.add("0 1 * * *", "a")
    record = view.ran("a", local("22 12:00"), 64.0, reason="exit", output=b"second <b>\n")
    run_id = str(record.run_id)
    attempts = [
        StoredAttempt(run_id, number, NOW, NOW, KeptOutput(text, b"", len(text) + missing))
        for number, text, missing in ((1, b"first\n", 0), (2, b"second <b>\x1b[2J\n", 1000))
    ]
    view.runs[run_id] = RunDetail("a", run_id, [{**view.log[-1], "word": "FAILURE"}], attempts)
    page = get(view, f"/run/{run_id}")
    assert "failed" in page.text
    assert "<dt>exit_code</dt><dd>1</dd>" in page.text
    assert '<a id="L1" href="#L1">1</a>second' in page.text
    assert '<a id="A1L1" href="#A1L1">1</a>first' in page.text
    for shown in ("Attempt 1", "first", "Attempt 2", "1,000 bytes left out", r"second &lt;b&gt;\x1b[2J"):
        assert shown in page.text
    assert f'href="../run/{run_id}"' in get(view, "/job/a").text
    assert [get(view, f"/run/{name}").status for name in ("0123", "../x", "a" * 99)] == [404] * 3


def test_a_run_leads_to_the_runs_before_and_after_it() -> None:
    """Those of the same job."""
    view = FakeServiceView()
    view.add("0 * * * *", "a")
    first, second, third = (str(view.ran("a", local(f"22 0{hour}:00"), 1).run_id) for hour in (1, 2, 3))
    view.runs[second] = RunDetail("a", second, [{**view.log[1], "word": "SUCCESS"}], ())
    page = get(view, f"/run/{second}").text
    assert f'<a href="{first}" rel="prev">previous run</a><a href="{third}" rel="next">next run</a>' in page


def test_a_run_at_work_shows_what_it_has_printed_so_far() -> None:
    """On its own page, which is loaded again, and its end on the page of its job."""
    view = FakeServiceView()
    view.add("0 1 * * *", "a", active_runs=(ActiveRun("5f3c", None, NOW, 1, None),))
    view.printed["5f3c"] = b"half way\n"
    attempt = StoredAttempt("5f3c", 1, NOW, None, KeptOutput(b"half way\n", b"", 9))
    view.runs["5f3c"] = RunDetail("a", "5f3c", (), [attempt], 1, is_active=True)
    page = get(view, "/run/5f3c").text
    assert 'http-equiv="refresh"' in page
    assert "half way" in page
    assert "still running" in page
    assert "half way" in get(view, "/job/a").text


def test_long_output_shows_its_end_and_the_whole_is_a_link_away() -> None:
    """As plain text, byte by byte."""
    view = FakeServiceView()
    view.add("0 * * * *", "a")
    output = b"<b>first</b>\n" + b"x" * MAX_OUTPUT_BYTES + b"\nthe-end\n"
    run_id = view.ran("a", local("22 12:00"), 1, output=output).run_id
    page = get(view, "/job/a").text
    assert "&lt;b&gt;first" not in page
    assert "the-end" in page
    assert f'href="../run/{run_id}"' in page
    whole = get(view, f"/output/{run_id}")
    assert whole.body == output
    assert whole.headers["Content-Type"] == "text/plain; charset=utf-8"
    view.printed.clear()
    assert (get(view, f"/output/{run_id}").status, "the-end" in get(view, "/job/a").text) == (404, False)


def test_the_page_of_a_paused_job_says_until_when_and_why() -> None:
    """And which jobs are paused with it, and who did it, by name."""
    got = get(a_day(), "/job/metrics-rollup")
    assert "until it is resumed by root: a migration" in got.text
    assert "metrics-*" in got.text


def test_a_deleted_job_shows_its_records() -> None:
    """The log remembers it."""
    view = a_day()
    view.jobs = []
    got = get(view, "/job/backup-database")
    assert got.status == 200
    assert "There is no job of this id any more" in got.text


def test_at_most_so_many_records_of_a_job_are_shown() -> None:
    """Fifty."""
    assert get(a_day(), "/job/heartbeat").text.count('<article class="record" id="run-') == HISTORY


def test_attempts_to_be_executed_are_text() -> None:
    """In ids, descriptions, outputs, file names, problems, paths and issues."""
    for url in ("/", "/files", "/job/hostile"):
        page = get(hostile(), url).text
        assert "<script" not in page
        assert "<img" not in page
        assert HOSTILE in Reader(page).text.replace("\\'", "'")


def test_there_is_a_page_for_a_host_without_jobs() -> None:
    """It says where they would be."""
    text = Reader(get(FakeServiceView()).text).text
    assert "There are no jobs. A job is one JSON file in /etc/scheduler/jobs.d" in text
    assert "Nothing ran, and nothing is due." in text


# --- many jobs ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowd() -> App:
    """Ten thousand jobs."""
    return App(many(), AccessCheck("build7", None))


def ids_on(page: Got) -> list[str]:
    return re.findall(r'<td class="job"><a href="job/([^"]*)"', page.text)


def test_a_page_of_ten_thousand_jobs_stays_small(crowd: App) -> None:
    """A hundred of them, those that failed first; 300 kB, a tenth of that as it is sent."""
    page = get(crowd)
    assert len(ids_on(page)) == PER_PAGE
    assert ids_on(page)[:2] == ["job-09007", "job-08007"]  # the latest failures first
    assert len(page.body) < 300_000
    packed = get(crowd, HTTP_ACCEPT_ENCODING="gzip, br")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.body) < 30_000
    assert len(gzip.decompress(packed.body)) == len(page.body)


@pytest.mark.parametrize("count", [1_050, pytest.param(10_000, marks=pytest.mark.deep)])
def test_every_job_is_on_exactly_one_of_the_pages(count: int) -> None:
    """The links lead through them, and no number leads astray."""
    crowd = App(many(count), AccessCheck("build7", None))
    pages = -(-count // PER_PAGE)
    found = [job_id for number in range(1, pages + 1) for job_id in ids_on(get(crowd, f"/?page={number}"))]
    assert len(found) == len(set(found)) == count
    assert f">1 to 100 of {count:,}<" in get(crowd).text
    assert 'href="?page=2#h-jobs" rel="next"' in get(crowd).text
    for wrong in ("0", "-1", "x", "٣", "1e3", "", "99999999999999999999"):
        assert get(crowd, f"/?page={wrong}").status == 200
    assert ids_on(get(crowd, "/?page=5000")) == ids_on(get(crowd, f"/?page={pages}"))


def test_jobs_are_found_by_text_and_state(crowd: App) -> None:
    """By plain links and a plain form; what was asked for stays in the links."""
    assert ids_on(get(crowd, "/?q=JOB-0123")) == [f"job-0123{last}" for last in range(10)]
    failing = get(crowd, "/?state=failing&q=job-0")
    assert len(ids_on(failing)) == 10
    assert ids_on(get(crowd, "/?state=paused")) == []
    assert 'href="?q=one%20of&amp;page=2#h-jobs"' in get(crowd, "/?q=one+of").text
    assert 'value="&lt;b&gt;&#34;"' in get(crowd, "/?q=%3Cb%3E%22").text


def test_a_list_is_made_once_for_all_its_pages_while_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """And anew for another search, and when something has changed."""
    view, made = many(250), list[PageQuery]()
    shown = [view.snapshot()]
    monkeypatch.setattr(view, "snapshot", lambda: shown[0])

    def counted(entries: Sequence[Entry], query: PageQuery) -> JobList:
        made.append(query)
        return list_jobs(entries, query)

    monkeypatch.setattr(front_page, "list_jobs", counted)
    app = App(view, AccessCheck("build7", None))
    for url in ("/", "/", "/?page=2", "/?zoom=6h", "/?q=job"):
        assert get(app, url).status == 200
    assert [query.q for query in made] == ["", "job"]
    shown[0] = replace(shown[0], jobs=shown[0].jobs[:100])
    assert "job-00150" not in get(app, "/?page=2").text
    assert len(made) == 3


def test_the_log_is_read_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the page is asked for: it is the service's own process that reads."""
    now = [100.0]
    monkeypatch.setattr("jobscheduler.web.activity.time.monotonic", lambda: now[0])
    view = a_day()
    app = App(view, AccessCheck("build7", None))
    for _ in range(5):
        get(app)
    assert view.reads == 1
    now[0] += MAX_STALE_S
    get(app)
    assert view.reads == 2


def test_a_page_that_reloads_itself_does_not_wait_for_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets what was read before while one thread reads anew; the next one gets that."""
    now, goes_on = [100.0], threading.Event()
    monkeypatch.setattr("jobscheduler.web.activity.time.monotonic", lambda: now[0])
    view = a_day()
    app = App(view, AccessCheck("build7", None))
    first = get(app)
    records = view.records

    def slow(*arguments: Any, **more: Any) -> Any:
        assert goes_on.wait(10)
        return records(*arguments, **more)

    monkeypatch.setattr(view, "records", slow)
    view.log.clear()
    now[0] += TIMELINE_MAX_AGE_S + 1
    for _ in range(3):
        assert get(app).text.count('<use href="#t-') == first.text.count('<use href="#t-')
    assert view.reads == 1
    goes_on.set()
    wait_until(lambda: get(app).text.count('<use href="#t-') < first.text.count('<use href="#t-'))
    assert view.reads == 2


def test_no_request_lays_out_the_timeline_that_was_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that reads the log does it for the query that is looked at, before it shows what it has read."""
    now, made_by = [1000.0], list[str]()
    monkeypatch.setattr("jobscheduler.web.activity.time.monotonic", lambda: now[0])

    def timeline(*arguments: Any) -> Any:
        made_by.append(threading.current_thread().name)
        return laid_out(*arguments)

    monkeypatch.setattr(activity, "timeline", timeline)
    view = a_day()
    app = App(view, AccessCheck("build7", None))
    get(app, "/?q=a")
    now[0] += TIMELINE_MAX_AGE_S + 1
    get(app, "/?q=a")
    wait_until(lambda: len(made_by) == 2 and "web-log" not in {one.name for one in threading.enumerate()})
    get(app, "/?q=a")
    assert made_by == [threading.current_thread().name, "web-log"]


def test_issues_are_seen_however_many_records_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the records that are read, what failed, was skipped or missed is read by itself."""
    monkeypatch.setattr("jobscheduler.web.activity.MAX_RECORDS", 100)
    page = get(a_day()).text
    assert "The grey part shows issues only" in page
    assert page.count('<use href="#t-failure" x=') == 3  # two on the timeline, one in the legend
    assert 'aria-label="reindex' not in page


def test_all_files_with_problems_are_on_pages_of_their_own() -> None:
    """The first page shows a few and leads there."""
    view = FakeServiceView()
    for number in range(250):
        view.refuse(f"bad-{number:03}.json", Problem(f"problem number {number}"))
    assert get(view).text.count('class="row file"') == 8
    assert 'href="files">all 250 files' in get(view).text
    assert "problem number 249" in get(view, "/files?page=3").text


def test_what_is_counted_follows_the_search() -> None:
    """Statuses count within search and tag, tags within search and status; a job may have several statuses."""
    view = FakeServiceView()
    for number in range(4):
        view.add("@daily", f"shop-{number}", tags=("shop", "nightly") if number else ("shop",))
        view.add("@daily", f"mail-{number}", enabled=number != 0)
    view.ran("shop-1", local("22 12:00"), 1, reason="exit")
    chips = re.compile(r">([a-z]+) <b>(\d+)</b></a>")
    assert chips.findall(get(view).text) == [
        *[("all", "8"), ("failing", "1"), ("ok", "6"), ("disabled", "1")],
        *[("nightly", "3"), ("shop", "4")],
    ]
    assert chips.findall(get(view, "/?q=mail&state=disabled").text) == [("all", "4"), ("ok", "3"), ("disabled", "1")]
    assert ("failing", "1") in chips.findall(get(view, "/?tag=nightly").text)
    assert ids_on(get(view, "/?tag=nightly&state=ok")) == ["shop-2", "shop-3"]
    assert "No job matches" in get(view, "/?tag=nothing").text


def test_jobs_are_sorted_as_asked() -> None:
    """By links in the heads; what has no such value comes last."""
    view = FakeServiceView()
    for job_id, expression, hour, took in (
        ("b", "0 15 * * *", 3, 5),
        ("a", "0 20 * * *", 2, 9),
        ("c", "0 16 * * *", 4, 1),
    ):
        view.add(expression, job_id)
        view.ran(job_id, local(f"22 {hour:02}:00"), took)
    view.add("0 0 * * *", "d", enabled=False)
    orders = {"job": "abcd", "last": "cbad", "took": "abcd", "next": "bcad", "status": "abcd", "odd": "abcd"}
    assert {order: "".join(ids_on(get(view, f"/?sort={order}"))) for order in orders} == orders


def test_the_timeline_obeys_search_and_zoom() -> None:
    """A week is read by itself; nearer views show a part of the day."""
    view = a_day()
    rows = re.compile(r'<div class="name[^"]*"><a href="job/([^"]*)"')
    assert rows.findall(get(view, "/?q=thumb").text) == ["thumbnails"]
    assert len(rows.findall(get(view).text)) == 12
    page = get(view, "/?zoom=6h&q=thumb").text
    assert ">14:00</text>" in page
    assert "Six hours back, six ahead" in page
    assert 'href="?q=thumb&amp;zoom=week#h-day">week</a>' in page
    week = get(view, "/?zoom=week").text
    assert ">Mon 16</text>" in week
    assert ">Sun 29</text>" in week


def test_a_job_has_a_strip_of_its_last_runs_described_in_words() -> None:
    """A failure has a form of its own, a foot."""
    page = get(a_day(), "/?q=backup-database").text
    assert 'aria-label="6 runs, 2 failed, up to 32 min 40 s"' in page
    (drawn,) = re.findall(r'<svg class="strip".*?</svg>', page, re.DOTALL)
    assert drawn.count('class="bar success"') == 4
    assert drawn.count('class="bar failure"') == 4


def test_the_start_with_jitter_is_shown_and_a_paused_job_has_none() -> None:
    """A pause with an end says when."""
    view = FakeServiceView()
    view.add("0 15 * * *", "jittery", jitter=600.0)
    view.jobs[0] = replace(view.jobs[0], start=view.jobs[0].next + timedelta(minutes=7))
    view.add("0 15 * * *", "paused", pauses=(Pause("1", Selector("*"), NOW, NOW + timedelta(hours=3)),))
    view.add("0 15 * * *", "forever", pauses=(Pause("2", Selector("*"), NOW),))
    table = jobs_table(view)
    assert "jittery in 34 min 15:07 , slot 15:00" in table
    assert "paused resumes in 3 h 17:32:10" in table
    assert "paused forever At 15:00 every day" in table


def test_a_form_of_the_log_that_has_only_text_is_read_all_the_same() -> None:
    """A text log's values are not numbers; and what was cut short is left out."""
    view = a_day()
    view.log = [{key: str(value) for key, value in one.items()} for one in view.log]
    view.log += [{"time": NOW.isoformat(), "status": "WHAT", "job_id": "x"}, {"time": "2026", "job_id": "heartbeat"}]
    plain = Reader(get(a_day(), "/job/backup-database").text).text
    assert Reader(get(view, "/job/backup-database").text).text == plain
    assert get(view).status == 200


def test_a_definition_is_shown_as_json() -> None:
    """As in a job file."""
    page = get(a_day(), "/job/report-daily").text
    (text,) = re.findall(r"<h2>Definition</h2></summary>\s*<pre>(.*?)</pre>", page, re.DOTALL)
    assert json.loads(text.replace("&#34;", '"'))["job_id"] == "report-daily"


@pytest.mark.parametrize("name", ["", "job-%", "../x", "a b", ".hidden", "x" * 129, "%00"])
def test_nothing_is_read_for_what_cannot_be_an_id(name: str) -> None:
    """The log of a busy host has hundreds of megabytes, and any user may ask."""
    view = a_day()
    assert get(view, f"/job/{name}").status == 404
    assert view.reads == 0


def test_a_job_page_says_that_there_are_older_records() -> None:
    """And how to see them; a page that shows all does not say so."""
    few, many = FakeServiceView(), FakeServiceView()
    for view, count in ((few, 3), (many, 60)):
        view.add("* * * * *", "often")
        for number in range(count):
            view.ran("often", NOW - timedelta(minutes=number + 1), 1)
    assert "jobscheduler history often" not in get(few, "/job/often").text
    assert "jobscheduler history often" in get(many, "/job/often").text


def test_one_request_reads_the_log_and_others_wait_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then they get 503; one whose client has left stops waiting at once."""
    monkeypatch.setattr("jobscheduler.web.activity.READ_WAIT_S", 0.0)
    monkeypatch.setattr("jobscheduler.web.activity.POLL_S", 0.01)
    app = App(a_day(), AccessCheck("build7", None))
    name = next(one.id for one in a_day().jobs if one.id)
    with app._pages._job._activity._lock:
        busy = get(app, f"/job/{name}")
        assert (busy.status, busy.headers["Retry-After"]) == (503, "5")
        assert get(app, "/").status == 503
    assert get(app, "/").status == 200


def test_nothing_is_read_for_a_client_that_has_left() -> None:
    """No client would read it."""
    view = a_day()
    app = App(view, AccessCheck("build7", None))
    name = next(one.id for one in view.jobs if one.id)
    left: dict[str, Any] = {"waitress.client_disconnected": lambda: True}
    assert get(app, f"/job/{name}", **left).status == 503
    assert view.reads == 0
