"""Headers from fields of the pod, and from tokens."""

from kube import Namespace, apply, eventually, get, kubectl
from parts import claims, container, deployment, headers_at, ready_trace_buffer, rolled_out, sending, sink
from runner import scenario

AUDIENCE = "https://gateway.example"
TOKENS = "tb-token"


def field(name, path, **more):
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}, **more}


@scenario("fields", "headers contain the pod's namespace, node and labels, and the new value of a changed label")
def fields_are_sent():
    headers = [
        field("x-scope-orgid", "metadata.namespace", prefix="k8s-"),
        field("x-node", "spec.nodeName"),
        field("x-app", "metadata.labels['app']"),
        field("x-team", "metadata.labels['example.com/team']", optional=True),
    ]
    with Namespace("tb-fields") as here:
        ready_trace_buffer(here, endpoint=sink(here), destination={"protocol": "HTTPProtobuf", "headers": headers})
        forever = sending(1, then="sleep 2", flags="")
        apply(deployment("shop", container(command=f"while :; do {forever}; done")), namespace=here)
        rolled_out(here, "shop")
        pod = eventually("a pod", lambda: kubectl("get", "pods", "-n", here, "-l", "app=shop", "-o", "name").out.strip())
        node = get("pod", pod.removeprefix("pod/"), here)["spec"]["nodeName"]
        wanted = {f"x-scope-orgid: k8s-{here}", f"x-node: {node}", "x-app: shop"}
        eventually("fields are sent", lambda: wanted <= set(headers_at(here)), 60)
        assert not any(each.startswith("x-team") for each in headers_at(here)), "an absent label was sent"
        kubectl("label", pod, "-n", here, "example.com/team=a")
        eventually("a new label is sent", lambda: "x-team: a" in headers_at(here), 120)


def tokens():
    """Returns the claims of all tokens that have arrived, oldest first, without duplicates."""
    found = []
    for line in headers_at(TOKENS):
        name, _, value = line.partition(": ")
        if name == "authorization":
            assert value.startswith("Bearer "), value
            each = claims(value.removeprefix("Bearer "))
            if each not in found:
                found.append(each)
    return found


def send_with_token():
    """Starts an application whose sidecar sends a token of its service account, unless it exists."""
    if get("namespace", TOKENS):
        return
    apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TOKENS}})
    eventually("a service account", lambda: get("serviceaccount", "default", TOKENS))
    token = {"audience": AUDIENCE, "expirationSeconds": 600}
    header = {"name": "authorization", "prefix": "Bearer ", "valueFrom": {"serviceAccountToken": token}}
    ready_trace_buffer(TOKENS, endpoint=sink(TOKENS),
                       destination={"protocol": "HTTPProtobuf", "headers": [header]})
    forever = sending(1, then="sleep 5")
    apply(deployment("shop", container(command=f"while :; do {forever}; done")), namespace=TOKENS)
    rolled_out(TOKENS, "shop")


@scenario("token", "a header contains a token of the pod's service account, only for the destination's audience")
def token_is_sent():
    kubectl("delete", "namespace", TOKENS, "--ignore-not-found", "--timeout=90s")
    send_with_token()
    arrived = eventually("a token arrives", tokens, 60)[0]
    assert arrived["aud"] == [AUDIENCE], arrived
    assert arrived["sub"] == f"system:serviceaccount:{TOKENS}:default", arrived
