"""Layers: every normalization, each exact and tested against a reference."""

from typing import TYPE_CHECKING

from gainstage.nn._errors import LayerError as LayerError
from gainstage.nn.norm import TLU as TLU
from gainstage.nn.norm import AccumulatedBatchNorm as AccumulatedBatchNorm
from gainstage.nn.norm import AdaLN as AdaLN
from gainstage.nn.norm import AdaLNZero as AdaLNZero
from gainstage.nn.norm import AdaNorm as AdaNorm
from gainstage.nn.norm import BatchNorm as BatchNorm
from gainstage.nn.norm import BatchNorm1d as BatchNorm1d
from gainstage.nn.norm import BatchNorm2d as BatchNorm2d
from gainstage.nn.norm import BatchNorm3d as BatchNorm3d
from gainstage.nn.norm import BatchRenorm as BatchRenorm
from gainstage.nn.norm import CrossNorm as CrossNorm
from gainstage.nn.norm import DyT as DyT
from gainstage.nn.norm import EvoNormB0 as EvoNormB0
from gainstage.nn.norm import EvoNormS0 as EvoNormS0
from gainstage.nn.norm import FilterResponseNorm as FilterResponseNorm
from gainstage.nn.norm import GhostBatchNorm as GhostBatchNorm
from gainstage.nn.norm import GlobalResponseNorm as GlobalResponseNorm
from gainstage.nn.norm import GroupNorm as GroupNorm
from gainstage.nn.norm import InstanceNorm as InstanceNorm
from gainstage.nn.norm import InstanceNorm1d as InstanceNorm1d
from gainstage.nn.norm import InstanceNorm2d as InstanceNorm2d
from gainstage.nn.norm import InstanceNorm3d as InstanceNorm3d
from gainstage.nn.norm import LayerNorm as LayerNorm
from gainstage.nn.norm import LayerNormSimple as LayerNormSimple
from gainstage.nn.norm import ParameterCount as ParameterCount
from gainstage.nn.norm import RMSNorm as RMSNorm
from gainstage.nn.norm import SelfNorm as SelfNorm
from gainstage.nn.norm import SwitchableNorm as SwitchableNorm
from gainstage.nn.norm import WeightStandardization as WeightStandardization
from gainstage.nn.norm import batch_norm as batch_norm
from gainstage.nn.norm import evo_norm_b0 as evo_norm_b0
from gainstage.nn.norm import evo_norm_s0 as evo_norm_s0
from gainstage.nn.norm import filter_response_norm as filter_response_norm
from gainstage.nn.norm import parameter_count as parameter_count
from gainstage.nn.norm import rms_norm as rms_norm
from gainstage.nn.norm import standardize as standardize

if TYPE_CHECKING:
    from gainstage.nn.norm import norm as norm  # at run time the package of that name, which is callable
