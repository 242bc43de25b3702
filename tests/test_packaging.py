"""What users get: the contents of sdist, wheel and editable install, and the requirements that they state."""

import os
import subprocess
import sys
import tarfile
import textwrap
import venv
import zipfile
from pathlib import Path

import pytest

import mmlight
from mmlight.compat import startup

ROOT = Path(__file__).resolve().parents[1]
PACKED = {'.py', '.sh', '.yml', '.md'}  # as MANIFEST.in says


def packed_files(*folders: str) -> set[str]:
    """Files below these folders of the repository that belong into the packages."""
    return {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob('*')
        if path.is_file() and path.suffix in PACKED and not {'__pycache__', '.mim'} & set(path.parts)
    }


def build(step: str, source: Path, out: Path) -> Path:
    """Run one step of the build system with this interpreter (no network), return the file that it wrote."""
    out.mkdir(exist_ok=True)
    code = f'from setuptools import build_meta; print(build_meta.{step}({str(out)!r}))'
    done = subprocess.run([sys.executable, '-c', code], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope='module')
def source(tmp_path_factory) -> Path:
    """A copy of the sources: building must not write into the repository."""
    folder = tmp_path_factory.mktemp('source')
    names = ['setup.py', 'pyproject.toml', 'MANIFEST.in', 'LICENSE', 'model-index.yml', 'requirements.txt']
    names += [path.relative_to(ROOT).as_posix() for path in (ROOT / 'requirements').iterdir()]
    names += packed_files('mmlight', 'configs', 'tools')
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / 'mmlight' / '.mim').mkdir()
    for link in (ROOT / 'mmlight' / '.mim').iterdir():
        (folder / 'mmlight' / '.mim' / link.name).symlink_to(os.readlink(link))
    return folder


@pytest.fixture(scope='module')
def sdist(source, tmp_path_factory) -> Path:
    """The unpacked sdist."""
    folder = tmp_path_factory.mktemp('sdist')
    with tarfile.open(build('build_sdist', source, folder)) as archive:
        assert not [entry.name for entry in archive if entry.issym()]
        archive.extractall(folder)
    return folder / f'mmlight-{mmlight.__version__}'


@pytest.fixture(scope='module')
def wheel(sdist, tmp_path_factory) -> Path:
    """The wheel that is built from the sdist."""
    return build('build_wheel', sdist, tmp_path_factory.mktemp('wheel'))


def test_wheel_holds_package_configs_and_tools(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = packed_files('mmlight') | {f'mmlight/.mim/{name}' for name in packed_files('configs', 'tools')}
    assert wanted | {'mmlight/.mim/model-index.yml'} <= names
    packed = {name for name in names if '.dist-info/' not in name}
    assert packed == wanted | {'mmlight/.mim/model-index.yml', *startup.FILES}  # no tests, no caches


def test_wheel_metadata(wheel):
    archive = zipfile.ZipFile(wheel)
    info = f'mmlight-{mmlight.__version__}.dist-info'
    text = archive.read(f'{info}/METADATA').decode()
    assert 'Requires-Python: >=3.10' in text
    assert 'License: Apache-2.0' in text or 'License-Expression: Apache-2.0' in text
    assert {'all', 'distributed', 'onnx', 'report', 'search', 'tests'} <= {
        line.partition(': ')[2] for line in text.splitlines() if line.startswith('Provides-Extra')
    }
    assert 'mmlight = mmlight.cli:main' in archive.read(f'{info}/entry_points.txt').decode()


def test_editable_install_sees_mim(source, tmp_path):
    wheel = build('build_editable', source, tmp_path / 'editable')
    zipfile.ZipFile(wheel).extractall(tmp_path / 'site')
    assert all((tmp_path / 'site' / name).is_file() for name in startup.FILES)
    code = f"""
        import site, sys
        from importlib import util
        from pathlib import Path
        site.addsitedir({str(tmp_path / 'site')!r})
        mim = Path(util.find_spec('mmlight').origin).with_name('.mim')
        assert {str(source)!r} in str(mim), mim
        print(*sorted(p.name for p in mim.iterdir() if p.is_file() or any(p.iterdir())))
    """
    # -I and -S: no PYTHONPATH and no other installation may stand in for the one under test.
    command = [sys.executable, '-I', '-S', '-c', textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == ['configs', 'model-index.yml', 'tools'], done.stderr


def test_model_index_names_files_that_exist():
    entries = [line.removeprefix('  - ') for line in (ROOT / 'model-index.yml').read_text().splitlines()[1:]]
    assert entries
    assert sorted(entries) == sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob('configs/*/metafile.yml'))


def install_fake(site: Path, name: str, version: str, package: str, lists_top_level: bool) -> None:
    """Lay down the metadata of an installed distribution, as a wheel installer does."""
    info = site / f'{name.replace("-", "_")}-{version}.dist-info'
    info.mkdir(parents=True)
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')
    (info / 'RECORD').write_text(f'{package}/__init__.py,,\n')
    (site / package).mkdir()
    (site / package / '__init__.py').touch()  # Python 3.12 leaves recorded files out that do not exist
    if lists_top_level:
        (info / 'top_level.txt').write_text(f'{package}\n')


STACK = {'mmcv-lite', 'mmdet', 'mmengine', 'mmsegmentation'}


@pytest.mark.parametrize(
    ('installed', 'required'),
    [
        ([], STACK),
        ([('mmcv-lite', '2.1.0', 'mmcv')], STACK),
        ([('mmcv', '2.1.0', 'mmcv')], STACK - {'mmcv-lite'}),
        ([('onedl-mmcv', '2.3.6', 'mmcv'), ('onedl_mmengine', '0.10.12', 'mmengine')], {'mmdet', 'mmsegmentation'}),
        ([('onedl-mmdetection', '3.5.1', 'mmdet')], STACK - {'mmdet'}),
        ([('onedl-mmsegmentation', '1.4.2', 'mmseg')], STACK - {'mmsegmentation'}),
    ],
)
@pytest.mark.parametrize('lists_top_level', [True, False])
def test_what_is_installed_is_accepted(source, tmp_path, installed, required, lists_top_level):
    """setup.py, run by the interpreter of an environment but without its packages on the path, as pip's build does."""
    environment = tmp_path / 'environment'
    venv.create(environment, symlinks=True)
    python = environment / 'bin' / 'python'
    find_site = [python, '-c', 'import site; print(site.getsitepackages()[0])']
    site = Path(subprocess.run(find_site, capture_output=True, text=True).stdout.strip())
    for name, version, package in installed:
        install_fake(site, name, version, package, lists_top_level)
    out = tmp_path / 'out'
    out.mkdir()
    code = f"""
        import sys
        sys.path = [p for p in sys.path if not p.startswith({str(environment)!r})]
        sys.path.insert(0, {str(Path(__import__('setuptools').__file__).parents[1])!r})
        from setuptools import build_meta
        print(build_meta.prepare_metadata_for_build_wheel({str(out)!r}))
    """
    done = subprocess.run([python, '-c', textwrap.dedent(code)], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    metadata = (out / done.stdout.splitlines()[-1] / 'METADATA').read_text()
    lines = [line for line in metadata.splitlines() if line.startswith('Requires-Dist') and 'extra' not in line]
    stated = {line.removeprefix('Requires-Dist: ').split('<')[0].split('>')[0] for line in lines}
    assert stated & STACK == required
    assert {'ftfy', 'regex', 'setuptools', 'torch'} <= stated
