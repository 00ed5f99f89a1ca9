#!/usr/bin/env bash
# Usage: tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [arguments of tools/test.py]
TOOL=test.py GIVEN='CONFIG CHECKPOINT'
. "$(dirname "$0")/start_ranks.sh"
