"""RoI features of a pyramid in a graph against mmdet's extractor, for RoIs that the graph was not traced with."""

import io

import pytest
import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import nn

from mmlight.deploy.export import write
from mmlight.deploy.roi_features import extract
from mmlight.deploy.verification import open_session


class Network(nn.Module):
    """The image's first numbers are the RoIs; its means are a pyramid of two levels."""

    outputs = ('features',)

    def __init__(self, **settings):
        super().__init__()
        layer = dict(type='RoIAlign', output_size=3, **settings)
        self.extractor = SingleRoIExtractor(layer, out_channels=2, featmap_strides=[4, 8], finest_scale=16)

    def forward(self, image):
        rois = image[0, 0, :5, :5]
        return self.extractor([nn.functional.avg_pool2d(image[:, 1:], stride) for stride in (4, 8)], rois)


# x1, y1, x2, y2: on either level, thin, across the border
SMALL = [[3.0, 5, 20, 19], [40, 40, 47, 63]]
LARGE = [[2.0, 3, 60, 44], [10, 0, 63, 63], [30, 20, 80, 70]]


@pytest.mark.parametrize('settings', [dict(sampling_ratio=0), dict(sampling_ratio=2, aligned=False)])
def test_against_mmdet(settings):
    network, file = Network(**settings), io.BytesIO()
    write(network, torch.zeros(1, 3, 64, 64), file, 17)  # all RoIs are on the first level here
    session = open_session(file.getvalue())
    for boxes in (SMALL + LARGE, [*SMALL, *SMALL, SMALL[0]], [*LARGE, *LARGE[:2]]):
        image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        image[0, 0, :5, :5] = torch.tensor([[0.0, *box] for box in boxes])
        expected = network(image)
        (found,) = session.run(None, {'image': image.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-5, rtol=1e-5)
        maps = [nn.functional.avg_pool2d(image[:, 1:], stride) for stride in (4, 8)]
        torch.testing.assert_close(extract(network.extractor, maps, image[0, 0, :5, :5]), expected)
