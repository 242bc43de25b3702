#!/usr/bin/env bash
# Evaluate with one process per GPU (or several on the CPU): dist_test.sh CONFIG CHECKPOINT GPUS [options of test.py]
# Environment: see dist_run.sh
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "error: usage: $0 CONFIG CHECKPOINT GPUS [options of tools/test.py]" >&2
    exit 2
fi
exec bash "$(dirname "$0")/dist_run.sh" "$3" test.py "$1" "$2" --launcher pytorch "${@:4}"
