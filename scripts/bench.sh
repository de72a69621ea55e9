#!/usr/bin/env bash
# Runs a bench on a real broker: the one in MILLSTREAM_TEST_BOOTSTRAP, or one that is started for it.
#
#   scripts/bench.sh NAME [OPTION...]      NAME is throughput, restart, peers or growth; --help lists its options
#
# Our own crates are compiled as in a release (opt-level 3, one codegen unit, without debug assertions and overflow checks),
# the libraries below them with the very settings of the tests, so that those are compiled once for both: RocksDB alone takes half an
# hour. Cargo keeps each profile's output in a folder of its own, so that a profile could not share them: the dev profile
# is used with other values for our crates. The integration tests are named so that Cargo chooses the same features.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
bench=${1:-}
[ -f "benches/benches/$bench.rs" ] || { sed -n 2,4p "${BASH_SOURCE[0]}"; exit 2; }
shift

export CARGO_PROFILE_DEV_OPT_LEVEL=3 CARGO_PROFILE_DEV_DEBUG_ASSERTIONS=false CARGO_PROFILE_DEV_OVERFLOW_CHECKS=false
units=()
for crate in millstream-state millstream-operators millstream millstream-benches; do
  units+=(--config "profile.dev.package.$crate.codegen-units=1")
done
run=(cargo bench --quiet --locked --profile dev "${units[@]}"
  --package millstream-integration-tests --package millstream-benches --bench "$bench")
# Compiled before the broker starts, so that it does not wait for the compiler.
"${run[@]}" --no-run
scripts/with-kafka.sh sh -c '"$@" --bootstrap-servers "$MILLSTREAM_TEST_BOOTSTRAP"' sh "${run[@]}" -- "$@"
