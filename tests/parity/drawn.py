"""Weights and images that two programs draw alike, so that only a few values of what they compute need be stored."""

from collections.abc import Mapping, Sequence

import numpy as np

VALUES = 192
"""Values that are kept of a map."""


def draw(shapes: Mapping[str, Sequence[int]], seed: int = 0) -> dict[str, np.ndarray]:
    """TensorFlow variables by name: He-normal kernels, norms that are not the identity."""
    random = np.random.RandomState(seed)  # its stream is frozen
    found = {}
    for name in sorted(shapes):
        shape, leaf = tuple(shapes[name]), name.rpartition('/')[2]
        if leaf.endswith('kernel'):
            fan_in = np.prod(shape[:2]) if leaf == 'depthwise_kernel' else np.prod(shape[:-1])
            value = random.normal(0, np.sqrt(2 / fan_in), shape)
        elif leaf in ('gamma', 'moving_variance'):
            value = random.uniform(0.5, 1.5, shape)
        else:
            value = random.normal(0, 0.1, shape)
        found[name] = value.astype(np.float32)
    return found


def draw_torch(shapes: Mapping[str, Sequence[int]], seed: int = 0) -> dict[str, np.ndarray]:
    """The same for a state dict of PyTorch."""
    random = np.random.RandomState(seed)
    found = {}
    for name in sorted(shapes):
        shape = tuple(shapes[name])
        if len(shape) == 4:
            value = random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        elif name.endswith(('.weight', '.running_var')):
            value = random.uniform(0.5, 1.5, shape)
        else:
            value = random.normal(0, 0.1, shape)
        found[name] = value.astype(np.float32)
    return found


def labels(height: int, width: int, classes: int, ignored: int = 255, batch: int = 1) -> np.ndarray:
    """``(batch, height, width)``, an eighth of them ignored."""
    random = np.random.RandomState(height * 1000 + width + 1)
    found = random.randint(0, classes, (batch, height, width))
    found[random.uniform(size=found.shape) < 0.125] = ignored
    return found


def image(height: int, width: int) -> np.ndarray:
    """``(1, height, width, 3)``."""
    return np.random.RandomState(height * 1000 + width).normal(0, 1, (1, height, width, 3)).astype(np.float32)


def sample(array: np.ndarray) -> np.ndarray:
    """Some values of a map ``(1, H, W, C)``, at places that its size decides."""
    flat = np.ascontiguousarray(array).ravel()
    return flat[np.random.RandomState(flat.size % 2**31).randint(0, flat.size, VALUES)]
