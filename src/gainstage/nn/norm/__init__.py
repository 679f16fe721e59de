"""Normalization layers, one family a file: a formula as a function, and a thin module around it."""

from gainstage._callable import make_callable
from gainstage.nn.norm._adaln import AdaLN as AdaLN
from gainstage.nn.norm._adaln import AdaLNZero as AdaLNZero
from gainstage.nn.norm._batch import BatchNorm as BatchNorm
from gainstage.nn.norm._batch import BatchNorm1d as BatchNorm1d
from gainstage.nn.norm._batch import BatchNorm2d as BatchNorm2d
from gainstage.nn.norm._batch import BatchNorm3d as BatchNorm3d
from gainstage.nn.norm._batch import batch_norm as batch_norm
from gainstage.nn.norm._count import ParameterCount as ParameterCount
from gainstage.nn.norm._count import parameter_count as parameter_count
from gainstage.nn.norm._cross import CrossNorm as CrossNorm
from gainstage.nn.norm._cross import SelfNorm as SelfNorm
from gainstage.nn.norm._derf import Derf as Derf
from gainstage.nn.norm._dyt import DyT as DyT
from gainstage.nn.norm._evo_b0 import EvoNormB0 as EvoNormB0
from gainstage.nn.norm._evo_b0 import evo_norm_b0 as evo_norm_b0
from gainstage.nn.norm._evo_more import EvoNormB1 as EvoNormB1
from gainstage.nn.norm._evo_more import EvoNormB2 as EvoNormB2
from gainstage.nn.norm._evo_more import EvoNormS1 as EvoNormS1
from gainstage.nn.norm._evo_more import EvoNormS2 as EvoNormS2
from gainstage.nn.norm._evo_s0 import EvoNormS0 as EvoNormS0
from gainstage.nn.norm._evo_s0 import evo_norm_s0 as evo_norm_s0
from gainstage.nn.norm._factory import norm as norm
from gainstage.nn.norm._frn import TLU as TLU
from gainstage.nn.norm._frn import FilterResponseNorm as FilterResponseNorm
from gainstage.nn.norm._frn import filter_response_norm as filter_response_norm
from gainstage.nn.norm._ghost import AccumulatedBatchNorm as AccumulatedBatchNorm
from gainstage.nn.norm._ghost import GhostBatchNorm as GhostBatchNorm
from gainstage.nn.norm._grn import GlobalResponseNorm as GlobalResponseNorm
from gainstage.nn.norm._group import GroupNorm as GroupNorm
from gainstage.nn.norm._group import InstanceNorm as InstanceNorm
from gainstage.nn.norm._group import InstanceNorm1d as InstanceNorm1d
from gainstage.nn.norm._group import InstanceNorm2d as InstanceNorm2d
from gainstage.nn.norm._group import InstanceNorm3d as InstanceNorm3d
from gainstage.nn.norm._layer import AdaNorm as AdaNorm
from gainstage.nn.norm._layer import LayerNorm as LayerNorm
from gainstage.nn.norm._layer import LayerNormSimple as LayerNormSimple
from gainstage.nn.norm._local import LayerNorm2d as LayerNorm2d
from gainstage.nn.norm._local import LocalResponseNorm as LocalResponseNorm
from gainstage.nn.norm._logits import QKNorm as QKNorm
from gainstage.nn.norm._logits import SoftCap as SoftCap
from gainstage.nn.norm._logits import soft_cap as soft_cap
from gainstage.nn.norm._renorm import BatchRenorm as BatchRenorm
from gainstage.nn.norm._rms import RMSNorm as RMSNorm
from gainstage.nn.norm._rms import rms_norm as rms_norm
from gainstage.nn.norm._spectral import SpectralNorm as SpectralNorm
from gainstage.nn.norm._spectral import WeightNorm as WeightNorm
from gainstage.nn.norm._switchable import SwitchableNorm as SwitchableNorm
from gainstage.nn.norm._weight import ScaledStdConv as ScaledStdConv
from gainstage.nn.norm._weight import WeightStandardization as WeightStandardization
from gainstage.nn.norm._weight import standardize as standardize

make_callable(__name__, norm)
