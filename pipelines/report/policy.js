"use strict";
// Report about a policy: totals, groups of clips, a sortable table, curves of a clip, and training curves.

const REPORT = JSON.parse(document.getElementById("data").textContent);
REPORT.rules = record(Object.entries(REPORT.rules));
const find = (id) => document.getElementById(id);
const VIEW = { sort: null, down: false };

/** Format a value for its column. */
function formatted(column, value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  return value.toFixed(column.digits) + (column.percent ? " %" : "");
}

function drawHead() {
  document.title = `Policy report: ${wellFormed(REPORT.name)}`;
  find("name").textContent = wellFormed(REPORT.name);
  const tile = ({ text, name, kind }) => element("div", { class: `total ${kind}` }, element("b", {}, text), element("span", {}, name));
  find("totals").append(...REPORT.tiles.map(tile));
  find("facts").append(...REPORT.facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, String(value)))));
  find("problems").append(...REPORT.problems.map((problem) => element("li", { class: "problem" }, problem)));
  find("protocol").textContent = REPORT.protocol;
  find("curves-note").textContent = REPORT.curves_note;
  find("footer").textContent = `musclemap ${REPORT.version}`;
}

function drawGroups() {
  const rows = REPORT.groups.map(({ cells, values }) => element("tr", {}, ...cells.map((cell) => element("td", { class: "short" }, cell)),
    ...REPORT.columns.map((column, k) => element("td", { class: "number" }, formatted(column, values[k])))));
  const titles = ["clips", "tracked", "mean over", ...REPORT.columns.map((column) => column.title)];
  find("groups").append(panelTable(titles, rows, REPORT.columns.map((_, k) => k + 3)));
}

// Table --------------------------------------------------------------------------------------------------------------

const ROWS = REPORT.rows.map(([name, group, failure, values, curves], index) => ({ index, name, group, failure, values, curves }));
const COLUMNS = [
  { title: "clip", value: (row) => row.name },
  { title: "", value: (row) => row.group },
  { title: "failure", value: (row) => row.failure },
  ...REPORT.columns.map((column, k) => ({ title: column.title, number: true, value: (row) => row.values[k], column })),
];

/** Compare two values for sorting; missing values come last in both directions. */
function compare(a, b, down) {
  const [aMissing, bMissing] = [a === null || a === "", b === null || b === ""];
  if (aMissing || bMissing) return aMissing - bMissing;
  return (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1);
}

function drawTable() {
  const heads = COLUMNS.map(({ title, number }, k) => {
    const button = element("button", { type: "button", title: "sort" }, title);
    button.onclick = () => { [VIEW.down, VIEW.sort] = [VIEW.sort === k ? !VIEW.down : Boolean(number), k]; drawTable(); };
    const sorted = VIEW.sort !== k ? "none" : VIEW.down ? "descending" : "ascending";
    return element("th", { scope: "col", "aria-sort": sorted, class: number ? "number" : "" }, button);
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
}

function drawRow(row) {
  const name = row.curves === null ? wellFormed(row.name) : element("button", { type: "button", class: "link" }, row.name);
  const state = row.failure ? "infeasible" : "feasible";
  const cells = COLUMNS.slice(3).map(({ column, value }) => element("td", { class: "number" }, formatted(column, value(row))));
  const tableRow = element("tr", {}, element("td", {}, name), element("td", { class: "short" }, row.group),
    element("td", {}, element("span", { class: `state ${state}` }, row.failure)), ...cells);
  if (row.curves !== null) tableRow.onclick = () => { if (!String(getSelection())) openRow(row); };
  return tableRow;
}

// Curves -------------------------------------------------------------------------------------------------------------

/** An element for curves, and the function that draws them into it. */
function curvesElement(data) {
  const container = element("div", { class: "curves", tabindex: "0", role: "group", "aria-label": "Curves; arrow keys move the cursor" });
  shownShades = new Set(data.reasons.keys());
  return [container, () => { shownShades = new Set(data.reasons.keys()); drawCurves(container, data); }];
}

function openRow(row) {
  location.hash = `clip=${row.index}`;
}

/** Show the clip in the address, so that clips can be linked to and Back closes the dialog. */
function followAddress() {
  const row = ROWS[Number(/^#clip=(\d+)$/.exec(location.hash)?.[1] ?? -1)];
  const dialog = find("clip");
  if (!row || row.curves === null) return dialog.close();
  find("clip-title").replaceChildren(wellFormed(row.name));
  const [container, draw] = curvesElement(REPORT.curves[row.curves]);
  const outcome = row.failure ? `Failed (${row.failure}); frames after the failure are shaded.` : "Tracked to the end.";
  find("clip-body").replaceChildren(element("p", { class: "hint" }, `${outcome} Point at a curve, or use the arrow keys, to read values. Dotted: limits.`), container);
  if (!dialog.open) dialog.showModal();
  redraw = draw;
  draw();
}

function setUp() {
  const dialog = find("clip");
  find("close").onclick = () => dialog.close();
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
  dialog.onclose = () => { if (location.hash) history.replaceState(null, "", "#"); };
  find("text").oninput = drawTable;
  find("filters").onsubmit = (event) => event.preventDefault();
  let drawLearning = () => {};
  if (REPORT.learning) {
    const [container, draw] = curvesElement(REPORT.learning);
    find("learning").append(container);
    drawLearning = draw;
  } else find("learning-part").hidden = true;
  let timer = 0;
  addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(() => { drawLearning(); if (dialog.open) redraw(); }, 150); });
  addEventListener("hashchange", followAddress);
  drawLearning();
  followAddress();
}

drawHead();
drawGroups();
drawTable();
setUp();
