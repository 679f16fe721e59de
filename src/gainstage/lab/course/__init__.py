"""A lesson is one Markdown document; from it come the live page, the offline page, the notebook and its test.

- `grammar`: text to parts. `values`: `{expression}` in prose. `controls`: sliders from a signature.
- `running`: the parts from top to bottom. `showing`: what they look like. `serving`: the live page. `kept`: what
  was computed, for the next time.
- `offline`: a page whose figures answer without a server. `notebook`: for Jupyter.
"""
