#!/usr/bin/env bash
# Kills the emulator with SIGKILL at random instants, 200 times or as often as said, with every kind of call under way, each time in the same
# data directory, and holds every answer that was given against what the next life serves. It does the same on a full disk (where a small
# file system may be mounted) and while the emulator starts, in new, earlier and foreign directories, each a quarter or a fifth as often.
# Files of other people, in the data directory and elsewhere, are listed before and after. The tests print their seeds.
#
#   bash bench/crash.sh [KILLS]
set -euo pipefail
cd "$(dirname "$0")/.."
UPGRADEMOCK_KILLS=${1:-200} go test -run '^TestKill' -count=1 -v -timeout 60m ./mockserver
