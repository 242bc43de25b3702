#!/usr/bin/env bash
# Sets up the environment with what the tests need (tools/setup_env.sh), then runs them.
#
#   bash tools/run_tests.sh [PYTEST ARGUMENTS]      e.g. `bash tools/run_tests.sh tests/test_ops -k pool`; `-m long`
#
# Paths among the arguments are those of the repository, wherever the script is called from.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=$(bash tools/setup_env.sh tests)
export MMLIGHT_TESTS_EXTRA=1   # the packages that the tests compare with are there: a test that misses one fails
# two workers and more; each imports torch and the libraries, so no more than four
exec "$python" -m pytest -n auto --maxprocesses 4 --dist loadfile "$@"
