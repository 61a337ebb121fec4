"""Pages with hostile text: browsers show it as text and run none of it. Escaping and the policy each suffice."""

import json
import re
from pathlib import Path

import pytest

from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.pipelines.report.assembly import assemble
from musclemap.pipelines.report.page import write_report
from musclemap.pipelines.report.policy_report import write_policy_report
from musclemap.pipelines.train.dataset import ClipSelection
from musclemap.pipelines.train.evaluation import RecordingOptions, evaluate_policy

from ..support.data.arm_policies import save_untrained
from ..support.hostile.browser import POLICY, look
from ..support.hostile.hostile_texts import NAMES, TERMINAL, hostile_folder, image, script

RECORD_HITS = "window.hits = []; window.PWN = (mark) => hits.push(mark);"

OPEN_ALL = """
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
for (const box of document.querySelectorAll("#columns input")) if (!box.checked) box.click();
const opened = [];
for (const link of [...document.querySelectorAll("#sources tbody .link")]) {
  link.click();
  const words = () => document.getElementById("clip-body").textContent;
  const loaded = () => document.getElementById("clip").open && !words().includes("Loading");
  for (let k = 0; k < 80 && !loaded(); k++) await pause(25);
  opened.push(document.getElementById("clip-body").textContent.length);
  const dialog = document.getElementById("clip");
  const closed = new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  document.getElementById("close").click();
  await closed;
}
document.querySelectorAll("button").forEach((button) => button.dataset.sort !== undefined && button.click());
await pause(300);
const metrics = (name) => [...document.querySelectorAll("#sources thead th")].some((th) => th.dataset.key === name);
return {
  hits, opened, images: document.querySelectorAll("img, iframe, svg[onload], a[href^=javascript]").length,
  scripts: document.scripts.length, sources: [...document.querySelectorAll("#sources .link")].map((l) => l.textContent),
  columns: ["__proto__", "constructor", "toString", "polluted"].map(metrics),
  inherited: ({}).polluted === undefined, title: document.title,
};
"""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = hostile_folder(tmp_path_factory.mktemp("hostile"))
    write_report(out, pictures=False)
    return out


@pytest.fixture(scope="module")
def policy_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy")
    clips = [(f"{name}.h5", clip) for name, (_, clip) in zip(NAMES[:3], arm_clips(3, 0.5), strict=True)]
    save_untrained(folder / "policy.safetensors", clips[:1])
    left_out = {name: script("left out") for name in NAMES}
    chosen = ClipSelection(clips=tuple(clips), left_out=left_out)
    result = evaluate_policy(folder / "policy.safetensors", chosen, recording=RecordingOptions(worst=2))
    return write_policy_report(folder / "page.html", result)


@pytest.mark.slow
@pytest.mark.parametrize("policy", [False, True], ids=["escaping alone", "with the policy"])
def test_names_metrics_and_reasons_run_no_scripts(out: Path, tmp_path: Path, policy: bool) -> None:
    page_state = look(out / "report.html", tmp_path / "profile", OPEN_ALL, before=RECORD_HITS, policy=policy)
    assert page_state["hits"] == []
    assert (page_state["images"], page_state["inherited"]) == (0, True)
    assert len(page_state["opened"]) == len(NAMES) + 2
    assert min(page_state["opened"][2:]) > 200  # the files with curves were loaded
    assert page_state["columns"] == [True, True, True, True]
    assert any(image("name") in name for name in page_state["sources"])
    assert not any(letter in "".join(page_state["sources"]) for letter in "\x1b\x07\x9b\u202e\x7f")


@pytest.mark.slow
def test_policy_report_runs_no_scripts(policy_page: Path, tmp_path: Path) -> None:
    program = """
    for (const link of [...document.querySelectorAll("#sources tbody .link")]) {
      link.click();
      await new Promise((resolve) => setTimeout(resolve, 100));
      document.getElementById("close").click();
    }
    return { hits, images: document.querySelectorAll("img, iframe").length,
             rows: document.querySelectorAll("#sources tbody tr").length,
             problems: document.querySelectorAll("#problems li").length };
    """
    for policy in (False, True):
        page_state = look(policy_page, tmp_path / f"profile{policy}", program, before=RECORD_HITS, policy=policy)
        assert page_state == {"hits": [], "images": 0, "rows": 3, "problems": len(NAMES)}


def test_policy_stops_scripts_that_escape(out: Path, tmp_path: Path) -> None:
    """Injected markup and scripts are inert with the Content Security Policy and run without it."""
    program = """
    const container = document.createElement("div");
    document.body.append(container);
    container.innerHTML = "<img src=x onerror=\\"PWN('handler')\\"><a id=go href=\\"javascript:PWN('address')\\">x</a>";
    document.getElementById("go").click();
    await new Promise((resolve) => setTimeout(resolve, 500));
    return hits.sort();
    """
    page = out / "broken.html"
    text = (out / "report.html").read_text("utf-8")
    page.write_text(text.replace("<main>", "<main><script>PWN('program')</script>"), "utf-8")
    assert look(page, tmp_path / "one", program, before=RECORD_HITS, policy=True) == []
    assert look(page, tmp_path / "two", program, before=RECORD_HITS, policy=False) == ["address", "handler", "program"]
    page.unlink()


@pytest.mark.slow
def test_text_from_files_is_in_the_data_only(out: Path, policy_page: Path) -> None:
    for page in (out / "report.html", policy_page):
        text = page.read_text("utf-8")
        (data,) = re.findall(r'<script id="data" type="application/json">([^<]*)</script>', text)
        assert data.isascii()
        rest = text.replace(data, "")
        assert "PWN" not in rest
        assert "ESCAPED" not in rest
        assert POLICY.search(rest)
    for part in (out / "report").glob("*.js"):
        text = part.read_bytes().decode("ascii")
        assert text.count("\n") == 1
        head, _, tree = text.removesuffix(");\n").partition(", ")
        assert head.startswith("musclemapClip(")
        names = [name for name, _ in json.loads(tree)["metrics"]]
        assert {"__proto__", "constructor", TERMINAL} <= set(names)


def test_policy_allows_no_network_access() -> None:
    text = assemble("template.html", ("basics.js",), {"x": 1}).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy
