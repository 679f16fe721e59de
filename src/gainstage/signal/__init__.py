"""One pass of a network, observed: the tape, its moments, and the structure that can be read off it."""

from gainstage.signal import ops as ops
from gainstage.signal._again import POINTS as POINTS
from gainstage.signal._attention import Attention as Attention
from gainstage.signal._attention import attentions as attentions
from gainstage.signal._attention import weights_behind as weights_behind
from gainstage.signal._calls import WeightCall as WeightCall
from gainstage.signal._calls import coverage as coverage
from gainstage.signal._formulas import Call as Call
from gainstage.signal._formulas import measured_ratio as measured_ratio
from gainstage.signal._graph import Fate as Fate
from gainstage.signal._graph import Graph as Graph
from gainstage.signal._moments import Moments as Moments
from gainstage.signal._moments import measure as measure
from gainstage.signal._moments import plain_of as plain_of
from gainstage.signal._plot import Row as Row
from gainstage.signal._plot import draw as draw
from gainstage.signal._plot import rows as rows
from gainstage.signal._record import Pass as Pass
from gainstage.signal._record import observe as observe
from gainstage.signal._record import record as record
from gainstage.signal._residual import Branch as Branch
from gainstage.signal._residual import branches as branches
from gainstage.signal._tape import Ref as Ref
from gainstage.signal._tape import Site as Site
from gainstage.signal._tape import Tape as Tape
from gainstage.signal._walk import walk as walk
