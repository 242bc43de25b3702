"""A GPU that is not there: its tensors have CPU values, claim another device, and refuse to meet the CPU's.

What would fail or wait on a GPU shows without one: a tensor made on the wrong device, ``.numpy()`` on a device's
tensor, a copy to the host. ``COUNTS`` has the operators that make the host wait for the device, and ``to host``.
"""

import types
from collections import Counter

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

COUNTS: Counter = Counter()
NAME = 'pretended'
# they take indices or sources of the CPU on a real GPU too
_MIXING = ('_to_copy', 'copy_', 'index', 'index_put', 'index_put_', '_index_put_impl_', 'to')
_WAITING = ('_local_scalar_dense', 'nonzero', 'masked_select', '_unique2', 'unique_dim', 'unique_consecutive', 'equal')


def _register() -> None:
    """Make ``torch.device('pretended')`` known; torch has one free name for such devices."""
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    _setup_privateuseone_for_python_backend(NAME)
    answers = dict(
        is_available=True, current_device=0, device_count=1, _is_in_bad_fork=False, is_autocast_enabled=False,
        get_amp_supported_dtype=[torch.bfloat16, torch.float16], manual_seed_all=None,
    )  # fmt: skip
    module = getattr(torch, NAME, None) or types.ModuleType(f'torch.{NAME}')
    for name, answer in answers.items():
        setattr(module, name, lambda *args, answer=answer: answer)
    if getattr(torch, NAME, None) is None:
        torch._register_device_module(NAME, module)


_register()
DEVICE = torch.device(NAME, 0)


def _here(device: object) -> bool:
    return device is not None and torch.device(device).type == NAME


class OnDevice(Tensor):
    """A tensor of the pretended GPU with the values of the CPU tensor ``host``."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, host: Tensor) -> 'OnDevice':
        made = Tensor._make_wrapper_subclass(
            cls, host.shape, strides=host.stride(), storage_offset=host.storage_offset(), dtype=host.dtype,
            layout=host.layout, device=DEVICE, requires_grad=host.requires_grad,
        )  # fmt: skip
        made.host = host
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _execute(func, args, kwargs or {})

    def tolist(self):
        COUNTS['to host'] += 1
        return self.host.tolist()

    def numpy(self, *args, **kwargs):
        raise TypeError('a tensor of the device has no numpy array; copy it to the host first')

    def new_tensor(self, data, *, dtype=None, device=None, requires_grad=False):
        made = torch.as_tensor(_host(data), dtype=dtype or self.dtype, device='cpu').clone()
        return OnDevice(made) if device is None or _here(device) else made


def _host(value):
    return value.host if isinstance(value, OnDevice) else value


def _execute(func, args, kwargs):
    """Run one operator on the CPU's values, and put its results where a GPU would have them."""
    name = func._schema.name.removeprefix('aten::')
    given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    mine = [leaf for leaf in given if isinstance(leaf, OnDevice)]
    strangers = [leaf for leaf in given if not isinstance(leaf, OnDevice) and leaf.dim()]
    if mine and strangers and name not in _MIXING:
        raise RuntimeError(f'{name}: a tensor of the CPU {tuple(strangers[0].shape)} beside those of the device')
    device = kwargs.get('device')
    if mine and name in _WAITING:
        COUNTS[name] += 1
    if mine and ((name == '_to_copy' and device is not None and not _here(device)) or
                 (name == 'copy_' and not isinstance(args[0], OnDevice))):  # fmt: skip
        COUNTS['to host'] += 1
    plain = {**kwargs, **({'device': torch.device('cpu')} if device is not None else {})}
    plain.pop('pin_memory', None)
    result = func(*tree_map(_host, args), **tree_map(_host, plain))
    if name == 'copy_':
        return args[0]
    known = {id(leaf.host): leaf for leaf in mine}  # in-place operators return what they got
    stays = _here(device) if device is not None else bool(mine)

    def placed(value):
        if not isinstance(value, Tensor) or isinstance(value, OnDevice):
            return value
        if id(value) in known:
            return known[id(value)]
        return OnDevice(value) if stays else value

    return tree_map(placed, result)


_PRODUCTS = (nn.functional.conv2d, torch.conv2d, nn.functional.linear, torch.matmul, Tensor.matmul, torch.bmm)


def _halved(value):
    return value.bfloat16() if isinstance(value, Tensor) and value.dtype == torch.float32 else value


class _Operators(TorchDispatchMode):
    """Reaches what makes a tensor on the device from nothing."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _execute(func, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """What makes tensors below the dispatcher, and mixed precision: products in bfloat16."""

    def __init__(self, amp: bool) -> None:
        super().__init__()
        self.amp = amp

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if self.amp and func in _PRODUCTS:
            args, kwargs = tree_map(_halved, (args, kwargs))
        if func in (torch.tensor, torch.as_tensor) and _here(kwargs.get('device')):
            kwargs.pop('device')
            return OnDevice(func(*map(_host, args), **kwargs))
        if getattr(func, '__name__', '') == 'apply':  # of an autograd function, inside of which this has to work too
            with self:
                return func(*args, **kwargs)
        return func(*args, **kwargs)


class PretendedGPU:
    """Context in which tensors can be made on, and moved to, the pretended GPU; counts from 0."""

    def __init__(self, amp: bool = False) -> None:
        self.amp = amp

    def __enter__(self) -> Counter:
        COUNTS.clear()
        self._modes = _Functions(self.amp), _Operators()
        for mode in self._modes:
            mode.__enter__()
        return COUNTS

    def __exit__(self, *error) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)


def to_device(model: nn.Module) -> nn.Module:
    """``model`` with its parameters and buffers on the pretended GPU."""
    for module in model.modules():
        for name, value in module._parameters.items():
            if value is not None:
                module._parameters[name] = nn.Parameter(OnDevice(value.data), value.requires_grad)
        for name, value in module._buffers.items():
            if value is not None:
                module._buffers[name] = OnDevice(value)
    return model
