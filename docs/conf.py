"""Settings of the documentation: `python -m sphinx -W docs DIRECTORY` builds it without the network."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

(Path(__file__).parent / "_extra").mkdir(exist_ok=True)  # which pages.py fills

project = "gainstage"
author = "The gainstage authors"
version = release = version_of("gainstage")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "docstrings",
    "mathml",
    "pages",
]

exclude_patterns = ["_ext"]
html_theme = "furo"
html_title = "gainstage"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["gainstage.css"]
html_extra_path = ["_extra"]  # what pages.py writes: llms.txt and rules.json
html_show_sphinx = False
html_copy_source = False

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # the page of a rule begins below its title

autodoc_typehints = "none"  # the signatures of the text say it; annotations name private rooms
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = ["Result"]
toc_object_entries = False  # each name has its heading
python_maximum_signature_line_length = 88
