"""A space of two decisions, as a user writes it: the width of a RetinaNet neck, and the convolutions of its head."""

from mmlight.nas.spaces import Decision, SearchSpace
from mmlight.registry import SPACES

WIDTHS, DEPTHS = (16, 24, 32), (1, 2)


@SPACES.register_module()
class TwoWidths(SearchSpace):
    def __init__(self):
        self.decisions = (Decision('width', len(WIDTHS)), Decision('depth', len(DEPTHS)))
        self.size = len(WIDTHS) * len(DEPTHS)

    def decode(self, choices):
        width, depth = self.check(choices)
        return dict(width=WIDTHS[width], depth=DEPTHS[depth])

    def encode(self, architecture):
        return WIDTHS.index(architecture['width']), DEPTHS.index(architecture['depth'])

    def to_dict(self, architecture):
        return architecture

    def apply(self, architecture, config):
        config.model.neck.out_channels = architecture['width']
        config.model.bbox_head.update(in_channels=architecture['width'], stacked_convs=architecture['depth'])
