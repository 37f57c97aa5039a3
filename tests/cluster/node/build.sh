#!/usr/bin/env bash
# build.sh [PROGRAM…]: builds the programs of a Kubernetes node, helm, cert-manager and telemetrygen from their Go
# modules, and the images of every node, into $CLUSTER_BIN; with names, only these programs. Takes about 10
# minutes on 2 cores the first time; files that are up to date are kept. Needs Go 1.26 and the Debian packages
# of ../run.sh.
set -euo pipefail
shopt -s nullglob
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BIN=${CLUSTER_BIN:-${XDG_CACHE_HOME:-$HOME/.cache}/tracebuffer-cluster}
K8S=v1.36.3
wanted=" $* "
mkdir -p "$BIN"

build() { # MODULE OUTPUT PACKAGE [go build flag…]
  local module=$1 out=$2 package=$3 stamp; shift 3
  [ "$wanted" = "  " ] || [[ "$wanted" == *" $out "* ]] || return 0
  stamp="$BIN/.$out.$(cat "$here/modules/$module/go.sum" <(echo "$@") | sha256sum | cut -c1-16)"
  [ -e "$stamp" ] && [ -x "$BIN/$out" ] && return
  echo "building $out" >&2
  (cd "$here/modules/$module" && go build -trimpath -o "$BIN/$out" "$@" "$package")
  rm -f "$BIN/.$out."*; : > "$stamp"
}

version="-s -w"
for p in k8s.io/component-base k8s.io/client-go/pkg; do
  version+=" -X $p/version.gitVersion=$K8S -X $p/version.gitMajor=1 -X $p/version.gitMinor=36 -X $p/version.gitTreeState=clean"
done
export CGO_ENABLED=0
for c in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
  build kubernetes $c k8s.io/kubernetes/cmd/$c -ldflags "$version"
done
build etcd etcd go.etcd.io/etcd/server/v3 -ldflags "-s -w"
for c in containerd ctr containerd-shim-runc-v2; do
  build containerd $c github.com/containerd/containerd/v2/cmd/$c -tags "no_btrfs no_devmapper no_zfs" -ldflags "-s -w -X github.com/containerd/containerd/v2/version.Version=v2.4.2"
done
CGO_ENABLED=1 build runc runc github.com/opencontainers/runc -tags seccomp -ldflags "-s -w"
build helm helm helm.sh/helm/v4/cmd/helm -ldflags "-s -w"
build coredns coredns github.com/coredns/coredns -ldflags "-s -w"
build cert-manager cert-manager . -ldflags "-s -w"
build telemetrygen telemetrygen github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen -ldflags "-s -w"
[ $# -eq 0 ] || exit 0

crds=$(cd "$here/modules/cert-manager" && go list -m -f '{{.Dir}}' github.com/cert-manager/cert-manager)/deploy/crds
rm -rf "$BIN/cert-manager-crds"
install -D -m 644 -t "$BIN/cert-manager-crds" "$crds"/cert-manager.io_*.yaml

image() { # NAME FILE…: builds a scratch image of these files, with the first as entry point
  local name=$1 first=${2##*/} work file newer=; shift
  for file in "$@" "${BASH_SOURCE[0]}"; do [ "$BIN/$name.tar" -nt "$file" ] || newer=1; done
  [ -n "$newer" ] || return 0
  work=$(mktemp -d)
  cp "$@" "$work/"
  mkdir "$work/bin"
  if [ -e "$work/busybox" ]; then
    mv "$work/busybox" "$work/bin/"
    for applet in sh cat ls wget nc nslookup sleep date stat head tail; do ln -s busybox "$work/bin/$applet"; done
  fi
  [ "$first" != busybox ] || first=bin/sh
  printf 'FROM scratch\nCOPY . /\nUSER 65532:65532\nENTRYPOINT ["/%s"]\n' "$first" > "$work.Dockerfile"
  "$here/image.sh" "$work" "localhost/$name:1" "$BIN/$name.tar" --file "$work.Dockerfile"
  rm -rf "$work" "$work.Dockerfile"
}

if [ ! -x "$BIN/pause" ] || [ "$here/pause.c" -nt "$BIN/pause" ]; then
  gcc -static -Os -o "$BIN/pause" "$here/pause.c"
fi
otelcol=$("$here/../../interop/collector/build.sh")
image pause "$BIN/pause"
# In place of the sidecar: `sh receiver`.
image intruder /bin/busybox "$here/intruder/receiver"
image otelcol "$otelcol"
# With a shell, so that a container can send and then keep running.
image telemetrygen "$BIN/telemetrygen" /bin/busybox
"$here/apps.sh"
