#!/usr/bin/env bash
# Train with one process per GPU (or several on the CPU, with gloo): dist_train.sh CONFIG GPUS [options of train.py]
# Environment: see dist_run.sh
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "error: usage: $0 CONFIG GPUS [options of tools/train.py]" >&2
    exit 2
fi
exec bash "$(dirname "$0")/dist_run.sh" "$2" train.py "$1" --launcher pytorch "${@:3}"
