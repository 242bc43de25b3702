"""Write ``tf_arrays.npz``: what TensorFlow and the authors' own code compute from the weights of ``drawn.py``.

    pip install tensorflow-cpu==2.15.*
    python tests/parity/make_tf_arrays.py CHECKOUT_OF_TENSORFLOW_TPU

The networks are built by tensorflow/tpu's ``models/official/detection`` (SpineNet, mobile SpineNet, ResNet with
NAS-FPN; commit 7dc921f) and by ``tf.keras.applications``; nothing of them is in this repository.
"""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from drawn import draw, image, sample  # noqa: E402

Sizes = Iterable[tuple[int, int]]
SIZES = ((128, 128), (128, 256), (256, 128), (161, 161), (192, 192))


def of_graph(build: Callable, sizes: Sizes, arrays: dict, name: str) -> None:
    """The maps that a graph of TensorFlow 1 gives, by level."""
    for height, width in sizes:
        with tf.Graph().as_default(), tf.Session() as session:
            pixels = tf.placeholder(tf.float32, (1, height, width, 3))
            maps = build(pixels)
            variables = tf.global_variables()
            shapes = {v.op.name: v.shape.as_list() for v in variables}
            values = draw(shapes)
            given = {v.initial_value: values[v.op.name] for v in variables}
            session.run([v.initializer for v in variables], given)
            found = session.run(maps, {pixels: image(height, width)})
        arrays[f'{name}/variables'] = np.array(json.dumps({v.op.name: v.shape.as_list() for v in variables}))
        for level, x in sorted(found.items()):
            arrays[f'{name}/{height}x{width}/{level}'] = sample(x)
        print(name, height, width, {level: x.shape for level, x in found.items()})


def of_keras(sizes: Sizes, arrays: dict, name: str) -> None:
    """MobileNetV2 of ``tf.keras.applications``: the ends of the strides 4, 8, 16, 32 and the last convolution."""
    layers = ('block_2_add', 'block_5_add', 'block_12_add', 'block_16_project_BN', 'out_relu')
    for height, width in sizes:
        tf.keras.backend.clear_session()
        net = tf.keras.applications.MobileNetV2((height, width, 3), weights=None, include_top=False)
        shapes = {v.name.removesuffix(':0'): v.shape.as_list() for v in net.variables}
        values = draw(shapes)
        for variable in net.variables:
            variable.assign(values[variable.name.removesuffix(':0')])
        ends = tf.keras.Model(net.input, [net.get_layer(layer).output for layer in layers])
        arrays[f'{name}/variables'] = np.array(json.dumps(shapes))
        for layer, x in zip(layers, ends(image(height, width)), strict=True):
            arrays[f'{name}/{height}x{width}/{layer}'] = sample(x.numpy())
        print(name, height, width)


def main(checkout: str) -> None:
    root = Path(checkout) / 'models'
    sys.path[:0] = [str(root / 'official' / 'detection'), str(root)]
    from modeling.architecture import nasfpn, nn_ops, resnet, spinenet, spinenet_mbconv

    arrays = {}
    of_keras(((96, 96), (97, 97), (64, 95)), arrays, 'keras-mobilenet-v2')

    norm = nn_ops.BatchNormActivation(activation='swish')
    for name, module, builder in (
        ('spinenet-49S', spinenet, 'spinenet_builder'),
        ('spinenet-mbconv-49', spinenet_mbconv, 'spinenet_mbconv_builder'),
    ):
        network = getattr(module, builder)(name.rpartition('-')[2], batch_norm_activation=norm)
        of_graph(network, ((128, 128), (128, 256)) if 'mbconv' in name else SIZES, arrays, name)

    relu = nn_ops.BatchNormActivation(activation='relu')

    def retinanet_neck(pixels):
        maps = resnet.Resnet(50, batch_norm_activation=relu)(pixels)
        neck = nasfpn.Nasfpn(fpn_feat_dims=64, num_repeats=2, batch_norm_activation=relu)
        return neck({level: maps[level] for level in (3, 4, 5)})

    of_graph(retinanet_neck, ((128, 128), (128, 256)), arrays, 'r50-nasfpn')
    np.savez_compressed(HERE / 'tf_arrays.npz', **arrays)


if __name__ == '__main__':
    main(sys.argv[1])
