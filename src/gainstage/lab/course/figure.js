/* Figures as SVG, from columns: lines, points, bars and heat maps with axes, a crosshair and what is hovered shared. */
"use strict";

const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#888888"]; // after Okabe and Ito
const DASHES = ["", "6 3", "2 2", "8 2 2 2", "4 4", "1 3", "10 3"];
const SUPER = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const svg = (name, attributes, ...inside) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, given] of Object.entries(attributes)) if (given !== null) made.setAttribute(key, given);
  made.append(...inside);
  return made;
};

/* 0.0123, 1,230, 3.2·10⁻⁷: three significant digits at most. */
function number(x) {
  if (typeof x !== "number") return String(x ?? "none");
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size >= 0.001 && size < 9995) return Number(x.toPrecision(3)).toLocaleString("en").replace("-", "−");
  if (Number.isInteger(x)) return x.toLocaleString("en").replace("-", "−");
  const [digits, power] = x.toExponential(2).split("e");
  return `${Number(digits)}·10${raised(Number(power))}`.replace("-", "−");
}
const raised = (n) => (n < 0 ? "⁻" : "") + [...String(Math.abs(n))].map((d) => SUPER[d]).join("");

/* Ticks of an axis and where a value stands on it, from 0 to 1. */
function axis(values, { log = false, zero = false, whole = false, most = 6 } = {}) {
  const shown = values.filter((v) => typeof v === "number" && (!log || v > 0));
  let [low, high] = shown.length ? [Math.min(...shown), Math.max(...shown)] : [log ? 1 : 0, log ? 10 : 1];
  if (log) {
    let [from, to] = [Math.log10(low), Math.log10(high)];
    if (to - from < 1) [from, to] = [Math.floor(from * 2) / 2 - 0.01, Math.ceil(to * 2) / 2 + 0.01];
    const step = Math.max(1, Math.ceil((to - from) / most));
    const first = Math.ceil(from - 1e-9);
    let ticks = Array.from({ length: Math.max(0, Math.floor((to + 1e-9 - first) / step) + 1) }, (_, i) => 10 ** (first + i * step));
    if (ticks.length < 2) ticks = [1, 2, 5].flatMap((f) => [-2, -1, 0, 1].map((d) => f * 10 ** (first + d))).filter((t) => Math.log10(t) >= from && Math.log10(t) <= to).sort((a, b) => a - b);
    return { ticks, at: (v) => (v > 0 ? (Math.log10(v) - from) / (to - from || 1) : null) };
  }
  if (zero) [low, high] = [Math.min(0, low), Math.max(0, high)];
  if (low === high) [low, high] = [low - (whole ? 1 : Math.abs(low) / 2 || 1), high + (whole ? 1 : Math.abs(high) / 2 || 1)];
  const raw = (high - low) / (most - 1);
  const unit = 10 ** Math.floor(Math.log10(raw));
  let step = [1, 2, 5, 10].find((f) => f * unit >= raw * 0.999) * unit;
  if (whole) step = Math.max(1, Math.round(step));
  if (!whole) [low, high] = [Math.floor(low / step + 1e-9) * step, Math.ceil(high / step - 1e-9) * step];
  const first = Math.ceil(low / step - 1e-9) * step;
  const ticks = Array.from({ length: Math.floor((high - first) / step + 1e-9) + 1 }, (_, i) => Number((first + i * step).toPrecision(12)));
  return { ticks, at: (v) => (typeof v === "number" ? (v - low) / (high - low) : null) };
}

/* Names on an axis, in their order. */
function names(values) {
  const known = [...new Set(values)];
  return { ticks: known, width: 1 / known.length, at: (v) => (known.indexOf(v) + 0.5) / known.length };
}

const HIDDEN = new Set(); // series that were switched off stay so when a figure is drawn anew

/* Draw into a figure element. */
function draw(figure) {
  const spec = JSON.parse(figure.dataset.figure);
  if (spec.kind === "strip") return strip(figure, spec);
  const width = Math.max(280, Math.min(figure.clientWidth || 620, 900));
  const height = spec.height + 20;
  const X = spec.columns[spec.x];
  const Y = spec.columns[spec.y];
  const heat = spec.kind === "heat";
  const byName = spec.kind === "bars" || heat;
  const series = spec.by ? [...new Set(spec.columns[spec.by])] : [null];
  const of = (i) => (spec.by ? series.indexOf(spec.columns[spec.by][i]) : 0);
  const wholeX = X.every((v) => Number.isInteger(v));
  const across = byName ? names(X) : axis(X, { log: spec.log_x, whole: wholeX, most: width < 420 ? 5 : 8 });
  const up = heat ? names([...Y].reverse()) : axis(Y, { log: spec.log_y, zero: spec.kind === "bars", whole: Y.every((v) => Number.isInteger(v)), most: 6 });
  const tick = (text, log) => (log && Number.isInteger(Math.log10(text)) ? (text === 1 ? "1" : text === 10 ? "10" : `10${raised(Math.round(Math.log10(text)))}`) : number(text));
  const left = 18 + 7.2 * Math.max(2, ...up.ticks.map((t) => tick(t, spec.log_y).length));
  const area = { left, right: width - 12, top: 14, bottom: height - 42 };
  const px = (v) => { const at = across.at(v); return at === null ? null : area.left + at * (area.right - area.left); };
  const py = (v) => { const at = up.at(v); return at === null ? null : area.bottom - at * (area.bottom - area.top); };
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": spoken(spec, X, Y, series, of), tabindex: "0" });

  for (const t of up.ticks) {
    if (!heat) root.append(svg("line", { class: "grid", x1: area.left, x2: area.right, y1: py(t), y2: py(t) }));
    root.append(svg("text", { class: "tick", x: area.left - 6, y: py(t) + 4, "text-anchor": "end" }, tick(t, spec.log_y)));
  }
  const every = byName ? Math.ceil(across.ticks.length / (area.right - area.left) * (8 * Math.min(14, Math.max(...across.ticks.map((t) => number(t).length))) + 6)) : 1;
  across.ticks.forEach((t, i) => {
    if (i % every === 0) root.append(svg("text", { class: "tick", x: px(t), y: area.bottom + 17, "text-anchor": "middle" }, tick(t, spec.log_x)));
  });
  root.append(svg("text", { class: "title", x: (area.left + area.right) / 2, y: height - 6, "text-anchor": "middle" }, spec.x));

  const groups = series.map((name, s) => root.appendChild(svg("g", { class: "series", "data-series": s, style: `color: ${COLOURS[s % COLOURS.length]}` })));
  const marks = X.map((x, i) => ({ i, s: of(i), x: px(x), y: py(Y[i]) })).filter(({ x, y }) => x !== null && y !== null && !Number.isNaN(y));
  if (heat) cells(root, spec, marks, across, up, area);
  else if (byName) bars(groups, marks, across, area, py(0), series.length);
  else {
    groups.forEach((group, s) => {
      const own = marks.filter((m) => m.s === s);
      if (spec.kind === "lines") group.append(svg("path", { class: "line", "stroke-dasharray": DASHES[s % DASHES.length], d: own.map((m, i) => `${i ? "L" : "M"}${m.x.toFixed(1)} ${m.y.toFixed(1)}`).join("") }));
      if (spec.kind === "points" || (spec.points && own.length <= 80)) own.forEach((m) => group.append(dot(s, m.x, m.y, 3)));
    });
  }
  const below = X.length - marks.length;
  figure.replaceChildren(heading(spec, below), root, legend(spec, series, groups));
  crosshair(figure, root, spec, marks, X, Y, area);
}

const SHAPES = [
  (x, y, r) => svg("circle", { cx: x, cy: y, r }),
  (x, y, r) => svg("rect", { x: x - r, y: y - r, width: 2 * r, height: 2 * r }),
  (x, y, r) => svg("path", { d: `M${x} ${y - r * 1.2}L${x + r * 1.2} ${y + r}H${x - r * 1.2}Z` }),
  (x, y, r) => svg("path", { d: `M${x} ${y - r * 1.4}L${x + r * 1.4} ${y}L${x} ${y + r * 1.4}L${x - r * 1.4} ${y}Z` }),
];
const dot = (s, x, y, r) => { const made = SHAPES[s % SHAPES.length](x, y, r); made.setAttribute("class", "dot"); return made; };

function bars(groups, marks, across, area, base, count) {
  const room = (across.width * (area.right - area.left) * 0.75) / count;
  for (const m of marks) {
    const x = m.x + (m.s - count / 2) * room;
    m.x = x + room / 2;
    groups[m.s].append(svg("rect", { class: "bar", x, y: Math.min(m.y, base), width: room * 0.92, height: Math.max(0.5, Math.abs(base - m.y)) }));
  }
}

function cells(root, spec, marks, across, up, area) {
  const values = spec.columns[spec.value];
  const scale = axis(values, { log: spec.log });
  const [w, h] = [across.width * (area.right - area.left), up.width * (area.bottom - area.top)];
  for (const m of marks) {
    const share = scale.at(values[m.i]);
    if (share !== null) root.append(svg("rect", { class: "cell", x: m.x - w / 2, y: m.y - h / 2, width: w + 0.3, height: h + 0.3, fill: viridis(share) }));
  }
}
const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
function viridis(share) {
  const at = Math.min(3.999, Math.max(0, share) * 4);
  const [from, to] = [VIRIDIS[Math.floor(at)], VIRIDIS[Math.floor(at) + 1]];
  return `rgb(${from.map((c, i) => Math.round(c + (to[i] - c) * (at % 1)))})`;
}

function heading(spec, below) {
  const made = document.createElement("figcaption");
  made.append(spec.says);
  const small = document.createElement("small");
  small.textContent = `${spec.kind === "heat" ? spec.value : spec.y}${below ? ` · ${below} values of 0 or not finite are not drawn` : ""}`;
  made.append(small);
  return made;
}

function legend(spec, series, groups) {
  const made = document.createElement("div");
  made.className = "lab-legend";
  if (!spec.by) return made;
  series.forEach((name, s) => {
    const button = document.createElement("button");
    button.type = "button";
    const key = `${spec.says}/${name}`;
    const look = () => {
      groups[s].classList.toggle("hidden", HIDDEN.has(key));
      button.setAttribute("aria-pressed", String(!HIDDEN.has(key)));
    };
    look();
    const sign = svg("svg", { width: 26, height: 12, "aria-hidden": "true", style: `color: ${COLOURS[s % COLOURS.length]}` });
    if (spec.kind === "bars") sign.append(svg("rect", { class: "bar", x: 7, y: 1, width: 11, height: 10 }));
    else {
      if (spec.kind === "lines") sign.append(svg("path", { class: "line", "stroke-dasharray": DASHES[s % DASHES.length], d: "M1 6H25" }));
      sign.append(dot(s, 13, 6, 3));
    }
    button.append(sign, String(name));
    button.addEventListener("click", () => {
      if (!HIDDEN.delete(key)) HIDDEN.add(key);
      look();
    });
    made.append(button);
  });
  return made;
}

/* The marks nearest to the pointer, or to the arrow keys; figures with the same axis show the same place. */
function crosshair(figure, root, spec, marks, X, Y, area) {
  const line = root.appendChild(svg("line", { class: "cross", y1: area.top, y2: area.bottom, visibility: "hidden" }));
  const box = figure.appendChild(document.createElement("div"));
  box.className = "lab-tip";
  box.hidden = true;
  const stops = [...new Set(marks.map((m) => X[m.i]))];
  if (stops.every((v) => typeof v === "number")) stops.sort((a, b) => a - b);
  let at = -1;

  function show(x, near) {
    const here = marks.filter((m) => X[m.i] === x && (!near || spec.kind !== "heat" || m.i === near.i));
    if (!here.length) return hide();
    line.setAttribute("x1", here[0].x);
    line.setAttribute("x2", here[0].x);
    line.setAttribute("visibility", "visible");
    const text = (m) => spec.kind === "heat" ? `${spec.y} ${number(Y[m.i])}: ${number(spec.columns[spec.value][m.i])}` : `${spec.by ? `${spec.columns[spec.by][m.i]}: ` : ""}${number(Y[m.i])}`;
    box.textContent = [`${spec.x} ${number(x)}`, ...here.slice(0, 8).map(text)].join("\n");
    box.hidden = false;
    const scale = root.getBoundingClientRect().width / root.viewBox.baseVal.width;
    const right = here[0].x * scale + 12 + box.offsetWidth < figure.clientWidth;
    box.style.left = `${Math.max(0, right ? here[0].x * scale + 12 : here[0].x * scale - 12 - box.offsetWidth)}px`;
    box.style.top = `${root.offsetTop + area.top}px`;
  }
  function hide() {
    line.setAttribute("visibility", "hidden");
    box.hidden = true;
  }
  const told = (x) => document.dispatchEvent(new CustomEvent("lab-hover", { detail: { axis: spec.x, x, from: figure } }));

  root.addEventListener("pointermove", (event) => {
    const place = root.getBoundingClientRect();
    const scale = place.width / root.viewBox.baseVal.width;
    const [x, y] = [(event.clientX - place.left) / scale, (event.clientY - place.top) / scale];
    let near = null;
    let best = Infinity;
    for (const m of marks) {
      const apart = (m.x - x) ** 2 + (m.y - y) ** 2 * (spec.kind === "heat" ? 1 : 0.05);
      if (apart < best) [best, near] = [apart, m];
    }
    if (near) {
      at = stops.indexOf(X[near.i]);
      show(X[near.i], near);
      told(X[near.i]);
    }
  });
  root.addEventListener("pointerleave", () => { hide(); told(null); });
  root.addEventListener("blur", () => { hide(); told(null); });
  root.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    at = Math.min(stops.length - 1, Math.max(0, at + step));
    show(stops[at]);
    told(stops[at]);
  });
  figure.hovered = ({ axis, x, from }) => {
    if (from === figure || axis !== spec.x) return;
    if (x === null) hide();
    else show(x);
  };
}
document.addEventListener("lab-hover", ({ detail }) => document.querySelectorAll(".lab-figure").forEach((f) => f.hovered?.(detail)));

/* The figure in a sentence: where every series begins and ends. */
function spoken(spec, X, Y, series, of) {
  const told = series.slice(0, 6).map((name, s) => {
    const own = X.map((x, i) => [x, Y[i], i]).filter(([, , i]) => of(i) === s);
    if (!own.length) return "";
    const [a, b] = [own[0], own[own.length - 1]];
    return `${name ?? spec.y}: ${number(a[1])} at ${spec.x} ${number(a[0])}, ${number(b[1])} at ${number(b[0])}`;
  });
  return `${spec.says}. ${spec.kind === "heat" ? `${spec.value} by ${spec.x} and ${spec.y}` : told.filter(Boolean).join("; ")}.`;
}

const figures = (part) => (part.matches?.(".lab-figure") ? [part] : part.querySelectorAll(".lab-figure")).forEach(draw);
let waiting = null;
addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => figures(document), 150);
});
