"use strict";
// Report of a conversion: totals, the table with its filters, histograms of the filtered clips, and the open clip.

const REPORT = JSON.parse(document.getElementById("data").textContent);
REPORT.rules = record(Object.entries(REPORT.rules));
const PAGE_ROWS = 50;
const find = (id) => document.getElementById(id);

const ROWS = REPORT.rows.map(([source, state, frames, seconds, reason, broken, severity, file, cells], index) => ({
  index, source, state, frames, seconds, reason, broken, severity, file,
  metrics: record(REPORT.metrics.map((name, k) => [name, cells[k]]).filter(([, value]) => value !== null)),
  text: `${source}\n${reason}`.toLowerCase(),
}));
const STATE_RANK = Object.fromEntries(REPORT.states.map((state, rank) => [state, rank]));
const VIEW = { sort: "result", down: false, page: 0, columns: new Set(REPORT.columns), rows: ROWS };
const OPEN = { row: null, from: null };

// Totals -------------------------------------------------------------------------------------------------------------

function duration(seconds) {
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  return seconds < 7200 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function drawTotals() {
  document.title = `Retargeting report: ${wellFormed(REPORT.name)}`;
  find("name").textContent = wellFormed(REPORT.name);
  const total = (text, name, kind = "") => element("div", { class: `total ${kind}` }, element("b", {}, text), element("span", {}, name));
  const states = [...REPORT.states].reverse().filter((state) => REPORT.counts[state]);
  find("totals").append(total(ROWS.length.toLocaleString("en"), "sources"),
    ...states.map((state) => total(REPORT.counts[state].toLocaleString("en"), state, state)),
    total(REPORT.frames.toLocaleString("en"), "frames"), total(duration(REPORT.seconds), "of motion"));
  for (const state of states) {
    const part = element("span", { class: state, title: `${REPORT.counts[state]} ${state}` });
    part.style.flexGrow = REPORT.counts[state];
    find("share").append(part);
  }
  find("share").setAttribute("aria-label", states.map((state) => `${REPORT.counts[state]} ${state}`).join(", "));
  find("problems").append(...REPORT.problems.map((problem) => element("li", { class: "problem" }, problem)));
  const { enabled, clips, limit } = REPORT.pictures;
  const pictures = enabled ? `${clips} clips have pictures (at most ${limit}, the worst first).` : "This report has no pictures.";
  find("footer").append(`musclemap ${REPORT.version}. ${pictures} Curves are in the folder “${REPORT.folder}” beside this page.`);
}

// Table --------------------------------------------------------------------------------------------------------------

/** Visible columns: key, heading, sort value, and whether it is a number. */
function columns() {
  const rank = (row) => STATE_RANK[row.state] * 1e12 - Math.min(row.severity, 1e11);
  const fixed = [
    { key: "source", title: "source", value: (row) => row.source },
    { key: "result", title: "result", value: rank, hint: "worst first; equal results by how far they exceed a limit" },
    { key: "why", title: "rules broken, or reason", value: (row) => row.broken.join() || row.reason },
    { key: "frames", title: "frames", value: (row) => row.frames, number: true },
    { key: "seconds", title: "seconds", value: (row) => row.seconds, number: true },
  ];
  const order = [...REPORT.columns, ...REPORT.metrics.filter((name) => !REPORT.columns.includes(name))];
  const shown = order.filter((name) => VIEW.columns.has(name)).map((name) => (
    { key: name, title: label(name), value: (row) => row.metrics[name], number: true, metric: true }));
  return [...fixed, ...shown];
}

/** Compare two values for sorting; missing values come last in both directions. */
function compare(a, b, down) {
  if (a === b) return 0;
  if (a === undefined || a === "") return 1;
  if (b === undefined || b === "") return -1;
  return (a < b ? -1 : 1) * (down ? -1 : 1);
}

function filterAndSort() {
  const words = find("text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const [state, rule] = [find("state").value, find("rule").value];
  const column = columns().find(({ key }) => key === VIEW.sort) ?? columns()[1];
  VIEW.rows = ROWS.filter((row) => (!state || row.state === state) && (!rule || row.broken.includes(rule)) && words.every((word) => row.text.includes(word)))
    .map((row) => [column.value(row), row]).sort(([a, rowA], [b, rowB]) => compare(a, b, VIEW.down) || rowA.index - rowB.index).map(([, row]) => row);
  VIEW.page = Math.max(0, Math.min(VIEW.page, Math.ceil(VIEW.rows.length / PAGE_ROWS) - 1));
}

function drawHead() {
  const cells = columns().map(({ key, title, number, hint }) => {
    const button = element("button", { type: "button", title: hint ?? "sort" }, title);
    button.onclick = () => {
      // A click on another column starts with the worst: numbers in descending order.
      [VIEW.down, VIEW.sort, VIEW.page] = [VIEW.sort === key ? !VIEW.down : Boolean(number), key, 0];
      update();
      find("sources").querySelector(`th[data-key="${CSS.escape(wellFormed(key))}"] button`).focus();
    };
    const sorted = VIEW.sort !== key ? "none" : VIEW.down ? "descending" : "ascending";
    return element("th", { scope: "col", "data-key": key, "aria-sort": sorted, class: number ? "number" : "" }, button);
  });
  find("sources").tHead.replaceChildren(element("tr", {}, ...cells));
}

function drawBody() {
  const shown = columns().filter(({ metric }) => metric);
  const tableRows = VIEW.rows.slice(VIEW.page * PAGE_ROWS, (VIEW.page + 1) * PAGE_ROWS).map((row) => {
    const open = element("button", { type: "button", class: "link" }, row.source);
    const cells = shown.map(({ key }) => {
      const state = ruleState(row.metrics[key], REPORT.rules[key]);
      return element("td", { class: `number ${state ? `over-${state}` : ""}` }, String(brief(row.metrics[key])));
    });
    const tableRow = element("tr", { "data-row": row.index }, element("td", {}, open),
      element("td", {}, element("span", { class: `state ${row.state}` }, row.state)),
      element("td", {}, row.broken.map(label).join(", ") || row.reason),
      element("td", { class: "number" }, row.frames ? row.frames.toLocaleString("en") : ""),
      element("td", { class: "number" }, row.seconds ? row.seconds.toFixed(1) : ""), ...cells);
    tableRow.onclick = () => { if (!String(getSelection())) openRow(row); };
    return tableRow;
  });
  find("sources").tBodies[0].replaceChildren(...tableRows);
}

function drawPages() {
  const count = Math.ceil(VIEW.rows.length / PAGE_ROWS);
  find("shown").textContent = `${VIEW.rows.length.toLocaleString("en")} of ${ROWS.length.toLocaleString("en")} sources`;
  const turn = (by, text) => {
    const button = element("button", { type: "button" }, text);
    button.disabled = VIEW.page + by < 0 || VIEW.page + by >= count;
    button.onclick = () => { VIEW.page += by; drawBody(); drawPages(); find("sources").scrollIntoView({ block: "start" }); };
    return button;
  };
  const where = element("span", {}, `page ${VIEW.page + 1} of ${count}`);
  find("pages").replaceChildren(...(count > 1 ? [turn(-1, "Previous page"), where, turn(1, "Next page")] : []));
}

function drawHistograms() {
  const values = (rows, name) => rows.map((row) => row.metrics[name]).filter((value) => typeof value === "number");
  const cards = { ruled: [], unruled: [] };
  for (const name of REPORT.metrics) {
    const all = values(ROWS, name);
    const rule = REPORT.rules[name];
    if (all.length) cards[rule ? "ruled" : "unruled"].push(histogram(name, all, values(VIEW.rows, name), rule));
  }
  for (const [id, group] of Object.entries(cards)) find(id).replaceChildren(...group);
  find("others").hidden = !cards.unruled.length;
}

function update() {
  filterAndSort();
  drawHead();
  drawBody();
  drawPages();
}

// Filters ------------------------------------------------------------------------------------------------------------

function options(select, all, counts) {
  select.append(element("option", { value: "" }, all), ...counts.map(([value, n, text]) => element("option", { value }, `${text} (${n})`)));
}

function setUpFilters() {
  options(find("state"), "all", REPORT.states.filter((s) => REPORT.counts[s]).map((s) => [s, REPORT.counts[s], s]));
  const broken = new Map();
  for (const row of ROWS) for (const rule of row.broken) broken.set(rule, (broken.get(rule) ?? 0) + 1);
  options(find("rule"), "any", [...broken].sort((a, b) => b[1] - a[1]).map(([rule, n]) => [rule, n, label(rule)]));
  let timer = 0;
  const refresh = () => { VIEW.page = 0; update(); drawHistograms(); };
  find("text").oninput = () => { clearTimeout(timer); timer = setTimeout(refresh, ROWS.length > 500 ? 150 : 0); };
  find("state").onchange = find("rule").onchange = refresh;
  find("filters").onsubmit = (event) => event.preventDefault();
  find("filters").onreset = () => setTimeout(refresh);
  for (const name of REPORT.metrics) {
    const box = element("input", { type: "checkbox" });
    box.checked = VIEW.columns.has(name);
    box.onchange = () => { VIEW.columns[box.checked ? "add" : "delete"](name); update(); };
    find("columns").append(element("label", {}, box, ` ${label(name)}`));
  }
}

// The open clip is part of the address, so that clips can be linked to and Back closes the dialog -------------------------

function openRow(row) {
  location.hash = `clip=${row.index}`;
}

function followAddress() {
  const row = ROWS[Number(/^#clip=(\d+)$/.exec(location.hash)?.[1] ?? -1)];
  const dialog = find("clip");
  OPEN.row = row ?? null;
  if (!row) return dialog.close();
  if (!dialog.open) { dialog.showModal(); find("clip-body").focus(); }
  showClip(row);
  for (const [id, by] of [["previous", -1], ["next", 1]]) {
    const neighbour = VIEW.rows[VIEW.rows.indexOf(row) + by];
    find(id).disabled = !neighbour || !VIEW.rows.includes(row);
    find(id).onclick = () => location.replace(`#clip=${neighbour.index}`);
  }
}

function setUpDialog() {
  const dialog = find("clip");
  find("close").onclick = () => dialog.close();
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
  dialog.onclose = () => {
    const row = OPEN.row;
    if (row) history.replaceState(null, "", "#"); // unlike an empty location.hash, this keeps the scroll position
    OPEN.row = null;
    if (row) find("sources").querySelector(`tr[data-row="${row.index}"] .link`)?.focus();
  };
  let timer = 0;
  addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(() => { if (OPEN.row) redraw(); }, 150); });
  addEventListener("hashchange", followAddress);
  followAddress();
}

drawTotals();
setUpFilters();
update();
drawHistograms();
setUpDialog();
