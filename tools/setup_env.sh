#!/usr/bin/env bash
# Sets up the Python environment of this repository, for quickstart.sh and run_tests.sh alike.
#
#   bash tools/setup_env.sh [EXTRA ...]     e.g. `bash tools/setup_env.sh tests onnx`
#
# The interpreter to use is all that goes to stdout. The active environment (venv or conda) is used if there is one,
# else .venv in the repository. An installed torch is taken as it is, else TORCH is installed. PYTHON=... picks the
# interpreter that makes .venv. A second call finds nothing to do and takes less than a second.

TORCH='torch==2.13.0'   # the version that the figures in the documentation were measured with
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

say() { printf '%s\n' "[setup] $*" >&2; }
fail() { printf '%s\n' "error: $*" >&2; exit 1; }

usable() {  # an interpreter that can make our environment; a pyenv shim may exist and still not run
  "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1
}

pick_python() {
  local candidate
  if [ -n "${PYTHON:-}" ]; then
    usable "$PYTHON" || fail "PYTHON=$PYTHON is not a Python >= 3.10 with venv and ensurepip"
    printf '%s\n' "$PYTHON"; return
  fi
  for candidate in python3 python python3.13 python3.12 python3.11 python3.10; do
    if usable "$candidate"; then printf '%s\n' "$candidate"; return; fi
  done
  fail 'no Python >= 3.10 with venv and ensurepip found on PATH; install one (Debian and Ubuntu: python3-venv too)' \
    'or name it: PYTHON=/path/to/python3.11'
}

find_environment() {  # sets PYTHON and OWN (1 where the environment is ours)
  local active=${VIRTUAL_ENV:-${CONDA_PREFIX:-}} base system=()
  OWN=0
  if [ -n "$active" ]; then
    [ -z "${PYTHON:-}" ] || say "PYTHON=$PYTHON is not used: the environment $active is active"
    PYTHON=$active/bin/python
    [ -x "$PYTHON" ] || fail "the active environment $active has no bin/python; deactivate it and try again"
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
      fail "the active environment $active has $("$PYTHON" --version 2>&1), mmlight needs Python >= 3.10"
    return
  fi
  OWN=1
  if [ ! -x "$REPO/.venv/bin/python" ]; then
    base=$(pick_python) || exit 1
    # A torch that came with the interpreter (containers, clusters) is used, not downloaded once more.
    if has_torch "$base"; then system=(--system-site-packages); fi
    say "making $REPO/.venv with $("$base" --version 2>&1)"
    "$base" -m venv ${system[@]+"${system[@]}"} "$REPO/.venv" || fail "could not make $REPO/.venv"
  fi
  PYTHON=$REPO/.venv/bin/python
}

version_of_torch() { "$PYTHON" -c 'import importlib.metadata as m; print(m.version("torch"))'; }

has_torch() { "$1" -c 'import importlib.metadata as m; m.version("torch")' >/dev/null 2>&1; }

ready() {  # true where this checkout and all that it requires are installed and its requirements have not changed
  # Not in the checkout: its mmlight.egg-info would be found instead of the installed metadata.
  (cd / && exec "$PYTHON" - "$REPO" "$@") <<'PY'
import hashlib
import json
import sys
from importlib import metadata
from pathlib import Path

repo, extras = Path(sys.argv[1]), sys.argv[2:]
stamp = Path(sys.prefix) / '.mmlight-setup'
inputs = [repo / 'setup.py', repo / 'pyproject.toml', *sorted((repo / 'requirements').glob('*.txt'))]
digest = hashlib.sha256(b''.join(path.read_bytes() for path in inputs)).hexdigest()
if extras == ['--write']:
    sys.exit(0 if stamp.write_text(digest) else 1)
try:
    from pip._vendor.packaging.requirements import Requirement

    package = metadata.distribution('mmlight')
    ok = json.loads(package.read_text('direct_url.json'))['url'] == repo.as_uri() and stamp.read_text() == digest
    for requirement in map(Requirement, package.requires):
        if not requirement.marker or any(requirement.marker.evaluate({'extra': name}) for name in ['', *extras]):
            ok &= requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
except (ImportError, TypeError, OSError):  # not installed at all, not in editable mode, or no stamp
    ok = False
sys.exit(not ok)
PY
}

# mmengine requires opencv-python, whose wheels need the system's libGL and libglib; bare machines have neither.
check_opencv() {
  local message
  message=$("$PYTHON" -c 'import cv2' 2>&1) && return
  case $message in
    *'cannot open shared object file'*)
      say "opencv-python lacks a system library (${message##*ImportError: }); installing opencv-python-headless instead"
      "$PYTHON" -m pip uninstall -q -y opencv-python opencv-python-headless
      "$PYTHON" -m pip install -q opencv-python-headless && "$PYTHON" -c 'import cv2' ;;
    *) printf '%s\n' "$message" >&2; false ;;
  esac || fail 'import cv2 fails, see above'
}

setup() {
  local extras quiet=() found
  extras=$(IFS=,; printf '%s' "$*")
  find_environment
  if ready "$@"; then return; fi
  [ -t 2 ] || quiet=(-q)
  "$PYTHON" -m pip --version >/dev/null 2>&1 || "$PYTHON" -m ensurepip >/dev/null || fail "$PYTHON has no pip"
  if has_torch "$PYTHON"; then
    found=$(version_of_torch)
    "$PYTHON" -c 'import sys; sys.exit(tuple(map(int, sys.argv[1].split(".")[:2])) < (2, 4))' "$found" ||
      fail "torch $found is installed, mmlight needs torch >= 2.4; upgrade it or deactivate this environment"
    say "torch $found is installed, it stays"
  else
    say "installing $TORCH (minutes on a slow line)"
    "$PYTHON" -m pip install ${quiet[@]+"${quiet[@]}"} "$TORCH" >&2 || fail "could not install $TORCH"
    found=$(version_of_torch)
  fi
  say "installing mmlight${extras:+[$extras]} and what it requires"
  # torch is named once more because every torchvision, which effdet of the tests requires, wants one torch: so pip looks
  # for the torchvision that fits the torch instead of replacing the torch.
  "$PYTHON" -m pip install ${quiet[@]+"${quiet[@]}"} -e "$REPO${extras:+[$extras]}" "torch==$found" >&2 ||
    fail 'could not install mmlight'
  check_opencv
  "$PYTHON" -c 'import mmlight' || fail 'mmlight is installed but does not import, see above'
  ready --write
  say "ready: $PYTHON"
}

setup "$@"
printf '%s\n' "$PYTHON"
