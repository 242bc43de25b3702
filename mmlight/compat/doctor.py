"""What is installed, what is patched, what is broken and what to do about it: the ``mmlight doctor`` command."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import sys
import sysconfig
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType

from mmlight.compat import startup
from mmlight.compat.environment_report import import_error
from mmlight.compat.ops_fallback import FallbackModule, native_extension
from mmlight.errors import InputError

# First version that works, first one that nobody has tried.
TESTED = {
    'mmengine': ('0.10.4', '1'),
    'mmcv': ('2.0.0', '3'),
    'mmdet': ('3.3.0', '4'),
    'mmseg': ('1.2.0', '2'),
}
_INSTALL = {
    'torch': 'pip install torch',
    'mmengine': 'pip install mmengine',
    'mmcv': 'pip install mmcv-lite (operators then come from mmlight), or a compiled mmcv',
    'mmdet': 'pip install mmdet',
    'mmseg': 'pip install mmsegmentation ftfy regex',
    'cv2': 'pip install opencv-python',
}


class _Findings:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.broken: list[str] = []
        self.notes: list[str] = []

    def row(self, name: str, value: str) -> None:
        self.lines.append(f'  {name:<24}{value}')


def report() -> str:
    """The text of :func:`diagnose`."""
    return diagnose()[0]


def diagnose() -> tuple[str, int]:
    """Look at the installation.

    Returns:
        The text to print, and the exit code: 0 when detectors or segmentors can be built here, 1 when something is
        broken. Never raises; what cannot be found out is itself reported.
    """
    findings = _Findings()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        _guard(_hosts, findings)  # first: its imports are what some patches wait for
        for title, part in (('Versions', _versions), ('Operators', _operators), ('Patches', _patches)):
            findings.lines.append(title)
            _guard(part, findings)
    lines = findings.lines
    for title, texts in (('Notes', findings.notes), ('Broken', findings.broken)):
        if texts:
            lines += [title, *(f'  - {text}' for text in texts)]
    lines.append('Something is broken, see above.' if findings.broken else 'Everything that is needed works.')
    return '\n'.join(lines), int(bool(findings.broken))


def _guard(part: Callable[[_Findings], None], findings: _Findings) -> None:
    try:
        part(findings)
    except Exception as error:
        findings.broken.append(f'{part.__name__.strip("_")} cannot be examined: {_one_line(error)}')


def _one_line(error: BaseException) -> str:
    text = ' '.join(str(error).split())
    return f'{type(error).__name__}: {text[:160]}'


def _versions(findings: _Findings) -> None:
    findings.row('python', f'{platform.python_version()} ({platform.platform()})')
    findings.row('mmlight', importlib.import_module('mmlight.version').__version__)
    for name in ('torch', 'torchvision', 'numpy', 'cv2', 'mmengine', 'mmcv', 'mmdet', 'mmseg'):
        _version(name, findings)
    setuptools = _distribution_version('setuptools') or 'not installed'
    has_pkg_resources = importlib.util.find_spec('pkg_resources') is not None
    findings.row('setuptools', f'{setuptools}, {"with" if has_pkg_resources else "without"} pkg_resources')
    if import_error('distutils') is not None:
        findings.row('distutils', 'absent')


def _version(name: str, findings: _Findings) -> None:
    error = import_error(name)
    if error is None:
        module = sys.modules[name]
        version = str(getattr(module, '__version__', 'unknown version'))
        extra = {'torch': _device, 'mmcv': _mmcv_flavour}.get(name, lambda module, findings: '')(module, findings)
        findings.row(name, version + extra)
        _check_range(name, version, findings)
    elif isinstance(error, ModuleNotFoundError) and error.name == name:
        findings.row(name, 'not installed')
        if name not in ('torchvision', 'mmdet', 'mmseg'):
            findings.broken.append(f'{name} is not installed: {_INSTALL.get(name, "pip install " + name)}')
    else:
        findings.row(name, f'broken: {_one_line(error)}')
        if name == 'torchvision':
            findings.notes.append(
                'torchvision cannot be imported, usually because it was built for another torch; mmlight does not '
                'need it and shields mmengine from it; pip uninstall torchvision, or install the build that fits'
            )
        else:
            findings.broken.append(f'{name} is installed but cannot be imported: {_one_line(error)}')


def _device(torch: ModuleType, findings: _Findings) -> str:
    if not torch.cuda.is_available():
        return ', CPU only'
    from mmlight.compat.ops_fallback.torchvision_kernels import kernels

    device = torch.cuda.get_device_name(0)
    if native_extension() is None and kernels(torch.empty(0, device='cuda')) is None:
        findings.notes.append(
            'nms and roi_align run as plain PyTorch on the GPU; a torchvision that fits makes them fast'
        )
    return f', CUDA {torch.version.cuda} on {device}'


def _mmcv_flavour(mmcv: ModuleType, findings: _Findings) -> str:
    distributions = sorted(set(metadata.packages_distributions().get('mmcv', [])))
    if len(distributions) > 1:
        findings.broken.append(
            f'{" and ".join(distributions)} overwrite each other: pip uninstall {" ".join(distributions)}, then '
            'install one of them'
        )
    fork = ', a fork' if any(name.startswith('onedl') for name in distributions) else ''
    flavour = 'compiled' if native_extension() else 'lite, without compiled operators'
    return f' ({", ".join(distributions) or "no distribution"}{fork}; {flavour})'


def _check_range(name: str, version: str, findings: _Findings) -> None:
    if name not in TESTED:
        return
    from packaging.version import InvalidVersion, Version

    low, high = TESTED[name]
    try:
        found = Version(version)
    except InvalidVersion:
        findings.notes.append(f'{name} {version}: cannot tell whether mmlight works with it')
        return
    if found < Version(low):
        findings.broken.append(f'{name} {version} is too old: pip install "{name}>={low},<{high}"')
    elif found >= Version(high):
        findings.notes.append(f'{name} {version} is newer than what mmlight was tested with (>={low}, <{high})')


def _distribution_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _operators(findings: _Findings) -> None:
    if importlib.util.find_spec('mmcv') is None:
        findings.row('mmcv.ops', 'mmcv is not installed')
        return
    error = import_error('mmcv.ops')
    if error is not None:
        findings.row('mmcv.ops', f'cannot be imported: {_one_line(error)}')
        findings.broken.append(
            'mmcv.ops cannot be imported, so no model can be built: unset MMLIGHT_NO_COMPAT, or reinstall mmcv'
        )
        return
    extension = sys.modules['mmcv._ext']
    if not isinstance(extension, FallbackModule):
        findings.row('native', f'all ({native_extension()})')
        return
    from mmlight.compat.ops_fallback.operators import OPERATORS

    findings.row('native', 'none')
    findings.row('fallback', ', '.join(sorted(name for name in OPERATORS if not name.startswith('get_'))))
    findings.row('missing', f'{len(extension.missing)} (points and voxels, border and prroi pooling, ...)')


def _startup(findings: _Findings) -> None:
    """Whether a process that imports mmdet first gets the patches too."""
    found = importlib.util.find_spec('_mmlight_startup')
    origin = Path(found.origin) if found and found.origin else None
    if origin is None or not (origin.parent / startup.FILES[1]).is_file():
        findings.row('at start', 'not installed: import mmlight before mmcv, mmdet and mmseg')
        findings.notes.append("mmdet's and mmseg's own tools need the start-up hook: mmlight doctor --repair")
    elif origin.read_bytes() != Path(startup.__file__).read_bytes():
        findings.row('at start', f'of another version of mmlight, in {origin.parent}')
        findings.notes.append('the start-up hook is of another version: mmlight doctor --repair')
    else:
        findings.row('at start', f'loaded by the first import of mmengine, mmcv, mmdet or mmseg ({origin.parent})')


def repair() -> list[str]:
    """Write the start-up hook into this interpreter's site-packages; returns the paths.

    Raises:
        InputError: the folder cannot be written to.
    """
    folder = sysconfig.get_path('purelib')
    try:
        return startup.write(folder)
    except OSError as error:
        raise InputError(f'{folder}: {error.strerror}; install mmlight into an environment of your own') from error


def _patches(findings: _Findings) -> None:
    from mmlight import compat

    _startup(findings)
    for record in compat.status():
        findings.row(record.name, f'{record.state}: {record.reason}')
        if record.state == 'failed':
            findings.broken.append(f'the patch {record.name} failed: {record.reason}; please report it')


def _hosts(findings: _Findings) -> None:
    """Whether the libraries of models can be used, by importing them."""
    present = [name for name in ('mmdet', 'mmseg') if importlib.util.find_spec(name) is not None]
    if not present:
        findings.broken.append(f'neither mmdet nor mmseg is installed: {_INSTALL["mmdet"]}; {_INSTALL["mmseg"]}')
    for name, task in (('mmdet', 'detection'), ('mmseg', 'segmentation')):
        if name not in present:
            findings.notes.append(f'{name} is not installed, so {task} configs cannot be used: {_INSTALL[name]}')
            continue
        error = import_error(f'{name}.models')
        if error is None or import_error(name) is not None:
            continue  # works, or was reported among the versions
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        advice = f'pip install {absent}' if absent and not absent.startswith('mm') else 'see the lines above'
        findings.broken.append(f'{name}.models cannot be imported: {_one_line(error)}; {advice}')
