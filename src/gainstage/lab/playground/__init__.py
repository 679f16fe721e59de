"""`playground.html`: a network that trains in the browser, in one file without Python and without network.

`engine/` computes and `page/` shows; both are plain JavaScript modules. `_assemble.py` puts them, the style sheet and
handwritten digits into one page. The engine's numbers are those of torch: `tests/lab/playground` compares them.
"""

from gainstage.lab.playground._assemble import page as page
from gainstage.lab.playground._assemble import write as write
