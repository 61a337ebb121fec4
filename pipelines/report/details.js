"use strict";
// Details of one clip. Each clip has its own script file, loaded on demand, which calls musclemapClip with its data.

let loaded = null; // {file, clip} of the file loaded last
let shownShades = new Set(); // indices of the reasons whose frames are shaded
let redraw = () => {};
let leave = () => {}; // stops the player of the clip shown last

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
  const body = find("clip-body");
  find("clip-title").replaceChildren(wellFormed(row.source), " ", stateChip(row.state));
  leave();
  [redraw, leave] = [() => {}, () => {}];
  body.replaceChildren();
  body.scrollTop = 0;
  find("curves-csv").hidden = true;
  if (row.reason) body.append(element("p", { class: "problem" }, row.reason));
  if (!row.file) {
    if (Object.keys(row.metrics).length) body.append(element("h3", {}, "Metrics"), metricTable(row.metrics));
    else body.append(element("p", { class: "hint" }, "This source has no clip."));
    return;
  }
  body.append(element("p", { class: "hint" }, "Loading…"));
  loadClip(row.file, (clip) => {
    if (OPEN.row !== row) return;
    if (clip) fillClip(body, clip, row);
    else body.replaceChildren(element("p", { class: "problem" }, `${REPORT.folder}/${row.file} is missing or damaged. Keep the folder “${REPORT.folder}” beside this page, or create the report again.`));
  });
}

function fillClip(body, clip, row) {
  shownShades = new Set(clip.reasons.keys());
  const timeline = makeTimeline((clip.nframe - 1) / clip.fps);
  const player = figurePlayer(clip.animation, timeline);
  const facts = clip.facts.map(([name, value]) => element("div", {}, element("dt", {}, `${name}`), element("dd", {}, String(typeof value === "number" ? brief(value) : value))));
  const curves = element("div", { id: "curves", class: "curves", tabindex: "0", role: "group", "aria-label": "Curves over time; arrow keys move the cursor" });
  const rare = row.cause && row.state !== "infeasible" ? [element("p", { class: "hint" }, REPORT.meaning)] : [];
  const verdict = row.cause ? `Cannot be followed: ${row.cause}.` : row.state === "warn" ? "Can be followed, with warnings." : "Can be followed: no rule is broken.";
  const marks = element("ul", { class: "notes" }, ...row.badges.map(([badge, text]) => element("li", {}, badgeChip(badge), ` ${text}`)));
  const side = element("div", { class: "beside" },
    element("p", { class: `verdict ${row.cause ? "infeasible" : row.state}` }, joined(verdict)), ...rare, marks,
    element("h3", {}, "Rules broken"), reasonTable(clip), ...guidanceTable(clip.guidance));
  body.replaceChildren(element("div", { class: "overview" }, player.node, side), ...pictureStrip(clip));
  const thinned = clip.curves.per_point > 1 ? ` Two points stand for ${clip.curves.per_point} frames; peaks are kept.` : "";
  const gait = gaitPart(clip.gait);
  body.append(...gait.nodes, element("h3", {}, "Over time"), element("p", { class: "hint" },
    "Point at a curve, or use the arrow keys, to read values and to move the figure. ", element("b", { class: "side-r key" }, "— right"), ", ",
    element("b", { class: "side-l key" }, "— left"), `; dotted: limits.${thinned}`), curves);
  const more = element("details", {}, element("summary", {}, "Facts, notes and all metrics"), element("dl", { class: "facts" }, ...facts),
    ...clip.notes.map((note) => element("p", { class: "hint" }, `Note: ${note}.`)), metricTable(clip.metrics));
  body.append(more);
  const [csv, name] = [find("curves-csv"), row.source.split("/").pop()];
  csv.hidden = false;
  csv.onclick = () => downloadCsv(`${name}.csv`, curveRows(clip));
  const shades = () => clip.reasons.flatMap((reason, index) => (shownShades.has(index) ? reason.frames : []).map(([from, to]) => (
    { from: from / clip.fps, to: to / clip.fps, state: reasonState(reason) })));
  redraw = () => { drawCurves(curves, clip, timeline, shades()); gait.draw(); player.redraw(); };
  leave = player.stop;
  redraw();
}

/** Mean strides beside published values; nothing if the clip has no stride. */
function gaitPart(gait) {
  if (!gait) return { nodes: [], draw: () => {} };
  const counts = Object.entries(gait.strides).map(([side, count]) => `${count} ${side}`).join(", ");
  const panel = element("div", { id: "gait", class: "curves", tabindex: "0", role: "group", "aria-label": "Curves over the gait cycle; arrow keys move the cursor" });
  const timeline = makeTimeline(100);
  const note = element("p", { class: "hint" }, `Mean of the strides (${counts}), from one contact of the foot to its next. ${gait.source}.`);
  const data = { curves: gait.curves, fps: 1, unit: " %" };
  return { nodes: [element("h3", {}, "Over the gait cycle"), note, panel], draw: () => drawCurves(panel, data, timeline, []) };
}

function guidanceTable(guidance) {
  const rows = guidance.rows.map(({ name, value, limit, unit, digits }) => element("tr", {}, element("td", {}, name),
    element("td", { class: `number ${value > limit ? "over-warn" : "within"}` }, `${fixed(value, digits)} ${unit}`),
    element("td", { class: "number" }, `${brief(limit)} ${unit}`)));
  return [element("h3", {}, "Beside published guidance"), panelTable(["measure", "this clip", "at most"], rows, [1, 2]),
    element("p", { class: "hint" }, `Limits: ${guidance.source}. They are advice for publications; verdicts use the limits of the rules.`)];
}

function pictureStrip(clip) {
  if (!clip.pictures?.length) return [];
  const figures = clip.pictures.map(({ time, jpeg }) => element("figure", {},
    element("img", { src: `data:image/jpeg;base64,${jpeg}`, alt: `pose at ${time.toFixed(2)} s` }),
    element("figcaption", {}, `${time.toFixed(2)} s`)));
  return [element("h3", {}, "Pictures"), element("div", { class: "strip", tabindex: "0", role: "group", "aria-label": "Pictures" }, ...figures)];
}

function metricTable(metrics) {
  const names = REPORT.metrics.filter((name) => name in metrics);
  names.push(...Object.keys(metrics).filter((name) => !names.includes(name)).sort());
  const rows = names.map((name) => {
    const [value, rule] = [metrics[name], REPORT.rules[name]];
    const state = ruleState(value, rule);
    return element("tr", {}, element("td", {}, tip(element("span", { tabindex: "0" }, label(name)), explain(name))),
      element("td", { class: `number ${state ? `over-${state}` : ""}` }, shownValue(name, value)),
      element("td", { class: "number" }, rule ? shownLimit(name, rule.warn) : ""),
      element("td", { class: "number" }, rule ? shownLimit(name, rule.infeasible) : ""), element("td", {}, rule ? rule.source : ""));
  });
  return panelTable(["metric", "value", "warning above", "infeasible above", "source of the limits"], rows, [1, 2, 3]);
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
    return element("tr", {}, element("td", {}, box), element("td", {}, tip(element("span", { class: `state ${state}`, tabindex: "0" }, label(reason.rule)), explain(reason.rule))),
      element("td", { class: "number" }, shownValue(reason.rule, reason.value)), element("td", { class: "number limit-cell" }, shownLimit(reason.rule, reason.limit)),
      element("td", { class: "words" }, joined(reason.text || ""), reason.text ? element("br") : "", element("span", { class: "hint" }, reason.at ? `${reason.at}; ${where}` : where)));
  });
  return panelTable(["shade", "rule", "value", "limit", "meaning, place and time"], rows, [2, 3], "reasons");
}
