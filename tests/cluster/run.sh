#!/usr/bin/env bash
# run.sh [SCENARIO…]: tests tracebuffer in a real Kubernetes cluster; without a name, runs every scenario.
#
# Builds a node from Go modules and Debian packages (as root; see node/), builds and loads the image, runs the
# scenarios, prints a line for each and `N passed, N failed`, and removes the node. `run.sh --list` lists the
# scenarios. KEEP=1 keeps the node for `node/cluster.sh exec kubectl …`.
#
# With KUBECONFIG set, the scenarios use that cluster, which must not have tracebuffer yet, with all permissions.
# The release `tracebuffer` remains there. Requirements:
#   here    python3, openssl, kubectl, helm 4; TRACEBUFFER_BIN, a binary of the version of IMAGE
#   cluster images that the nodes have or can pull: IMAGE, tracebuffer; OLD_IMAGE, the version to upgrade from,
#           by default IMAGE; OTELCOL_IMAGE, an OpenTelemetry Collector; TELEMETRYGEN_IMAGE, INTRUDER_IMAGE,
#           FLASK_IMAGE and EXPRESS_IMAGE, as node/build.sh builds them
#   either  cert-manager in the cluster, or the program of that name that node/build.sh builds, for the
#           scenario cert-manager
# A node kept by KEEP=1 is such a cluster: node/cluster.sh exec env IMAGE=… … "$PWD/tests/cluster/run.sh"
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
export PYTHONDONTWRITEBYTECODE=1

[ "${1:-}" != --list ] || exec python3 "$here/main.py" --list

binary=${TRACEBUFFER_BIN:-}
if [ -n "${KUBECONFIG:-}" ]; then
  : "${IMAGE:?set it to an image of tracebuffer that the cluster can pull}"
  : "${OTELCOL_IMAGE:?set it to an image of an OpenTelemetry Collector that the cluster can pull}"
  for image in TELEMETRYGEN_IMAGE INTRUDER_IMAGE FLASK_IMAGE EXPRESS_IMAGE; do
    : "${!image:?set $image to an image of node/build.sh that the cluster can pull}"
  done
  : "${binary:?set TRACEBUFFER_BIN to a binary of the version of IMAGE}"
  for tool in python3 openssl kubectl helm; do
    command -v "$tool" >/dev/null || { echo "$tool is not installed" >&2; exit 1; }
  done
  export TRACEBUFFER_BIN=$binary
  exec python3 -u "$here/main.py" "$@"
fi

[ "$(id -u)" = 0 ] || { echo "only root can build a node; set KUBECONFIG to use an existing cluster" >&2; exit 1; }
command -v go >/dev/null || { echo "go is not installed: Go 1.26 or newer builds Kubernetes" >&2; exit 1; }
"$here/../debian-packages.sh" containernetworking-plugins iptables iproute2 conntrack libseccomp-dev pkg-config gcc \
  libc6-dev buildah crun busybox-static openssl util-linux procps python3 \
  python3-venv
"$here/node/build.sh"

if [ -z "$binary" ]; then
  binary=$("$root/build-static.sh" "$(dpkg --print-architecture)" ci)
fi
export TRACEBUFFER_BIN=$binary IMAGE=localhost/tracebuffer:dev OLD_IMAGE=localhost/tracebuffer:old
export OTELCOL_IMAGE=localhost/otelcol:1 TELEMETRYGEN_IMAGE=localhost/telemetrygen:1 INTRUDER_IMAGE=localhost/intruder:1
export FLASK_IMAGE=localhost/flask:1 EXPRESS_IMAGE=localhost/express:1
work=$(mktemp -d)
# shellcheck disable=SC2317 # called by the trap
finish() { rm -rf "$work"; [ -n "${KEEP:-}" ] || "$here/node/cluster.sh" down; }
trap finish EXIT
mkdir "$work/build"
cp "$binary" "$work/build/tracebuffer"
"$here/node/cluster.sh" up
for image in "$IMAGE" "$OLD_IMAGE"; do
  "$here/node/image.sh" "$root" "$image" "$work/image.tar" --build-context "build=$work/build" --label "tag=${image#*:}"
  "$here/node/cluster.sh" load "$work/image.tar" >/dev/null
done
"$here/node/cluster.sh" exec python3 -u "$here/main.py" "$@"
