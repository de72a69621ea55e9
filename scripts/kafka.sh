#!/usr/bin/env bash
# A real Apache Kafka for tests and trials: one KRaft node on loopback.
#
#   scripts/kafka.sh start [dir] [port]   fetches the broker if it is missing, starts it, waits until it serves, prints HOST:PORT
#   scripts/kafka.sh restart [dir]        stops it and starts it again with its data, on the same port
#   scripts/kafka.sh ready [dir]          prints HOST:PORT and succeeds if it runs and accepts connections
#   scripts/kafka.sh stop  [dir]          kills it and removes its data
#
# Data, log and process id lie in dir (default: .work/kafka in the checkout), so several brokers can run side by side.
# Jars come from Maven Central once, into ${XDG_CACHE_HOME:-~/.cache}/millstream. KAFKA_HEAP changes the heap (-Xmx512m).
set -euo pipefail

version=4.3.1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
jars=${XDG_CACHE_HOME:-$HOME/.cache}/millstream/kafka-$version

fail() { echo "kafka.sh: $*" >&2; exit 1; }
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() { # a port whose successor is free too: the controller listens there; none of those given
  local port
  for _ in $(seq 100); do
    port=$((20000 + RANDOM % 6000 * 2))
    case " $* " in *" $port "*) continue ;; esac
    if ! answers "$port" && ! answers $((port + 1)); then echo "$port"; return; fi
  done
  fail "found no free port between 20000 and 32000"
}

fetch() {
  if [ -d "$jars" ]; then return; fi
  command -v mvn >/dev/null || fail "Maven is needed to fetch the broker: apt-get install maven"
  local part="$jars.$$"
  rm -rf "$part"
  mvn -q -B -f "$here/kafka/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DoutputDirectory="$part" >&2 || fail "Maven could not fetch Apache Kafka $version"
  # whoever fetched at the same time has the same jars
  mv -T "$part" "$jars" 2>/dev/null || rm -rf "$part"
}

# Timeouts and intervals are short, so that tests of sessions, transactions, retention and compaction need not wait long.
properties() {
  cat <<P
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$(($2 + 1))
listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$(($2 + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$2
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$1/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
# a busy machine must not make the controller take the broker for dead
broker.session.timeout.ms=60000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.retention.check.interval.ms=1000
log.cleaner.backoff.ms=1000
log.cleaner.dedupe.buffer.size=8388608
file.delete.delay.ms=1000
P
}

running() { [ -f "$1/pid" ] && kill -0 "$(cat "$1/pid")" 2>/dev/null; }

start() {
  local dir=$1 port=${2:-}
  if running "$dir"; then cat "$dir/address"; return; fi
  command -v java >/dev/null || fail "a Java runtime, 17 or newer, is needed: apt-get install default-jre-headless"
  fetch
  port=${port:-$(free_port)}
  stop "$dir" # what a broker that was killed left behind
  mkdir -p "$dir"
  properties "$dir" "$port" >"$dir/server.properties"
  java -cp "$jars/*" kafka.tools.StorageTool format -t "$(uuid)" -c "$dir/server.properties" >"$dir/format.log" 2>&1 ||
    fail "formatting failed: $(tail -3 "$dir/format.log")"
  launch "$dir" "$port"
}

launch() {
  local dir=$1 port=$2 pid
  if [ -f "$dir/kafka.log" ]; then cat "$dir/kafka.log" >>"$dir/earlier.log"; fi # of its life before a restart
  # shellcheck disable=SC2086
  setsid java ${KAFKA_HEAP:--Xmx512m} -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.showDateTime=true \
    -Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info \
    -Dorg.slf4j.simpleLogger.log.kafka.coordinator.transaction=info -cp "$jars/*" kafka.Kafka "$dir/server.properties" \
    >"$dir/kafka.log" 2>&1 </dev/null &
  pid=$!
  echo "$pid" >"$dir/pid"
  for _ in $(seq 1800); do
    kill -0 "$pid" 2>/dev/null || fail "the broker ended: $(tail -5 "$dir/kafka.log")"
    if grep -qs 'Kafka Server started' "$dir/kafka.log" && answers "$port"; then
      echo "127.0.0.1:$port" | tee "$dir/address"
      return
    fi
    sleep 0.1
  done
  fail "the broker did not answer within 180 s: see $dir/kafka.log"
}

uuid() { # a Kafka cluster id: 16 bytes in URL-safe base64, none that begins with a dash
  head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=' | sed 's/^-/A/'
}

ready() {
  running "$1" && [ -f "$1/address" ] || return 1
  local address
  address=$(cat "$1/address")
  answers "${address##*:}" && echo "$address"
}

restart() {
  [ -f "$1/server.properties" ] || fail "there is no broker in $1"
  local port
  port=$(sed -n 's/^advertised.listeners=.*://p' "$1/server.properties")
  # Told to stop, it may register again at once; one that was killed has to wait for its own session to end.
  halt "$1" TERM
  launch "$1" "$port"
}

halt() {
  if running "$1"; then
    kill "-${2:-KILL}" "$(cat "$1/pid")" 2>/dev/null || true
    while running "$1"; do sleep 0.05; done
  fi
}

stop() {
  halt "$1"
  # only what start made: the directory is the caller's
  if [ -f "$1/server.properties" ]; then
    rm -rf "$1/data" "$1/pid" "$1/address" "$1/kafka.log" "$1/earlier.log" "$1/format.log" "$1/server.properties"
  fi
}

# kafka-cluster.sh takes the functions only.
if [ "${BASH_SOURCE[0]}" != "$0" ]; then return; fi

command=${1:-}
dir=$(realpath -m "${2:-$here/../.work/kafka}")
case $command in
  start) start "$dir" "${3:-}" ;;
  restart) restart "$dir" ;;
  ready) ready "$dir" ;;
  stop) stop "$dir" ;;
  *) sed -n 2,10p "${BASH_SOURCE[0]}"; exit 2 ;;
esac
