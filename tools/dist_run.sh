#!/usr/bin/env bash
# What dist_train.sh and dist_test.sh share: dist_run.sh GPUS SCRIPT [its arguments], one process per GPU (or several on the CPU).
# Environment: PORT (29500; with one node a free one), NNODES (1), NODE_RANK (0), MASTER_ADDR (127.0.0.1), PYTHON (python)
set -euo pipefail
GPUS=$1
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
    "${MEETING[@]}" --nproc_per_node="$GPUS" "$TOOLS/$2" "${@:3}"
