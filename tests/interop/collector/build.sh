#!/usr/bin/env bash
# build.sh: builds the OpenTelemetry Collector of builder.yaml from its Go modules, and prints its path.
# Caches it in $TRACEBUFFER_OTELCOL_CACHE, by default ~/.cache/tracebuffer-otelcol, and rebuilds it when
# builder.yaml or go.sum changes. Takes a few minutes on 2 cores.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${TRACEBUFFER_OTELCOL_CACHE:-$HOME/.cache/tracebuffer-otelcol}
version=0.165.0

wanted=$(cat "$here/builder.yaml" "$here/go.sum" | sha256sum | cut -c1-16)
if [ -x "$cache/otelcol" ] && [ "$(cat "$cache/otelcol.stamp" 2>/dev/null)" = "$wanted" ]; then
  echo "$cache/otelcol"
  exit
fi
command -v go >/dev/null || { echo "go is not installed: Go 1.26 or newer builds the Collector" >&2; exit 1; }

echo "building the OpenTelemetry Collector $version, once" >&2
mkdir -p "$cache"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CGO_ENABLED=0
(cd "$here" && go build -trimpath -ldflags '-s -w' -o "$work/builder" go.opentelemetry.io/collector/cmd/builder)
sed "s|^dist: {|dist: {output_path: $work/source, |" "$here/builder.yaml" > "$work/builder.yaml"
"$work/builder" --config "$work/builder.yaml" > "$work/log" 2>&1 || { tail -20 "$work/log" >&2; exit 1; }
cp "$work/source/otelcol" "$cache/otelcol.new"
mv "$cache/otelcol.new" "$cache/otelcol" # atomic, also while the old one is running
echo "$wanted" > "$cache/otelcol.stamp"
echo "$cache/otelcol"
