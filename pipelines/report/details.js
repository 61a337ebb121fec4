"use strict";
// Details of one clip. Each clip has its own script file, loaded on demand, which calls musclemapClip with its data.

let loaded = null; // {file, clip} of the file loaded last
let shownShades = new Set(); // indices of the reasons whose frames are shaded
let redraw = () => {};

function musclemapClip(file, clip) {
  loaded = { file, clip: { ...clip, metrics: record(clip.metrics) } };
}

/** Load the curves of a row and call `done` with them, or with null if the file is missing or damaged. */
function loadClip(file, done) {
  if (loaded?.file === file) return done(loaded.clip);
  const script = element("script", { src: `${REPORT.folder}/${file}` });
  script.onload = () => { script.remove(); done(loaded?.file === file ? loaded.clip : null); };
  script.onerror = () => { script.remove(); done(null); };
  document.head.append(script);
}

/** Show a row of the table in the dialog. */
function showClip(row) {
  const body = document.getElementById("clip-body");
  document.getElementById("clip-title").replaceChildren(wellFormed(row.source), " ", element("span", { class: `state ${row.state}` }, row.state));
  body.replaceChildren();
  body.scrollTop = 0;
  redraw = () => {};
  if (row.reason) body.append(element("p", { class: "problem" }, row.reason));
  if (!row.file) {
    if (Object.keys(row.metrics).length) body.append(element("h3", {}, "Metrics"), metricTable(row.metrics));
    else body.append(element("p", { class: "hint" }, "This source has no clip."));
    return;
  }
  body.append(element("p", { class: "hint" }, "Loading…"));
  loadClip(row.file, (clip) => {
    if (OPEN.row !== row) return;
    if (clip) fillClip(body, clip);
    else body.replaceChildren(element("p", { class: "problem" }, `${REPORT.folder}/${row.file} is missing or damaged. Keep the folder “${REPORT.folder}” beside this page, or create the report again.`));
  });
}

function fillClip(body, clip) {
  shownShades = new Set(clip.reasons.keys());
  const facts = clip.facts.map(([name, value]) => element("div", {}, element("dt", {}, `${name}`), element("dd", {}, String(typeof value === "number" ? brief(value) : value))));
  const curves = element("div", { id: "curves", class: "curves", tabindex: "0", role: "group", "aria-label": "Curves over time; arrow keys move the cursor" });
  body.replaceChildren(element("dl", { class: "facts" }, ...facts));
  for (const note of clip.notes) body.append(element("p", { class: "hint" }, `Note: ${note}.`));
  body.append(element("h3", {}, "Rules broken"), reasonTable(clip), ...pictureStrip(clip));
  const thinned = clip.curves.per_point > 1 ? ` Each pair of points is the minimum and maximum of ${clip.curves.per_point} frames.` : "";
  body.append(element("h3", {}, "Curves"), element("p", { class: "hint" },
    "Point at a curve, or use the arrow keys, to read values. ", element("b", { class: "side-r key" }, "right"), ", ",
    element("b", { class: "side-l key" }, "left"), `; dotted: limits.${thinned}`), curves);
  body.append(element("h3", {}, "Metrics and limits"), metricTable(clip.metrics));
  redraw = () => drawCurves(curves, clip);
  redraw();
}

function pictureStrip(clip) {
  if (!clip.pictures?.length) return [];
  const figures = clip.pictures.map(({ time, jpeg }) => element("figure", {},
    element("img", { src: `data:image/jpeg;base64,${jpeg}`, alt: `pose at ${time.toFixed(2)} s` }),
    element("figcaption", {}, `${time.toFixed(2)} s`)));
  return [element("h3", {}, "Pictures"), element("div", { class: "strip" }, ...figures)];
}

/** Severity of a value by the limits of a rule: "infeasible", "warn" or "". */
function ruleState(value, rule) {
  if (!rule || typeof value !== "number") return "";
  if (typeof rule.infeasible === "number" && value > rule.infeasible) return "infeasible";
  return value > rule.warn ? "warn" : "";
}

function metricTable(metrics) {
  const names = REPORT.metrics.filter((name) => name in metrics);
  names.push(...Object.keys(metrics).filter((name) => !names.includes(name)).sort());
  const rows = names.map((name) => {
    const [value, rule] = [metrics[name], REPORT.rules[name]];
    const state = ruleState(value, rule);
    return element("tr", {}, element("td", {}, label(name)),
      element("td", { class: `number ${state ? `over-${state}` : ""}` }, value !== null && typeof value === "object" ? JSON.stringify(value) : String(brief(value))),
      element("td", { class: "number" }, rule ? String(brief(rule.warn)) : ""),
      element("td", { class: "number" }, rule ? String(brief(rule.infeasible)) : ""), element("td", {}, rule ? rule.source : ""));
  });
  return panelTable(["metric", "value", "warning above", "infeasible above", "source of the limits"], rows, [1, 2, 3]);
}

function panelTable(titles, rows, numbers) {
  const head = titles.map((title, k) => element("th", { scope: "col", class: numbers.includes(k) ? "number" : "" }, title));
  return element("div", { class: "panel" }, element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)));
}

/** Severity of a reason: "infeasible" if its limit is that of infeasible clips, else "warn". */
function reasonState(reason) {
  const rule = REPORT.rules[reason.rule];
  return rule && typeof rule.infeasible === "number" && reason.limit >= rule.infeasible ? "infeasible" : "warn";
}

function reasonTable(clip) {
  if (!clip.reasons.length) return element("p", {}, "None.");
  const rows = clip.reasons.map((reason, index) => {
    const state = reasonState(reason);
    const spans = reason.frames.slice(0, 12).map(([from, to]) => `${(from / clip.fps).toFixed(2)}–${(to / clip.fps).toFixed(2)} s`);
    const more = reason.frames.length + reason.dropped - spans.length;
    const where = spans.length ? spans.join(", ") + (more > 0 ? ` and ${more} more` : "") : "no specific frames";
    const box = element("input", { type: "checkbox", class: `swatch ${state}`, "aria-label": `shade the frames of ${reason.rule}` });
    [box.checked, box.disabled] = [reason.frames.length > 0, !reason.frames.length];
    box.onchange = () => { shownShades[box.checked ? "add" : "delete"](index); redraw(); };
    return element("tr", {}, element("td", {}, box), element("td", {}, element("span", { class: `state ${state}` }, label(reason.rule))),
      element("td", { class: "number" }, String(brief(reason.value))), element("td", { class: "number" }, String(brief(reason.limit))),
      element("td", {}, reason.at ? `${reason.at}; ${where}` : where), element("td", {}, reason.text || ""));
  });
  return panelTable(["shade", "rule", "value", "limit", "location and time", "meaning"], rows, [2, 3]);
}

/** Draw all curves to the available width, with a shared cursor. */
function drawCurves(container, clip) {
  const { start, step, sections } = clip.curves;
  const shades = clip.reasons.flatMap((reason, index) => (shownShades.has(index) ? reason.frames : []).map(([from, to]) => (
    { from: from / clip.fps, to: to / clip.fps, state: reasonState(reason) })));
  const time = { start, step, duration: (clip.nframe - 1) / clip.fps, fps: clip.fps, shades, unit: clip.unit };
  const open = new Map([...container.querySelectorAll("details")].map((part) => [part.dataset.title, part.open]));
  const available = container.clientWidth;
  const columns = Math.max(1, Math.floor((available + 12) / 342));
  const narrow = (available - 12 * (columns - 1)) / columns - 22;
  const charts = [];
  const cursor = { time: null };
  const moveTo = (t) => { cursor.time = t; for (const chart of charts) chart.point(t); };
  container.replaceChildren(...sections.map((section) => {
    const grid = element("div", { class: "grid" });
    for (const panel of section.panels) {
      const chart = curveChart(panel, time, Math.max(220, panel.wide ? available - 22 : narrow));
      chart.drawing.onpointermove = (event) => moveTo(chart.timeAt(event));
      chart.drawing.onpointerleave = () => moveTo(null);
      charts.push(chart);
      grid.append(chart.card);
    }
    const part = element("details", { "data-title": section.title }, element("summary", {}, section.title), grid);
    part.open = open.get(section.title) ?? section.shown;
    return part;
  }));
  container.onkeydown = (event) => {
    const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!direction || event.target !== container) return;
    event.preventDefault();
    const stride = event.shiftKey ? time.duration / 20 : Math.max(step, time.duration / 400);
    moveTo(cursor.time === null ? (direction > 0 ? 0 : time.duration) : Math.max(0, Math.min(time.duration, cursor.time + direction * stride)));
  };
}
