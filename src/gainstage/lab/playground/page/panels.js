/** What a report becomes on the page: figures, sentences, and the table with the same numbers. */

import { drawHistogram, drawImages, drawMap, drawSpread } from "./canvases.js";
import * as captions from "./captions.js";
import { lineChart } from "./charts.js";
import { percent, show, whole } from "./numbers.js";
import { VIEWS } from "./settings.js";

const find = (id) => document.getElementById(id);
const HISTOGRAMS = ["outputs", "weights", "gradients"];
const LONGEST = 300; // points of a loss curve

/** Draw everything. `story` keeps the losses of all reports; `state` says which layer and which view. */
export function draw(report, story, state) {
  drawRun(report, story);
  drawLayers(report, state);
  drawTable(report.layers);
}

function say(id, text) {
  if (find(id).textContent !== text) find(id).textContent = text;
}

function drawRun(report, story) {
  say("steps", `${whole(report.steps)}`);
  say("epochs", show(report.epochs));
  say("train-loss", show(report.train.loss));
  say("test-loss", show(report.test.loss));
  say("accuracy", percent(report.test.accuracy));
  const verdict = captions.verdict({ ...report, floor: Math.log(report.images ? 10 : 2) });
  find("verdict").className = verdict.ok ? "fine" : "harm";
  say("verdict", `${verdict.ok ? "✓" : "!"} ${verdict.text}`);
  if (report.images) drawImages(find("map"), report.images);
  else drawMap(find("map"), report);
  say("map-title", report.images ? "Test images" : "Decision map");
  say("map-says", captions.map(report));
  drawLosses(report, story);
}

function drawLosses(report, { losses, tests }) {
  const every = Math.ceil(losses.length / LONGEST);
  const kept = Array.from({ length: Math.ceil(losses.length / every) }, (_, k) => k * every);
  const mean = (from) => losses.slice(from, from + every).reduce((sum, loss, _, part) => sum + loss / part.length, 0);
  const batch = { name: "last batch", x: kept.map((k) => k + 1), y: kept.map(mean), plain: true };
  const test = { name: "test", x: tests.map(({ steps }) => steps), y: tests.map(({ loss }) => loss), plain: true };
  const log = Math.max(...batch.y, ...test.y.filter(Number.isFinite), 0) > 10;
  find("loss").innerHTML = lineChart({
    series: [batch, test],
    xLabel: "step",
    log,
    xs: [0, Math.max(10, report.steps)],
  });
  say("loss-says", captions.losses({ ...report, losses }));
}

/** What depends on the layer and the view that are chosen. */
export function drawLayers(report, state) {
  const { layers } = report;
  const x = layers.map((_, l) => l + 1);
  const shared = { xLabel: "layer", log: true, marked: state.layer, xs: [1, layers.length] };
  const pick = (name) => layers.map((layer) => layer[name]);
  const levels = [
    { name: "signal", x, y: pick("signal") },
    { name: "gradient", x, y: pick("gradient") },
  ];
  find("levels").innerHTML = lineChart({ ...shared, series: levels });
  say("levels-says", captions.levels(layers));
  const updates = [{ name: "update : weight", x, y: pick("update") }];
  find("updates").innerHTML = lineChart({ ...shared, series: updates, guides: [{ at: 1e-3, name: "1 in 1,000" }] });
  say("updates-says", captions.updates(layers, report.steps));
  drawSpread(find("spread"), report.spread[state.view], state.layer);
  say("spread-says", captions.spread(layers, state.view, VIEWS[state.view].label));
  for (const name of HISTOGRAMS) {
    drawHistogram(find(`own-${name}`), layers[state.layer - 1].own[name]);
    say(`own-${name}-says`, captions.moments(layers[state.layer - 1].own[name]));
  }
  say("own-title", `Inside layer ${state.layer}`);
  const { signal, gradient, dead, update, used } = layers[state.layer - 1];
  const parts = [
    `Signal ${show(signal)}`,
    ...(differs(report.settings) ? [`in use ${show(used)} times that`] : []),
    `gradient ${show(gradient)}`,
  ];
  say("own-says", `${[...parts, `update ${show(update)} of the weights`, `dead units ${percent(dead)}`].join(", ")}.`);
}

/** Whether a layer computes something else in use than in training. */
const differs = ({ dropout, norm }) => dropout > 0 || norm === "batch";

/** The numbers behind the figures, a row a layer. */
function drawTable(layers) {
  if (!find("numbers").open) return;
  const cell = (text) => `<td>${text}</td>`;
  find("rows").innerHTML = layers
    .map(({ signal, gradient, dead, update, used, own }, l) => {
      const numbers = [signal, gradient, own.outputs.mean, own.outputs.std, own.weights.std, update].map(show);
      return `<tr><th scope="row">${l + 1}</th>${[...numbers, percent(dead), show(used)].map(cell).join("")}</tr>`;
    })
    .join("");
}
