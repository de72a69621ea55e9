#!/usr/bin/env bash
# Runs a command with a real Kafka, whose address it finds in MILLSTREAM_TEST_BOOTSTRAP.
#
#   scripts/with-kafka.sh COMMAND...
#
# If the variable is set already, that broker is used. Else one is started for the command and stopped after it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [ -z "${MILLSTREAM_TEST_BOOTSTRAP:-}" ]; then
  data=$(mktemp -d)
  cleanup() {
    "$here/kafka.sh" stop "$data" || true
    rm -rf "$data"
  }
  trap cleanup EXIT
  trap 'exit 130' INT TERM
  MILLSTREAM_TEST_BOOTSTRAP=$("$here/kafka.sh" start "$data")
  export MILLSTREAM_TEST_BOOTSTRAP
fi

"$@"
