"""EfficientNet (arXiv 1905.11946): the stages of B0 and the scaling of B1 to B7 and of the Lite networks."""

from dataclasses import dataclass, replace
from math import ceil


@dataclass(frozen=True)
class Stage:
    """A stage of EfficientNet-B0 (arXiv 1905.11946, Table 1)."""

    expand_ratio: int
    kernel_size: int
    stride: int
    channels: int
    repeats: int


EFFICIENTNET_B0 = (
    Stage(expand_ratio=1, kernel_size=3, stride=1, channels=16, repeats=1),
    Stage(expand_ratio=6, kernel_size=3, stride=2, channels=24, repeats=2),
    Stage(expand_ratio=6, kernel_size=5, stride=2, channels=40, repeats=2),
    Stage(expand_ratio=6, kernel_size=3, stride=2, channels=80, repeats=3),
    Stage(expand_ratio=6, kernel_size=5, stride=1, channels=112, repeats=3),
    Stage(expand_ratio=6, kernel_size=5, stride=2, channels=192, repeats=4),
    Stage(expand_ratio=6, kernel_size=3, stride=1, channels=320, repeats=1),
)
STEM_CHANNELS = 32

SCALING = {
    'b0': (1.0, 1.0),
    'b1': (1.0, 1.1),
    'b2': (1.1, 1.2),
    'b3': (1.2, 1.4),
    'b4': (1.4, 1.8),
    'b5': (1.6, 2.2),
    'b6': (1.8, 2.6),
    'b7': (2.0, 3.1),
}
"""Width and depth coefficients (google/automl, efficientnet and efficientnet lite); Lite0 to Lite4 are B0 to B4."""

SCALING |= {f'lite{number}': SCALING[f'b{number}'] for number in range(5)}


def round_filters(channels: int, width: float) -> int:
    """``channels * width`` rounded to a multiple of 8, never by more than a tenth downwards."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def stages(arch: str) -> tuple[Stage, ...]:
    """The scaled stages of a network; a Lite one keeps the repeats of the first and the last stage."""
    width, depth = SCALING[arch]
    kept = (0, len(EFFICIENTNET_B0) - 1) if arch.startswith('lite') else ()
    return tuple(
        replace(
            stage,
            channels=round_filters(stage.channels, width),
            repeats=stage.repeats if number in kept else ceil(stage.repeats * depth),
        )
        for number, stage in enumerate(EFFICIENTNET_B0)
    )
