"""How long a lesson takes from a key on a slider to the new number and the new chart, in a real browser.

    python benchmarks/lab_repaint.py [--moves 30]

Lesson 3 at depth 20, width 128: every move of the scale draws the weights anew, sends 256 samples through the network
and back, and draws the chart. Clocked inside the page with `performance.now()`, from before the key to the animation
frame that follows the change in the document. Prints medians and the slowest, in milliseconds.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

from playwright.sync_api import sync_playwright

CLOCK = """() => {
  const readout = () => document.querySelector('[data-readout="level_at_the_last_layer"]')?.textContent;
  const marks = () => {
    const drawn = [...document.querySelectorAll('.vega-embed svg.marks path')];
    return drawn.map((path) => path.getAttribute('d')).join();
  };
  window.clock = () => {
    const before = [readout(), marks()], began = performance.now(), seen = {};
    const look = (now) => {
      if (!seen.number && readout() && readout() !== before[0]) seen.number = performance.now() - began;
      if (!seen.chart && marks() && marks() !== before[1]) seen.chart = performance.now() - began;
      if ((seen.number && seen.chart) || performance.now() - began > 5000) window.seen = seen;
      else requestAnimationFrame(look);
    };
    window.seen = null;
    requestAnimationFrame(look);
  };
}"""


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--moves", type=int, default=30)
    moves = options.parse_args().moves
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
                page.goto(address.split("?")[0] + "lessons/l03_variance/?depth=20&width=128")
                report(page, moves)
                browser.close()
        finally:
            server.terminate()
            server.wait()


def report(page, moves: int) -> None:
    page.wait_for_selector("[data-readout]", timeout=60_000)
    page.wait_for_timeout(3000)  # fonts, the chart's library
    page.evaluate(CLOCK)
    thumb = page.get_by_role("slider", name="Weight scale")
    thumb.focus()
    times: dict[str, list[float]] = {"number": [], "chart": []}
    for move in range(moves + 3):
        page.evaluate("window.clock()")
        page.keyboard.press("ArrowRight" if move % 10 < 5 else "ArrowLeft")
        page.wait_for_function("window.seen", timeout=10_000)
        seen = page.evaluate("window.seen")
        if move >= 3:  # the first moves load what is needed
            for what, taken in seen.items():
                times[what].append(taken)
    for what, taken in times.items():
        middle, slowest = statistics.median(taken), max(taken)
        print(f"{what:<7} median {middle:5.0f} ms   slowest {slowest:5.0f} ms   of {len(taken)} moves")


if __name__ == "__main__":
    main()
