#!/usr/bin/env bash
# Kills three processes of `flights` again and again while the year is produced, then checks that every flight counts once.
#
#   SEED=n KILLS=n scripts/with-kafka.sh scripts/chaos.sh
#
# The seed decides who is killed when and what it loses; without one each run has another.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export MILLSTREAM_CHAOS_SEED=${SEED:-$RANDOM} MILLSTREAM_CHAOS_KILLS=${KILLS:-40}
echo "seed $MILLSTREAM_CHAOS_SEED, $MILLSTREAM_CHAOS_KILLS kills"
cargo test --package millstream-integration-tests --test flights_chaos -- --nocapture
