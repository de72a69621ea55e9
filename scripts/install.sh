#!/usr/bin/env bash
# Installs what building or testing needs and is missing, where it can (apt, as root or with sudo); else says what to install.
#
#   scripts/install.sh build    a C++ compiler, make, libclang, cmake, pkg-config; checks Rust
#   scripts/install.sh test     the same, and a JDK and Maven for the real broker and Kafka Streams
#
# Nothing is done, and no network is used, if all is there.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
missing=() # packages of Debian and Ubuntu
wanted=()  # the same for people

need() { # what people call it, package...
  wanted+=("$1")
  missing+=("${@:2}")
}

has_libclang() { # the library and the compiler's own headers, which bindgen needs both
  [ -n "${LIBCLANG_PATH:-}" ] && return
  command -v clang >/dev/null && return
  compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' >/dev/null &&
    { compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' || compgen -G '/usr/lib/*/libclang*.so*'; } >/dev/null
}

java_version() { # 17 for 17.0.15; 1 for 1.8; nothing without Java
  command -v java >/dev/null || return 0
  java -version 2>&1 | sed -nE 's/.* version "([0-9]+).*/\1/p' | head -n 1
}

has_java() {
  local version
  command -v javac >/dev/null || return
  version=$(java_version)
  [ "${version:-0}" -ge 17 ]
}

install_missing() {
  local sudo=()
  if ! command -v apt-get >/dev/null; then
    cannot "this script installs with apt-get, which is not here"
  elif [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || cannot "it takes root, and sudo is not here"
    # without a terminal nobody can type a password
    if [ -t 0 ]; then sudo=(sudo); else sudo=(sudo -n); fi
    "${sudo[@]}" true || cannot "it takes root, and sudo refuses"
  fi
  echo "install.sh: installing ${missing[*]}" >&2
  "${sudo[@]}" apt-get update -qq >&2 || true # a list that can't be refreshed may still do
  choose_java
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 ||
    cannot "apt-get failed"
}

choose_java() { # the default of older systems is too old, where a newer one is to be had
  local index version
  for index in "${!missing[@]}"; do
    [ "${missing[$index]}" = default-jdk-headless ] || continue
    for version in 25 21 17; do
      if apt-cache show "openjdk-$version-jdk-headless" 2>/dev/null | grep -q ^Version; then
        missing[index]=openjdk-$version-jdk-headless
        break
      fi
    done
  done
}

cannot() {
  echo "install.sh: $1. Please install: $(join "${wanted[@]}")." >&2
  echo "install.sh: on Debian or Ubuntu: apt-get install ${missing[*]}" >&2
  exit 1
}

join() {
  local text=$1
  shift
  for word; do text+=", $word"; done
  echo "$text"
}

check_rust() {
  local needed have
  needed=$(sed -nE 's/^rust-version = "([0-9.]+)"/\1/p' Cargo.toml)
  if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
    echo "install.sh: Rust $needed or newer is missing. Install it from https://rustup.rs:" >&2
    echo "install.sh:   curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" >&2
    exit 1
  fi
  have=$(rustc --version | sed -nE 's/^rustc ([0-9.]+).*/\1/p')
  if [ "$(printf '%s\n%s\n' "$needed" "$have" | sort -V | head -n 1)" != "$needed" ]; then
    echo "install.sh: Rust $have is too old, $needed or newer is needed: rustup update stable" >&2
    exit 1
  fi
  if [ "$1" = test ] && ! { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1; then
    echo "install.sh: rustfmt and clippy are needed: rustup component add rustfmt clippy" >&2
    exit 1
  fi
}

case ${1:-} in
  build | test) ;;
  *) sed -n 2,7p "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac

command -v c++ >/dev/null || need "a C++ compiler" g++
command -v make >/dev/null || need "make" make
command -v cmake >/dev/null || need "cmake" cmake
command -v pkg-config >/dev/null || need "pkg-config" pkg-config
has_libclang || need "libclang" libclang-dev
if [ "$1" = test ]; then
  has_java || need "a JDK, 17 or newer" default-jdk-headless
  command -v mvn >/dev/null || need "Maven" maven
fi

if [ ${#missing[@]} -gt 0 ]; then install_missing; fi
if [ "$1" = test ] && ! has_java; then cannot "the Java that is found is too old"; fi
check_rust "$1"
