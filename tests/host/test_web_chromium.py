"""The page in a real browser: nothing is executed or fetched, it fits a phone, it is light or dark, without scripts."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

pytest.importorskip("waitress", reason="the extra `web` is not installed")

from jobscheduler.web import WebServer
from tests.support.chromium import Chromium, chromium
from tests.support.job_files import need
from tests.support.service import ROOT
from tests.support.web_view import FakeServiceView, a_day, hostile, many

pytestmark = pytest.mark.web

DESKTOP, PHONE, SMALL_PHONE = (1280, 900), (390, 844), (320, 568)
PAGES = ("/", "/files", "/job/backup-database", "/job/hostile", "/job/nobody", "/?q=a&state=failing", "/?refresh=1")
HOSTS = ("a day", "hostile", "no jobs", "many")


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    """One browser for all tests."""
    need("chromium")
    with chromium() as made:
        yield made


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, str]]:
    """The addresses of pages of some hosts."""
    views = (a_day(), hostile(), FakeServiceView(), many())
    webs = [WebServer(("127.0.0.1", 0), view, token=None).__enter__() for view in views]
    yield {name: f"http://127.0.0.1:{web.address[1]}" for name, web in zip(HOSTS, webs, strict=True)}
    for web in webs:
        web.__exit__(None, None, None)


def seen(browser: Chromium) -> str:
    """The text that is seen."""
    text: str = browser.evaluate("document.body.innerText")
    return text


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("host", HOSTS)
def test_the_browser_has_nothing_to_complain_about(
    browser: Chromium, hosts: dict[str, str], host: str, scheme: str
) -> None:
    """No error, no refusal by policy, no exception; and nothing is asked for from elsewhere."""
    browser.be(*DESKTOP, scheme=scheme)
    for page in PAGES:
        browser.visit(hosts[host] + page)
        missing = page.startswith("/job/") and "There is no such job" in seen(browser)
        wanted = ["Failed to load resource: the server responded with a status of 404 (Not Found)"] if missing else []
        assert browser.complaints() == wanted, page
        assert {url[: len(hosts[host])] for url in browser.requests()} == {hosts[host]}


@pytest.mark.parametrize("page", ["/", "/files", "/job/hostile"])
def test_nothing_that_jobs_are_called_or_print_is_executed(browser: Chromium, hosts: dict[str, str], page: str) -> None:
    """Not in ids, descriptions, outputs, names of files, problems and issues: all of it is seen as text."""
    browser.be(*DESKTOP)
    browser.visit(hosts["hostile"] + page)
    assert browser.evaluate("document.title") != "executed"
    assert browser.evaluate("document.scripts.length + document.images.length") == 0
    assert "<script>document.title='executed'</script>" in seen(browser)
    assert browser.events_of("Page.javascriptDialogOpening") == []


def test_a_script_would_not_be_executed_even_if_there_were_one(browser: Chromium, hosts: dict[str, str]) -> None:
    """The policy is a second wall behind the escaping."""
    browser.be(*DESKTOP)
    browser.visit(hosts["a day"] + "/")
    put = "{{ const one = document.createElement('{}'); {}; document.body.append(one) }}"
    browser.evaluate(put.format("script", "one.textContent = 'document.title = \"executed\"'"))
    browser.evaluate(put.format("img", "one.src = 'http://127.0.0.1:1/'"))
    browser.evaluate("0")
    assert browser.evaluate("document.title") != "executed"
    refused = "\n".join(browser.complaints())
    assert "script-src" in refused
    assert "img-src" in refused


@pytest.mark.parametrize("size", [PHONE, SMALL_PHONE], ids=["390", "320"])
@pytest.mark.parametrize("host", HOSTS)
def test_a_phone_needs_no_scrolling_sideways(
    browser: Chromium, hosts: dict[str, str], host: str, size: tuple[int, int]
) -> None:
    """Whatever is shown, also words without an end; and letters are large enough to be read."""
    browser.be(*size)
    for page in PAGES:
        browser.visit(hosts[host] + page)
        assert browser.evaluate("document.scrollingElement.scrollWidth") == size[0], page
        right = (  # what scrolls by itself, such as chips, may be wider than the screen
            "[...document.querySelectorAll('main *, header *')].filter(e => !e.closest('.chips, pre') && "
            "!e.closest('.shapes')).map(e => e.getBoundingClientRect().right)"
        )
        assert browser.evaluate(f"Math.max(...{right})") <= size[0], page
        letters = "[...document.querySelectorAll('main *')].map(e => parseFloat(getComputedStyle(e).fontSize) || 99)"
        assert browser.evaluate(f"Math.min(...{letters})") >= 11, page


@pytest.mark.parametrize("width", [640, 800, 1000, 1050, 1100, 1280, 2560])
@pytest.mark.parametrize("host", ["a day", "hostile"])
def test_no_width_of_a_window_squeezes_the_jobs(
    browser: Chromium, hosts: dict[str, str], host: str, width: int
) -> None:
    """Nor does one scroll sideways, however long a schedule is."""
    browser.be(width, 900)
    browser.visit(hosts[host] + "/")
    assert browser.evaluate("document.scrollingElement.scrollWidth") == width
    assert browser.evaluate("document.querySelector('td.job').getBoundingClientRect().width") > 150


CONTRAST = """(() => {
  const parse = text => text.match(/[0-9.]+/g).slice(0, 3).map(Number);
  const light = rgb => rgb.map(c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = element => {
    for (let at = element; at; at = at.parentElement) {
      const found = getComputedStyle(at).backgroundColor;
      if (!found.endsWith(', 0)')) return parse(found);
    }
    return [255, 255, 255];
  };
  const worst = {};
  for (const element of document.querySelectorAll('main *, header *, footer *')) {
    const text = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!text || element.closest('svg')) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) worst[element.className + '/' + element.tagName] = ratio;
  }
  return worst;
})()"""


@pytest.mark.parametrize("page", ["/", "/job/backup-database"])
def test_it_is_light_or_dark_as_the_reader_likes_it_and_legible_in_both(
    browser: Chromium, hosts: dict[str, str], page: str
) -> None:
    """Every text has a contrast of at least 4.5 to its ground, which is what WCAG 2 asks for."""
    grounds = []
    for scheme in ("light", "dark"):
        browser.be(*DESKTOP, scheme=scheme)
        browser.visit(hosts["a day"] + page)
        grounds.append(browser.evaluate("parseInt(getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0])"))
        assert browser.evaluate(CONTRAST) == {}
    assert grounds[0] > 200
    assert grounds[1] < 50


CONTROLS = """(() => {
  const parse = text => text.match(/[0-9.]+/g).slice(0, 3).map(Number);
  const light = rgb => rgb.map(c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (one, other) => {
    const [a, b] = [light(parse(one)), light(parse(other))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const sheet = getComputedStyle(document.querySelector('section')).backgroundColor;
  const borders = [...document.querySelectorAll('input[type=search], button, .chips a')]
    .map(e => ratio(getComputedStyle(e).borderTopColor, sheet));
  const fills = [...document.querySelectorAll('.strip .bar, .track .bar.success, .gauge .done')]
    .map(e => ratio(getComputedStyle(e).fill, sheet));
  return [Math.min(...borders), Math.min(...fills), borders.length, fills.length];
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_controls_and_bars_stand_out_from_their_ground(browser: Chromium, hosts: dict[str, str], scheme: str) -> None:
    """With a contrast of at least 3, which is what WCAG 2 asks for."""
    browser.be(*DESKTOP, scheme=scheme)
    browser.visit(hosts["a day"] + "/")
    borders, fills, controls, bars = browser.evaluate(CONTROLS)
    assert borders >= 3
    assert fills >= 3
    assert controls > 5
    assert bars > 50


def test_everything_works_with_scripts_switched_off(browser: Chromium, hosts: dict[str, str]) -> None:
    """The form searches, links lead on, outputs open."""
    browser.be(*PHONE, scripts=False)
    browser.visit(hosts["many"] + "/")
    browser.evaluate("document.querySelector('input[type=search]').focus()")
    browser.ask("Input.insertText", text="job-0123")
    _press(browser, "Enter", 13)
    assert browser.evaluate("document.querySelectorAll('.jobs tbody tr').length") == 10
    browser.evaluate("document.querySelector('.jobs tbody tr:nth-child(3) a').focus()")
    _press(browser, "Enter", 13)
    assert browser.evaluate("document.querySelector('h1').innerText").startswith("job-01232")

    browser.visit(hosts["a day"] + "/job/backup-database")
    closed = "[...document.querySelectorAll('details')].map(one => one.open)"
    assert browser.evaluate(closed) == [False, True, False]
    browser.evaluate("document.querySelectorAll('summary')[2].focus()")
    _press(browser, "Enter", 13, loads=False)
    assert browser.evaluate(closed) == [False, True, True]


def _press(browser: Chromium, key: str, code: int, *, loads: bool = True) -> None:
    browser.events.clear()
    for kind in ("keyDown", "keyUp"):
        text = {"text": "\r"} if kind == "keyDown" else {}
        browser.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)
    if loads:
        browser.wait_for("Page.loadEventFired")


def test_trouble_is_seen_on_the_timeline(browser: Chromium, hosts: dict[str, str]) -> None:
    """Each mark has a size on the screen, and a shape and a colour of its own; what is due is right of now."""
    kinds, mark = ("failure", "skipped", "missed"), ".track use[href='#t-{}']"
    for size in (DESKTOP, PHONE):
        browser.be(*size)
        browser.visit(hosts["a day"] + "/")
        browser.evaluate("document.querySelector('.fold').open = true")
        for kind in kinds:
            width, height = browser.evaluate(f"(b => [b.width, b.height])({_box(mark.format(kind))})")
            assert min(width, height) >= 8
        paint = "(s => s.stroke + s.fill)(getComputedStyle(document.querySelector('.mark.{}')))"
        assert len({browser.evaluate(paint.format(kind)) for kind in kinds}) == 3
        now = browser.evaluate(f"(b => b.x + b.width / 2)({_box('.scale .now')})")
        assert browser.evaluate(_edges("max", ".track .bar.success", "right")) <= now + 2
        assert browser.evaluate(_edges("min", ".track .slot", "left")) >= now - 2


def _box(selector: str) -> str:
    return f'document.querySelector("{selector}").getBoundingClientRect()'


def _edges(which: str, selector: str, side: str) -> str:
    found = f"[...document.querySelectorAll('{selector}')].map(one => one.getBoundingClientRect().{side})"
    return f"Math.{which}(...{found})"


def test_a_browser_reads_the_page_with_the_token_as_password(browser: Chromium) -> None:
    """Also the style sheet; without it there is nothing."""
    token = "0123456789abcdef"
    browser.be(*DESKTOP)
    with WebServer(("127.0.0.1", 0), a_day(), token=token) as web:
        browser.visit(f"http://me:{token}@127.0.0.1:{web.address[1]}/")
        assert "backup-database" in seen(browser)
        assert browser.evaluate("document.styleSheets[0].cssRules.length") > 20
        assert browser.complaints() == []


@pytest.mark.parametrize(("name", "width"), [("phone", 780), ("desktop", 1280)])
def test_the_documentation_has_pictures_of_it(name: str, width: int) -> None:
    """As `scripts/screenshots` makes them; small enough for a checkout."""
    picture = (ROOT / f"docs/page-{name}.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert struct.unpack(">I", picture[16:20]) == (width,)
    assert len(picture) < 300_000
