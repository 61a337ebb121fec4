"use strict";
// Distributions of a metric over clips, with its limits.

/** Axis of a histogram: logarithmic if values and limits span a wide range, else linear. Bin 0 of a log axis holds values <= 0. */
function histogramAxis(values, limits) {
  const positive = [...values, ...limits].filter((v) => v > 0).sort((a, b) => a - b);
  const middle = positive[Math.floor(positive.length / 2)];
  const top = positive[positive.length - 1];
  const least = values.reduce((a, b) => Math.min(a, b), Infinity);
  if (Math.min(0, ...limits, least) >= 0 && positive.length && top / middle > 50) {
    const from = Math.floor(Math.log10(Math.max(positive[0], top * 1e-10)));
    const to = Math.ceil(Math.log10(top * 1.0001));
    return { log: true, low: from, high: Math.max(to, from + 1), scale: (v) => (v > 0 ? Math.max(Math.log10(v), from) : from) };
  }
  const start = least >= 0 && least < 0.5 * (top ?? 0) ? 0 : least;
  const most = [...limits].reduce((a, b) => Math.max(a, b), values.reduce((a, b) => Math.max(a, b), -Infinity));
  const end = most > start ? most + (most - start) * 0.03 : start + Math.max(Math.abs(start) * 0.1, 1e-9);
  return { log: false, low: start, high: end, scale: (v) => v };
}

const BINS = 40;

/** Card with the distribution of a metric over all clips and over the filtered ones; `rule` has its limits or is undefined. */
function histogram(metric, all, filtered, rule) {
  const { factor, unit, title } = metricText(metric);
  const [whole, part] = [all, filtered].map((values) => values.map((v) => v * factor));
  const limits = rule ? [["warn", rule.warn], ["infeasible", rule.infeasible]].filter(([, v]) => typeof v === "number").map(([kind, v]) => [kind, v * factor]) : [];
  const axis = histogramAxis(whole, limits.map(([, value]) => value));
  const [width, height, left, right, top, bottom] = [340, 132, 34, 12, 18, 22];
  const share = (v) => (axis.scale(v) - axis.low) / (axis.high - axis.low);
  const across = (v) => left + share(v) * (width - left - right);
  const counts = [whole, part].map((values) => {
    const count = new Array(BINS).fill(0);
    for (const value of values) count[Math.max(0, Math.min(BINS - 1, Math.floor(share(value) * BINS)))]++;
    return count;
  });
  const most = Math.max(1, ...counts[0]);
  const floor = height - bottom;
  const up = (n) => (n ? Math.max(1.5, (n / most) * (floor - top)) : 0);
  const drawing = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  for (const n of ticks(0, most, 3).filter(Number.isInteger)) {
    const y = floor - (n / most) * (floor - top);
    drawing.append(shape("line", { class: "rule", x1: left, x2: width - right, y1: y, y2: y }),
      shape("text", { x: left - 5, y: y + 4, "text-anchor": "end" }, brief(n)));
  }
  const every = Math.max(1, Math.ceil((axis.high - axis.low) / 6));
  const marks = axis.log ? ticks(axis.low, axis.high, 6).filter((k) => Number.isInteger(k) && (k - axis.low) % every === 0).map((k) => [10 ** k, k < -3 || k > 4 ? `1e${k}` : brief(10 ** k)])
    : ticks(axis.low, axis.high, 5).map((v) => [v, brief(v)]);
  for (const [value, text] of marks) drawing.append(shape("text", { x: across(value), y: height - 6, "text-anchor": "middle" }, text));
  const span = (width - left - right) / BINS;
  const edge = (k) => { const v = axis.low + (k / BINS) * (axis.high - axis.low); return axis.log ? 10 ** v : v; };
  for (let k = 0; k < BINS; k++) {
    const x = left + k * span;
    if (!counts[0][k]) continue;
    for (const [kind, n] of [["all", counts[0][k]], ["filtered", counts[1][k]]])
      if (n) drawing.append(shape("rect", { class: kind, x: x + 0.5, y: floor - up(n), width: span - 1, height: up(n) }));
    const from = axis.log && k === 0 ? "0" : brief(edge(k));
    const tooltip = `${from} to ${brief(edge(k + 1))}${unit && ` ${unit}`}: ${counts[1][k]} of ${counts[0][k]} clips`;
    drawing.append(shape("rect", { class: "hit", x, y: top, width: span, height: floor - top }, shape("title", {}, tooltip)));
  }
  drawing.append(shape("line", { class: "frame", x1: left, x2: width - right, y1: floor, y2: floor }));
  for (const [kind, value] of limits) {
    const x = across(value);
    drawing.append(shape("line", { class: `limit-${kind}`, x1: x, x2: x, y1: top, y2: floor }),
      shape("text", { class: `limit-text ${kind}`, x, y: top - 5, "text-anchor": x > width - 60 ? "end" : "middle" }, `${kind === "warn" ? "▲" : "✕"} ${brief(value)}`));
  }
  const sorted = [...filtered].sort((a, b) => a - b);
  const beyond = rule ? filtered.filter((v) => v > rule.warn).length : 0;
  const summary = sorted.length ? `median ${shownValue(metric, sorted[Math.floor(sorted.length / 2)])}, largest ${shownValue(metric, sorted[sorted.length - 1])}` : "no clip";
  const verdict = rule && sorted.length ? (beyond ? `▲ ${beyond} of ${sorted.length} above ${shownLimit(metric, rule.warn)}` : `✓ none above ${shownLimit(metric, rule.warn)}`) : "";
  drawing.setAttribute("aria-label", `${label(metric)}: ${summary}. ${verdict}`);
  const name = tip(element("b", { tabindex: "0" }, unit ? `${title} [${unit}]` : title), explain(metric));
  const caption = element("figcaption", {}, name, element("span", { class: "readout" }, summary),
    element("span", { class: `readout ${beyond ? "over-warn" : ""}` }, verdict));
  return element("figure", { class: "card", "data-metric": metric }, caption, drawing);
}

/** Cards of all metrics: those with a limit by group in order of consequence, the numerical ones and the rest folded away. */
function histogramGroups(rows, filtered) {
  const values = (some, name) => some.map((row) => row.metrics[name]).filter((value) => typeof value === "number");
  const groups = new Map([...REPORT.groups, ["", "Metrics without a limit"]].map(([key, title]) => [key, { title, cards: [] }]));
  for (const name of REPORT.metrics) {
    const [all, some, rule] = [values(rows, name), values(filtered, name), REPORT.rules[name]];
    if (!all.length) continue;
    const rank = rule ? some.filter((v) => ruleState(v, rule) === "infeasible").length * 1e6 + some.filter((v) => v > rule.warn).length : 0;
    const key = rule ? metricText(name).group : "";
    groups.get(groups.has(key) ? key : "").cards.push([rank, () => histogram(name, all, some, rule)]);
  }
  return [...groups].filter(([, { cards }]) => cards.length).map(([key, { title, cards }]) => {
    const drawn = () => cards.sort((a, b) => b[0] - a[0]).map(([, draw]) => draw());
    const grid = element("div", { class: "grid" });
    if (key && key !== "numerical") grid.append(...drawn());
    if (key && key !== "numerical") return element("section", { "data-group": key }, element("h3", {}, title), grid);
    const beyond = cards.filter(([rank]) => rank > 0).length;
    const part = element("details", { "data-group": key }, element("summary", {}, `${title} (${beyond ? `▲ ${beyond} of ${cards.length} above their limits` : cards.length})`), grid);
    part.ontoggle = () => { if (part.open && !grid.hasChildNodes()) grid.append(...drawn()); };
    part.open = beyond > 0;
    return part;
  });
}
