"use strict";
// The page about a policy: totals, groups of clips, a table that sorts, curves of a clip, and how it learned.

const REPORT = JSON.parse(document.getElementById("data").textContent);
REPORT.rules = record(Object.entries(REPORT.rules));
const find = (id) => document.getElementById(id);
const VIEW = { sort: null, down: false };

/** A figure as its column writes it. */
function written(column, value) {
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
  find("kept").textContent = REPORT.kept;
  find("footer").textContent = `musclemap ${REPORT.version}`;
}

function drawGroups() {
  const rows = REPORT.groups.map(({ cells, values }) => element("tr", {}, ...cells.map((cell) => element("td", { class: "short" }, cell)),
    ...REPORT.columns.map((column, k) => element("td", { class: "number" }, written(column, values[k])))));
  const titles = ["clips", "tracked", "mean over", ...REPORT.columns.map((column) => column.title)];
  find("groups").append(panelTable(titles, rows, REPORT.columns.map((_, k) => k + 3)));
}

// Table --------------------------------------------------------------------------------------------------------------

const ROWS = REPORT.rows.map(([name, group, failure, values, curves], index) => ({ index, name, group, failure, values, curves }));
const COLUMNS = [
  { title: "clip", value: (row) => row.name },
  { title: "", value: (row) => row.group },
  { title: "lost by", value: (row) => row.failure },
  ...REPORT.columns.map((column, k) => ({ title: column.title, number: true, value: (row) => row.values[k], column })),
];

/** Order two values; what is missing comes last either way. */
function compare(a, b, down) {
  const [none, nothing] = [a === null || a === "", b === null || b === ""];
  if (none || nothing) return none - nothing;
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
    rows.sort((one, other) => compare(value(one), value(other), VIEW.down) || one.index - other.index);
  }
  find("sources").tBodies[0].replaceChildren(...rows.map(drawRow));
  find("shown").textContent = `${rows.length.toLocaleString("en")} of ${ROWS.length.toLocaleString("en")} clips`;
}

function drawRow(row) {
  const name = row.curves === null ? wellFormed(row.name) : element("button", { type: "button", class: "link" }, row.name);
  const state = row.failure ? "infeasible" : "feasible";
  const cells = COLUMNS.slice(3).map(({ column, value }) => element("td", { class: "number" }, written(column, value(row))));
  const line = element("tr", {}, element("td", {}, name), element("td", { class: "short" }, row.group),
    element("td", {}, element("span", { class: `state ${state}` }, row.failure)), ...cells);
  if (row.curves !== null) line.onclick = () => { if (!String(getSelection())) openRow(row); };
  return line;
}

// Curves -------------------------------------------------------------------------------------------------------------

function curvesRoom(data) {
  const room = element("div", { class: "curves", tabindex: "0", role: "group", "aria-label": "Curves; arrow keys move the cursor" });
  shownShades = new Set(data.reasons.keys());
  return [room, () => { shownShades = new Set(data.reasons.keys()); drawCurves(room, data); }];
}

function openRow(row) {
  location.hash = `clip=${row.index}`;
}

/** Show the clip that the address names, so that it can be linked to and Back closes it. */
function followAddress() {
  const row = ROWS[Number(/^#clip=(\d+)$/.exec(location.hash)?.[1] ?? -1)];
  const dialog = find("clip");
  if (!row || row.curves === null) return dialog.close();
  find("clip-title").replaceChildren(wellFormed(row.name));
  const [room, draw] = curvesRoom(REPORT.curves[row.curves]);
  const lost = row.failure ? `Lost by ${row.failure}; shaded from there on.` : "Tracked to its end.";
  find("clip-body").replaceChildren(element("p", { class: "hint" }, `${lost} Point at a curve, or use the arrow keys, to read values. Dotted: limits.`), room);
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
    const [room, draw] = curvesRoom(REPORT.learning);
    find("learning").append(room);
    drawLearning = draw;
  } else find("learning-part").hidden = true;
  let waiting = 0;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => { drawLearning(); if (dialog.open) redraw(); }, 150); });
  addEventListener("hashchange", followAddress);
  drawLearning();
  followAddress();
}

drawHead();
drawGroups();
drawTable();
setUp();
