/** What is drawn pixel by pixel: the decision map, the test images, the distribution by layer, three histograms. */

import { GRID, REACH } from "../engine/report.js";
import { show, whole } from "./numbers.js";

/** Colours of the style sheet, light or dark, as `[red, green, blue]`. */
function colours(canvas, ...names) {
  const style = getComputedStyle(canvas);
  return names.map((name) =>
    style
      .getPropertyValue(`--${name}`)
      .trim()
      .match(/\w\w/g)
      .map((pair) => parseInt(pair, 16)),
  );
}
const css = ([r, g, b], alpha = 1) => `rgb(${r} ${g} ${b} / ${alpha})`;

const MARGIN = 66; // left of the distribution by layer, for its numbers

/** A context whose unit is a CSS pixel, on a canvas as sharp as the screen. */
function sheet(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.font = "12px system-ui, sans-serif";
  return { context, width, height };
}

/** Probability of class 1 as a colour, class 0 as circles and class 1 as squares. */
export function drawMap(canvas, { map, points }) {
  const [zero, one, paper, ink] = colours(canvas, "zero", "one", "paper", "ink");
  const { context, width, height } = sheet(canvas);
  const cells = new ImageData(GRID, GRID);
  map.forEach((p, k) => {
    const strength = 0.75 * Math.abs(2 * p - 1);
    const colour = (p < 0.5 ? zero : one).map((c, i) => c * strength + paper[i] * (1 - strength));
    cells.data.set([...colour, 255], 4 * k);
  });
  const small = new OffscreenCanvas(GRID, GRID);
  small.getContext("2d").putImageData(cells, 0, 0);
  context.drawImage(small, 0, 0, width, height);
  const at = (x, size) => ((x + REACH) / (2 * REACH)) * size;
  context.strokeStyle = css(paper);
  points.labels.forEach((label, s) => {
    const [x, y] = [at(points.x[2 * s], width), at(-points.x[2 * s + 1], height)];
    context.beginPath();
    if (label === 0) context.arc(x, y, 3.5, 0, 2 * Math.PI);
    else context.rect(x - 3, y - 3, 6, 6);
    context.fillStyle = css((label === 0 ? zero : one).map((c, i) => 0.7 * c + 0.3 * ink[i]));
    context.fill();
    context.stroke();
  });
}

/** Test images with what they are taken for; a wrong one is framed and says what it is. */
export function drawImages(canvas, { pixels, labels, guesses }) {
  const [ink, paper, wrong] = colours(canvas, "ink", "paper", "one");
  const { context, width, height } = sheet(canvas);
  const [columns, rows] = [8, Math.ceil(labels.length / 8)];
  const [across, down] = [width / columns, height / rows];
  const side = Math.min(across - 8, down - 20);
  labels.forEach((label, s) => {
    const [left, top] = [(s % columns) * across + (across - side) / 2, Math.floor(s / columns) * down + 3];
    for (let k = 0; k < 64; k++) {
      const shade = Math.min(1, Math.max(0, (pixels[64 * s + k] + 0.8) / 2.7));
      context.fillStyle = css(ink.map((c, i) => c * shade + paper[i] * (1 - shade)));
      context.fillRect(
        left + ((k % 8) * side) / 8,
        top + (Math.floor(k / 8) * side) / 8,
        side / 8 + 0.5,
        side / 8 + 0.5,
      );
    }
    const right = guesses[s] === label;
    context.strokeStyle = css(wrong);
    context.lineWidth = 3;
    if (!right) context.strokeRect(left - 1, top - 1, side + 2, side + 2);
    context.fillStyle = css(ink);
    context.textAlign = "center";
    context.fillText(right ? `${guesses[s]}` : `${guesses[s]}, is ${label}`, left + side / 2, top + side + 14);
  });
}

/** One column a layer: the darker a cell, the more entries have that value. */
export function drawSpread(canvas, { low, high, shares }, selected) {
  const [line, ink, accent] = colours(canvas, "line", "ink", "s0");
  const { context, width, height } = sheet(canvas);
  const [left, top, bottom] = [MARGIN, 8, height - 36];
  const column = (width - left - 6) / shares.length;
  context.fillStyle = css(ink);
  context.textAlign = "right";
  const up = (value) => bottom - ((value - low) / (high - low)) * (bottom - top);
  for (const value of [low, 0, high]) {
    const y = up(value);
    if (value === 0 && Math.min(Math.abs(y - top), Math.abs(y - bottom)) < 20 && low * high !== 0) continue;
    context.fillText(show(value), left - 5, Math.min(bottom, Math.max(top + 9, y + 4)));
  }
  shares.forEach((bins, l) => {
    const cell = (bottom - top) / bins.length;
    const most = Math.max(...bins);
    bins.forEach((share, b) => {
      if (share === 0) return;
      context.fillStyle = css(accent, 0.12 + 0.88 * Math.sqrt(share / most));
      context.fillRect(left + l * column + 0.5, bottom - (b + 1) * cell, column - 1, cell + 0.5);
    });
  });
  context.strokeStyle = css(ink);
  context.lineWidth = 2;
  context.strokeRect(left + (selected - 1) * column, top, column, bottom - top);
  context.lineWidth = 1;
  context.strokeStyle = css(line);
  context.strokeRect(left, top, column * shares.length, bottom - top);
  context.textAlign = "center";
  context.fillStyle = css(ink);
  const every = Math.ceil(shares.length / Math.min(10, Math.max(1, Math.floor((width - left) / 30))));
  shares.forEach((_, l) => {
    if (l % every === 0) context.fillText(whole(l + 1), left + (l + 0.5) * column, bottom + 15);
  });
  context.fillText("layer", left + (column * shares.length) / 2, bottom + 30);
}

/** The layer under a pointer on `drawSpread`. */
export function spreadPointed(event, canvas, layers) {
  const box = canvas.getBoundingClientRect();
  const share = (event.clientX - box.left - MARGIN) / (box.width - MARGIN - 6);
  return Math.min(layers, Math.max(1, Math.ceil(share * layers)));
}

/** One histogram, with its mean as a line and its ends as numbers. */
export function drawHistogram(canvas, { low, high, mean, shares }) {
  const [line, ink, accent] = colours(canvas, "line", "ink", "s0");
  const { context, width, height } = sheet(canvas);
  const [top, bottom, most] = [6, height - 18, Math.max(...shares)];
  context.fillStyle = css(accent);
  shares.forEach((share, b) => {
    const tall = (share / most) * (bottom - top);
    context.fillRect((b * width) / shares.length, bottom - tall, width / shares.length - 1, tall);
  });
  context.strokeStyle = css(line);
  context.strokeRect(0, bottom, width, 0);
  const x = ((mean - low) / (high - low)) * width;
  context.strokeStyle = css(ink);
  context.setLineDash([4, 3]);
  context.strokeRect(x, top, 0, bottom - top);
  context.fillStyle = css(ink);
  context.textAlign = "left";
  context.fillText(show(low), 0, height - 4);
  context.textAlign = "right";
  context.fillText(show(high), width, height - 4);
}
