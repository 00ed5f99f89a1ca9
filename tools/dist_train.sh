#!/usr/bin/env bash
# Usage: tools/dist_train.sh CONFIG PROCESSES [arguments of tools/train.py]
# Several nodes: run it on each with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
# NCCL on GPUs, gloo where there are none.
set -eu
if [ $# -lt 2 ]; then
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
fi
CONFIG=$1 PROCESSES=$2
shift 2
case $PROCESSES in '' | *[!0-9]* | 0) echo "$0: PROCESSES=$PROCESSES; expected a whole number, 1 or more." >&2; exit 2 ;; esac
[ -n "${PYTHON:-}" ] || PYTHON="$(dirname "$0")/../.venv/bin/python"
[ -x "$PYTHON" ] || command -v "$PYTHON" >/dev/null || PYTHON=python
if [ "${NODE_RANK:-0}" = 0 ] && ! "$PYTHON" - "${PORT:-29500}" <<'EOF'
import socket, sys
try:
    socket.create_server(('', int(sys.argv[1]))).close()
except (OSError, ValueError, OverflowError) as error:
    sys.exit(f'port {sys.argv[1]} cannot be used ({error}). Set PORT to a free one, for example PORT=29511.')
EOF
then
    exit 2
fi
exec "$PYTHON" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$PROCESSES" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    "$(dirname "$0")/train.py" "$CONFIG" --launcher pytorch "$@"
