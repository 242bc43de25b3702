"""Which operators a count of multiply-adds may pass over in silence, which it has to name; their kinds."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from mmlight.runtime.inference import replaced

BOOKKEEPING = """
    arange argmax argmin argsort assert_async assert_tensor_metadata bernoulli bincount bucketize cat
    channel_shuffle clone constant_pad_nd contiguous copy count_nonzero diag_embed dropout embedding empty
    empty_like empty_permuted empty_strided equal eye fill flip full full_like fused_dropout gather index index_add
    index_copy index_fill index_put index_select is_nonzero item lift_fresh linspace local_scalar_dense masked_fill
    masked_scatter masked_select meshgrid native_channel_shuffle native_dropout new_empty new_empty_strided new_full
    new_ones new_zeros nonzero normal one_hot ones ones_like pad pin_memory pixel_shuffle pixel_unshuffle rand
    rand_like randint randn randn_like randperm reflection_pad1d reflection_pad2d repeat repeat_interleave
    replication_pad1d replication_pad2d reshape resize roll rot90 scalar_tensor scatter scatter_add scatter_reduce
    searchsorted select_scatter set slice_scatter sort stack take to_copy topk tril tril_indices triu triu_indices
    uniform unique unique2 unique_consecutive unique_dim unsafe_index unsafe_masked_index unsafe_view zero zeros
    zeros_like
"""
"""Creation, copies, indices."""

REDUCTIONS = """
    all amax amin aminmax any batch_norm_no_update batch_norm_with_update cudnn_batch_norm cummax cummin cumprod
    cumsum fused_rms_norm linalg_vector_norm log_softmax logsumexp max max_dim mean median min miopen_batch_norm
    mode nanmedian nansum native_batch_norm native_batch_norm_legit native_batch_norm_legit_no_training
    native_group_norm native_layer_norm norm prod rms_norm softmax std std_mean sum var var_mean
"""
"""Reductions and normalisation."""

SAMPLING = """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool1d adaptive_max_pool2d affine_grid_generator avg_pool1d
    avg_pool2d col2im cudnn_grid_sampler grid_sampler_2d grid_sampler_2d_cpu_fallback im2col max_pool1d_with_indices
    max_pool2d_with_indices max_unpool2d upsample_bicubic2d upsample_bicubic2d_aa upsample_bilinear2d
    upsample_bilinear2d_aa upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest_exact2d
"""
"""Pooling, resizing, sampling."""

POINTWISE = """
    bitwise_and bitwise_or celu clamp clamp_max clamp_min elu floor_divide gelu glu hardshrink hardsigmoid hardswish
    hardtanh isfinite isin isinf isnan leaky_relu log_sigmoid_forward logical_and logical_not mish prelu
    prelu_kernel relu relu6 remainder rrelu_with_noise selu sigmoid silu softplus softshrink tanh threshold where
"""
"""Comparisons and arithmetic that not every supported torch tags as point-wise."""

FREE = frozenset(f'{BOOKKEEPING} {REDUCTIONS} {SAMPLING} {POINTWISE}'.split())

RESAMPLING = ('roi_align', 'roi_pool', 'nms', 'softnms')
"""Operators of ``mmcv._ext`` that the papers' convention leaves out by name."""


def needs_no_count(func: torch._ops.OpOverload) -> bool:
    """Whether the dispatched operator is element-wise, shape, normalisation, pooling, resizing or bookkeeping."""
    if torch.Tag.pointwise in func.tags or func.is_view:
        return True
    namespace, _, name = str(func._overloadpacket).partition('.')
    return namespace in ('aten', 'prim') and name.strip('_') in FREE


def kind_of(func: torch._ops.OpOverload) -> str:
    """normalisation, element-wise, pooling (resizing and sums over positions included), copying or other.

    For operators without multiply-adds; ``none`` is one that touches no elements.
    """
    namespace, _, name = str(func._overloadpacket).partition('.')
    name = name.strip('_')
    if func.is_view or name.startswith(('empty', 'new_empty', 'assert', 'local_scalar', 'unsafe_view')):
        return 'none'
    if any(norm in name for norm in ('batch_norm', 'group_norm', 'layer_norm', 'rms_norm')):
        return 'normalisation'
    if torch.Tag.pointwise in func.tags or name in POINTWISE.split() or name.endswith('softmax'):
        return 'element-wise'
    if name in SAMPLING.split() or name in REDUCTIONS.split() or namespace == 'torchvision':
        return 'pooling'
    return 'copying' if name in BOOKKEEPING.split() else 'other'


@contextmanager
def record_mmcv_operators(calls: Counter) -> Iterator[None]:
    """Count the calls of the operators in ``mmcv._ext``, which never pass torch's dispatcher.

    One without a CPU kernel is passed over: it fills an output of the right shape that its caller has allocated.
    """
    with ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            if name.startswith('mmcv.ops.') and hasattr(module, 'ext_module'):
                stack.enter_context(replaced(module, 'ext_module', _Recorder(module.ext_module, calls)))
        yield


class _Recorder:
    """Stands in for the extension module: calls through, and notes the names."""

    def __init__(self, extension, calls: Counter):
        self._extension, self._calls = extension, calls

    def __getattr__(self, name: str):
        operator = getattr(self._extension, name)

        def call(*args, **kwargs):
            if not name.startswith(RESAMPLING):
                self._calls[f'mmcv.{name}'] += 1
            try:
                return operator(*args, **kwargs)
            except (NotImplementedError, RuntimeError) as error:
                if isinstance(error, NotImplementedError) or 'implementation for device' in str(error):
                    return None
                raise

        return call
