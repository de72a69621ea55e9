#!/usr/bin/env bash
# Simulated lives under faults, then the same on real brokers: half of the time each.
#
#   MINUTES=n SEED=s scripts/torture.sh
#
# Both print the seeds they ran, faults by kind, and how a violation is replayed. The last line is `violations: N`.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
minutes=${MINUTES:-2} seed=${SEED:-$((RANDOM * 32768 + RANDOM))}
half=$(((minutes + 1) / 2))
cargo build --quiet --locked --package millstream-integration-tests --bins
programs=${CARGO_TARGET_DIR:-target}/debug
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "seed $seed, $half minutes of simulation, $half minutes on real brokers"
"$programs/torture" --seed "$seed" --minutes "$half" | tee -a "$log" || true
RUST_LOG=${RUST_LOG:-warn} "$programs/real_faults" run "$seed" "$half" | tee -a "$log" || true

# Each program closes with a line of its own; one that did not come that far counts as a violation.
awk '/^violations: [0-9]+$/ { found += $2; closed++ }
  END { if (closed < 2) found++; print "violations: " found; exit found > 0 }' "$log"
