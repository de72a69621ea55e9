#!/usr/bin/env bash
# Simulated lives under faults, then the same on real brokers: half of the time each.
#
#   MINUTES=n SEED=s scripts/torture.sh
#
# Both print the seeds they ran, faults by kind, and how a violation is replayed. The last line is `violations: N` of both.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
minutes=${MINUTES:-2} seed=${SEED:-$((RANDOM * 32768 + RANDOM))}
for number in "$minutes" "$seed"; do
  [[ $number =~ ^[0-9]+$ ]] || { echo "torture.sh: MINUTES and SEED are whole numbers, not $number" >&2; exit 2; }
done
half=$(awk "BEGIN { print $minutes / 2 }")
cargo build --quiet --locked --package millstream-integration-tests --bins
programs=${CARGO_TARGET_DIR:-target}/debug
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "== simulated lives: seeds from $seed on, $half minutes"
"$programs/torture" --seed "$seed" --minutes "$half" | tee -a "$log" || true
echo "== real faults on three brokers: seed $seed, $half minutes and what it takes to process the rest"
RUST_LOG=${RUST_LOG:-warn} "$programs/real_faults" run "$seed" "$half" | tee -a "$log" || true

echo "== both"
# Each program closes with a line of its own; one that did not come that far counts as a violation.
awk '/^violations: [0-9]+$/ { found += $2; closed++ }
  END {
    if (closed < 2) { found++; print "a program ended before its last line: see above" }
    print "violations: " found + 0
    exit found > 0
  }' "$log"
