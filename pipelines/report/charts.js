"use strict";
// Drawing: elements, number formats, axes, histograms, and curves over time with a shared cursor.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Text with U+FFFD in place of lone surrogates (from file names that are not UTF-8), control codes and bidirectional
 * formatting characters.
 */
const wellFormed = (part) => (typeof part === "string" ? part.replace(/\p{Surrogate}|\p{Cc}|[\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, "\ufffd") : part);

/** Object with keys that come from files. Unlike {}, it inherits no keys such as "constructor". */
function record(pairs) {
  const object = Object.create(null);
  for (const [name, value] of pairs) object[name] = value;
  return object;
}

/** Create an HTML element; `attributes` are set unchanged, `children` are elements or text (never markup). */
function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, wellFormed(value));
  node.append(...children.map(wellFormed));
  return node;
}

/** Create an SVG element, like `element`. */
function shape(name, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, wellFormed(value));
  node.append(...children.map(wellFormed));
  return node;
}

/** A number with about three significant digits. */
function brief(value) {
  if (typeof value !== "number") return value ?? "";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size < 1e-3 || size >= 1e6) return value.toExponential(1).replace("e+", "e");
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(3)));
}

const UNITS = [["_m_s2", "m/s²"], ["_m_s", "m/s"], ["_mm", "mm"], ["_deg", "°"], ["_rad", "rad"], ["_hz", "Hz"], ["_nm", "Nm"],
  ["_bw", "body weights"], ["_s", "s"]];

/** Split the name of a metric into its words and its unit. */
function nameAndUnit(metric) {
  const match = UNITS.find(([end]) => metric.endsWith(end));
  const stem = match ? metric.slice(0, -match[0].length) : metric;
  return [stem.replaceAll("_", " "), match ? match[1] : ""];
}

function label(metric) {
  const [words, unit] = nameAndUnit(metric);
  return unit ? `${words} [${unit}]` : words;
}

/** About `count` round numbers at most, between two ends. */
function ticks(low, high, count) {
  const raw = (high - low) / count;
  if (!(raw > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= raw * 0.999);
  const values = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) values.push(Number((k * step).toPrecision(12)));
  return values;
}

// Histograms ---------------------------------------------------------------------------------------------------------

/** Axis of a histogram: logarithmic if values and limits span a wide range, else linear. Bin 0 of a log axis holds values <= 0. */
function histogramAxis(values, limits) {
  const positive = [...values, ...limits].filter((v) => v > 0).sort((a, b) => a - b);
  const middle = positive[Math.floor(positive.length / 2)];
  const top = positive[positive.length - 1];
  const low = Math.min(0, ...limits, values.reduce((a, b) => Math.min(a, b), Infinity));
  if (low >= 0 && positive.length && top / middle > 50) {
    const from = Math.floor(Math.log10(Math.max(positive[0], top * 1e-10)));
    const to = Math.ceil(Math.log10(top * 1.0001));
    return { log: true, low: from, high: Math.max(to, from + 1), scale: (v) => (v > 0 ? Math.max(Math.log10(v), from) : from) };
  }
  const least = values.reduce((a, b) => Math.min(a, b), Infinity);
  const start = least >= 0 && least < 0.5 * (top ?? 0) ? 0 : least;
  const most = [...limits].reduce((a, b) => Math.max(a, b), values.reduce((a, b) => Math.max(a, b), -Infinity));
  const end = most > start ? most + (most - start) * 0.03 : start + Math.max(Math.abs(start) * 0.1, 1e-9);
  return { log: false, low: start, high: end, scale: (v) => v };
}

const BINS = 40;

/** Card with the distribution of a metric over all clips and over the filtered ones; `rule` has its limits or is undefined. */
function histogram(metric, all, filtered, rule) {
  const limits = rule ? [["warn", rule.warn], ["infeasible", rule.infeasible]].filter(([, v]) => typeof v === "number") : [];
  const axis = histogramAxis(all, limits.map(([, value]) => value));
  const [width, height, left, right, top, bottom] = [340, 150, 34, 10, 8, 22];
  const across = (v) => left + ((axis.scale(v) - axis.low) / (axis.high - axis.low)) * (width - left - right);
  const bin = (v) => Math.max(0, Math.min(BINS - 1, Math.floor(((axis.scale(v) - axis.low) / (axis.high - axis.low)) * BINS)));
  const [whole, part] = [all, filtered].map((values) => {
    const count = new Array(BINS).fill(0);
    for (const value of values) count[bin(value)]++;
    return count;
  });
  const most = Math.max(1, ...whole);
  const up = (n) => (n ? Math.max(1.5, (n / most) * (height - top - bottom)) : 0);
  const drawing = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  const floor = height - bottom;
  for (const n of ticks(0, most, 3).filter(Number.isInteger)) {
    drawing.append(shape("line", { class: "rule", x1: left, x2: width - right, y1: floor - (n / most) * (floor - top), y2: floor - (n / most) * (floor - top) }),
      shape("text", { x: left - 5, y: floor - (n / most) * (floor - top) + 4, "text-anchor": "end" }, brief(n)));
  }
  const every = Math.max(1, Math.ceil((axis.high - axis.low) / 6));
  const marks = axis.log ? ticks(axis.low, axis.high, 6).filter((k) => Number.isInteger(k) && (k - axis.low) % every === 0).map((k) => [10 ** k, k < -3 || k > 4 ? `1e${k}` : brief(10 ** k)])
    : ticks(axis.low, axis.high, 5).map((v) => [v, brief(v)]);
  for (const [value, text] of marks) drawing.append(shape("text", { x: across(value), y: height - 6, "text-anchor": "middle" }, text));
  const span = (width - left - right) / BINS;
  const edge = (k) => { const v = axis.low + (k / BINS) * (axis.high - axis.low); return axis.log ? 10 ** v : v; };
  for (let k = 0; k < BINS; k++) {
    const x = left + k * span;
    for (const [kind, n] of [["all", whole[k]], ["filtered", part[k]]])
      if (n) drawing.append(shape("rect", { class: kind, x: x + 0.5, y: floor - up(n), width: span - 1, height: up(n) }));
    const from = axis.log && k === 0 ? "0" : brief(edge(k));
    const tooltip = `${from} to ${brief(edge(k + 1))}: ${part[k]} of ${whole[k]} clips`;
    drawing.append(shape("rect", { class: "hit", x, y: top, width: span, height: floor - top }, shape("title", {}, tooltip)));
  }
  drawing.append(shape("line", { class: "frame", x1: left, x2: width - right, y1: floor, y2: floor }));
  for (const [kind, value] of limits)
    drawing.append(shape("line", { class: `limit-${kind}`, x1: across(value), x2: across(value), y1: top, y2: floor }));
  const sorted = [...filtered].sort((a, b) => a - b);
  const beyond = rule ? `, ${filtered.filter((v) => v > rule.warn).length} beyond ${brief(rule.warn)}` : "";
  const summary = sorted.length
    ? `median ${brief(sorted[Math.floor(sorted.length / 2)])}, largest ${brief(sorted[sorted.length - 1])}${beyond}` : "no clip";
  drawing.setAttribute("aria-label", `${label(metric)}: ${summary}`);
  const caption = element("figcaption", rule ? { title: `Limits: ${rule.source}` } : {}, element("b", {}, label(metric)),
    element("br"), element("span", { class: "readout" }, summary));
  return element("figure", { class: "card", "data-metric": metric }, caption, drawing);
}

// Curves -------------------------------------------------------------------------------------------------------------

/** Decode the values of a curve from [lowest, step, base64 of little-endian uint16]. */
function decode([low, step, text]) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float64Array.from({ length: bytes.length / 2 }, (_, k) => low + step * view.getUint16(2 * k, true));
}

/**
 * Card with the curves of one panel.
 *
 * `time`: {start, step, duration, fps, shades: [{from, to, state}], unit}, in seconds or in `unit` if given.
 * `width`: width of the drawing in pixels.
 * Returns {card, drawing, point, timeAt}: `point(t)` moves the cursor to a time, or hides it if t is null; `timeAt(event)`
 * is the time under the pointer, or null outside the axes.
 */
function curveChart(panel, time, width) {
  const [height, left, right, top, bottom] = [panel.wide ? 190 : 140, 42, 8, 6, 20];
  const title = panel.unit ? `${panel.title} [${panel.unit}]` : panel.title;
  const foot = panel.bars.length * 7 + (panel.bars.length ? 4 : 0);
  const floor = height - bottom - foot;
  const lines = panel.lines.map((line) => ({ ...line, values: decode(line.points) }));
  const [low, high] = extent(lines, panel.least);
  const across = (t) => left + (Math.max(0, Math.min(t, time.duration)) / (time.duration || 1)) * (width - left - right);
  const up = (v) => floor - ((v - low) / (high - low)) * (floor - top);
  const drawing = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  for (const v of ticks(low, high, panel.wide ? 5 : 4))
    drawing.append(shape("line", { class: "rule", x1: left, x2: width - right, y1: up(v), y2: up(v) }),
      shape("text", { x: left - 5, y: up(v) + 4, "text-anchor": "end" }, brief(v)));
  for (const t of ticks(0, time.duration, width / 90))
    drawing.append(shape("text", { x: across(t), y: height - 5, "text-anchor": "middle" }, `${brief(t)}${time.unit ?? " s"}`));
  for (const { from, to, state } of time.shades)
    drawing.append(shape("rect", { class: `shade ${state}`, x: across(from), y: top, width: Math.max(1.5, across(to) - across(from)), height: height - bottom - top }));
  for (const line of lines) {
    for (const bound of [line.lower, line.upper])
      if (bound !== null && bound >= low && bound <= high)
        drawing.append(shape("line", { class: `bound side-${line.side}`, x1: left, x2: width - right, y1: up(bound), y2: up(bound) }));
    const path = Array.from(line.values, (v, k) => `${k ? "L" : "M"}${across(time.start + k * time.step).toFixed(1)} ${up(v).toFixed(1)}`);
    drawing.append(shape("path", { class: `curve side-${line.side}${line.dashed ? " dashed" : ""}`, d: path.join("") }));
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
  const card = element("figure", { class: panel.wide ? "card wide" : "card" },
    element("figcaption", {}, element("b", {}, title), readout), drawing);
  const point = (t) => {
    cursor.setAttribute("visibility", t === null ? "hidden" : "visible");
    if (t !== null) for (const end of ["x1", "x2"]) cursor.setAttribute(end, across(t));
    readout.replaceChildren(...lines.map((line) => {
      const at = Math.max(0, Math.min(line.values.length - 1, Math.round((t - time.start) / time.step)));
      const mark = line.dashed ? "┄ " : "— ";
      const value = t === null ? "" : ` ${line.values[at].toFixed(high - low > 60 ? 0 : high - low > 6 ? 1 : 2)}`;
      return element("span", {}, element("span", { class: `key side-${line.side}` }, mark + line.name), value);
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

/** Range of the vertical axis, at least `least` wide: the curves, and limits no further away than 1/3 of their span. */
function extent(lines, least) {
  let [low, high] = [Infinity, -Infinity];
  for (const line of lines) for (const v of line.values) [low, high] = [Math.min(low, v), Math.max(high, v)];
  const near = Math.max((high - low) / 3, 1e-9);
  for (const line of lines) {
    if (line.lower !== null && low - line.lower < near) low = Math.min(low, line.lower);
    if (line.upper !== null && line.upper - high < near) high = Math.max(high, line.upper);
  }
  const margin = Math.max((high - low) * 0.05, (least - (high - low)) / 2);
  return [low - margin, high + margin];
}
