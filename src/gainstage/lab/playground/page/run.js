/** The page's end of the worker. Where a page may have no worker, the same code runs on the page itself. */

import { serve } from "../engine/worker.js";

export class Run {
  /**
   * @param code the text of this script, which the worker runs as well.
   * @param shows called with every report of the present run.
   */
  constructor(code, shows) {
    Object.assign(this, { name: 0, waiting: null, starting: false, shows });
    this.port = thread(code);
    this.port.onmessage = ({ data }) => this.hear(data);
  }

  send(message) {
    this.port.postMessage(message);
  }

  /** A new run. While a slider is dragged faster than runs can start, only the last one of those in between starts. */
  start(settings, steps) {
    this.name += 1;
    this.waiting = { kind: "start", settings, steps, name: this.name };
    if (!this.starting) this.launch();
  }

  launch() {
    this.starting = true;
    this.send(this.waiting);
    this.waiting = null;
  }

  hear(report) {
    this.starting = false;
    if (this.waiting) this.launch();
    requestAnimationFrame(() => {
      if (report.run !== this.name) return;
      this.shows(report);
      if (!report.partial) this.send({ kind: "drawn", name: this.name });
    });
  }
}

function thread(code) {
  try {
    return new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  } catch {
    const { port1, port2 } = new MessageChannel();
    serve(port2);
    return port1;
  }
}
