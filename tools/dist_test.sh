#!/usr/bin/env bash
# Evaluate with one process per GPU (or several on the CPU): dist_test.sh CONFIG CHECKPOINT GPUS [options of test.py]
# Environment: PORT (29500; with one node a free one), NNODES (1), NODE_RANK (0), MASTER_ADDR (127.0.0.1), PYTHON (python)
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "error: usage: $0 CONFIG CHECKPOINT GPUS [options of tools/test.py]" >&2
    exit 2
fi
CONFIG=$1
CHECKPOINT=$2
GPUS=$3
TOOLS=$(cd "$(dirname "$0")" && pwd)

if [ -z "${PORT:-}" ] && [ "${NNODES:-1}" = 1 ]; then
    MEETING=(--standalone)
else
    PORT=${PORT:-29500}
    if [ "${NODE_RANK:-0}" = 0 ] && (exec 3<> "/dev/tcp/127.0.0.1/$PORT") 2> /dev/null; then
        echo "error: PORT $PORT: in use on this machine; set another" >&2
        exit 2
    fi
    MEETING=(--nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="$PORT")
fi

PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-python}" -m torch.distributed.run \
    "${MEETING[@]}" \
    --nproc_per_node="$GPUS" \
    "$TOOLS/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
