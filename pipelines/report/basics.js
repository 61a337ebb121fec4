"use strict";
// What all parts of a page share: its data, elements, numbers, metrics, tooltips, addresses and downloads.

const SVG = "http://www.w3.org/2000/svg";
const find = (id) => document.getElementById(id);

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

const REPORT = JSON.parse(find("data").textContent);
REPORT.rules = record(Object.entries(REPORT.rules ?? {}));
REPORT.texts = record(Object.entries(REPORT.texts ?? {}));

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

/** Text in which a number and its unit stay on one line. */
const joined = (text) => text.replace(/(\d) (?=(?:s|mm|cm|Nm|m\/s|°|%)(?![\w/]))/g, "$1\u00a0");

/** A state in words; its mark and colour come from the style sheet. */
const stateChip = (state, text = state) => element("span", { class: `state ${state}` }, text);

function panelTable(titles, rows, numbers, kind = "") {
  const head = titles.map((title, k) => element("th", { scope: "col", class: numbers.includes(k) ? "number" : "" }, title));
  return element("div", { class: `panel ${kind}`, tabindex: "0" }, element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)));
}

// Numbers and metrics ----------------------------------------------------------------------------------------------------

/** A number with about three significant digits. */
function brief(value) {
  if (typeof value !== "number") return value ?? "";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size < 1e-3 || size >= 1e6) return value.toExponential(1).replace("e+", "e").replace("-", "−");
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(3))).replace("-", "−");
}

/** A number with a fixed number of decimals, a true minus, and no "−0.0". */
function fixed(value, digits) {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? (0).toFixed(digits) : text.replace("-", "−");
}

const UNITS = [["_m_s2", "m/s²"], ["_m_s3", "m/s³"], ["_m_s", "m/s"], ["_mm", "mm"], ["_deg", "°"], ["_rad", "rad"], ["_hz", "Hz"], ["_nm", "Nm"],
  ["_bw", "body weights"], ["_s", "s"]];

/** Title, unit, decimals (null if not fixed), factor to the unit, meaning and group of a metric. */
function metricText(metric) {
  const known = REPORT.texts[metric];
  if (known) return { title: known[0], unit: known[1], digits: known[2], factor: known[3], meaning: known[4], group: known[5] };
  const match = UNITS.find(([end]) => metric.endsWith(end));
  const stem = match ? metric.slice(0, -match[0].length) : metric;
  return { title: stem.replaceAll("_", " "), unit: match ? match[1] : "", digits: null, factor: 1, meaning: "", group: "" };
}

function label(metric) {
  const { title, unit } = metricText(metric);
  return unit ? `${title} [${unit}]` : title;
}

/** Value of a metric in its unit, with fixed decimals if they are known. */
function shownValue(metric, value) {
  if (typeof value !== "number") return value !== null && typeof value === "object" ? JSON.stringify(value) : String(value ?? "");
  const { digits, factor } = metricText(metric);
  return digits === null || Math.abs(value * factor) >= 1e6 ? brief(value * factor) : fixed(value * factor, digits);
}

/** A limit in the unit of its metric, without needless zeros. */
const shownLimit = (metric, limit) => (typeof limit === "number" ? brief(limit * metricText(metric).factor) : "none");

/** What a metric measures, with its unit and limits, for a tooltip. */
function explain(metric) {
  const { meaning, unit } = metricText(metric);
  const rule = REPORT.rules[metric];
  const parts = [meaning ? meaning[0].toUpperCase() + meaning.slice(1) : `The metric ${metric}`];
  if (unit) parts.push(`Unit: ${unit.replace("BW", "body weight")}`);
  if (rule) parts.push(`Warning above ${shownLimit(metric, rule.warn)}, infeasible above ${shownLimit(metric, rule.infeasible)} (${rule.source})`);
  if (meaning) parts.push(`In the files: ${metric}`);
  return `${parts.join(". ")}.`;
}

/** Severity of a value by the limits of a rule: "infeasible", "warn" or "". */
function ruleState(value, rule) {
  if (!rule || typeof value !== "number") return "";
  if (typeof rule.infeasible === "number" && value > rule.infeasible) return "infeasible";
  return value > rule.warn ? "warn" : "";
}

/** Compare two values for sorting; missing values come last in both directions. */
function compare(a, b, down) {
  const missing = (value) => value === undefined || value === null || value === "";
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  return (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1);
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

/** Bytes of base64 text. */
const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

/** Little-endian uint16 numbers of base64 text. */
function integersOf(text) {
  const bytes = bytesOf(text);
  const view = new DataView(bytes.buffer);
  return Uint16Array.from({ length: bytes.length / 2 }, (_, k) => view.getUint16(2 * k, true));
}

/** Decode the values of a curve from [lowest, step, base64 of little-endian uint16]. */
const decode = ([low, step, text]) => Float64Array.from(integersOf(text), (level) => low + step * level);

// Tooltips: on hover and on keyboard focus; read by screen readers as the description ------------------------------------

function tip(node, text) {
  node.setAttribute("aria-description", wellFormed(text));
  node.dataset.tip = wellFormed(text);
  return node;
}

function setUpTips() {
  const bubble = element("div", { id: "tip", role: "presentation" });
  bubble.hidden = true;
  const show = (event) => {
    const node = event.target.closest?.("[data-tip]");
    if (!node || (event.type === "focusin" && !node.matches(":focus-visible"))) return;
    (node.closest("dialog") ?? document.body).append(bubble); // above an open dialog
    bubble.textContent = node.dataset.tip;
    bubble.hidden = false;
    const [box, own] = [node.getBoundingClientRect(), bubble.getBoundingClientRect()];
    const space = document.documentElement.clientWidth - own.width - 8;
    bubble.style.left = `${Math.max(8, Math.min(space, box.left))}px`;
    bubble.style.top = `${box.bottom + own.height + 8 > innerHeight ? Math.max(4, box.top - own.height - 6) : box.bottom + 6}px`;
  };
  const hide = () => { bubble.hidden = true; };
  for (const type of ["pointerover", "focusin"]) document.addEventListener(type, show);
  for (const type of ["pointerout", "focusout", "pointerdown"]) document.addEventListener(type, hide);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  document.addEventListener("scroll", hide, true);
}

// Address: filters and the open clip are in the fragment, so that a view can be linked to ---------------------------------

const readAddress = () => new URLSearchParams(location.hash.slice(1));

function addressOf(pairs) {
  const address = new URLSearchParams();
  for (const [key, value] of Object.entries(pairs)) for (const one of [value].flat()) if (one || Array.isArray(value)) address.append(key, wellFormed(String(one)));
  return `#${address}`;
}

/** Links to parts of the page scroll there and leave the address to the view. */
function setUpLinks() {
  for (const link of document.querySelectorAll("a[href^='#']"))
    link.onclick = (event) => { event.preventDefault(); document.querySelector(link.getAttribute("href")).scrollIntoView(); };
}

// Downloads --------------------------------------------------------------------------------------------------------------

function download(name, blob) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name.replace(/[^\w.-]+/g, "_") });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** A cell that spreadsheets show as text and never run; the rule is that of `datasets/formats/spreadsheet.py`. */
function csvCell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = wellFormed(String(value));
  const safe = /^[ \u00a0\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]/u.test(text) ? `'${text}` : text;
  return /[",\n']/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const csvText = (rows) => `${rows.map((row) => row.map(csvCell).join(",")).join("\r\n")}\r\n`;
const downloadCsv = (name, rows) => download(name, new Blob([csvText(rows)], { type: "text/csv" }));

const DRAWN = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "font-size", "font-family", "font-weight", "opacity", "visibility", "text-anchor"];

/** Download a chart as a picture of twice its size, with its title and its key. */
function downloadPng(drawing, title, keys) {
  const { width, height } = drawing.viewBox.baseVal;
  const copy = drawing.cloneNode(true);
  const originals = [drawing, ...drawing.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((node, k) => {
    const style = getComputedStyle(originals[k]);
    for (const name of DRAWN) node.setAttribute(name, style.getPropertyValue(name));
  });
  const page = getComputedStyle(document.body);
  const ground = getComputedStyle(drawing.closest(".card") ?? document.body).backgroundColor;
  const image = new Image();
  image.onload = () => {
    const canvas = element("canvas", { width: 2 * width, height: 2 * (height + 40) });
    const context = canvas.getContext("2d");
    context.scale(2, 2);
    context.fillStyle = ground;
    context.fillRect(0, 0, width, height + 40);
    context.fillStyle = page.color;
    context.font = "600 13px system-ui, sans-serif";
    context.fillText(wellFormed(title), 6, 15);
    let x = 6;
    context.font = "12px system-ui, sans-serif";
    for (const [text, colour] of keys) {
      context.fillStyle = colour;
      context.fillText(text, x, 32);
      x += context.measureText(text).width + 14;
    }
    context.drawImage(image, 0, 40, width, height);
    canvas.toBlob((blob) => download(`${title}.png`, blob), "image/png");
  };
  const text = new XMLSerializer().serializeToString(copy);
  image.width = 2 * width;
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
}
