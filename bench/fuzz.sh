#!/usr/bin/env bash
# Runs every fuzz target of the module for some seconds each, one after the other.
#
#   bash bench/fuzz.sh          a minute each
#   bash bench/fuzz.sh 5        five seconds each
#   bash bench/fuzz.sh 300 Key  five minutes for each whose name contains Key
#
# What is found lies in the package's testdata/fuzz and becomes a test by being committed. The exit status is that of the first
# target that failed; the others are run all the same.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
seconds=${1:-60}
only=${2:-}
status=0 ran=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

while read -r package directory; do
  targets=$(grep -hoE '^func Fuzz\w*' "$directory"/*_test.go | sed 's/^func //' | grep -F -- "$only") || continue
  go test -c -fuzz . -o "$scratch/test" "$package" || { status=1 && continue; }
  for target in $targets; do
    ran=$((ran + 1))
    printf '== %s %s, %s s\n' "$package" "$target" "$seconds"
    # Where goroutines make the coverage differ from run to run, a minute would pass in making an input smaller in vain.
    if ! (cd "$directory" && "$scratch/test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "${seconds}s" \
      -test.fuzzminimizetime 100x -test.fuzzcachedir "$(go env GOCACHE)/fuzz/$package") 2>&1 | tee "$scratch/log"; then
      # A test takes an input that was under way when the time was up for a failure now and then, and says no more than this.
      if grep -q 'context deadline exceeded' "$scratch/log" && ! grep -q 'Failing input' "$scratch/log"; then
        echo "the time was up: nothing was found"
      else
        status=1
      fi
    fi
  done
done < <(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}} {{.Dir}}{{end}}' ./...)

printf '== %d targets\n' "$ran"
[ "$ran" -gt 0 ] || { echo "no target's name contains '$only'" >&2; exit 2; }
exit "$status"
