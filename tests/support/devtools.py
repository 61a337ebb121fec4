"""A headless Chromium controlled through its DevTools protocol: sizes, colour schemes, colour blindness, keys."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from websockets.sync.client import connect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

T = TypeVar("T")
BrowserT = TypeVar("BrowserT", bound="Browser")


class Browser:
    """One page of a browser.

    Args:
        profile: Empty folder of the browser.
        flags: How it draws, and other flags of Chromium.

    Attributes:
        errors: Exceptions, failed loads and messages of level error so far.
    """

    def __init__(self, profile: Path, *, flags: Sequence[str] = ("--disable-gpu",)) -> None:
        assert CHROMIUM is not None
        self.errors: list[str] = []
        self._count = 0
        self._process = subprocess.Popen(
            [
                CHROMIUM, "--headless", "--no-sandbox", *flags, "--no-first-run", "--disable-sync", "--disable-quic",
                "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
                f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        output = profile / "DevToolsActivePort"
        port = until(lambda: output.read_text().splitlines()[0] if output.exists() and output.stat().st_size else None)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as response:
            page = next(target for target in json.load(response) if target["type"] == "page")
        self._socket = connect(page["webSocketDebuggerUrl"], max_size=None)
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self.evaluate("window.left = true")
        self.call("Page.navigate", url=url)
        until(lambda: self.evaluate("!window.left && document.readyState === 'complete'"))

    def resize(self, width: int, height: int = 900) -> None:
        """Set the size of the window in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )  # fmt: skip

    def emulate(self, *, dark: bool = False, vision: str = "none") -> None:
        """Set the preferred colour scheme, and a colour blindness such as "deuteranopia"."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setEmulatedVisionDeficiency", type=vision)

    def evaluate(self, code: str) -> Any:
        """Evaluate an expression in the page; a promise is awaited."""
        result = self.call("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise AssertionError(json.dumps(result["exceptionDetails"])[:2000])
        return result["result"].get("value")

    def press(self, key: str, *, code: int = 0, text: str = "") -> None:
        """Press and release a key, such as "Tab", "ArrowRight", or "Enter" with code 13 and text "\\r"."""
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", **common, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def picture(self, path: Path | None = None, *, whole: bool = False) -> bytes:
        """Picture of the window, or of the whole page, as PNG; also written to a file if there is one."""
        png = base64.b64decode(
            self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        )  # fmt: skip
        if path is not None:
            path.write_bytes(png)
        return png

    def close(self) -> None:
        """End the browser."""
        self._socket.close()
        self._process.terminate()
        self._process.wait(timeout=30)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result; errors of the page are collected on the way."""
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("id") == self._count:
                assert "error" not in message, f"{method}: {message.get('error')}"
                return message["result"]
            params = message.get("params", {})
            if message["method"] == "Runtime.exceptionThrown" or "error" in (
                params.get("type"), params.get("entry", {}).get("level"),
            ):  # fmt: skip
                self.errors.append(json.dumps(params))


@contextmanager
def browsing(browser: BrowserT) -> Iterator[BrowserT]:
    """A browser, ended on exit."""
    try:
        yield browser
    finally:
        browser.close()


def until(poll: Callable[[], T | None], *, seconds: float = 60.0) -> T:
    """Call `poll` repeatedly until it returns a true value, and return that."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = poll()
        if result:
            return result
        time.sleep(0.05)
    raise AssertionError(f"nothing within {seconds:g} s")
