#!/usr/bin/env bash
# One real Kubernetes node (v1.36) on one machine: etcd, kube-apiserver, kube-controller-manager, kube-scheduler,
# containerd + runc, kubelet, kube-proxy and CoreDNS, in PID, mount and network namespaces of its own.
# Killing the first process of the PID namespace ends all of them; the node has no access to outside networks.
#   cluster.sh up | exec CMD… | load IMAGE.tar | down        (as root)
# exec runs CMD inside those namespaces with KUBECONFIG set: kubectl, helm, or a test binary.
# $CLUSTER_BIN has the output of build.sh; $CLUSTER_DIR has all files of this node, including its logs.
set -euo pipefail
BIN=${CLUSTER_BIN:-${XDG_CACHE_HOME:-$HOME/.cache}/tracebuffer-cluster}
DIR=${CLUSTER_DIR:-/run/tracebuffer-cluster}
POD_NET=10.244.0.0/16; SVC_NET=10.96.0.0/16; DNS_IP=10.96.0.10; NODE_IP=10.200.0.1

inside() { nsenter --target "$(cat "$DIR/pid")" --net --mount --pid --uts -- env PATH="$BIN:/usr/sbin:/usr/bin:/sbin:/bin" KUBECONFIG="$DIR/kubeconfig" "$@"; }

up() {
  down
  mkdir -p "$DIR"/{log,pki,manifests,cni,containerd,run}
  openssl genrsa -out "$DIR/pki/sa.key" 2048 2>/dev/null
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=cluster-ca -keyout "$DIR/pki/ca.key" -out "$DIR/pki/ca.crt" 2>/dev/null
  openssl req -newkey rsa:2048 -nodes -subj /CN=kube-apiserver -keyout "$DIR/pki/api.key" -out "$DIR/pki/api.csr" 2>/dev/null
  printf 'subjectAltName=IP:127.0.0.1,IP:%s,IP:10.96.0.1,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc\n' $NODE_IP > "$DIR/pki/san"
  openssl x509 -req -in "$DIR/pki/api.csr" -CA "$DIR/pki/ca.crt" -CAkey "$DIR/pki/ca.key" -CAcreateserial -days 30 -extfile "$DIR/pki/san" -out "$DIR/pki/api.crt" 2>/dev/null
  local token; token=$(openssl rand -hex 16)
  echo "$token,admin,admin,system:masters" > "$DIR/pki/tokens.csv"
  cat > "$DIR/kubeconfig" <<K
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:6443", certificate-authority-data: "$(base64 -w0 "$DIR/pki/ca.crt")"}}]
users: [{name: admin, user: {token: "$token"}}]
contexts: [{name: c, context: {cluster: c, user: admin}}]
current-context: c
K
  cat > "$DIR/kubelet.yaml" <<K
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupsPerQOS: true
enforceNodeAllocatable: [pods]
failSwapOn: false
clusterDNS: ["$DNS_IP"]
clusterDomain: cluster.local
resolvConf: $DIR/resolv.conf
containerRuntimeEndpoint: unix://$DIR/run/containerd.sock
imageGCHighThresholdPercent: 100
evictionHard: {nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%", imagefs.inodesFree: "0%", memory.available: "0%"}
syncFrequency: 10s
volumePluginDir: $DIR/volumeplugins
podLogsDir: $DIR/podlogs
K
  echo "nameserver $DNS_IP" > "$DIR/resolv.conf"; : > "$DIR/no-upstream"
  cat > "$DIR/Corefile" <<K
.:53 {
  bind $NODE_IP
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $DIR/kubeconfig c
    pods insecure
  }
}
K
  cat > "$DIR/dns.yaml" <<K
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {clusterIP: $DNS_IP, ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
endpoints: [{addresses: [$NODE_IP]}]
K
  cat > "$DIR/cni/10-bridge.conflist" <<K
{"cniVersion":"1.0.0","name":"pods","plugins":[
 {"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,"hairpinMode":true,
  "ipam":{"type":"host-local","dataDir":"$DIR/ipam","ranges":[[{"subnet":"$POD_NET"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}
K
  cat > "$DIR/containerd.toml" <<K
version = 3
root = "$DIR/containerd/root"
state = "$DIR/containerd/state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing", "io.containerd.nri.v1.nri"]
[grpc]
  address = "$DIR/run/containerd.sock"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "localhost/pause:1"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "$DIR/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
    BinaryName = "$BIN/runc"
K
  cp "${BASH_SOURCE[0]}" "$DIR/self.sh"
  setsid unshare --net --mount --pid --uts --fork --kill-child --mount-proc env CLUSTER_BIN="$BIN" CLUSTER_DIR="$DIR" bash "$DIR/self.sh" init > "$DIR/log/init.log" 2>&1 < /dev/null &
  local outer=$!
  for _ in $(seq 100); do p=$(pgrep -P $outer || true); [ -n "$p" ] && break; sleep 0.05; done
  echo "$p" > "$DIR/pid"; echo "$outer" > "$DIR/outer"
  for _ in $(seq 300); do inside kubectl get --raw /readyz >/dev/null 2>&1 && break; sleep 0.2; done
  inside kubectl get --raw /readyz >/dev/null
  for _ in $(seq 300); do inside kubectl get node node 2>/dev/null | grep -qw Ready && break; sleep 0.2; done
  inside kubectl get nodes
}

init() {
  export PATH="$BIN:/usr/sbin:/usr/bin:/sbin:/bin" KUBECONFIG="$DIR/kubeconfig"
  hostname node
  ip link set lo up
  ip link add node0 type veth peer name node0-peer; ip addr add $NODE_IP/24 dev node0; ip link set node0 up; ip link set node0-peer up
  ip route add default dev node0
  echo 1 > /proc/sys/net/ipv4/ip_forward
  mount --make-rshared /
  mount --bind "$DIR/resolv.conf" /etc/resolv.conf
  mkdir -p /var/lib/kubelet
  mkdir -p "$DIR/kubelet" && mount --bind "$DIR/kubelet" /var/lib/kubelet && mount --make-rshared /var/lib/kubelet
  run() { local name=$1; shift; "$@" > "$DIR/log/$name.log" 2>&1 & }
  run etcd etcd --data-dir "$DIR/etcd" --unsafe-no-fsync --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380
  run apiserver kube-apiserver --etcd-servers http://127.0.0.1:2379 --secure-port 6443 --bind-address 0.0.0.0 --advertise-address $NODE_IP \
    --tls-cert-file "$DIR/pki/api.crt" --tls-private-key-file "$DIR/pki/api.key" --client-ca-file "$DIR/pki/ca.crt" --token-auth-file "$DIR/pki/tokens.csv" \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$DIR/pki/sa.key" --service-account-signing-key-file "$DIR/pki/sa.key" --api-audiences https://kubernetes.default.svc,cluster-of-one-node \
    --service-cluster-ip-range $SVC_NET --authorization-mode Node,RBAC --allow-privileged --kubelet-preferred-address-types InternalIP
  run containerd containerd --config "$DIR/containerd.toml"
  until ctr --address "$DIR/run/containerd.sock" version >/dev/null 2>&1; do sleep 0.1; done
  for image in pause intruder otelcol telemetrygen flask express; do ctr --address "$DIR/run/containerd.sock" --namespace k8s.io images import --local "$BIN/$image.tar"; done
  until kubectl get --raw /readyz >/dev/null 2>&1; do sleep 0.2; done
  run kcm kube-controller-manager --kubeconfig "$DIR/kubeconfig" --service-account-private-key-file "$DIR/pki/sa.key" --root-ca-file "$DIR/pki/ca.crt" --leader-elect=false --use-service-account-credentials=false --cluster-cidr $POD_NET --kube-api-qps 500 --kube-api-burst 500 --concurrent-replicaset-syncs 20
  kubectl apply -f "$DIR/dns.yaml"
  run coredns coredns -conf "$DIR/Corefile"
  run scheduler kube-scheduler --kubeconfig "$DIR/kubeconfig" --leader-elect=false
  run kubelet kubelet --config "$DIR/kubelet.yaml" --kubeconfig "$DIR/kubeconfig" --hostname-override node --node-ip $NODE_IP
  run proxy kube-proxy --kubeconfig "$DIR/kubeconfig" --hostname-override node --proxy-mode iptables --cluster-cidr $POD_NET --conntrack-max-per-core 0
  wait
}

load() { inside ctr --address "$DIR/run/containerd.sock" --namespace k8s.io images import --all-platforms --local "$1" 2> >(grep -v DEPRECATION >&2); }
down() {
  if [ -e "$DIR/outer" ]; then kill -KILL "$(cat "$DIR/outer")" 2>/dev/null || true; fi
  sleep 0.5
  find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>/dev/null || true
  rm -rf "$DIR" || true
}

case ${1:?up | exec | load | down} in
  up) up ;; init) init ;; exec) shift; inside "$@" ;; load) load "$2" ;; down) down ;;
  *) echo "up | exec CMD | load IMAGE.tar | down" >&2; exit 64 ;;
esac
