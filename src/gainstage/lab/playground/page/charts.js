/** Line charts as SVG text: by layer or by step, on a linear or logarithmic axis. */

import { power, show, whole } from "./numbers.js";

const [WIDTH, HEIGHT] = [400, 230];
const AREA = { left: 52, right: 388, top: 12, bottom: 190 };

/**
 * SVG elements of one chart.
 *
 * @param series `[{ name, x, y }]`; what an axis cannot show (0 on a logarithmic one, no number) is a gap.
 * @param log whether y is logarithmic.
 * @param marked where a vertical line stands, or null.
 * @param guides horizontal lines, `[{ at, name }]`.
 */
export function lineChart({ series, xLabel, log, marked = null, guides = [], xs }) {
  const scale = log ? Math.log10 : (y) => y;
  const shown = [...series.flatMap(({ y }) => y), ...guides.map(({ at }) => at)].filter((y) =>
    Number.isFinite(scale(y)),
  );
  const axis = log ? decades(shown.map(scale)) : even(shown);
  const across = place(xs[0], xs[1], AREA.left, AREA.right);
  const up = place(axis.low, axis.high, AREA.bottom, AREA.top);
  return [
    ...axis.ticks.map((tick) => row(up(tick), log ? power(tick) : show(tick))),
    ...wholes(xs[0], xs[1]).map((x) => column(across(x), whole(x))),
    `<text class="axis" x="${(AREA.left + AREA.right) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${xLabel}</text>`,
    marked === null
      ? ""
      : `<line class="marked" x1="${across(marked)}" x2="${across(marked)}" y1="${AREA.top}" y2="${AREA.bottom}"/>`,
    ...guides.map(({ at, name }) => guide(up(scale(at)), name)),
    ...series.map((line, k) => curve(line, k, across, (y) => up(scale(y)), marked)),
  ].join("");
}

/** The x of a chart under a pointer, from the chart's box on the screen. */
export function pointed(event, svg, [from, to]) {
  const box = svg.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * WIDTH;
  const share = (x - AREA.left) / (AREA.right - AREA.left);
  return Math.min(to, Math.max(from, Math.round(from + share * (to - from))));
}

const place = (from, to, start, end) => (x) =>
  round(start + (end - start) * (to === from ? 0.5 : (x - from) / (to - from)));
const round = (x) => Math.round(10 * x) / 10;

/** A logarithmic axis from whole power to whole power, with six ticks at most. */
function decades(exponents) {
  let low = Math.floor(Math.min(0, ...exponents) + 1e-9);
  let high = Math.ceil(Math.max(...(exponents.length ? exponents : [1])) - 1e-9);
  if (exponents.length) low = Math.floor(Math.min(...exponents) + 1e-9);
  if (high - low < 2) [low, high] = [low - 1, Math.max(high, low + 1)];
  const step = Math.ceil((high - low) / 5);
  return { low, high, ticks: Array.from({ length: Math.floor((high - low) / step) + 1 }, (_, k) => low + k * step) };
}

/** A linear axis from 0, with steps of 1, 2 or 5. */
function even(values) {
  const highest = Math.max(1e-3, ...values);
  const raw = highest / 4;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = unit * [1, 2, 5, 10].find((factor) => factor * unit >= raw);
  const count = Math.ceil(highest / step);
  return { low: 0, high: count * step, ticks: Array.from({ length: count + 1 }, (_, k) => k * step) };
}

/** Whole numbers for the ticks of x, six at most and both ends among them where they fit. */
function wholes(from, to) {
  const raw = (to - from) / 5;
  const unit = 10 ** Math.floor(Math.log10(Math.max(1, raw)));
  const step = unit * ([1, 2, 5, 10].find((factor) => factor * unit >= raw) ?? 10);
  const first = Math.ceil(from / step) * step;
  const ticks = Array.from({ length: Math.floor((to - first) / step) + 1 }, (_, k) => first + k * step);
  return ticks[0] === from || ticks[0] - from < step / 2 ? ticks : [from, ...ticks];
}

const row = (y, text) =>
  `<line class="grid" x1="${AREA.left}" x2="${AREA.right}" y1="${y}" y2="${y}"/>` +
  `<text class="tick" x="${AREA.left - 6}" y="${y + 4}" text-anchor="end">${text}</text>`;
const column = (x, text) => `<text class="tick" x="${x}" y="${AREA.bottom + 16}" text-anchor="middle">${text}</text>`;
const guide = (y, name) =>
  `<line class="guide" x1="${AREA.left}" x2="${AREA.right}" y1="${y}" y2="${y}"/>` +
  `<text class="guide" x="${AREA.right}" y="${y < AREA.top + 14 ? y + 14 : y - 4}" text-anchor="end">${name}</text>`;

/** A line with a shape of marker of its own, the marked point larger. */
function curve({ x, y, plain }, k, across, up, marked) {
  const drawn = x.map((at, i) => [across(at), Number.isFinite(up(y[i])) ? up(y[i]) : null, at]);
  let path = "";
  let lifted = true;
  for (const [px, py] of drawn) {
    if (py !== null) path += `${lifted ? "M" : "L"}${px} ${py}`;
    lifted = py === null;
  }
  const points = plain ? [] : drawn.filter(([, py]) => py !== null);
  const marks = points.map(([px, py, at]) => mark(k, px, py, at === marked ? 5 : 3)).join("");
  return `<path class="line s${k}" d="${path}"/>${marks}`;
}

const mark = (k, x, y, r) =>
  k === 0
    ? `<circle class="s${k}" cx="${x}" cy="${y}" r="${r}"/>`
    : `<rect class="s${k}" x="${x - r}" y="${y - r}" width="${2 * r}" height="${2 * r}"/>`;
