/** The page's end of the worker. Where a page may have no worker, the same code runs on the page itself. */

import { serve } from "../engine/worker.js";

export class Run {
  /**
   * @param code the text of this script, which the worker runs as well.
   * @param shows called with every report of the present run.
   */
  constructor(code, shows) {
    this.name = 0;
    this.port = thread(code);
    this.port.onmessage = ({ data }) => {
      if (data.run !== this.name) return;
      requestAnimationFrame(() => {
        if (data.run !== this.name) return;
        shows(data);
        this.send({ kind: "drawn", name: this.name });
      });
    };
  }

  send(message) {
    this.port.postMessage(message);
  }

  /** A new run; reports of an older one are not shown any more. */
  start(settings, steps) {
    this.name += 1;
    this.send({ kind: "start", settings, steps, name: this.name });
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
