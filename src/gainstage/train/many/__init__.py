"""Many small networks trained as one program, each with its own rate, seed, data and failure."""

from gainstage.train.many._errors import CannotStack as CannotStack
from gainstage.train.many._fit import fit_many as fit_many
from gainstage.train.many._job import Moment as Moment
from gainstage.train.many._predict import predict_many as predict_many
