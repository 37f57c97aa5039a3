#!/usr/bin/env bash
# run.sh: sends spans from the OpenTelemetry Python SDK through `tracebuffer receiver` into an
# OpenTelemetry Collector and compares them on arrival. Needs Python 3.10 with venv, and Go. The SDK and
# the Collector are fetched or built once and cached in ~/.cache.
# TRACEBUFFER_BIN is the binary under test, by default target/debug/tracebuffer.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${TRACEBUFFER_BIN:-$here/../../target/debug/tracebuffer}
[ -x "$binary" ] || { echo "$binary is missing: run 'cargo build --locked' first" >&2; exit 1; }

venv=$HOME/.cache/tracebuffer-interop/$(sha256sum "$here/requirements.txt" | cut -c1-16)
if [ ! -e "$venv/complete" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
  touch "$venv/complete"
fi
collector=$("$here/collector/build.sh")

# The checks set all variables themselves.
unset "${!OTEL_@}" "${!TRACEBUFFER_@}"
export NO_PROXY=127.0.0.1 GRPC_VERBOSITY=NONE PYTHONDONTWRITEBYTECODE=1
exec "$venv/bin/python" -u "$here/checks.py" --receiver "$binary" --collector "$collector"
