#!/usr/bin/env bash
# Millstream, Kafka Streams and the raw client loop beside each other, by turns on one broker: tables with ratios,
# peers.json, peers.svg, and at the end how many targets were met.
#
#   scripts/bench-peers.sh [OPTION...]        options of the bench: scripts/bench.sh peers --help
#   WORKLOADS=count,join SCALE=0.2 ROUNDS=1 scripts/bench-peers.sh
#
# WORKLOADS  these rows of the table only, and nothing beside the table unless SECTIONS says so
# SECTIONS   of throughput, latency, restart, scale
# SCALE      so many times two million records, and thirty seconds of latency (1)
# ROUNDS     how often each is measured (3)
# BENCH_OUT  where the files go (.work/bench)
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=$(realpath -m "${BENCH_OUT:-.work/bench}")
mkdir -p "$out"
scale=${SCALE:-1}
options=(--out "$out" --rounds "${ROUNDS:-3}")
options+=(--records "$(awk -v scale="$scale" 'BEGIN { printf "%d", scale * 2000000 }')")
options+=(--latency-seconds "$(awk -v scale="$scale" 'BEGIN { s = scale * 30; printf "%d", s < 5 ? 5 : s }')")
if [ -n "${WORKLOADS:-}" ]; then
  options+=(--workloads "${WORKLOADS// /,}")
  SECTIONS=${SECTIONS:-throughput}
fi
if [ -n "${SECTIONS:-}" ]; then options+=(--sections "${SECTIONS// /,}"); fi
model=$(sed -nE 's/^model name\s*: //p' /proc/cpuinfo | head -n 1)
version=$(git describe --always --dirty 2>/dev/null || echo unknown)
options+=(--about "$(date -u +%F), $(nproc) cores (${model:-unknown}), $version, $(java -version 2>&1 | head -n 1)")

jars=$PWD/benches/peers/target
program=$jars/kafka-streams-peer.jar
if [ ! -e "$program" ] || [ -n "$(find benches/peers/pom.xml benches/peers/src -newer "$program")" ]; then
  mvn -q -B -f benches/peers/pom.xml package dependency:copy-dependencies
fi
# As much as a broker that two million records go through needs; the tests make do with less.
export KAFKA_HEAP=${KAFKA_HEAP:--Xmx1g}
scripts/bench.sh peers --jars "$jars" "${options[@]}" "$@"
