"""Package metadata; the build system and the tools' settings are in ``pyproject.toml``."""

import re
import runpy
import site
import sys
from importlib import metadata
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# The packages that exist under several distribution names (mmcv: mmcv, mmcv-lite, onedl-mmcv, ...). All of them write
# the same files, so a second distribution over the first would destroy it.
IMPORT_NAMES = {'mmcv-lite': 'mmcv', 'mmdet': 'mmdet', 'mmengine': 'mmengine', 'mmsegmentation': 'mmseg'}


def canonical(name: str) -> str:
    return re.sub(r'[-_.]+', '-', name).lower()


def site_folders() -> list[str]:
    """Where the running interpreter keeps its distributions.

    pip's isolated build hides them from ``sys.path`` but runs the interpreter of the target environment. `python -m
    build` runs one of its own, which holds none of these packages: its wheels keep every requirement.
    """
    folders = site.getsitepackages()
    if sys.prefix == sys.base_prefix:  # a virtual environment does not see the user's folder
        folders.append(site.getusersitepackages())
    return folders


def top_level_names(distribution: metadata.Distribution) -> set[str]:
    listed = distribution.read_text('top_level.txt')
    if listed:
        return set(listed.split())
    return {file.parts[0] for file in distribution.files or ()}


def providers(package: str) -> set[str]:
    """Canonical names of the installed distributions that hold the import package."""
    return {
        canonical(distribution.metadata['Name'])
        for distribution in metadata.distributions(path=site_folders())
        if distribution.metadata['Name'] and package in top_level_names(distribution)
    }


def requirements(name: str) -> list[str]:
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


def missing(requirement: str) -> bool:
    """False where another distribution than the required one already provides the import package."""
    name = canonical(re.match(r'[\w.-]+', requirement).group())
    return name not in IMPORT_NAMES or not providers(IMPORT_NAMES[name]) - {name}


class BuildPy(build_py):
    """Adds the start-up hook at the root of the wheel; also where the package itself is only pointed at (editable)."""

    def run(self) -> None:
        super().run()
        folder = self.get_finalized_command('install').install_lib if self.editable_mode else self.build_lib
        self.mkpath(folder)
        runpy.run_path(str(ROOT / 'mmlight' / 'compat' / 'startup.py'))['write'](folder)


def version() -> str:
    text = (ROOT / 'mmlight' / 'version.py').read_text(encoding='utf-8')
    return re.search(r"^__version__ = '([^']+)'", text, re.MULTILINE).group(1)


extras = {name: requirements(name) for name in ('distributed', 'docs', 'onnx', 'report', 'search', 'tests')}
extras['all'] = sorted({line for lines in extras.values() for line in lines})
extras['weights'] = requirements('weights')  # 60 MB that only tests read
extras['exports'] = requirements('exports')  # that only tests read, too
readme = ROOT / 'README.md'

setup(
    name='mmlight',
    version=version(),
    description='Light-weight and searched networks for MMDetection and MMSegmentation',
    long_description=readme.read_text(encoding='utf-8') if readme.exists() else '',
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    classifiers=[
        'Development Status :: 4 - Beta',
        'Operating System :: OS Independent',
        *(f'Programming Language :: Python :: 3.{minor}' for minor in (10, 11, 12, 13)),
    ],
    python_requires='>=3.10',
    install_requires=[line for line in requirements('runtime') if missing(line)],
    extras_require=extras,
    packages=find_packages(include=['mmlight', 'mmlight.*']),
    package_data={'mmlight.weights': ['*.yml']},
    include_package_data=True,  # mmlight/.mim, see MANIFEST.in
    entry_points={'console_scripts': ['mmlight = mmlight.cli:main']},
    cmdclass={'build_py': BuildPy},
    zip_safe=False,
)
