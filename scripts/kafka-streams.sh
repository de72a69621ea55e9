#!/usr/bin/env bash
# Builds the application of the takeover tests on Kafka Streams and prints the class path to run it with:
#
#   java -cp "$(scripts/kafka-streams.sh)" Main describe|run name=value...
#
# Jars come from Maven Central once, into ${XDG_CACHE_HOME:-~/.cache}/millstream; classes lie beside what cargo builds, in a
# folder named after the source's checksum, so that they are compiled once for each version of it.
set -euo pipefail

version=4.3.1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source=$root/integration-tests/takeover
jars=${XDG_CACHE_HOME:-$HOME/.cache}/millstream/kafka-streams-$version

fail() { echo "kafka-streams.sh: $*" >&2; exit 1; }

# Made beside and renamed: whoever builds at the same time has the same.
keep() { mv -T "$1" "$2" 2>/dev/null || rm -rf "$1"; }

if [ ! -d "$jars" ]; then
  command -v mvn >/dev/null || fail "Maven is needed to fetch Kafka Streams: apt-get install maven"
  rm -rf "$jars.$$"
  mvn -q -B -f "$source/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DoutputDirectory="$jars.$$" >&2 || fail "Maven could not fetch Kafka Streams $version"
  keep "$jars.$$" "$jars"
fi

sum=$(cksum <"$source/Main.java")
classes=${CARGO_TARGET_DIR:-$root/target}/takeover/${sum// /-}
if [ ! -d "$classes" ]; then
  command -v javac >/dev/null || fail "a Java compiler, 17 or newer, is needed: apt-get install default-jdk-headless"
  rm -rf "$classes.$$"
  javac --release 17 -Xlint:all -Werror -cp "$jars/*" -d "$classes.$$" "$source/Main.java" >&2 || fail "Main.java does not compile"
  keep "$classes.$$" "$classes"
fi
echo "$classes:$jars/*"
