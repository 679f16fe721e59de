"""How fast a lesson opens, and how fast it answers to a key on a slider, in a real browser.

    python benchmarks/lab_repaint.py [--moves 30] [--opens 5]

Lesson 3 at depth 20, width 128: every move of the scale draws the weights anew, sends 256 samples through the network
and back, and draws the figure. Clocked inside the page with `performance.now()`: from before the key to the animation
frame that follows the change in the document. A lesson is readable when its heading is painted, and live when its last
part is computed; the first opening is the first since the server started. Prints medians and the slowest.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from playwright.sync_api import sync_playwright

CLOCK = """() => {
  const box = document.querySelector('[data-shown="levels"]');
  const readout = () => box.querySelector('[data-readout="level_at_the_last_layer"]')?.textContent;
  const marks = () => [...box.querySelectorAll('svg path.line')].map((path) => path.getAttribute('d')).join();
  window.clock = () => {
    const before = [readout(), marks()], began = performance.now(), seen = {};
    const look = () => {
      if (!seen.number && readout() && readout() !== before[0]) seen.number = performance.now() - began;
      if (!seen.figure && marks() && marks() !== before[1]) seen.figure = performance.now() - began;
      if ((seen.number && seen.figure) || performance.now() - began > 5000) window.seen = seen;
      else requestAnimationFrame(look);
    };
    window.seen = null;
    requestAnimationFrame(look);
  };
}"""


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--moves", type=int, default=30)
    options.add_argument("--opens", type=int, default=5)
    given = options.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as state:
        command = [sys.executable, "-m", "gainstage", "lab", "--port", "0", "--no-browser"]
        environment = {**os.environ, "XDG_STATE_HOME": state}
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        try:
            address = server.stdout.readline().split()[-1]
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                page = browser.new_page()
                page.goto(address)
                where = address.split("?")[0] + "lessons/l03_variance/?depth=20&width=128"
                opened = [opens(page, where) for _ in range(given.opens + 1)]
                told("readable, first", [opened[0][0]])
                told("live, first", [opened[0][1]])
                told("readable", [readable for readable, _ in opened[1:]])
                told("live", [live for _, live in opened[1:]])
                for what, taken in moved(page, given.moves).items():
                    told(what, taken)
                browser.close()
        finally:
            server.terminate()
            server.wait()


def opens(page, where: str) -> tuple[float, float]:
    """Milliseconds until the heading stands there, and until the last part is computed."""
    page.goto("about:blank")
    began = time.perf_counter()
    page.goto(where, wait_until="commit")
    page.get_by_role("heading", level=1).wait_for()
    readable = time.perf_counter() - began
    page.wait_for_function("document.body?.dataset.live")
    return 1000 * readable, 1000 * (time.perf_counter() - began)


def moved(page, moves: int) -> dict[str, list[float]]:
    """Milliseconds from a key to the number and to the figure."""
    for button in page.locator("[data-open]").all():
        if button.is_visible():
            button.click()
    page.evaluate(CLOCK)
    page.get_by_role("slider", name="Weight scale").focus()
    times: dict[str, list[float]] = {"number": [], "figure": []}
    for move in range(moves + 3):
        page.evaluate("window.clock()")
        page.keyboard.press("ArrowRight" if move % 10 < 5 else "ArrowLeft")
        page.wait_for_function("window.seen", timeout=10_000)
        if move >= 3:  # the first moves load what is needed
            for what, taken in page.evaluate("window.seen").items():
                times[what].append(taken)
    return times


def told(what: str, taken: list[float]) -> None:
    print(f"{what:<16} median {statistics.median(taken):5.0f} ms   slowest {max(taken):5.0f} ms   of {len(taken)}")


if __name__ == "__main__":
    main()
