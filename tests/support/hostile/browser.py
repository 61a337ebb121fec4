"""Opens a page in a browser without a window and lets a program look at it; the page's own policy stays in force."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic", "--disable-dev-shm-usage",
    "--enable-logging=stderr", "--window-size=1400,1000",
)  # fmt: skip

POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="[^"]*">')


def look(page: Path, profile: Path, program: str, *, before: str = "", policy: bool = True) -> Any:
    """Run a program in a copy of a page.

    Args:
        page: The page; the copy lies beside it meanwhile.
        profile: Empty folder for the browser.
        program: Body of an async function of JavaScript that returns what the test wants to see. Errors of the page are
            in the list `faults`.
        before: Program that runs before anything of the page does.
        policy: Leave the page's policy in force; only the two programs are added to what it allows.
    """
    if CHROMIUM is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on the PATH")
    first = f'window.faults = []; addEventListener("error", (event) => faults.push(String(event.message)));{before}'
    last = f"""(async () => {{
      let seen = null;
      try {{ seen = await (async () => {{ {program} }})(); }} catch (error) {{ faults.push(String(error.stack)); }}
      console.log(`told:${{btoa(encodeURIComponent(JSON.stringify({{ seen, faults }})))}}`);
    }})();"""
    digest = base64.b64encode(hashlib.sha256(last.encode()).digest()).decode()
    text = page.read_text("utf-8")
    assert POLICY.search(text)
    text = text.replace("script-src ", f"script-src 'sha256-{digest}' ", 1) if policy else POLICY.sub("", text)
    text = text.replace("<head>", f"<head><script>{first}</script>", 1)
    copy = page.with_name("check.html")
    copy.write_text(text.replace("</body>", f"<script>{last}</script></body>"), "utf-8")
    try:
        result, log = _told([CHROMIUM, *SWITCHES, f"--user-data-dir={profile}", copy.as_uri()])
    finally:
        copy.unlink()
    assert result, log[-2000:]
    output = json.loads(unquote(base64.b64decode(result).decode()))
    assert output["faults"] == [], output["faults"]
    return output["seen"]


def _told(command: list[str]) -> tuple[str, str]:
    """What the program told, and all that the browser has logged."""
    browser = subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, errors="replace")
    limit = threading.Timer(180.0, browser.kill)
    limit.start()
    log, result = [], None
    try:
        for line in browser.stderr or ():
            log.append(line)
            if result := re.search(r'"told:([^"]*)"', line):
                break
    finally:
        limit.cancel()
        browser.kill()
        browser.communicate()
    return result[1] if result else "", "".join(log)
