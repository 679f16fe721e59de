"""The user's own loop, watched: hooks, a device buffer, windows, and the same findings as `check`."""

from gainstage.watch import rules as rules
from gainstage.watch._registry import WATCHED as WATCHED
from gainstage.watch._registry import findings as findings
from gainstage.watch._registry import folded as folded
from gainstage.watch._watch import Sink as Sink
from gainstage.watch._watch import Watch as Watch
from gainstage.watch.history import History as History
from gainstage.watch.judge import Judge as Judge
from gainstage.watch.reading import Header as Header
from gainstage.watch.reading import Reading as Reading
from gainstage.watch.reading import read as read
from gainstage.watch.sinks.jsonl import JSONL as JSONL
from gainstage.watch.sinks.live import Live as Live
