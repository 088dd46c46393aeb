#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs every Go fuzz target for FUZZTIME (default 20s), one after the other.
# What it finds is written into the package's testdata/fuzz and from then on
# runs as a seed in the plain tests. Usage: fuzz.sh [TARGET-PATTERN]
#
# `make fuzz` runs it with the build flags that the caches are warm for.
set -euo pipefail
cd "$(dirname "$0")/.."

fuzztime=${FUZZTIME:-20s}
pattern=${1:-^Fuzz}

# Only packages that have one are compiled; go test itself names the targets.
mapfile -t packages < <(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -r dirname | sort -u)
[ ${#packages[@]} -gt 0 ] || { echo "fuzz: there is no fuzz target" >&2; exit 2; }

count=0 failed=()
for package in "${packages[@]}"; do
  # In an assignment, so that a package that does not build ends the script.
  targets=$(go test -list "$pattern" "$package")
  for target in $(grep -E '^Fuzz' <<<"$targets" || true); do
    echo "== $package $target, $fuzztime"
    count=$((count + 1))
    go test -run='^$' -fuzz="^$target\$" -fuzztime="$fuzztime" "$package" || failed+=("$package $target")
  done
done

[ "$count" -gt 0 ] || { echo "fuzz: no target matches $pattern" >&2; exit 2; }
echo "fuzz: $count targets, ${#failed[@]} failed"
if [ ${#failed[@]} -gt 0 ]; then
  printf '  %s\n' "${failed[@]}"
  exit 1
fi
