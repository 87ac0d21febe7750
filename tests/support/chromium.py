"""A headless Chromium, spoken to over two pipes (the DevTools protocol): no driver and no further package."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Any

PATIENCE = 60.0
"""How long an answer may take, in seconds."""


PLUG = """
import os, sys
ends = [os.dup(int(one)) for one in sys.argv[1:3]]
for number, end in enumerate(ends, 3):
    os.dup2(end, number)
    os.set_inheritable(number, True)
os.execvp(sys.argv[3], sys.argv[3:])
"""
"""Starts a program with two descriptors as its third and fourth, where Chromium looks for them."""


def program() -> str:
    """The name of the browser."""
    return which("chromium") or "chromium-browser"


class Chromium:
    """One browser with one page. `events` is all it has told, as `{"method", "params"}`."""

    def __init__(self, to: int, back: int) -> None:
        self._to = to
        self._back = back
        self._rest = b""
        self._last = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def open_page(self) -> None:
        """Open the page, and have everything told that happens on it."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one command and return its result."""
        self._last += 1
        number = self._last
        asked = {"id": number, "method": method, "params": params}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._to, json.dumps(asked).encode() + b"\0")
        until = time.monotonic() + PATIENCE
        while (reply := self._hear(until)).get("id") != number:
            self.events.append(reply)
        assert "error" not in reply, reply
        result: dict[str, Any] = reply["result"]
        return result

    def _hear(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._back], [], [], max(0.0, until - time.monotonic()))
            assert ready, "Chromium does not answer"
            more = os.read(self._back, 1 << 20)
            assert more, "Chromium has ended"
            self._rest += more
        reply, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(reply)
        return found

    def visit(self, url: str) -> None:
        """Go to a page and wait until all of it is there."""
        self.events.clear()
        self.ask("Page.navigate", url=url)
        self.wait_for("Page.loadEventFired")

    def wait_for(self, method: str) -> None:
        """Wait until it tells this."""
        until = time.monotonic() + PATIENCE
        while not self.events_of(method):
            self.events.append(self._hear(until))
        self.evaluate("0")  # what was told before that answer has been heard

    def events_of(self, method: str) -> list[dict[str, Any]]:
        """What it has told by this name since the last visit."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def complaints(self) -> list[str]:
        """Everything that a person would see in red in the console: errors, refusals by policy, exceptions."""
        entries = [
            one["entry"]["text"] for one in self.events_of("Log.entryAdded") if one["entry"]["level"] != "verbose"
        ]
        issues = [one["issue"]["code"] for one in self.events_of("Audits.issueAdded")]
        called = [str(one["args"]) for one in self.events_of("Runtime.consoleAPICalled")]
        thrown = [str(one["exceptionDetails"]) for one in self.events_of("Runtime.exceptionThrown")]
        failed = [one["errorText"] for one in self.events_of("Network.loadingFailed")]
        return [*entries, *issues, *called, *thrown, *failed]

    def requests(self) -> list[str]:
        """The addresses that were asked for since the last visit."""
        return [one["request"]["url"] for one in self.events_of("Network.requestWillBeSent")]

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression on the page (this works with scripts switched off, too)."""
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def be(self, width: int, height: int, *, scheme: str = "light", scripts: bool = True, scale: float = 1) -> None:
        """Be a screen of this size (CSS pixels), of somebody who likes it light or dark."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.ask("Emulation.setScriptExecutionDisabled", value=not scripts)

    def screenshot(self, file: Path, *, height: int | None = None) -> None:
        """Save what is seen; with `height` so many CSS pixels from the top of the page, else the screen."""
        more: dict[str, Any] = {}
        if height is not None:
            width = self.evaluate("document.documentElement.clientWidth")
            more["clip"] = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
            more["captureBeyondViewport"] = True
        picture = self.ask("Page.captureScreenshot", format="png", **more)["data"]
        file.write_bytes(base64.b64decode(picture))


@contextmanager
def chromium() -> Iterator[Chromium]:
    """Start a browser with a profile of its own, and end it."""
    (read_to, to), (back, write_back) = os.pipe(), os.pipe()
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        as_three_and_four = (sys.executable, "-c", PLUG, str(read_to), str(write_back))
        process = subprocess.Popen(
            [*as_three_and_four, program(), *options, f"--user-data-dir={profile}", "--remote-debugging-pipe"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(read_to, write_back),
        )
        os.close(read_to)
        os.close(write_back)
        try:
            browser = Chromium(to, back)
            browser.open_page()
            yield browser
        finally:
            os.close(to)
            os.close(back)
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
