"""Write ``torchseg_arrays.npz``: what the code of BiSeNet's authors computes from the weights of ``drawn.py``.

    python tests/parity/make_torchseg_arrays.py CHECKOUT_OF_YCSZEN_TORCHSEG

Networks and loss are those of ycszen/TorchSeg (``model/bisenet``, ``furnace/seg_opr``); nothing of it is in this
repository. What the files import for training is replaced by empty modules.
"""

import importlib.util
import json
import logging
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from drawn import draw_torch, image, labels, sample  # noqa: E402

SIZES = ((64, 96), (96, 64), (128, 128))


def prepare(checkout: str) -> None:
    """What the authors' files import, and subtraction from a mask, which old PyTorch had as numbers."""
    settings = SimpleNamespace(num_classes=19, bn_eps=1e-5, bn_momentum=0.1)
    stubs = {
        'config': dict(config=settings),
        'engine': {},
        'engine.logger': dict(get_logger=logging.getLogger),
        'utils': {},
        'utils.pyt_utils': dict(load_model=None),
        'scipy': {},
        'scipy.ndimage': {},
    }
    for name, content in stubs.items():
        module = sys.modules[name] = ModuleType(name)
        module.__dict__.update(content)
    sys.path.insert(0, str(Path(checkout) / 'furnace'))
    plain = torch.Tensor.__rsub__
    torch.Tensor.__rsub__ = lambda mask, one: ~mask if mask.dtype == torch.bool else plain(mask, one)


def main(checkout: str) -> None:
    prepare(checkout)
    from seg_opr.loss_opr import ProbOhemCrossEntropy2d

    arrays = {}
    for name in ('X39', 'R18'):
        file = Path(checkout) / 'model' / 'bisenet' / f'cityscapes.bisenet.{name}' / 'network.py'
        spec = importlib.util.spec_from_file_location(f'network_{name}', file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        extra = {'ohem_criterion': None} if name == 'X39' else {}
        network = module.BiSeNet(19, False, criterion=None, **extra)
        state = {key: x for key, x in network.state_dict().items() if x.dim()}
        shapes = {key: list(x.shape) for key, x in state.items()}
        arrays[f'{name}/variables'] = np.array(json.dumps(shapes))
        drawn = {key: torch.from_numpy(value) for key, value in draw_torch(shapes).items()}
        network.load_state_dict(drawn, strict=False)
        network.eval().double()  # so that the rounding of one processor is not compared with that of another
        for height, width in SIZES:
            pixels = torch.from_numpy(image(height, width)).permute(0, 3, 1, 2).double()
            truth = torch.from_numpy(labels(height, width, 19))
            loss = ProbOhemCrossEntropy2d(255, thresh=0.7, min_kept=height * width // 16)
            network.criterion = network.ohem_criterion = loss
            with torch.no_grad():
                network.is_training = False
                found = network(pixels)
                network.is_training = True
                arrays[f'{name}/{height}x{width}/loss'] = network(pixels, truth).numpy()
            arrays[f'{name}/{height}x{width}/log_softmax'] = sample(found.permute(0, 2, 3, 1).numpy())
    # the loss alone: most pixels easy; most hard; fewer labelled than are to be kept; hard pixels are those of a batch
    cases = {'easy': (8, 16, 1), 'hard': (0.1, 16, 1), 'few': (1, 1, 1), 'easy-3': (8, 16, 3), 'hard-4': (0.1, 4, 4)}
    for case, (factor, share, batch) in cases.items():
        truth = labels(32, 40, 5, batch=batch)
        logits = np.random.RandomState(7).normal(0, 1, (batch, 5, 32, 40)).astype(np.float32)
        np.put_along_axis(logits, (truth % 255)[:, None], factor, 1)
        loss = ProbOhemCrossEntropy2d(255, thresh=0.7, min_kept=batch * 32 * 40 // share)  # theirs is of the batch
        arrays[f'ohem/{case}/logits'] = logits
        arrays[f'ohem/{case}/loss'] = loss(torch.from_numpy(logits), torch.from_numpy(truth)).numpy()
        print(case, arrays[f'ohem/{case}/loss'])
    np.savez_compressed(HERE / 'torchseg_arrays.npz', **arrays)


if __name__ == '__main__':
    main(sys.argv[1])
