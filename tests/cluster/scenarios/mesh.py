"""A pod whose network a service mesh redirects. There is no mesh here, only its rules and something in its proxy's place."""

import time

from kube import Namespace, apply, equal, eventually, get, kubectl
from parts import arrived, collector, container, is_injected, pod, ready_trace_buffer, sending
from runner import scenario

PROXY_USER = 1337
# Those that istio-init installs by default: all TCP connections go through the proxy, but those that the proxy itself
# makes, those of the pod with itself over loopback, and inbound ones to the proxy's own ports.
RULES = f"""*nat
:ISTIO_INBOUND - [0:0]
:ISTIO_IN_REDIRECT - [0:0]
:ISTIO_OUTPUT - [0:0]
:ISTIO_REDIRECT - [0:0]
-A PREROUTING -p tcp -j ISTIO_INBOUND
-A OUTPUT -p tcp -j ISTIO_OUTPUT
-A ISTIO_INBOUND -p tcp --dport 15008 -j RETURN
-A ISTIO_INBOUND -p tcp --dport 15090 -j RETURN
-A ISTIO_INBOUND -p tcp --dport 15021 -j RETURN
-A ISTIO_INBOUND -p tcp --dport 15020 -j RETURN
-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT
-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006
-A ISTIO_OUTPUT -s 127.0.0.6/32 -o lo -j RETURN
-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -m owner --uid-owner {PROXY_USER} -j ISTIO_IN_REDIRECT
-A ISTIO_OUTPUT -o lo -m owner ! --uid-owner {PROXY_USER} -j RETURN
-A ISTIO_OUTPUT -m owner --uid-owner {PROXY_USER} -j RETURN
-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN
-A ISTIO_OUTPUT -j ISTIO_REDIRECT
-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
COMMIT
"""
ROOT = {"runAsUser": 0, "runAsNonRoot": False, "capabilities": {"add": ["NET_ADMIN", "NET_RAW", "SYS_CHROOT"]}}
NODE = {"name": "node", "hostPath": {"path": "/"}}
# Seconds that the proxy takes to listen, and for which a probe fails without one.
LATE, HOPELESS = 5, 10


def installs_rules():
    """Returns an init container that redirects the pod's network with the node's iptables."""
    command = f"busybox chroot /node iptables-restore --noflush <<'END'\n{RULES}END"
    return container("istio-init", command, securityContext=ROOT,
                     volumeMounts=[{"name": "node", "mountPath": "/node", "readOnly": True}])


def proxies_late(address):
    """Returns a native sidecar that relays every outbound connection to one address, and at first none."""
    command = f"sleep {LATE}; date +%s; exec nc -ll -p 15001 -e nc {address} 4317"
    return container("istio-proxy", command, restartPolicy="Always", securityContext={"runAsUser": PROXY_USER})


def probed(name, *init):
    """Returns a pod that is not injected and started only when the kubelet has reached it."""
    serve = "while :; do printf 'HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\n\\r\\n' | nc -l -p 8080 -w 1; done"
    probe = {"httpGet": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 60}
    return pod(name, container(command=serve, startupProbe=probe), initContainers=list(init), inject="false",
               volumes=[NODE], terminationGracePeriodSeconds=1)


def started(namespace, name):
    return get("pod", name, namespace)["status"]["containerStatuses"][0]["started"]


@scenario("mesh", "behind the redirects of istio-init, which come first, a pod starts without a proxy, and its spans arrive as soon as there is one")
def starts_behind_redirects():
    with Namespace("tb-mesh", restricted=False) as here:
        ready_trace_buffer(here, endpoint=collector(here))
        address = get("service", "collector", here)["spec"]["clusterIP"]
        shop = pod("shop", container(command=f"date +%s; {sending(50)}"), volumes=[NODE],
                   initContainers=[installs_rules(), proxies_late(address)])
        apply(shop, probed("redirected", installs_rules()), probed("plain"), namespace=here)
        one = get("pod", "shop", here)
        assert is_injected(one)
        order = [each["name"] for each in one["spec"]["initContainers"]]
        equal("order", order, ["istio-init", "istio-proxy", "tracebuffer"])

        kubectl("wait", "--for=condition=Ready", "pod/shop", "-n", here, "--timeout=30s")
        ready = time.monotonic()
        eventually("the sidecar has all spans", lambda: equal("accepted", accepted(here), 100) is None, 20)
        eventually("all spans arrive", lambda: equal("arrived", arrived(here), 100) is None, 60)
        began, listened = (first_word(here, name) for name in ("app", "istio-proxy"))
        assert int(began) < int(listened), "the application began only after the proxy listened"

        # Controls: under the same rules the kubelet's connections never arrive; without them they do.
        eventually("the plain pod is started", lambda: started(here, "plain"), 20)
        time.sleep(max(0, ready + HOPELESS - time.monotonic()))
        equal("the redirected pod is started", started(here, "redirected"), False)


def first_word(namespace, name):
    return kubectl("logs", "shop", "-c", name, "-n", namespace).out.split()[0]


def accepted(namespace):
    """Reads a metric from within the pod, whose ports are redirected for everybody else."""
    read = ["wget", "-q", "-O-", "http://127.0.0.1:9417/metrics"]
    page = kubectl("exec", "shop", "-c", "app", "-n", namespace, "--", *read).out
    lines = [each for each in page.splitlines() if each.startswith("tracebuffer_receiver_accepted_spans_total")]
    return sum(int(each.rsplit(" ", 1)[1]) for each in lines)
