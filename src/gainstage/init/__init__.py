"""One tensor: laws, fans, gains, and keyed streams that give the same numbers everywhere.

A name with an underscore fills a tensor in place, as in `torch.nn.init`; the same name without one gives the law, a
value that `fill_(tensor, law, seed=..., name=...)` draws from a keyed stream.

What carries this is in `init.streams` (keyed numbers), `init.stored` (laws as JSON) and `init.fillable` (refusals).

>>> import torch
>>> from gainstage import init
>>> w = init.fill_(torch.empty(256, 128), init.he_normal(), seed=0, name="fc.weight")
>>> init.fans(w)
Fans(fan_in=128, fan_out=256)
"""

from . import _abroad as _abroad
from ._attention import mimetic as mimetic
from ._blocks import blocks as blocks
from ._classical import glorot_normal as glorot_normal
from ._classical import glorot_uniform as glorot_uniform
from ._classical import he_normal as he_normal
from ._classical import he_uniform as he_uniform
from ._classical import kaiming_normal as kaiming_normal
from ._classical import kaiming_uniform as kaiming_uniform
from ._classical import lecun_normal as lecun_normal
from ._classical import lecun_uniform as lecun_uniform
from ._classical import xavier_normal as xavier_normal
from ._classical import xavier_uniform as xavier_uniform
from ._depth import fixup as fixup
from ._depth import gpt2_residual as gpt2_residual
from ._depth import scaled_normal as scaled_normal
from ._depth import small_normal as small_normal
from ._digest import digest as digest
from ._errors import CannotFill as CannotFill
from ._errors import NotElementwise as NotElementwise
from ._errors import UnknownLaw as UnknownLaw
from ._fans import Fans as Fans
from ._fans import fans as fans
from ._fill import fill_ as fill_
from ._fill import fill_all_ as fill_all_
from ._fill import fill_part_ as fill_part_
from ._fill import local_box as local_box
from ._fill import sample as sample
from ._frameworks import caffe_xavier_normal as caffe_xavier_normal
from ._frameworks import caffe_xavier_uniform as caffe_xavier_uniform
from ._frameworks import keras_default as keras_default
from ._frameworks import keras_glorot_normal as keras_glorot_normal
from ._frameworks import keras_he_normal as keras_he_normal
from ._frameworks import keras_lecun_normal as keras_lecun_normal
from ._frameworks import torch_default as torch_default
from ._gain import activation as activation
from ._gain import calculate_gain as calculate_gain
from ._gain import gain as gain
from ._gain import glu_gain as glu_gain
from ._inplace import constant_ as constant_
from ._inplace import delta_orthogonal_ as delta_orthogonal_
from ._inplace import dirac_ as dirac_
from ._inplace import eye_ as eye_
from ._inplace import fixup_ as fixup_
from ._inplace import glorot_normal_ as glorot_normal_
from ._inplace import glorot_uniform_ as glorot_uniform_
from ._inplace import gpt2_residual_ as gpt2_residual_
from ._inplace import he_normal_ as he_normal_
from ._inplace import he_uniform_ as he_uniform_
from ._inplace import identity_ as identity_
from ._inplace import kaiming_normal_ as kaiming_normal_
from ._inplace import kaiming_uniform_ as kaiming_uniform_
from ._inplace import lecun_normal_ as lecun_normal_
from ._inplace import lecun_uniform_ as lecun_uniform_
from ._inplace import mimetic_ as mimetic_
from ._inplace import mirrored_ as mirrored_
from ._inplace import normal_ as normal_
from ._inplace import ones_ as ones_
from ._inplace import orthogonal_ as orthogonal_
from ._inplace import scaled_normal_ as scaled_normal_
from ._inplace import small_normal_ as small_normal_
from ._inplace import sparse_ as sparse_
from ._inplace import trunc_normal_ as trunc_normal_
from ._inplace import truncated_normal_ as truncated_normal_
from ._inplace import uniform_ as uniform_
from ._inplace import variance_scaling_ as variance_scaling_
from ._inplace import xavier_normal_ as xavier_normal_
from ._inplace import xavier_uniform_ as xavier_uniform_
from ._inplace import zero_ as zero_
from ._inplace import zeros_ as zeros_
from ._law import Law as Law
from ._law import law as law
from ._orthogonal import delta_orthogonal as delta_orthogonal
from ._orthogonal import mirrored as mirrored
from ._orthogonal import orthogonal as orthogonal
from ._padded import padded as padded
from ._patterns import dirac as dirac
from ._patterns import identity as identity
from ._patterns import sparse as sparse
from ._patterns import zero as zero
from ._pointwise import constant as constant
from ._pointwise import normal as normal
from ._pointwise import ones as ones
from ._pointwise import uniform as uniform
from ._pointwise import zeros as zeros
from ._quadrature import gaussian_mean as gaussian_mean
from ._quadrature import gaussian_product_mean as gaussian_product_mean
from ._quadrature import normal_rule as normal_rule
from ._scaling import variance_scaling as variance_scaling
from ._truncated import trunc_normal as trunc_normal
from ._truncated import truncated_normal as truncated_normal
