#!/usr/bin/env bash
# build-static.sh amd64|arm64 [PROFILE]: builds the static program that the image holds, and prints where
# it is. On Debian of either architecture, with gcc-x86-64-linux-gnu or gcc-aarch64-linux-gnu.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
case ${1:?amd64 or arm64} in
  amd64) machine=x86_64 ;;
  arm64) machine=aarch64 ;;
  *) echo "$1: neither amd64 nor arm64" >&2; exit 64 ;;
esac
profile=${2:-release}
target=$machine-unknown-linux-musl
underscored=${target//-/_}

# zstd and ring are C: Debian's (cross) compiler makes them, Rust's own libc and linker do the rest.
# Without outline atomics, which are in a library of GCC's.
export "CC_$underscored=$machine-linux-gnu-gcc" "AR_$underscored=$machine-linux-gnu-ar"
[ "$machine" != aarch64 ] || export "CFLAGS_$underscored=-mno-outline-atomics"
linker=CARGO_TARGET_${underscored^^}_LINKER
export "$linker=rust-lld"

rustup target list --installed | grep -qx "$target" || rustup target add "$target" >&2
cargo build --locked --quiet --profile "$profile" --target "$target"
realpath "${CARGO_TARGET_DIR:-target}/$target/$profile/tracebuffer"
