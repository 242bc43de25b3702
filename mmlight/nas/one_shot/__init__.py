"""Search with one trained supernet (CR-NAS, arXiv 1912.11234): a path is evaluated with the weights it inherits.

A supernet is a detector whose backbone has ``choices``, ``path``, ``anchor``, ``set_path``, ``sample_path`` and
``extract`` (:mod:`mmlight.models.backbones.cr_supernets`). The searchers know neither it nor the data.
"""

from mmlight.nas.one_shot.loops import GreedyOpSearchLoop, StageSearchLoop
from mmlight.nas.one_shot.paths import PathSamplingHook
from mmlight.nas.one_shot.recalibration import recalibrated
from mmlight.nas.one_shot.searchers import greedy_beam

__all__ = ['GreedyOpSearchLoop', 'PathSamplingHook', 'StageSearchLoop', 'greedy_beam', 'recalibrated']
