"""NASNet's cells as tables (arXiv 1707.07012)."""

import pytest

from mmlight.errors import InputError
from mmlight.tables.cells import Cells

BLOCK = dict(inputs=[0, 1], ops=['identity', 'separable_3x3'], combine='add')


def test_blocks_are_read_by_their_keys():
    backwards = dict(reversed(BLOCK.items()))
    assert Cells([BLOCK], [backwards]) == Cells([list(BLOCK.values())], [BLOCK])
    assert Cells(**Cells([BLOCK], [backwards]).to_dict()) == Cells([BLOCK], [BLOCK])


@pytest.mark.parametrize(
    ('block', 'message'),
    [
        ({**BLOCK, 'op': 'identity'}, 'block 0 of the normal cell must be a dict with inputs, ops, combine, or a list'),
        (dict(inputs=[0, 1], ops=['identity', 'identity']), 'block 0 of the normal cell must be a dict with'),
        (7, 'block 0 of the normal cell must be a dict with inputs, ops, combine, .*, got 7'),
        ({**BLOCK, 'inputs': 1}, 'inputs of a block must be two, got 1'),
        ({**BLOCK, 'inputs': [0, 2]}, 'block 0 of the normal cell: must read two of the states 0 to 1'),
        ({**BLOCK, 'ops': ['identity', 'conv']}, "unknown operation 'conv', known are"),
        ({**BLOCK, 'combine': 'mul'}, "combine must be one of .*, got 'mul'"),
    ],
)
def test_what_is_wrong_is_named(block, message):
    with pytest.raises(InputError, match=message):
        Cells([block], [BLOCK])
    with pytest.raises(InputError, match='the normal cell must be a list of blocks, got 3'):
        Cells(3, [BLOCK])
