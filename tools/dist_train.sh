#!/usr/bin/env bash
# Usage: tools/dist_train.sh CONFIG PROCESSES [arguments of tools/train.py]
TOOL=train.py GIVEN='CONFIG'
. "$(dirname "$0")/start_ranks.sh"
