"""The operators under the names, and with the keyword arguments, by which ``mmcv.ops`` calls them."""

from __future__ import annotations

from collections.abc import Callable

from mmlight.compat.ops_fallback.focal_loss import sigmoid_focal_loss_backward, sigmoid_focal_loss_forward
from mmlight.compat.ops_fallback.nms import nms, nms_match, softnms
from mmlight.compat.ops_fallback.roi_align import roi_align_backward, roi_align_forward
from mmlight.compat.ops_fallback.roi_pool import roi_pool_backward, roi_pool_forward


def get_compiler_version() -> str:
    return 'pure PyTorch fallback (mmlight)'


def get_compiling_cuda_version() -> str:
    return 'not compiled (mmlight)'


OPERATORS: dict[str, Callable] = {
    function.__name__: function
    for function in (
        nms,
        softnms,
        nms_match,
        roi_align_forward,
        roi_align_backward,
        roi_pool_forward,
        roi_pool_backward,
        sigmoid_focal_loss_forward,
        sigmoid_focal_loss_backward,
        get_compiler_version,
        get_compiling_cuda_version,
    )
}
