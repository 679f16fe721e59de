"""What theory says of signals and gradients, computed and not measured: activations, moments, mean fields, ranges."""

from gainstage.theory._weights import second_moments as second_moments
from gainstage.theory._weights import vector_means as vector_means
from gainstage.theory.activation import Activation as Activation
from gainstage.theory.activation import behind as behind
from gainstage.theory.activation import leaves as leaves
from gainstage.theory.activation import name_behind as name_behind
from gainstage.theory.activation import read_by as read_by
from gainstage.theory.activation import region as region
from gainstage.theory.backward import Backward as Backward
from gainstage.theory.forecast import Foreseen as Foreseen
from gainstage.theory.forecast import Outlook as Outlook
from gainstage.theory.forecast import outlook as outlook
from gainstage.theory.meanfield import MeanField as MeanField
from gainstage.theory.meanfield import critical_line as critical_line
from gainstage.theory.predict import predict as predict
from gainstage.theory.propagate import Forward as Forward
from gainstage.theory.ranges import Reach as Reach
from gainstage.theory.ranges import reach as reach
