# What dist_train.sh and dist_test.sh share, which source it with TOOL (train.py or test.py) and GIVEN, the names of the
# arguments before PROCESSES. NCCL on GPUs, gloo where there are none.
# shellcheck shell=bash
set -eu
COUNT=$(set -- $GIVEN; echo $#)
if [ $# -le "$COUNT" ]; then
    echo "Usage: tools/dist_${TOOL%.py}.sh $GIVEN PROCESSES [arguments of tools/$TOOL]
Several nodes: run it on each with NNODES, NODE_RANK, MASTER_ADDR and PORT set." >&2
    exit 2
fi
ARGUMENTS=("${@:1:COUNT}")
shift "$COUNT"
PROCESSES=$1
shift
case $PROCESSES in '' | *[!0-9]* | 0) echo "$0: PROCESSES=$PROCESSES; expected a whole number, 1 or more." >&2; exit 2 ;; esac
[ -n "${PYTHON:-}" ] || PYTHON="$(dirname "$0")/../.venv/bin/python"
[ -x "$PYTHON" ] || command -v "$PYTHON" >/dev/null || PYTHON=python
# each rank and torchrun itself would say it after seconds; the first node is where the port is taken
if ! "$PYTHON" - "${ARGUMENTS[0]}" "${NODE_RANK:-0}" "${PORT:-29500}" <<'EOF'
import socket, sys
config, node, port = sys.argv[1:]
try:
    from lbbt_mm.files.config_paths import refuse_absent_config
except ImportError:  # the tool says so
    pass
else:
    try:
        refuse_absent_config(config)
    except FileNotFoundError as error:
        sys.exit(str(error))
try:
    if node == '0':
        socket.create_server(('', int(port))).close()
except (OSError, ValueError, OverflowError) as error:
    sys.exit(f'port {port} cannot be used ({error}). Set PORT to a free one, for example PORT=29511.')
EOF
then
    exit 2
fi
exec "$PYTHON" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$PROCESSES" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    "$(dirname "$0")/$TOOL" "${ARGUMENTS[@]}" --launcher pytorch "$@"
