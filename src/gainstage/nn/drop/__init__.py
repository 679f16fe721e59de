"""Dropout in all its forms, each at the rate that was asked for.

Every layer takes a `torch.Generator`. Without one, `torch.compile(fullgraph=True)` takes the layer into its graph; with
one, the graph breaks at each draw, as torch cannot trace a generator.
"""

from gainstage.nn.drop._alpha import AlphaDropout as AlphaDropout
from gainstage.nn.drop._alpha import FeatureAlphaDropout as FeatureAlphaDropout
from gainstage.nn.drop._alpha import alpha_dropout as alpha_dropout
from gainstage.nn.drop._block import DropBlock1d as DropBlock1d
from gainstage.nn.drop._block import DropBlock2d as DropBlock2d
from gainstage.nn.drop._block import DropBlock3d as DropBlock3d
from gainstage.nn.drop._block import drop_block as drop_block
from gainstage.nn.drop._block import seed_rate as seed_rate
from gainstage.nn.drop._connect import DropConnect as DropConnect
from gainstage.nn.drop._connect import drop_connect as drop_connect
from gainstage.nn.drop._connect import drop_connect_moments as drop_connect_moments
from gainstage.nn.drop._connect import expected_activation as expected_activation
from gainstage.nn.drop._dropout import Dropout as Dropout
from gainstage.nn.drop._dropout import dropout as dropout
from gainstage.nn.drop._embedding import EmbeddingDropout as EmbeddingDropout
from gainstage.nn.drop._gaussian import GaussianDropout as GaussianDropout
from gainstage.nn.drop._gaussian import GaussianNoise as GaussianNoise
from gainstage.nn.drop._gaussian import gaussian_dropout as gaussian_dropout
from gainstage.nn.drop._locked import LockedDropout as LockedDropout
from gainstage.nn.drop._locked import locked_dropout as locked_dropout
from gainstage.nn.drop._mc import mc_dropout as mc_dropout
from gainstage.nn.drop._patch import PatchDropout as PatchDropout
from gainstage.nn.drop._patch import patch_dropout as patch_dropout
from gainstage.nn.drop._path import DropPath as DropPath
from gainstage.nn.drop._path import drop_path as drop_path
from gainstage.nn.drop._schedule import RateScheduler as RateScheduler
from gainstage.nn.drop._schedule import depth_rates as depth_rates
from gainstage.nn.drop._schedule import linear_schedule as linear_schedule
from gainstage.nn.drop._spatial import Dropout1d as Dropout1d
from gainstage.nn.drop._spatial import Dropout2d as Dropout2d
from gainstage.nn.drop._spatial import Dropout3d as Dropout3d
from gainstage.nn.drop._spatial import SpatialDropout1d as SpatialDropout1d
from gainstage.nn.drop._spatial import SpatialDropout2d as SpatialDropout2d
from gainstage.nn.drop._spatial import SpatialDropout3d as SpatialDropout3d
from gainstage.nn.drop._spatial import spatial_dropout as spatial_dropout
