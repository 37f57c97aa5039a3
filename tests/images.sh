#!/usr/bin/env bash
# images.sh: builds static binaries for amd64 and arm64, builds an image of each with the last stage of the
# Dockerfile, and runs both binaries: the version, and a receiver that becomes ready and accepts a span. arm64
# runs under emulation. Needs Debian for amd64 and root, and installs missing packages.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
profile=${PROFILE:-ci}
tests/debian-packages.sh gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static buildah crun binutils curl jq

work=$(mktemp -d)
receiver=
# shellcheck disable=SC2317 # called by the trap
finish() { [ -z "$receiver" ] || kill "$receiver" 2>/dev/null || true; rm -rf "$work"; }
trap finish EXIT
passed=0 failed=0

check() { # SENTENCE COMMAND…
  local sentence=$1; shift
  if "$@" > "$work/output" 2>&1; then
    passed=$((passed + 1)); echo "ok     $sentence"
  else
    failed=$((failed + 1)); echo "FAILED $sentence"; tail -20 "$work/output"
  fi
}

is_static() { ! readelf --program-headers "$1" | grep -q INTERP; }

# Checks the platform, the user, and that one layer contains one file.
is_image() { # ARCHIVE ARCHITECTURE
  local blobs=$work/image/blobs/sha256 manifest config
  rm -rf "$work/image"; mkdir "$work/image"
  tar -xf "$1" -C "$work/image"
  manifest=$(jq -r '.manifests[0].digest' "$work/image/index.json"); manifest=$blobs/${manifest#*:}
  config=$(jq -r .config.digest "$manifest"); config=$blobs/${config#*:}
  jq -e --arg arch "$2" '.architecture == $arch and .config.User == "65532:65532" and .config.Cmd == ["receiver"]' "$config"
  jq -r '.layers[].digest' "$manifest" | while read -r layer; do tar -tf "$blobs/${layer#*:}"; done > "$work/files"
  [ "$(cat "$work/files")" = tracebuffer ]
}

serves() { # COMMAND…: starts a receiver, sends it a span and terminates it
  # Below the ephemeral ports.
  local port=$((10000 + RANDOM % 20000)) admin http answer
  admin=127.0.0.1:$port http=127.0.0.1:$((port + 1))
  "$@" receiver --grpc-addr 127.0.0.1:$((port + 2)) --http-addr $http --admin-addr $admin > "$work/receiver" 2>&1 &
  receiver=$!
  for _ in $(seq 100); do
    curl -sf "http://$admin/ready" >/dev/null && break
    sleep 0.1
  done
  curl -sf "http://$admin/ready" || { cat "$work/receiver"; return 1; }
  answer=$(curl -sf "http://$http/v1/traces" -H 'content-type: application/json' -d '{"resourceSpans":[{"scopeSpans":[{"spans":[
    {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"x","startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}')
  [ "$answer" = '{}' ]
  kill "$receiver"
  wait "$receiver"
  receiver=
  grep -q 'nothing was lost' "$work/receiver"
}

for arch in amd64 arm64; do
  binary=$(./build-static.sh $arch "$profile")
  start=()
  [ $arch = amd64 ] || start=(qemu-aarch64-static)
  mkdir "$work/build"
  cp "$binary" "$work/build/tracebuffer"
  tests/cluster/node/image.sh . "localhost/tracebuffer:$arch" "$work/image.tar" --platform "linux/$arch" --build-context "build=$work/build"
  check "$arch: the binary is static" is_static "$binary"
  check "$arch: the image contains only the binary, and runs it as user 65532" is_image "$work/image.tar" "$arch"
  check "$arch: the binary prints its version" "${start[@]}" "$binary" --version
  check "$arch: a receiver becomes ready, accepts a span and exits" serves "${start[@]}" "$binary"
  rm -rf "$work/build" "$work/image.tar"
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
