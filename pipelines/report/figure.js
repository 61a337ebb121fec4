"use strict";
// Stick figures: thumbnails of a row, and a player of the clip whose time is shared with the curves.

const THUMB = { moments: 5, width: 46, height: 56, high: 200 }; // `high`: centimetres that fill the height

/** Small picture of poses from the side, evenly spaced over the clip. */
function thumbnailOf(figure, text) {
  const { moments, width, height, high } = THUMB;
  const drawing = shape("svg", { class: "thumb", viewBox: `0 0 ${moments * width} ${height}`, width: moments * width, height, "aria-hidden": "true" });
  const bytes = bytesOf(text);
  const count = bytes.length / 2 / moments;
  const scale = (height - 5) / high;
  drawing.append(shape("line", { class: "floor", x1: 0, x2: moments * width, y1: height - 2.5, y2: height - 2.5 }));
  for (let k = 0; k < moments; k++) {
    const at = (n) => {
      const [x, z] = [bytes[2 * (k * count + n)], bytes[2 * (k * count + n) + 1]];
      return [(k + 0.5) * width + (x - 127) * scale, height - 3 - z * scale].map((v) => v.toFixed(1));
    };
    const paths = { "": "", l: "", r: "" };
    for (const [from, to] of figure.bones) paths[figure.sides[to]] += `M${at(from)}L${at(to)}`;
    if (figure.head >= 0) drawing.append(shape("circle", { class: "dot", cx: at(figure.head)[0], cy: at(figure.head)[1], r: 2.8 }));
    for (const [side, path] of Object.entries(paths)) if (path) drawing.append(shape("path", { class: `bone side-${side}`, d: path }));
    if (!figure.bones.length) for (let n = 0; n < count; n++) drawing.append(shape("circle", { class: "dot", cx: at(n)[0], cy: at(n)[1], r: 1.5 }));
  }
  return drawing;
}

/** The time that player and curves of the open clip share. */
function makeTimeline(duration) {
  const listeners = new Set();
  const timeline = {
    duration, time: null,
    listen: (listener) => { listeners.add(listener); listener(timeline.time); },
    forget: (listener) => listeners.delete(listener),
    set: (time) => { timeline.time = time; for (const listener of listeners) listener(time); },
  };
  return timeline;
}

/** Poses of a track at a time, interpolated: [x, y, z] of each point. */
function poseAt(track, data, time) {
  const at = data.times[1] > 0 ? Math.max(0, Math.min(data.count - 1, time / data.times[1])) : 0;
  const low = Math.min(Math.floor(at), data.count - 1);
  const [share, next] = [at - low, Math.min(low + 1, data.count - 1)];
  const count = track.levels.length / 3 / data.count;
  return Array.from({ length: count }, (_, n) => [0, 1, 2].map((axis) => {
    const value = (frame) => track.start[axis] + track.step[axis] * track.levels[3 * (frame * count + n) + axis];
    return value(low) * (1 - share) + value(next) * share;
  }));
}

/**
 * Player of a clip as a stick figure, seen from the side; dragging turns it. The first track is drawn solid, the others
 * pale behind it. Returns {node, redraw, stop}.
 */
function figurePlayer(data, timeline) {
  const tracks = data.tracks.map((track) => ({ ...track, levels: integersOf(track.poses) }));
  const canvas = element("canvas", { class: "stage", role: "img", "aria-label": "Stick figure of the clip; drag to turn it" });
  const play = element("button", { type: "button", class: "play" }, "▶ Play");
  const slider = element("input", { type: "range", min: "0", max: String(timeline.duration), step: "0.01", value: "0", "aria-label": "Time in seconds" });
  const clock = element("span", { class: "clock" });
  const turn = tip(element("button", { type: "button" }, "Turn"), "Turn the view by 45 degrees; or drag the picture");
  const speed = element("select", { "aria-label": "Speed" }, ...[["1", "1×"], ["0.5", "½×"], ["0.25", "¼×"]].map(([value, text]) => element("option", { value }, text)));
  const keys = tracks.map((track, k) => element("span", { class: k ? "ghost-key" : "solid-key" }, track.name));
  const node = element("figure", { class: "player" }, canvas, element("div", { class: "controls" }, play, slider, clock, turn, speed), element("figcaption", {}, ...keys));
  const heights = tracks.flatMap((track) => [track.start[2], track.start[2] + track.step[2] * 65535]);
  const [floor, top] = [Math.min(0, ...heights), Math.max(...heights)];
  let [yaw, playing, last] = [facing(poseAt(tracks[0], data, 0), data), false, 0];

  const draw = () => {
    const time = timeline.time ?? 0;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    const ratio = devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio)) [canvas.width, canvas.height] = [width * ratio, height * ratio].map(Math.round);
    const context = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(`--${name}`);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const poses = tracks.map((track) => poseAt(track, data, time));
    const centre = [0, 1].map((axis) => poses[0].reduce((sum, p) => sum + p[axis], 0) / poses[0].length);
    const scale = Math.min((height - 28) / Math.max(top - floor, 1), width / 1.4);
    const [cos, sin] = [Math.cos(yaw), Math.sin(yaw)];
    const project = ([x, y, z]) => {
      const [dx, dy] = [x - centre[0], y - centre[1]];
      return [width / 2 + (dx * cos + dy * sin) * scale, height - 14 - (z - floor) * scale - (dy * cos - dx * sin) * scale * 0.12];
    };
    drawFloor(context, colour("line"), centre, project);
    const limbs = (pose, bones, stroke, thickness) => {
      context.lineWidth = thickness;
      context.lineCap = context.lineJoin = "round";
      context.strokeStyle = context.fillStyle = stroke;
      context.beginPath();
      for (const [from, to] of bones) { context.moveTo(...project(pose[from])); context.lineTo(...project(pose[to])); }
      context.stroke();
      const dot = (point, radius) => { context.beginPath(); context.arc(...project(point), radius, 0, 7); context.fill(); };
      if (!data.bones.length) for (const point of pose) dot(point, 2.5);
      if (data.head >= 0 && bones.some(([, to]) => to === data.head)) dot(pose[data.head], 0.07 * scale);
    };
    for (const pose of poses.slice(1)) limbs(pose, data.bones, colour("ghost"), 7);
    for (const [side, name] of [["l", "left"], ["", "middle"], ["r", "right"]])
      limbs(poses[0], data.bones.filter(([, to]) => data.sides[to] === side), colour(name), 3);
  };
  const listen = (time) => {
    slider.value = String(time ?? 0);
    clock.textContent = `${(time ?? 0).toFixed(2)} / ${timeline.duration.toFixed(2)} s`;
    draw();
  };
  const step = (now) => {
    if (!playing || !node.isConnected) return;
    const next = (timeline.time ?? 0) + ((now - last) / 1000) * Number(speed.value);
    last = now;
    timeline.set(next > timeline.duration ? 0 : next);
    requestAnimationFrame(step);
  };
  const setPlaying = (value) => {
    playing = value;
    play.textContent = playing ? "❚❚ Pause" : "▶ Play";
    if (playing) { last = performance.now(); requestAnimationFrame(step); }
  };
  play.onclick = () => setPlaying(!playing);
  slider.oninput = () => { setPlaying(false); timeline.set(Number(slider.value)); };
  turn.onclick = () => { yaw += Math.PI / 4; draw(); };
  canvas.onpointerdown = (event) => { canvas.setPointerCapture(event.pointerId); };
  canvas.onpointermove = (event) => { if (event.buttons) { yaw += event.movementX * 0.012; draw(); } };
  timeline.listen(listen);
  return { node, redraw: draw, stop: () => { setPlaying(false); timeline.forget(listen); } };
}

/** Grid of the floor in steps of half a metre that stays in place while the figure moves over it. */
function drawFloor(context, stroke, centre, project) {
  context.strokeStyle = stroke;
  context.lineWidth = 1;
  context.beginPath();
  const [x0, y0] = centre.map((value) => Math.floor(value * 2) / 2);
  for (let k = -3; k <= 3; k += 0.5) {
    context.moveTo(...project([x0 + k, y0 - 3, 0])); context.lineTo(...project([x0 + k, y0 + 3, 0]));
    context.moveTo(...project([x0 - 3, y0 + k, 0])); context.lineTo(...project([x0 + 3, y0 + k, 0]));
  }
  context.stroke();
}

/** Direction from which a pose is seen from its right side, if it has a left and a right. */
function facing(pose, data) {
  const middle = (side) => {
    const points = pose.filter((_, n) => data.sides[n] === side);
    return [0, 1].map((axis) => points.reduce((sum, p) => sum + p[axis], 0) / points.length);
  };
  const [left, right] = [middle("l"), middle("r")];
  const angle = Math.atan2(left[1] - right[1], left[0] - right[0]) - Math.PI / 2;
  return Number.isFinite(angle) ? angle : 0;
}
