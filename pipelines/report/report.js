"use strict";
// Report of a conversion: headline, totals, the table with its filters, histograms of the filtered clips, the open clip.

const PAGE_ROWS = 50;

const ROWS = REPORT.rows.map(([source, state, frames, seconds, reason, broken, severity, file, cells, cause, figure, thumb, badges], index) => ({
  index, source, state, frames, seconds, reason, broken, severity, file, cause, figure, thumb, badges,
  get metrics() { // made when first asked for: the first rows of a long table need few of them
    const metrics = record(REPORT.metrics.map((name, k) => [name, cells[k]]).filter(([, value]) => value !== null));
    Object.defineProperty(this, "metrics", { value: metrics });
    return metrics;
  },
  text: `${source}\n${reason}\n${cause}\n${badges.map(([badge]) => REPORT.badges[badge][0]).join("\n")}`.toLowerCase(),
}));
const STATE_RANK = Object.fromEntries(REPORT.states.map((state, rank) => [state, rank]));
const VIEW = { sort: "result", down: false, page: 0, columns: new Set(REPORT.columns), rows: ROWS };
const OPEN = { row: null, shown: null };

// Headline and totals ----------------------------------------------------------------------------------------------------

function duration(seconds) {
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  return seconds < 7200 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function drawHeadline() {
  document.title = `Retargeting report: ${wellFormed(REPORT.name)}`;
  find("name").textContent = wellFormed(REPORT.name);
  const { lead, tone, items } = REPORT.headline;
  find("lead").append(tip(element("span", { class: `state ${tone}`, tabindex: "0" }, lead), REPORT.meaning));
  find("causes").append(...items.map(([row, name, text]) => {
    if (row < 0) return element("li", {}, joined(text));
    const open = element("button", { type: "button", class: "link", title: ROWS[row].source }, name || "show the clip");
    open.onclick = () => openRow(ROWS[row]);
    return element("li", {}, open, `: ${joined(text)}`);
  }));
}

function drawTotals() {
  const total = (text, name, kind = "") => element("div", { class: `total ${kind}` }, element("b", {}, text), element("span", { class: kind && `state ${kind}` }, name));
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
}

function drawFooter() {
  const { enabled, clips, limit } = REPORT.pictures;
  const pictures = enabled ? `${clips} clips have pictures (at most ${limit}, the worst first).` : "This report has no pictures.";
  find("footer").append(element("p", {}, [REPORT.date && `Converted ${REPORT.date}`, `musclemap ${REPORT.version}`, REPORT.command && `written by: ${REPORT.command}`].filter(Boolean).join(" · ")),
    element("p", {}, `${pictures} Curves are in the folder “${REPORT.folder}” beside this page; nothing is loaded from the network.`));
  const [config, software, kinds] = REPORT.settings;
  const flat = (value, path) => (value !== null && typeof value === "object" && !Array.isArray(value)
    ? Object.entries(value).flatMap(([key, inner]) => flat(inner, path ? `${path}.${key}` : key)) : [[path, JSON.stringify(value)]]);
  const list = (pairs) => element("dl", { class: "facts" }, ...pairs.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, String(value)))));
  if (!Object.keys(config).length && !Object.keys(software).length) return;
  find("footer").append(element("details", { id: "settings" }, element("summary", {}, `Versions and settings${kinds > 1 ? ` of most clips (${kinds} different ones in this folder)` : ""}`),
    element("h3", {}, "Versions"), list(flat(software, "")), element("h3", {}, "Settings"), list(flat(config, ""))));
}

// Table --------------------------------------------------------------------------------------------------------------

function badgeChip(index, text = "") {
  const [name, tone] = REPORT.badges[index];
  const chip = element("span", { class: `badge ${tone}` }, name);
  return text ? tip(chip, text) : chip;
}

/** Visible columns: key, heading, sort value, and whether it is a number. */
function columns() {
  const rank = (row) => STATE_RANK[row.state] * 1e12 + (row.cause ? 0 : 1e11) - Math.min(row.severity, 1e10);
  const fixedColumns = [
    { key: "source", title: "source", value: (row) => row.source, hint: "The source file, below the folder that was converted, and five poses of its clip" },
    { key: "result", title: "result", value: rank, hint: "Worst first; equal results by how far they exceed a limit" },
    { key: "why", title: "why", value: (row) => row.cause || row.broken.join() || row.reason, hint: "Why the motion cannot be followed, or the rules that it breaks" },
    { key: "seconds", title: "duration [s]", value: (row) => row.seconds, number: true, hint: "Duration of the motion in seconds" },
  ];
  const order = [...REPORT.columns, ...REPORT.metrics.filter((name) => !REPORT.columns.includes(name))];
  const shown = order.filter((name) => VIEW.columns.has(name)).map((name) => (
    { key: name, title: label(name), value: (row) => row.metrics[name], number: true, metric: true, hint: explain(name) }));
  return [...fixedColumns, ...shown];
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
  const cells = columns().map(({ key, title, number, hint, metric }) => {
    const button = tip(element("button", { type: "button", "data-sort": "" }, title), hint);
    button.onclick = () => {
      // A click on another column starts with the worst: numbers in descending order.
      [VIEW.down, VIEW.sort, VIEW.page] = [VIEW.sort === key ? !VIEW.down : Boolean(number), key, 0];
      update();
      rememberView();
      find("sources").querySelector(`th[data-key="${CSS.escape(wellFormed(key))}"] button`).focus();
    };
    const sorted = VIEW.sort !== key ? "none" : VIEW.down ? "descending" : "ascending";
    return element("th", { scope: "col", "data-key": key, "aria-sort": sorted, class: [number && "number", metric && "metric"].filter(Boolean).join(" ") }, button);
  });
  find("sources").tHead.replaceChildren(element("tr", {}, ...cells));
}

function sourceCell(row) {
  const cut = row.source.lastIndexOf("/") + 1;
  const open = element("button", { type: "button", class: "link" }, element("span", { class: "folder" }, row.source.slice(0, cut)), row.source.slice(cut));
  const figure = REPORT.figures[row.figure];
  const marks = row.badges.map(([badge, text]) => badgeChip(badge, text));
  return element("td", { class: "source" }, ...(figure ? [thumbnailOf(figure, row.thumb)] : []), element("div", {}, open), element("div", { class: "badges" }, ...marks));
}

function metricCell(row, { key, title }) {
  const [value, rule] = [row.metrics[key], REPORT.rules[key]];
  const state = ruleState(value, rule);
  const shown = element("span", { class: state ? `over-${state}` : "" }, shownValue(key, value));
  const limit = rule && value !== undefined ? [element("span", { class: "limit" }, ` / ${shownLimit(key, state === "infeasible" ? rule.infeasible : rule.warn)}`)] : [];
  return element("td", { class: "number metric", "data-label": title }, shown, ...limit);
}

function drawBody() {
  const shown = columns().filter(({ metric }) => metric);
  const tableRows = VIEW.rows.slice(VIEW.page * PAGE_ROWS, (VIEW.page + 1) * PAGE_ROWS).map((row) => {
    const why = row.cause || row.broken.map((rule) => metricText(rule).title).join(", ") || row.reason;
    const tableRow = element("tr", { "data-row": row.index }, sourceCell(row),
      element("td", {}, stateChip(row.state)), element("td", { class: "why" }, joined(why)),
      element("td", { class: "number metric", "data-label": "duration [s]" }, row.seconds ? row.seconds.toFixed(1) : ""),
      ...shown.map((column) => metricCell(row, column)));
    tableRow.onclick = (event) => { if (!String(getSelection()) && !event.target.closest(".badge")) openRow(row); };
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

function update() {
  filterAndSort();
  drawHead();
  drawBody();
  drawPages();
}

/** Draw the histograms after the table is on the screen: with thousands of clips they take longer. */
function drawHistograms() {
  clearTimeout(VIEW.histograms);
  VIEW.histograms = setTimeout(() => find("distributions").replaceChildren(...histogramGroups(ROWS, VIEW.rows)), 30);
}

// Filters, which are part of the address -----------------------------------------------------------------------------

const FILTERS = { q: "text", result: "state", rule: "rule" };

/** Address of the present view, with the open clip if there is one. */
function viewAddress(row = null) {
  const pairs = Object.entries(FILTERS).map(([key, id]) => [key, find(id).value]);
  const usual = REPORT.columns.every((name) => VIEW.columns.has(name)) && VIEW.columns.size === REPORT.columns.length;
  const column = VIEW.columns.size ? REPORT.metrics.filter((name) => VIEW.columns.has(name)) : [""];
  return addressOf({ ...Object.fromEntries(pairs), sort: VIEW.sort === "result" ? "" : VIEW.sort, order: VIEW.down ? "down" : "", column: usual ? "" : column, clip: row?.source });
}

/** Put the view into the address without a step in the browser's history. */
const rememberView = () => history.replaceState(null, "", viewAddress(OPEN.row));

/** Apply the view of the address; returns whether anything differs from the present one. */
function applyView(address) {
  const before = viewAddress();
  for (const [key, id] of Object.entries(FILTERS)) find(id).value = address.get(key) ?? "";
  const chosen = new Set(address.getAll("column"));
  VIEW.columns = new Set(chosen.size ? REPORT.metrics.filter((name) => chosen.has(wellFormed(name))) : REPORT.columns);
  VIEW.sort = columns().find(({ key }) => wellFormed(key) === address.get("sort"))?.key ?? "result";
  VIEW.down = address.get("order") === "down";
  for (const box of find("columns").querySelectorAll("input")) box.checked = VIEW.columns.has(box.metric);
  return viewAddress() !== before;
}

function options(select, all, counts) {
  select.append(element("option", { value: "" }, all), ...counts.map(([value, n, text]) => element("option", { value }, `${text} (${n})`)));
}

function setUpFilters() {
  options(find("state"), "all", REPORT.states.filter((s) => REPORT.counts[s]).map((s) => [s, REPORT.counts[s], s]));
  const broken = new Map();
  for (const row of ROWS) for (const rule of row.broken) broken.set(rule, (broken.get(rule) ?? 0) + 1);
  options(find("rule"), "any", [...broken].sort((a, b) => b[1] - a[1]).map(([rule, n]) => [rule, n, metricText(rule).title]));
  let timer = 0;
  const refresh = () => { VIEW.page = 0; update(); drawHistograms(); rememberView(); };
  find("text").oninput = () => { clearTimeout(timer); timer = setTimeout(refresh, ROWS.length > 500 ? 150 : 0); };
  find("state").onchange = find("rule").onchange = refresh;
  find("filters").onsubmit = (event) => event.preventDefault();
  find("filters").onreset = () => setTimeout(refresh);
  find("table-csv").onclick = () => downloadCsv(`${REPORT.name}.csv`, [
    ["source", "result", "why", "rules broken", "frames", "seconds", "badges", ...REPORT.metrics],
    ...VIEW.rows.map((row) => [row.source, row.state, row.cause || row.reason, row.broken.join(" "), row.frames, row.seconds,
      row.badges.map(([badge]) => REPORT.badges[badge][0]).join("; "), ...REPORT.metrics.map((name) => row.metrics[name])]),
  ]);
  for (const name of REPORT.metrics) {
    const box = element("input", { type: "checkbox" });
    box.metric = name;
    box.checked = VIEW.columns.has(name);
    box.onchange = () => { VIEW.columns[box.checked ? "add" : "delete"](name); update(); rememberView(); };
    find("columns").append(tip(element("label", {}, box, ` ${label(name)}`), explain(name)));
  }
}

// The open clip ----------------------------------------------------------------------------------------------------------

function openRow(row) {
  location.hash = viewAddress(row);
}

/** Row of the clip in the address; names that differ only in characters that no address can hold give the first. */
function addressedRow(address) {
  const clip = address.get("clip");
  return clip === null ? undefined : ROWS.find((row) => wellFormed(row.source) === clip);
}

function followAddress() {
  const address = readAddress();
  if (applyView(address) || !VIEW.drawn) { update(); drawHistograms(); VIEW.drawn = true; }
  const row = addressedRow(address);
  const dialog = find("clip");
  OPEN.row = row ?? null;
  if (!row) return dialog.close();
  if (!dialog.open) { dialog.showModal(); find("clip-body").focus(); }
  showClip(row);
  for (const [id, by] of [["previous", -1], ["next", 1]]) {
    const neighbour = VIEW.rows[VIEW.rows.indexOf(row) + by];
    find(id).disabled = !neighbour || !VIEW.rows.includes(row);
    find(id).onclick = () => location.replace(viewAddress(neighbour));
  }
}

function setUpDialog() {
  const dialog = find("clip");
  find("close").onclick = () => dialog.close();
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
  dialog.onclose = () => {
    const row = OPEN.row;
    OPEN.row = null;
    leave();
    if (row) rememberView(); // unlike an empty location.hash, this keeps the scroll position
    if (row) find("sources").querySelector(`tr[data-row="${row.index}"] .link`)?.focus();
  };
  let timer = 0;
  addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(() => { if (OPEN.row) redraw(); }, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (OPEN.row) redraw(); });
  addEventListener("hashchange", followAddress);
}

drawHeadline();
drawTotals();
drawFooter();
setUpFilters();
setUpTips();
setUpLinks();
setUpDialog();
followAddress();
