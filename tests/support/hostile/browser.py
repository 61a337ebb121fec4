"""Opens a page in a headless browser and runs a program in it; the page's own security policy stays in force."""

import base64
import hashlib
import json
import re
import subprocess
import threading
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from ..devtools import CHROMIUM

SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic", "--disable-dev-shm-usage",
    "--enable-logging=stderr", "--window-size=1400,1000",
)  # fmt: skip

POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="[^"]*">')


def look(page: Path, profile: Path, program: str, *, before: str = "", policy: bool = True) -> Any:
    """Run a program in a copy of a page.

    Args:
        page: The page; a temporary copy is made next to it.
        profile: Empty folder for the browser.
        program: Body of an async function of JavaScript that returns a value for the test. Errors of the page are in
            the list `faults`.
        before: Program that runs before anything of the page.
        policy: Whether to keep the page's policy; only the two programs are added to what it allows.
    """
    if CHROMIUM is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on the PATH")
    first = f'window.faults = []; addEventListener("error", (event) => faults.push(String(event.message)));{before}'
    last = f"""(async () => {{
      let value = null;
      try {{ value = await (async () => {{ {program} }})(); }} catch (error) {{ faults.push(String(error.stack)); }}
      console.log(`result:${{btoa(encodeURIComponent(JSON.stringify({{ value, faults }})))}}`);
    }})();"""
    digest = base64.b64encode(hashlib.sha256(last.encode()).digest()).decode()
    text = page.read_text("utf-8")
    assert POLICY.search(text)
    text = text.replace("script-src ", f"script-src 'sha256-{digest}' ", 1) if policy else POLICY.sub("", text)
    text = text.replace("<head>", f"<head><script>{first}</script>", 1)
    copy = page.with_name("check.html")
    copy.write_text(text.replace("</body>", f"<script>{last}</script></body>"), "utf-8")
    try:
        encoded, log = _run([CHROMIUM, *SWITCHES, f"--user-data-dir={profile}", copy.as_uri()])
    finally:
        copy.unlink()
    assert encoded, log[-2000:]
    result = json.loads(unquote(base64.b64decode(encoded).decode()))
    assert result["faults"] == [], result["faults"]
    return result["value"]


def _run(command: list[str]) -> tuple[str, str]:
    """Run the browser until the program reports its result; return the result and the browser's log."""
    browser = subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, errors="replace")
    limit = threading.Timer(180.0, browser.kill)
    limit.start()
    log, match = [], None
    try:
        for line in browser.stderr or ():
            log.append(line)
            if match := re.search(r'"result:([^"]*)"', line):
                break
    finally:
        limit.cancel()
        browser.kill()
        browser.communicate()
    return match[1] if match else "", "".join(log)
