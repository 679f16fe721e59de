"""The true start of a model that does not fit: its weights are drawn where they are read, and dropped after."""

from gainstage.streaming._blocks import blocks_of as blocks_of
from gainstage.streaming._run import stream as stream
from gainstage.streaming._started import Streamed as Streamed
