#!/usr/bin/env bash
# Kills the emulator with SIGKILL at random instants under load, 200 times or as often as said, each time in the same data directory, and
# holds every answer that was given against what the next life serves. The test prints its seed.
#
#   bash bench/crash.sh [KILLS]
set -euo pipefail
cd "$(dirname "$0")/.."
UPGRADEMOCK_KILLS=${1:-200} go test -run '^TestKill$' -count=1 -v -timeout 20m ./mockserver
