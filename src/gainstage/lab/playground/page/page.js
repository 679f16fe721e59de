/** The page: one state, which the address holds; controls and stories change it, the run follows it. */

import { format, parse, write } from "./address.js";
import { spreadPointed } from "./canvases.js";
import { pointed } from "./charts.js";
import { controls } from "./controls.js";
import { draw, drawLayers } from "./panels.js";
import { Run } from "./run.js";
import { LOOKS, SETTINGS } from "./settings.js";
import { STORIES, begins, told } from "./stories.js";

const find = (id) => document.getElementById(id);

export function open(code) {
  let [state, report, playing, seen] = [parse("").state, null, false, { losses: [], tests: [] }];
  const run = new Run(code, shows);
  const showControls = controls(change);

  function shows(made) {
    if (made.partial) {
      report = { ...report, ...made };
      return drawLayers(report, state);
    }
    if (made.steps < seen.losses.length || made.steps === 0) seen = { losses: [], tests: [] };
    seen.losses.push(...made.losses);
    seen.tests.push({ steps: made.steps, loss: made.test.loss });
    report = made;
    if (playing && !made.playing) stopped(made.finite ? "" : "Stopped: the loss is no longer a number.");
    if (!made.playing && (made.steps >= made.target || !made.finite)) stands(made.steps);
    document.body.dataset.steps = made.steps;
    draw(report, seen, state);
  }

  /** The run stands still: a link to this moment holds its step. */
  function stands(steps) {
    if (state.step === steps) return;
    state.step = steps;
    write(state, { entry: false });
  }

  function stopped(why) {
    playing = false;
    find("play").textContent = "Play";
    if (why) find("status").textContent = why;
  }

  function begin() {
    stopped("");
    seen = { losses: [], tests: [] };
    run.start(Object.fromEntries(Object.keys(SETTINGS).map((name) => [name, state[name]])), state.step);
  }

  function change(name, value, { final }) {
    state[name] = value;
    if (name in LOOKS) {
      if (name === "pace" && playing) run.send({ kind: "play", pace: value });
      if (final) write(state, { entry: false });
      if (report) drawLayers(report, state);
      return;
    }
    Object.assign(state, { step: 0, layer: Math.min(state.layer, state.depth) });
    if (final) write(state, { entry: true });
    showAll();
    begin();
  }

  function showAll() {
    showControls(state);
    const story = told(state);
    document.querySelectorAll("#stories a").forEach((link, k) => {
      if (STORIES[k] === story) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
    find("story").hidden = !story;
    if (story) for (const part of ["title", "happens", "look", "next"]) find(`story-${part}`).textContent = story[part];
  }

  /** What the address says: at the beginning, on Back and Forward, and when a story is followed. */
  function follow() {
    const { state: asked, complaints } = parse(location.hash);
    state = asked;
    find("status").textContent = complaints.join(" ");
    showAll();
    begin();
  }

  function redraw() {
    if (report?.train) draw(report, seen, state);
  }

  function choose(layer) {
    if (layer === state.layer) return;
    state.layer = layer;
    showControls(state);
    if (report) drawLayers(report, state);
  }

  find("stories").append(
    ...STORIES.map((story) => {
      const link = Object.assign(document.createElement("a"), {
        href: format(begins(story)),
        textContent: story.title,
      });
      const item = document.createElement("li");
      item.append(link);
      return item;
    }),
  );
  find("play").addEventListener("click", () => {
    if (playing) return run.send({ kind: "pause" });
    playing = true;
    state.step = 0;
    find("play").textContent = "Pause";
    find("status").textContent = "";
    run.send({ kind: "play", pace: state.pace });
  });
  find("step").addEventListener("click", () => run.send({ kind: "step" }));
  find("reset").addEventListener("click", () => {
    state.step = 0;
    write(state, { entry: false });
    begin();
    find("status").textContent = "Back at step 0.";
  });
  find("copy").addEventListener("click", () =>
    copy(new URL(format({ ...state, step: report?.steps ?? 0 }), location.href).href),
  );
  find("numbers").addEventListener("toggle", redraw);
  for (const kind of ["pointerdown", "pointermove"]) {
    for (const id of ["levels", "updates"]) {
      find(id).addEventListener(kind, (event) => report && choose(pointed(event, find(id), [1, report.layers.length])));
    }
    find("spread").addEventListener(kind, (event) => {
      if (report) choose(spreadPointed(event, find("spread"), report.layers.length));
    });
  }
  for (const redraws of [matchMedia("(prefers-color-scheme: dark)"), matchMedia("(resolution: 1dppx)")]) {
    redraws.addEventListener("change", redraw);
  }
  addEventListener("resize", redraw);
  addEventListener("popstate", follow);
  const narrow = matchMedia("(max-width: 50rem)");
  const fold = () => (find("settings").open = !narrow.matches);
  narrow.addEventListener("change", fold);
  document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  fold();
  follow();
}

/** To the clipboard, or where the browser has none for this page, into a field to copy from. */
async function copy(link) {
  try {
    await navigator.clipboard.writeText(link);
    find("status").textContent = "The link is copied.";
  } catch {
    find("link").hidden = false;
    find("link").value = link;
    find("link").select();
    find("status").textContent = "This browser does not let the page copy: the link is selected, copy it.";
  }
}
