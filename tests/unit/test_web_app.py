"""The application: the page of each path, the headers of every answer, and the answer after a fault."""

from __future__ import annotations

import gzip
import json
import logging
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

pytest.importorskip("jinja2", reason="the extra `web` is not installed")

from jobscheduler.model import KeptOutput, Problem, StoredAttempt
from jobscheduler.status.run_detail import RunDetail
from jobscheduler.status.snapshot import ActiveRun
from jobscheduler.web.access import AccessCheck
from jobscheduler.web.activity import TIMELINE_MAX_AGE_S
from jobscheduler.web.app import App
from jobscheduler.web.job_list import PER_PAGE
from jobscheduler.web.pages import HISTORY, MAX_OUTPUT_BYTES
from tests.support.web_view import HOSTILE, NOW, FakeServiceView, a_day, hostile, local, many

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


def test_jobs_are_shown_with_state_next_slot_last_result_and_how_long() -> None:
    """In local time, with UTC to be had."""
    text = Reader(get(a_day()).text).text
    assert "backup-database Dump the shop's database to the second site. scheduled 0 */4 * * * 16:00:00 in 1 h" in text
    assert "failed exit 12:00:00 1 min 4 s" in text
    assert "sync-warehouse Compare stock with the warehouse. running" in text
    assert "for 2 h 32 min" in text
    assert 'title="2026-11-22 15:00:00 UTC">16:00:00</time>' in get(a_day()).text


def test_jobs_that_need_attention_come_first() -> None:
    """A failure, a stale file, a refused one; then what runs; then the others by id."""
    ids = re.findall(r'<td class="job">(?:<a[^>]*>|<code>)([^<]*)', get(a_day()).text)
    assert ids[:5] == ["backup-database", "prune-logs", "newsletter", "sync-warehouse", "certificates"]
    assert ids[4:] == sorted(ids[4:])


def test_files_with_problems_are_shown_with_place_and_help() -> None:
    """A refused one, and a stale one whose job stays active."""
    text = Reader(get(a_day()).text).text
    assert "line 4, column 3: unknown field `shedule` help did you mean `schedule`?" in text
    assert "prune-logs The last good version stays active." in text


def test_issues_of_the_service_are_at_the_top() -> None:
    """In words; otherwise it says that all is well."""
    view = a_day()
    assert "has issues" not in get(view).text
    view.service = replace(view.service, issues=("the jobs directory is gone",), overdue="the watcher")
    text = Reader(get(view).text).text
    assert "has issues" in text
    assert text.index("the jobs directory is gone") < text.index("Files with problems")
    assert "the watcher is not on time" in text


def test_a_job_has_a_page_with_definition_sentence_slots_and_records() -> None:
    """Slots in local time and UTC; records with reason, output and duration."""
    text = Reader(get(a_day(), "/job/backup-database").text).text
    assert "At 00:00, 04:00, 08:00, 12:00, 16:00 and 20:00 every day Europe/Berlin" in text
    assert "Sun 2026-11-22 16:00:00 +01:00 2026-11-22 15:00:00 UTC 1 h 28 min" in text
    assert text.count(" UTC ") >= 10
    assert '"command": "/opt/scripts/backup-database"' in text
    assert "failed 12:00:00 exit exit_code=1 run 1 min 4 s output pg_dump: connecting" in text


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
    assert "exit_code=1" in page.text
    for shown in ("Attempt 1", "first", "Attempt 2", "1,000 bytes left out", r"second &lt;b&gt;\x1b[2J"):
        assert shown in page.text
    assert f'href="../run/{run_id}"' in get(view, "/job/a").text
    assert [get(view, f"/run/{name}").status for name in ("0123", "../x", "a" * 99)] == [404] * 3


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
    assert "first" not in page
    assert "the-end" in page
    assert f'href="../output/{run_id}"' in page
    whole = get(view, f"/output/{run_id}")
    assert whole.body == output
    assert whole.headers["Content-Type"] == "text/plain; charset=utf-8"
    view.printed.clear()
    assert (get(view, f"/output/{run_id}").status, "the-end" in get(view, "/job/a").text) == (404, False)


def test_the_page_of_a_paused_job_says_until_when_and_why() -> None:
    """And which jobs are paused with it."""
    got = get(a_day(), "/job/metrics-rollup")
    assert "until it is resumed by user 0: a migration" in got.text
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
    assert get(a_day(), "/job/heartbeat").text.count('<article class="record">') == HISTORY


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
    assert ids_on(page)[:2] == ["job-00007", "job-01007"]
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
    assert 'href="?page=2" rel="next"' in get(crowd).text
    for wrong in ("0", "-1", "x", "٣", "1e3", "", "99999999999999999999"):
        assert get(crowd, f"/?page={wrong}").status == 200
    assert ids_on(get(crowd, "/?page=5000")) == ids_on(get(crowd, f"/?page={pages}"))


def test_jobs_are_found_by_text_and_state(crowd: App) -> None:
    """By plain links and a plain form; what was asked for stays in the links."""
    assert ids_on(get(crowd, "/?q=JOB-0123")) == [f"job-0123{last}" for last in range(10)]
    failing = get(crowd, "/?state=failing&q=job-0")
    assert len(ids_on(failing)) == 10
    assert ids_on(get(crowd, "/?state=paused")) == []
    assert 'href="?q=one%20of&amp;page=2"' in get(crowd, "/?q=one+of").text
    assert 'value="&lt;b&gt;&#34;"' in get(crowd, "/?q=%3Cb%3E%22").text


def test_the_log_is_read_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the page is asked for: it is the service's own process that reads."""
    now = [100.0]
    monkeypatch.setattr("jobscheduler.web.activity.time.monotonic", lambda: now[0])
    view = a_day()
    app = App(view, AccessCheck("build7", None))
    for _ in range(5):
        get(app)
    assert view.reads == 1
    now[0] += TIMELINE_MAX_AGE_S + 1
    get(app)
    assert view.reads == 2


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
    assert get(view).text.count('<article class="file') == 5
    assert 'href="files"' in get(view).text
    assert "problem number 249" in get(view, "/files?page=3").text


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
    (text,) = re.findall(r"<h2 id=\"h-definition\">Definition</h2>\s*<pre>(.*?)</pre>", page, re.DOTALL)
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
    with app._pages._activity._lock:
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
