"use strict";
// Report about a policy: headline, film, totals, groups of clips, a sortable table, curves of a clip, training curves.

const VIEW = { sort: null, down: false };

/** Format a value for its column. */
function formatted(column, value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  return fixed(value, column.digits) + (column.percent ? "\u00a0%" : "");
}

function drawHead() {
  document.title = `Policy report: ${wellFormed(REPORT.name)}`;
  find("name").textContent = wellFormed(REPORT.name);
  const { lead, tone, items } = REPORT.headline;
  find("lead").append(element("span", { class: `state ${tone}` }, joined(lead)));
  find("causes").append(...items.map(([row, name, text]) => {
    if (row < 0) return element("li", {}, joined(text));
    if (ROWS[row].curves === null) return element("li", {}, element("b", {}, name), ` ${joined(text)}`);
    const open = element("button", { type: "button", class: "link" }, name);
    open.onclick = () => openRow(ROWS[row]);
    return element("li", {}, open, ` ${joined(text)}`);
  }));
  const tile = ({ text, name, kind }) => element("div", { class: `total ${kind}` }, element("b", {}, text), element("span", {}, name));
  find("totals").append(...REPORT.tiles.map(tile));
  find("problems").append(...REPORT.problems.map((problem) => element("li", { class: "problem" }, problem)));
  find("protocol").textContent = REPORT.protocol;
  find("curves-note").textContent = REPORT.curves_note;
  find("facts").append(...REPORT.facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, String(value)))));
  find("footer").append(element("p", {}, [`Evaluated ${REPORT.date}`, `musclemap ${REPORT.version}`, REPORT.command && `written by: ${REPORT.command}`].filter(Boolean).join(" · ")));
  find("film-part").hidden = !REPORT.film;
  if (REPORT.film) find("film").src = `data:video/mp4;base64,${REPORT.film}`;
}

function drawGroups() {
  const rows = REPORT.groups.map(({ cells, values }) => element("tr", {}, ...cells.map((cell) => element("td", { class: "short" }, cell)),
    ...REPORT.columns.map((column, k) => element("td", { class: "number" }, formatted(column, values[k])))));
  const titles = ["clips", "tracked", "mean over", ...REPORT.columns.map((column) => column.title)];
  find("groups").append(panelTable(titles, rows, REPORT.columns.map((_, k) => k + 3)));
}

// Table --------------------------------------------------------------------------------------------------------------

const ROWS = REPORT.rows.map(([name, group, failure, values, curves, covered, duration, ending], index) => ({ index, name, group, failure, values, curves, covered, duration, ending }));
const COLUMNS = [
  { title: "clip", value: (row) => row.name, meaning: "The clip that the policy tracks" },
  { title: "", value: (row) => row.group, meaning: "Whether the policy was trained on the clip" },
  { title: "outcome", value: (row) => (row.failure ? row.covered : Infinity), meaning: "Tracked to the end, or when and by what it failed" },
  ...REPORT.columns.map((column, k) => ({ title: column.title, number: true, value: (row) => row.values[k], column, meaning: column.meaning })),
];

function drawTable() {
  const heads = COLUMNS.map(({ title, number, meaning }, k) => {
    const button = tip(element("button", { type: "button", "data-sort": "" }, title || "group"), `${meaning[0].toUpperCase()}${meaning.slice(1)}.`);
    button.onclick = () => {
      [VIEW.down, VIEW.sort] = [VIEW.sort === k ? !VIEW.down : Boolean(number), k];
      drawTable();
      remember();
      find("sources").querySelectorAll("th button")[k].focus();
    };
    const sorted = VIEW.sort !== k ? "none" : VIEW.down ? "descending" : "ascending";
    return element("th", { scope: "col", "aria-sort": sorted, class: number ? "number metric" : "" }, button);
  });
  find("sources").tHead.replaceChildren(element("tr", {}, ...heads));
  const words = find("text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = ROWS.filter((row) => words.every((word) => row.name.toLowerCase().includes(word)));
  if (VIEW.sort !== null) {
    const { value } = COLUMNS[VIEW.sort];
    rows.sort((a, b) => compare(value(a), value(b), VIEW.down) || a.index - b.index);
  }
  find("sources").tBodies[0].replaceChildren(...rows.map(drawRow));
  find("shown").textContent = `${rows.length.toLocaleString("en")} of ${ROWS.length.toLocaleString("en")} clips`;
  return rows;
}

function drawRow(row) {
  const name = row.curves === null ? wellFormed(row.name) : element("button", { type: "button", class: "link" }, row.name);
  const outcome = row.failure ? row.ending.split(" (")[0] : `to the end, ${row.duration.toFixed(1)} s`;
  const cells = COLUMNS.slice(3).map(({ column, title, value }) => element("td", { class: "number metric", "data-label": title }, formatted(column, value(row))));
  const tableRow = element("tr", {}, element("td", { class: "source name" }, name), element("td", { class: "short" }, row.group),
    element("td", {}, stateChip(row.failure ? "infeasible" : "feasible", joined(outcome))), ...cells);
  if (row.curves !== null) tableRow.onclick = () => { if (!String(getSelection())) openRow(row); };
  return tableRow;
}

// Curves -------------------------------------------------------------------------------------------------------------

/** An element for curves, and the function that draws them into it; all share a timeline. */
function curvesElement(data, timeline) {
  const container = element("div", { class: "curves", tabindex: "0", role: "group", "aria-label": "Curves; arrow keys move the cursor" });
  const shades = data.reasons.flatMap(({ frames }) => frames.map(([from, to]) => ({ from: from / data.fps, to: to / data.fps, state: "infeasible" })));
  return [container, () => drawCurves(container, data, timeline, shades)];
}

const durationOf = (data) => (data.nframe - 1) / data.fps;

/** Address of the present view, with the open clip if there is one. */
const viewAddress = (row = null) => addressOf({ q: find("text").value, sort: VIEW.sort === null ? "" : String(VIEW.sort), order: VIEW.down ? "down" : "", clip: row?.name });
const remember = () => history.replaceState(null, "", viewAddress());

function openRow(row) {
  location.hash = viewAddress(row);
}

function followAddress() {
  const address = readAddress();
  const clip = address.get("clip");
  const dialog = find("clip");
  const sort = Number(address.get("sort") ?? NaN);
  find("text").value = address.get("q") ?? "";
  [VIEW.sort, VIEW.down] = [COLUMNS[sort] ? sort : null, address.get("order") === "down"];
  drawTable();
  const row = clip === null ? undefined : ROWS.find((one) => wellFormed(one.name) === clip);
  if (!row || row.curves === null) return dialog.close();
  const data = REPORT.curves[row.curves];
  const timeline = makeTimeline(durationOf(data));
  const player = figurePlayer(data.animation, timeline);
  const [container, draw] = curvesElement(data, timeline);
  find("clip-title").replaceChildren(wellFormed(row.name));
  const outcome = row.failure ? `It ${row.ending}. Frames after the failure are shaded.` : "Tracked to the end.";
  const beside = element("div", {}, element("p", { class: `verdict ${row.failure ? "infeasible" : "feasible"}` }, joined(outcome)),
    element("p", { class: "hint" }, "Point at a curve, or use the arrow keys, to read values and to move the figure. ",
      element("b", { class: "side-r key" }, "— right"), ", ", element("b", { class: "side-l key" }, "— left"), "; dashed: reference; dotted: limits."),
    panelTable(["metric", "value"], COLUMNS.slice(3).map(({ column, value }) => element("tr", {}, element("td", {}, column.title), element("td", { class: "number" }, formatted(column, value(row))))), [1]));
  leave();
  find("clip-body").replaceChildren(element("div", { class: "overview" }, player.node, beside), container);
  find("curves-csv").onclick = () => downloadCsv(`${row.name.split("/").pop()}.csv`, curveRows(data));
  if (!dialog.open) { dialog.showModal(); find("clip-body").focus(); }
  redraw = () => { draw(); player.redraw(); };
  leave = player.stop;
  redraw();
}

function setUp() {
  const dialog = find("clip");
  find("close").onclick = () => dialog.close();
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
  dialog.onclose = () => { leave(); if (readAddress().has("clip")) remember(); };
  find("text").oninput = () => { drawTable(); remember(); };
  find("filters").onsubmit = (event) => event.preventDefault();
  find("table-csv").onclick = () => downloadCsv(`${REPORT.name}.csv`, [
    ["clip", "group", "failure", "covered [s]", "duration [s]", ...REPORT.columns.map(({ title, percent }) => (percent ? `${title} [%]` : title))],
    ...drawTable().map((row) => [row.name, row.group, row.failure, row.covered, row.duration, ...row.values])]);
  let drawLearning = () => {};
  if (REPORT.learning) {
    const [container, draw] = curvesElement(REPORT.learning, makeTimeline(durationOf(REPORT.learning)));
    find("learning").append(container);
    drawLearning = draw;
  } else find("learning-part").hidden = true;
  let timer = 0;
  const again = () => { drawLearning(); if (dialog.open) redraw(); };
  addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(again, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  addEventListener("hashchange", followAddress);
  drawLearning();
  followAddress();
}

drawHead();
drawGroups();
setUpTips();
setUp();
