#!/usr/bin/env bash
# run.sh [--quick] [--markdown FILE] [FILTER…]: builds the static binary of the image, and runs the attacks whose
# name contains a filter; all without one. --markdown also writes the results between the marks of FILE. Needs
# Debian for amd64, and root for control groups. Prints a line for each attack, and `N passed, N failed`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
TRACEBUFFER_BIN=$(./build-static.sh amd64 "${PROFILE:-ci}")
export TRACEBUFFER_BIN
cargo test --locked --quiet --test attacks -- "$@"
