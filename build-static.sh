#!/usr/bin/env bash
# build-static.sh amd64|arm64 [PROFILE]: builds the static binary of the image, and prints its path. Needs Debian
# of either architecture, with gcc-x86-64-linux-gnu or gcc-aarch64-linux-gnu.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
case ${1:?set it to amd64 or arm64} in
  amd64) machine=x86_64 ;;
  arm64) machine=aarch64 ;;
  *) echo "$1: neither amd64 nor arm64" >&2; exit 64 ;;
esac
profile=${2:-release}
target=$machine-unknown-linux-musl
underscored=${target//-/_}

# zstd and ring are C and need Debian's (cross) compiler; libc and linker are those of Rust.
# Outline atomics would need a library of GCC.
export "CC_$underscored=$machine-linux-gnu-gcc" "AR_$underscored=$machine-linux-gnu-ar"
[ "$machine" != aarch64 ] || export "CFLAGS_$underscored=-mno-outline-atomics"
linker=CARGO_TARGET_${underscored^^}_LINKER
export "$linker=rust-lld"

rustup target list --installed | grep -qx "$target" || rustup target add "$target" >&2
cargo build --locked --quiet --profile "$profile" --target "$target"
realpath "${CARGO_TARGET_DIR:-target}/$target/$profile/tracebuffer"
