"""Mixed precision without an accelerator."""

import pytest
import torch
from mmengine.optim import AmpOptimWrapper
from torch import nn

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason='about machines without an accelerator')


@pytest.mark.parametrize('dtype', [None, 'float16', 'bfloat16'])
def test_trains_in_bfloat16(dtype):
    layer = nn.Linear(4, 1)
    wrapper = AmpOptimWrapper(dtype=dtype, optimizer=torch.optim.SGD(layer.parameters(), lr=0.1))
    before = layer.weight.clone()
    with wrapper.optim_context(layer):
        output = layer(torch.ones(2, 4))
    assert output.dtype == torch.bfloat16
    wrapper.update_params(output.float().square().mean())
    assert not torch.equal(layer.weight, before)
    wrapper.load_state_dict(wrapper.state_dict())
