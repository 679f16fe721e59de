"""The rules, one package a family, one file a topic; importing this package fills the catalogue."""

from gainstage.check.rules import backward as backward
from gainstage.check.rules import data as data
from gainstage.check.rules import forward as forward
from gainstage.check.rules import initialization as initialization
from gainstage.check.rules import normalization as normalization
from gainstage.check.rules import optimizer as optimizer
from gainstage.check.rules import output as output
from gainstage.check.rules import regularization as regularization
from gainstage.check.rules import trainability as trainability
