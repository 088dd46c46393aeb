#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs the Go fuzz targets, one after the other.
#   fuzz.sh [TARGET-PATTERN]   each for FUZZTIME (default 20s)
#   fuzz.sh --fixed            each for its executions in docs/fuzzing.md, from
#                              nothing but the corpus in the tree
# What is found is written into the room's testdata/fuzz and from then on runs
# as a seed in the plain tests.
set -euo pipefail
cd "$(dirname "$0")/.."

fixed=false pattern=^Fuzz
case ${1:-} in
  --fixed) fixed=true ;;
  ?*) pattern=$1 ;;
esac
fuzztime=${FUZZTIME:-20s}

# "ROOM TARGET EXECUTIONS" a line.
table() {
  sed -nE 's/^\| `([^`]+)` \| `(Fuzz[A-Za-z0-9_]+)` \|.*\| ([0-9]+) \|$/\1 \2 \3/p' docs/fuzzing.md
}
rooms=$(table | cut -d' ' -f1 | uniq)
[ -n "$rooms" ] || { echo "fuzz: docs/fuzzing.md has no table of targets" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What guides the mutations: the coverage of our own code in --fixed, where
# instrumenting everything would compile all C below it once more; else of all.
guide=-fuzz=.
if $fixed; then guide=-gcflags=provisioning.example/station/...=-d=libfuzzer; fi

# Runs one target; in --fixed without what earlier runs kept, so that each run
# has the same work.
run() {
  local room=$1 target=$2 limit=$3 cache=${GOCACHE:-$(go env GOCACHE)}/fuzz/provisioning.example/station/$1
  if $fixed; then cache=$work/$target; fi
  (cd "$room" && "$work/test" -test.run='^$' -test.fuzz="^$target\$" -test.fuzztime="$limit" \
    -test.fuzzminimizetime=10s -test.fuzzcachedir="$cache") >"$work/log" 2>&1 || return 1
  rm -rf "${work:?}/$target"
}

count=0 failed=()
for room in $rooms; do
  targets=$(table | awk -v room="$room" -v pattern="$pattern" '$1 == room && $2 ~ pattern { print $2, $3 }')
  [ -n "$targets" ] || continue
  go test -c "$guide" -o "$work/test" "./$room"
  while read -r target executions; do
    limit=$fuzztime
    if $fixed; then limit=${executions}x; fi
    count=$((count + 1))
    start=$SECONDS
    if run "$room" "$target" "$limit"; then
      echo "fuzz $room $target $limit: $((SECONDS - start)) s, $(grep -o 'total: [0-9]*' "$work/log" | tail -n 1 || true) inputs"
    else
      cat "$work/log"
      failed+=("$room $target")
    fi
  done <<<"$targets"
done

[ "$count" -gt 0 ] || { echo "fuzz: no target matches $pattern" >&2; exit 2; }
echo "fuzz: $count targets, ${#failed[@]} failed"
if [ ${#failed[@]} -gt 0 ]; then
  printf '  %s\n' "${failed[@]}"
  exit 1
fi
