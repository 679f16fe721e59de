"""Layers: every normalization and every dropout, each exact and tested against a reference."""

from typing import TYPE_CHECKING

from gainstage.nn._convert import convert_norm as convert_norm
from gainstage.nn._errors import LayerError as LayerError
from gainstage.nn._fold import fold_batchnorm as fold_batchnorm
from gainstage.nn._fold import fold_conv_bn as fold_conv_bn
from gainstage.nn._frozen import FrozenBatchNorm as FrozenBatchNorm
from gainstage.nn.drop import AlphaDropout as AlphaDropout
from gainstage.nn.drop import DropBlock1d as DropBlock1d
from gainstage.nn.drop import DropBlock2d as DropBlock2d
from gainstage.nn.drop import DropBlock3d as DropBlock3d
from gainstage.nn.drop import DropConnect as DropConnect
from gainstage.nn.drop import Dropout as Dropout
from gainstage.nn.drop import DropPath as DropPath
from gainstage.nn.drop import EmbeddingDropout as EmbeddingDropout
from gainstage.nn.drop import LockedDropout as LockedDropout
from gainstage.nn.drop import RateScheduler as RateScheduler
from gainstage.nn.drop import SpatialDropout1d as SpatialDropout1d
from gainstage.nn.drop import SpatialDropout2d as SpatialDropout2d
from gainstage.nn.drop import SpatialDropout3d as SpatialDropout3d
from gainstage.nn.drop import alpha_dropout as alpha_dropout
from gainstage.nn.drop import depth_rates as depth_rates
from gainstage.nn.drop import drop_block as drop_block
from gainstage.nn.drop import drop_connect as drop_connect
from gainstage.nn.drop import drop_connect_moments as drop_connect_moments
from gainstage.nn.drop import drop_path as drop_path
from gainstage.nn.drop import dropout as dropout
from gainstage.nn.drop import expected_activation as expected_activation
from gainstage.nn.drop import linear_schedule as linear_schedule
from gainstage.nn.drop import locked_dropout as locked_dropout
from gainstage.nn.drop import mc_dropout as mc_dropout
from gainstage.nn.drop import seed_rate as seed_rate
from gainstage.nn.drop import spatial_dropout as spatial_dropout
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
