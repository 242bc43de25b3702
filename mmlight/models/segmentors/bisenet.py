"""BiSeNet (arXiv 1808.00897) with any backbone that gives maps of stride 16 and 32."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmseg.models.backbones.bisenetv1 import AttentionRefinementModule, FeatureFusionModule, SpatialPath
from mmseg.models.utils import resize
from torch import Tensor, nn

from mmlight import checks
from mmlight.errors import InputError
from mmlight.registry import MODELS


class TwoConvFusion(FeatureFusionModule):
    """Feature Fusion Module as in the authors' code: ``z + z * sigmoid(W2 relu(W1 mean(z)))``, W1 and W2 being 1x1
    convolutions without bias and norm (BiSeNet, arXiv 1808.00897, Fig. 2c).

    Args:
        in_channels: Channels of both paths together.
        out_channels: Channels that go out.
        norm_cfg: Normalisation of the first convolution, which makes ``z`` of both paths.
    """

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict):
        super().__init__(in_channels, out_channels, norm_cfg=norm_cfg)
        self.conv_atten = nn.Sequential(
            nn.Conv2d(out_channels, out_channels, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 1, bias=False),
            nn.Sigmoid(),
        )


STRIDES = (16, 32)
UPSAMPLES: dict[str, dict[str, Any]] = {
    'aligned': dict(mode='bilinear', align_corners=True, warning=False),
    'bilinear': dict(mode='bilinear', align_corners=False),
    'nearest': dict(mode='nearest'),
}
FUSIONS = {'two-conv': TwoConvFusion, 'one-conv': FeatureFusionModule}


@MODELS.register_module()
class BiSeNet(BaseModule):
    """Spatial path, context path and their fusion (BiSeNet, arXiv 1808.00897, Fig. 2), before the heads.

    Spatial path and attention refinement are mmseg's. Unlike mmseg's ``BiSeNetV1``, all layers have ``norm_cfg``, maps
    are resized bilinearly with aligned corners, the fusion fits any backbone, and the backbone gives just the two maps
    that are read. With ``fusion='one-conv'`` and ``upsample='nearest'`` it computes what mmseg's does.

    Args:
        backbone: Config of a backbone that returns two maps, of strides 16 and 32.
        in_channels: Their channels.
        spatial_channels: Channels of the spatial path's four convolutions.
        context_channels: Channels of the context path.
        out_channels: Channels of the fused map.
        fusion: ``'two-conv'`` as in the authors' code, or ``'one-conv'`` as in mmseg: one 1x1 convolution with norm
            and ReLU before the gate's sigmoid.
        upsample: How the context path's maps are resized: ``'aligned'``, bilinearly with aligned corners, as in the
            authors' code (whose heads need ``align_corners=True`` too); ``'bilinear'`` without; ``'nearest'`` as in
            mmseg.
        norm_cfg: Normalisation layers.
        init_cfg: mmengine's initialisation config.

    Raises:
        InputError: for an unknown ``fusion`` or ``upsample``, or a backbone that declares other maps than two of these
            channels and strides.
    """

    def __init__(  # noqa: PLR0913 (keys of a config)
        self,
        backbone: dict,
        in_channels: Sequence[int],
        spatial_channels: Sequence[int] = (64, 64, 64, 128),
        context_channels: int = 128,
        out_channels: int = 256,
        fusion: str = 'two-conv',
        upsample: str = 'aligned',
        norm_cfg: dict = dict(type='BN'),
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        if len(in_channels) != 2:
            raise InputError(f'BiSeNet: in_channels must be those of strides 16 and 32, got {tuple(in_channels)}')
        if len(spatial_channels) != 4:
            raise InputError(f'BiSeNet: spatial_channels must be four numbers, got {tuple(spatial_channels)}')
        checks.one_of(FUSIONS, 'BiSeNet', fusion=fusion)
        checks.one_of(UPSAMPLES, 'BiSeNet', upsample=upsample)
        self.resize = partial(resize, **UPSAMPLES[upsample])
        self.backbone = MODELS.build(backbone)
        declared = getattr(self.backbone, 'out_channels', in_channels)
        if tuple(declared) != tuple(in_channels):
            raise InputError(f'BiSeNet: in_channels is {tuple(in_channels)}, the backbone gives {tuple(declared)}')
        strides = getattr(self.backbone, 'out_strides', STRIDES)
        if tuple(strides) != STRIDES:
            raise InputError(
                f'BiSeNet: needs maps of strides 16 and 32, the backbone gives {tuple(strides)}: out_indices?'
            )
        c16, c32 = in_channels
        width = context_channels
        self.spatial_path = SpatialPath(3, spatial_channels, norm_cfg=norm_cfg)
        self.global_context = ConvModule(c32, width, 1, norm_cfg=norm_cfg)
        self.refine32 = AttentionRefinementModule(c32, width, norm_cfg=norm_cfg)
        self.refine16 = AttentionRefinementModule(c16, width, norm_cfg=norm_cfg)
        self.conv32 = ConvModule(width, width, 3, padding=1, norm_cfg=norm_cfg)
        self.conv16 = ConvModule(width, width, 3, padding=1, norm_cfg=norm_cfg)
        self.fusion = FUSIONS[fusion](spatial_channels[-1] + width, out_channels, norm_cfg=norm_cfg)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``(N, 3, H, W)`` to the fused map ``(N, out_channels, H / 8, W / 8)`` for the main head, and the context
        path's maps ``(N, context_channels, ...)`` of strides 8 and 16 for the auxiliary ones; sizes rounded up.

        Raises:
            InputError: if the backbone gives other than two maps; in training, if there is only one value for each
                channel of the global context to normalise.
        """
        maps = self.backbone(image)
        if len(maps) != 2:
            raise InputError(f'BiSeNet: needs maps of strides 16 and 32, the backbone gives {len(maps)}: out_indices?')
        try:
            return self._fuse(self.spatial_path(image), *maps)
        except ValueError as error:
            if 'more than 1 value per channel' not in str(error):
                raise
            raise InputError(
                f'BiSeNet: training normalises maps of 1x1 and needs two images at least, got {len(image)}; take a '
                'larger batch, or SyncBN over several GPUs'
            ) from error

    def _fuse(self, spatial: Tensor, map16: Tensor, map32: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        context = self.refine32(map32) + self.global_context(map32.mean((2, 3), keepdim=True))
        context16 = self.conv32(self.resize(context, map16.shape[2:]))
        context = self.refine16(map16) + context16
        context8 = self.conv16(self.resize(context, spatial.shape[2:]))
        return self.fusion(spatial, context8), context8, context16
