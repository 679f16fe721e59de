/**
 * The run behind the page, in a thread of its own. Messages in: `start` (settings, and how many steps to take at once),
 * `play` (steps a frame), `pause`, `step`, `drawn`. Message out: a report, and at the start first the part of it that is
 * there at once. After each report it waits for `drawn`, so that a slow screen slows the run down and is never flooded.
 */

import { byLayer, report } from "./report.js";
import { Training } from "./training.js";

const SLICE = 40; // milliseconds of training between two reports, or as long as the report took

export function serve(port) {
  let [training, run, playing, pace, told, cost, target] = [null, 0, false, 1, 0, 0, 0];

  function tell() {
    const began = performance.now();
    const made = { run, playing, target, ...report(training, told) };
    told = training.steps;
    cost = performance.now() - began;
    port.postMessage(made);
  }

  /** Train for one slice of time: up to `steps`, or until the loss is no number. */
  function advance(steps) {
    const end = performance.now() + Math.max(SLICE, cost);
    for (let k = 0; k < steps && training.finite && performance.now() < end; k++) training.step();
    if (!training.finite) playing = false;
  }

  function go() {
    if (training.steps < target && training.finite) advance(target - training.steps);
    else if (playing) advance(pace);
    else return;
    tell();
  }

  const answers = {
    start({ settings, steps, name }) {
      [training, run, playing, told, target] = [new Training(settings), name, false, 0, steps];
      port.postMessage({ run, partial: true, steps: 0, ...byLayer(training) });
      setTimeout(() => name === run && tell());
    },
    play(message) {
      [playing, pace] = [true, message.pace];
      go();
    },
    pause() {
      [playing, target] = [false, training.steps];
      tell();
    },
    step() {
      [playing, target] = [false, training.steps];
      advance(1);
      tell();
    },
    drawn({ name }) {
      if (name === run) go();
    },
  };
  port.onmessage = ({ data }) => answers[data.kind](data);
}
