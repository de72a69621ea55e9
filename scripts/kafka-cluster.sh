#!/usr/bin/env bash
# Three real Kafka brokers on loopback, each also a controller, for tests that kill brokers.
#
#   scripts/kafka-cluster.sh start DIR       starts them, prints HOST:PORT,HOST:PORT,HOST:PORT
#   scripts/kafka-cluster.sh kill DIR N      kills broker N (1 to 3) with SIGKILL
#   scripts/kafka-cluster.sh restart DIR N   starts it again with its data, on the same port; stops it first if it runs
#   scripts/kafka-cluster.sh pause DIR N     stops it with SIGSTOP
#   scripts/kafka-cluster.sh resume DIR N    lets it go on
#   scripts/kafka-cluster.sh stop DIR        kills all and removes their data
#
# Topics have three replicas, of which two must be in sync. KAFKA_HEAP changes each broker's heap (-Xmx320m).
set -euo pipefail

# shellcheck source=scripts/kafka.sh
source "$(dirname "${BASH_SOURCE[0]}")/kafka.sh"
export KAFKA_HEAP=${KAFKA_HEAP:--Xmx320m}
nodes=3

cluster_properties() { # dir, node, the ports of all
  local dir=$1 node=$2 voters="" other
  shift 2
  local ports=("$@")
  for other in $(seq $nodes); do voters+=",$other@127.0.0.1:$((ports[other - 1] + 1))"; done
  properties "$dir" "${ports[node - 1]}" |
    sed -e "s/^node.id=.*/node.id=$node/" -e "s/^controller.quorum.voters=.*/controller.quorum.voters=${voters#,}/" \
      -e 's/^broker.session.timeout.ms=.*/broker.session.timeout.ms=10000/' \
      -e "s/\(replication.factor=\)1/\1$nodes/" -e 's/\(log.min.isr=\)1/\12/'
  cat <<P
default.replication.factor=$nodes
min.insync.replicas=2
controlled.shutdown.enable=true
P
}

start_cluster() {
  local dir=$1 id node ports=() pids=()
  command -v java >/dev/null || fail "a Java runtime, 17 or newer, is needed: apt-get install default-jre-headless"
  fetch
  stop_cluster "$dir"
  id=$(uuid)
  for node in $(seq $nodes); do ports+=("$(free_port "${ports[@]}")"); done
  for node in $(seq $nodes); do
    mkdir -p "$dir/$node"
    cluster_properties "$dir/$node" "$node" "${ports[@]}" >"$dir/$node/server.properties"
    java -cp "$jars/*" kafka.tools.StorageTool format -t "$id" -c "$dir/$node/server.properties" \
      >"$dir/$node/format.log" 2>&1 &
    pids+=($!)
  done
  for node in $(seq $nodes); do
    wait "${pids[node - 1]}" || fail "formatting failed: $(tail -3 "$dir/$node/format.log")"
  done
  # None is complete before a majority is there.
  pids=()
  for node in $(seq $nodes); do
    launch "$dir/$node" "${ports[node - 1]}" >/dev/null &
    pids+=($!)
  done
  for node in "${pids[@]}"; do wait "$node"; done
  cat "$dir"/[1-9]/address | paste -sd, | tee "$dir/addresses"
}

stop_cluster() {
  local node
  for node in $(seq $nodes); do
    stop "$1/$node"
    rm -rf "${1:?}/$node"
  done
  rm -f "$1/addresses"
}

restart_node() {
  local port
  port=$(sed -n 's/^advertised.listeners=.*://p' "$1/server.properties")
  halt "$1" TERM
  launch "$1" "$port"
}

signal() { kill "-$1" "$(cat "$2/pid")"; }

command=${1:-} node=${3:-}
[ -n "${2:-}" ] || { sed -n 2,11p "${BASH_SOURCE[0]}"; exit 2; }
dir=$(realpath -m "$2")
case $command in
  start) start_cluster "$dir" ;;
  kill) halt "$dir/$node" KILL ;;
  restart) restart_node "$dir/$node" ;;
  pause) signal STOP "$dir/$node" ;;
  resume) signal CONT "$dir/$node" ;;
  stop) stop_cluster "$dir" ;;
  *) sed -n 2,11p "${BASH_SOURCE[0]}"; exit 2 ;;
esac
