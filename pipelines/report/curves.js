"use strict";
// Curves over time or over the gait cycle, with a shared cursor. Drawn as SVG by this file and by no library: of a chart
// library (uPlot, 51 kB in every page) only axes and the path of a line would be used; shaded times, limits, contact bars,
// bands, dark colours, text for screen readers and pictures would still be written here.

/**
 * Card with the curves of one panel.
 *
 * `time`: {start, step, duration, fps, shades: [{from, to, state}], unit}, in seconds or in `unit` if given.
 * `width`: width of the drawing in pixels.
 * Returns {card, drawing, point, timeAt}: `point(t)` moves the cursor to a time, or hides it if t is null; `timeAt(event)`
 * is the time under the pointer, or null outside the axes.
 */
function curveChart(panel, time, width) {
  const [height, left, right, top, bottom] = [panel.wide ? 190 : 150, 58, 8, 6, 20];
  const title = panel.unit ? `${panel.title} [${panel.unit}]` : panel.title;
  const foot = panel.bars.length * 7 + (panel.bars.length ? 4 : 0);
  const floor = height - bottom - foot;
  const lines = panel.lines.map((line) => ({ ...line, values: decode(line.points) }));
  const band = (panel.band ?? []).map(decode);
  const [low, high] = extent(lines, band, panel.least);
  const across = (t) => left + (Math.max(0, Math.min(t, time.duration)) / (time.duration || 1)) * (width - left - right);
  const up = (v) => floor - ((v - low) / (high - low)) * (floor - top);
  const pathOf = (values) => Array.from(values, (v, k) => `${across(time.start + k * time.step).toFixed(1)} ${up(v).toFixed(1)}`);
  const drawing = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  if (band.length) drawing.append(shape("path", { class: "band", d: `M${pathOf(band[0]).join("L")}L${pathOf(band[1]).reverse().join("L")}Z` }));
  const axisText = [panel.label, panel.unit && `[${panel.unit}]`].filter(Boolean).join(" ");
  const fitting = axisText.length * 5.4 < floor - top ? axisText : panel.unit ? `[${panel.unit}]` : "";
  drawing.append(shape("text", { class: "axis", x: 0, y: 0, "text-anchor": "middle", transform: `translate(12 ${(floor + top) / 2}) rotate(-90)` }, fitting));
  const steps = ticks(low, high, panel.wide ? 5 : 4);
  const digits = Math.max(0, ...steps.map((v) => (String(v).split(".")[1] ?? "").length));
  for (const v of steps)
    drawing.append(shape("line", { class: v === 0 ? "rule zero" : "rule", x1: left, x2: width - right, y1: up(v), y2: up(v) }),
      shape("text", { x: left - 5, y: up(v) + 4, "text-anchor": "end" }, digits > 4 ? brief(v) : fixed(v, digits)));
  const timeUnit = time.unit ?? " s";
  for (const t of ticks(0, time.duration, width / 90))
    drawing.append(shape("text", { x: across(t), y: height - 5, "text-anchor": across(t) > width - 30 ? "end" : "middle" }, `${brief(t)}${timeUnit}`));
  for (const { from, to, state } of time.shades)
    drawing.append(shape("rect", { class: `shade ${state}`, x: across(from), y: top, width: Math.max(1.5, across(to) - across(from)), height: height - bottom - top }));
  for (const line of lines) {
    for (const bound of [line.lower, line.upper])
      if (bound !== null && bound >= low && bound <= high)
        drawing.append(shape("line", { class: `bound side-${line.side}`, x1: left, x2: width - right, y1: up(bound), y2: up(bound) }));
    drawing.append(shape("path", { class: `curve side-${line.side}${line.dashed ? " dashed" : ""}`, d: `M${pathOf(line.values).join("L")}` }));
  }
  panel.bars.forEach((bar, row) => {
    for (const [from, to] of bar.frames)
      drawing.append(shape("rect", { class: `touch side-${bar.side}`, x: across(from / time.fps), y: floor + 5 + row * 7,
        width: Math.max(1, across(to / time.fps) - across(from / time.fps)), height: 5 }, shape("title", {}, bar.name)));
  });
  drawing.append(shape("rect", { class: "frame", x: left, y: top, width: width - left - right, height: floor - top }));
  const cursor = shape("line", { class: "cursor", y1: top, y2: height - bottom, visibility: "hidden" });
  drawing.append(cursor);
  const readout = element("span", { class: "readout" });
  const png = element("button", { type: "button", class: "png", "aria-label": `Download ${title} as a picture` }, "PNG");
  const card = element("figure", { class: panel.wide ? "card wide" : "card" },
    element("figcaption", {}, element("b", {}, title), readout, png), drawing);
  const keyOf = (line) => `${line.dashed ? "┄ " : "— "}${line.name}`;
  png.onclick = () => downloadPng(drawing, title, [...readout.querySelectorAll(".key")].map((key, k) => [keyOf(lines[k]), getComputedStyle(key).color]));
  const decimals = high - low > 60 ? 0 : high - low > 6 ? 1 : 2;
  const point = (t) => {
    cursor.setAttribute("visibility", t === null ? "hidden" : "visible");
    if (t !== null) for (const end of ["x1", "x2"]) cursor.setAttribute(end, across(t));
    readout.replaceChildren(...lines.map((line) => {
      const at = Math.max(0, Math.min(line.values.length - 1, Math.round((t - time.start) / time.step)));
      const value = t === null ? "" : ` ${fixed(line.values[at], decimals)}`;
      return element("span", {}, element("span", { class: `key side-${line.side}` }, keyOf(line)), value);
    }));
  };
  point(null);
  const timeAt = (event) => {
    const box = drawing.getBoundingClientRect();
    const share = (((event.clientX - box.left) / box.width) * width - left) / (width - left - right);
    return share < -0.02 || share > 1.02 ? null : Math.max(0, Math.min(1, share)) * time.duration;
  };
  return { card, drawing, point, timeAt };
}

/** Range of the vertical axis, at least `least` wide: curves and band, and limits no further away than 1/3 of their span. */
function extent(lines, band, least) {
  let [low, high] = [Infinity, -Infinity];
  for (const values of [...lines.map((line) => line.values), ...band])
    for (const v of values) [low, high] = [Math.min(low, v), Math.max(high, v)];
  const near = Math.max((high - low) / 3, 1e-9);
  for (const line of lines) {
    if (line.lower !== null && low - line.lower < near) low = Math.min(low, line.lower);
    if (line.upper !== null && line.upper - high < near) high = Math.max(high, line.upper);
  }
  const margin = Math.max((high - low) * 0.05, (least - (high - low)) / 2);
  return [low - margin, high + margin];
}

/**
 * Draw sections of curves to the available width of their container.
 *
 * `data`: {curves, nframe, fps, unit, duration}; the duration is in seconds or in `unit`. `timeline` is shared by all
 * charts and by the player. Sections keep their state when they are drawn again.
 */
function drawCurves(container, data, timeline, shades) {
  const { start, step, sections } = data.curves;
  const time = { start, step, duration: timeline.duration, fps: data.fps, shades, unit: data.unit };
  const open = new Map([...container.querySelectorAll("details")].map((part) => [part.dataset.title, part.open]));
  const available = container.clientWidth;
  const columns = Math.max(1, Math.floor((available + 12) / 342));
  const narrow = (available - 12 * (columns - 1)) / columns - 22;
  const charts = [];
  const fill = (section, grid) => {
    for (const panel of section.panels) {
      const chart = curveChart(panel, time, Math.max(220, panel.wide ? available - 22 : narrow));
      chart.drawing.onpointermove = (event) => { const t = chart.timeAt(event); if (t !== null) timeline.set(t); };
      charts.push(chart);
      chart.point(timeline.time);
      grid.append(chart.card);
    }
  };
  container.replaceChildren(...sections.map((section) => {
    const grid = element("div", { class: "grid" });
    const part = element("details", { "data-title": section.title }, element("summary", {}, section.title), grid);
    part.open = open.get(section.title) ?? section.shown;
    if (part.open) fill(section, grid);
    part.ontoggle = () => { if (part.open && !grid.hasChildNodes()) fill(section, grid); };
    return part;
  }));
  timeline.forget(container.listener);
  container.listener = (t) => { for (const chart of charts) chart.point(t); };
  timeline.listen(container.listener);
  container.onkeydown = (event) => {
    const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!direction || event.target !== container) return;
    event.preventDefault();
    const stride = event.shiftKey ? time.duration / 20 : Math.max(step, time.duration / 400);
    timeline.set(timeline.time === null ? (direction > 0 ? 0 : time.duration) : Math.max(0, Math.min(time.duration, timeline.time + direction * stride)));
  };
}

/** Times and values of all curves as rows of a table, for a spreadsheet. */
function curveRows(data) {
  const panels = data.curves.sections.flatMap((section) => section.panels.map((panel) => [section.title, panel]));
  const columns = panels.flatMap(([section, panel]) => panel.lines.map((line) => (
    [`${section}: ${[panel.title, line.name].filter(Boolean).join(", ")}${panel.unit && ` [${panel.unit}]`}`, decode(line.points)])));
  const count = Math.max(0, ...columns.map(([, values]) => values.length));
  const rows = Array.from({ length: count }, (_, k) => [Number((data.curves.start + k * data.curves.step).toPrecision(7)), ...columns.map(([, values]) => Number(values[k]?.toPrecision(6)))]);
  return [["time [s]", ...columns.map(([name]) => name)], ...rows];
}
