/** The script of the page and of its worker: one text, which opens the page where there is a document. */

import { serve } from "./engine/worker.js";
import { open } from "./page/page.js";

if (typeof document === "undefined") serve(globalThis);
else open(document.currentScript.textContent);
