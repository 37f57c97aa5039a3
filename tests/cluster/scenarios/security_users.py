"""Attacks by users and by the operator's own account, through the API server.

`editor` has what an editor may do, `refusals` what the schema refuses, and `rights` asks the API server about
the operator's permissions without using them.
"""

import json
import time

import operator_release as operator
from attacks import account, granted, patch, remote_addresses
from kube import Namespace, apply, delete, equal, eventually, get, kubectl
from parts import (
    INJECT, TRACE_BUFFER, claims, condition, container, deployment, header_from_secret, headers_at, only_pod,
    pending_pod, pod, processes, ready_trace_buffer, rolled_out, sending, sink, trace_buffer,
)
from runner import scenario
from scenarios.namespaces import annotate

OWN_ROLE = f"{operator.NAME}-edit"
WEBHOOK = "mutatingwebhookconfigurations"
# An address of the link, as the metadata services of clouds have, and the API server's own.
METADATA = "http://169.254.169.254:80"


def secret(namespace, name, value):
    kubectl("create", "secret", "generic", name, "-n", namespace, f"--from-literal=token={value}")


def role(name, *rules, kind="Role", **metadata):
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name, **metadata},
            "rules": list(rules)}


@scenario("attack-editor", "editors and admins of a namespace get no Secret, status or permission that they had not, and nothing of the operator")
def editors_gain_nothing():
    with Namespace("tb-attack-editor") as here, Namespace("tb-attack-victim") as victim:
        edit, admin = granted(here, "edit", "edit"), granted(here, "admin", "admin")
        ready_trace_buffer(here)
        ready_trace_buffer(victim)
        eventually("the role is aggregated", lambda: edit.tries("get", "tracebuffer", "default", "-n", here).code == 0)
        edit.may("patch", "tracebuffer", "default", "-n", here, *patch(spec={"drainTimeout": "9s"}))
        for user in (edit, admin):
            stays_in_its_namespace(user, here, victim)
            leaves_the_operator_alone(user)
        grants_no_more(edit, admin, here)


def stays_in_its_namespace(user, here, victim):
    user.is_forbidden("patch", "tracebuffer", "default", "-n", here, "--subresource=status",
                      *patch(status={"pods": {"total": 9}}))
    user.is_forbidden("patch", "tracebuffer", "default", "-n", victim, *patch(spec={"drainTimeout": "9s"}))
    user.is_forbidden("get", "tracebuffers", "--all-namespaces")
    user.is_forbidden("create", "-n", victim, "-f", "-", stdin=json.dumps(pending_pod("spy", inject=f"{here}/default")))
    for namespace in (here, victim):
        user.is_forbidden("annotate", "namespace", namespace, f"{TRACE_BUFFER}={here}/default")
        user.is_forbidden("label", "namespace", namespace, f"{INJECT}=true")


def leaves_the_operator_alone(user):
    there = ["-n", operator.NAMESPACE]
    user.is_forbidden("get", "secret", operator.SECRET, *there)
    user.is_forbidden("annotate", "secret", operator.SECRET, "tracebuffer.dev/rotate=now", *there)
    user.is_forbidden("patch", "lease", operator.NAME, *there, *patch(spec={"holderIdentity": "me"}))
    user.is_forbidden("patch", WEBHOOK, operator.NAME, *patch(webhooks=[]))
    user.is_forbidden("scale", "deployment", operator.NAME, "--replicas=0", *there)
    user.is_forbidden("delete", "pod", operator.pods()[0]["metadata"]["name"], *there)
    user.is_forbidden("create", "token", operator.NAME, *there)
    user.is_forbidden("patch", "clusterrole", OWN_ROLE, *patch(rules=[]))


def grants_no_more(edit, admin, here):
    """Tries to widen the aggregated role; an admin of a namespace may grant there what the admin may do."""
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    label = {"labels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}}
    status = {"apiGroups": ["tracebuffer.dev"], "resources": ["tracebuffers/status"], "verbs": ["patch"]}
    changes = {**status, "resources": ["tracebuffers"]}
    for user in (edit, admin):
        user.is_forbidden("create", "-f", "-", stdin=json.dumps(role("more", everything, kind="ClusterRole", **label)))
    for user, rule in ((edit, changes), (admin, status), (admin, everything)):
        user.is_forbidden("create", "-n", here, "-f", "-", stdin=json.dumps(role("more", rule)))
    equal("an admin grants changes: exit code", admin.creates(here, role("more", changes)).code, 0)


@scenario("attack-tracebuffer", "the author of a TraceBuffer reaches no Secret of another namespace, no token for the API server, and makes the operator connect to nothing")
def trace_buffers_reach_nothing():
    with Namespace("tb-attack-author") as here, Namespace("tb-attack-third") as third:
        author = granted(here, "author", "edit")
        eventually("the role is aggregated", lambda: author.tries("get", "tracebuffers", "-n", here).code == 0)
        for name, field, spec in hostile_specs(third):
            answer = author.creates(here, trace_buffer(name, **spec), "--validate=strict")
            assert answer.code != 0 and field in answer.err, f"{name}: {answer.out}{answer.err}"
        refuses_tokens_of_the_api_server(author, here)
        uses_only_secrets_of_the_pods_namespace(author, here, third)
        the_operator_connects_to_nothing(author, here)


def hostile_specs(third):
    """Lists specs that the schema refuses: their name, a part of the error, and their fields."""
    def headers(**header):
        return {"destination": {"headers": [{"name": "authorization", **header}]}}

    def secret_ref(**fields):
        return headers(valueFrom={"secretKeyRef": {"name": "vendor", "key": "token", **fields}})

    return [
        ("another-namespace", "namespace", secret_ref(namespace=third)),
        ("path", "secretKeyRef.name", secret_ref(name=f"../{third}/vendor")),
        ("key", "secretKeyRef.key", secret_ref(key="../../token")),
        ("lines", "value", headers(value="a\r\nx-forged: b")),
        ("file", "endpoint", {"endpoint": "file:///var/run/secrets/kubernetes.io/serviceaccount/token"}),
        ("socket", "endpoint", {"endpoint": "unix:///run/containerd/containerd.sock"}),
        ("privileged", "privileged", {"sidecar": {"securityContext": {"privileged": True}}}),
        ("command", "command", {"sidecar": {"command": ["sh"]}}),
        ("image", "image", {"sidecar": {"image": "evil.example/a b"}}),
    ]


def refuses_tokens_of_the_api_server(author, here):
    """The schema knows its usual audiences, and the operator those of its own token."""
    audiences = claims(kubectl("create", "token", operator.NAME, "-n", operator.NAMESPACE).out)["aud"]
    for number, audience in enumerate([*audiences, "https://vault.example"]):
        source = {"serviceAccountToken": {"audience": audience}}
        name = f"token-{number}"
        answer = author.creates(here, trace_buffer(name, destination={
            "headers": [{"name": "authorization", "valueFrom": source}]}, endpoint="https://traces.example"))
        wanted = "True" if audience not in audiences else "False"
        if answer.code == 0:
            eventually(f"{audience}: Accepted is {wanted}", lambda name=name, wanted=wanted: equal(
                "Accepted", condition(here, name, "Accepted"), wanted) is None, 20)
        else:
            assert wanted == "False" and "audience" in answer.err, answer.err


def uses_only_secrets_of_the_pods_namespace(author, here, third):
    """A TraceBuffer of another namespace, where a Secret has the same name, finds the one beside the pod."""
    secret(here, "vendor", "mine")
    secret(third, "vendor", "theirs")
    destination = {"protocol": "HTTPProtobuf", "headers": [header_from_secret("vendor", "token")]}
    ready_trace_buffer(third, "shared", endpoint=sink(here), destination=destination, allowedNamespaces={"from": "All"})
    annotate(here, f"{third}/shared")
    equal("exit code", author.creates(here, pod("shop", container(command=sending(5)))).code, 0)
    eventually("the pod's own Secret arrives", lambda: "authorization: Bearer mine" in headers_at(here))
    equal("headers", set(headers_at(here)), {"authorization: Bearer mine"})


def the_operator_connects_to_nothing(author, here):
    """Watches the operators' connections while TraceBuffers name addresses that only they may be able to reach."""
    api = get("service", "kubernetes", "default")["spec"]["clusterIP"]
    names = {"metadata": METADATA, "api-server": f"http://{api}:8443"}
    for name, endpoint in names.items():
        answer = author.creates(here, trace_buffer(name, endpoint=endpoint, destination={"proxy": {"url": METADATA}}))
        equal(f"{name}: {answer.err}", answer.code, 0)
    operators, seen, end = operator.pods(), set(), time.monotonic() + 6
    while time.monotonic() < end:
        seen.update(*(remote_addresses(each) for each in operators))
        time.sleep(0.05)
    for name in names:
        equal(f"{name}: Accepted", condition(here, name, "Accepted"), "True")
    if not processes(operators[0]):
        print("    the connections of remote nodes are not visible here")
        return
    equal("connections of the operators", seen, {f"{api}:443"})
    author.creates(here, pod("curious", container(command=sending(5)), inject="metadata"))
    one = get("pod", "curious", here)
    eventually("its sidecar does connect", lambda: "169.254.169.254:80" in remote_addresses(one), every=0.05)


@scenario("attack-operator", "with the operator's account one can read no application's Secret, create, delete or enter no pod, and grant nothing")
def the_operator_has_its_bounds():
    taken = account(operator.NAMESPACE, operator.NAME)
    with Namespace("tb-attack-operator") as here:
        secret(here, "vendor", "s3cret")
        ready_trace_buffer(here)
        apply(deployment("shop"), namespace=here)
        rolled_out(here, "shop")
        name = only_pod(here, "shop")["metadata"]["name"]
        enters_no_pod(taken, here, name)
        grants_nothing(taken, here)
        keeps_to_its_own_secret(taken)
        may_what_the_docs_say(taken, here, name)


def enters_no_pod(taken, here, name):
    there = ["-n", here]
    for words in (
        ["get", "secret", "vendor"], ["get", "secrets", "--all-namespaces"], ["get", "configmaps"],
        ["delete", "pod", name], ["exec", name, "--", "ls"], ["logs", name], ["attach", name],
        ["port-forward", name, "9417"], ["create", "token", "default"], ["delete", "deployment", "shop"],
        ["get", "--raw", f"/api/v1/namespaces/{here}/pods/{name}:9417/proxy/metrics"],
        ["patch", "pod", name, "--subresource=ephemeralcontainers", *patch(spec={})],
        ["patch", "pod", name, "--subresource=status", *patch(status={})],
        ["scale", "deployment", "shop", "--replicas=0"],
        ["patch", "tracebuffer", "default", *patch(spec={"drainTimeout": "9s"})],
        ["delete", "tracebuffer", "default"],
        ["annotate", "namespace", here, f"{TRACE_BUFFER}=kube-system/default"],
    ):
        taken.is_forbidden(*([] if "--raw" in words else there), *words)
    for one in (pending_pod("spy"), deployment("spy"), trace_buffer("spy")):
        taken.is_forbidden("create", *there, "-f", "-", stdin=json.dumps(one))


def grants_nothing(taken, here):
    for words in (
        ["create", "clusterrolebinding", "more", "--clusterrole=cluster-admin", f"--user={taken.name}"],
        ["create", "rolebinding", "more", "--clusterrole=edit", f"--user={taken.name}", "-n", here],
        ["patch", "clusterrole", operator.NAME, *patch(rules=[])],
        ["patch", "role", operator.NAME, "-n", operator.NAMESPACE, *patch(rules=[])],
        ["create", "clusterrole", "more", "--verb=get", "--resource=secrets"],
        ["delete", WEBHOOK, operator.NAME],
        ["get", "nodes"],
        ["patch", "crd", "tracebuffers.tracebuffer.dev", *patch(spec={})],
    ):
        taken.is_forbidden(*words)
    for kind in ("Mutating", "Validating"):
        one = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": f"{kind}WebhookConfiguration",
               "metadata": {"name": "more"}}
        taken.is_forbidden("create", "-f", "-", stdin=json.dumps(one))
        kubectl("create", "-f", "-", stdin=json.dumps(one))
        try:
            taken.is_forbidden("patch", f"{kind}WebhookConfiguration", "more", *patch(webhooks=[]))
        finally:
            delete(f"{kind}WebhookConfiguration", "more")
    for what in ("users", "groups", "serviceaccounts"):
        answer = taken.tries("auth", "can-i", "impersonate", what)
        equal(f"may impersonate {what}", answer.out.strip(), "no")


def keeps_to_its_own_secret(taken):
    """It may create Secrets, but read only the one with the webhook's certificate, even of those that it creates."""
    there = ["-n", operator.NAMESPACE]
    taken.may("get", "secret", operator.SECRET, *there, "-o", "name")
    taken.is_forbidden("get", "secrets", *there)
    taken.is_forbidden("delete", "secret", operator.SECRET, *there)
    for_token = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
                 "metadata": {"name": "more", "annotations": {"kubernetes.io/service-account.name": "default"}}}
    try:
        equal("a Secret for a token: exit code", taken.creates(operator.NAMESPACE, for_token).code, 0)
        taken.is_forbidden("get", "secret", "more", *there)
    finally:
        delete("secret", "more", operator.NAMESPACE)


def may_what_the_docs_say(taken, here, name):
    """Shows the permissions that docs/security.md calls the strongest, without using them."""
    dry = ["-n", here, "--dry-run=server"]
    spec = {"containers": [{"name": "app", "image": "evil.example/image"}]}
    strategic = ["--type", "strategic", "--patch"]
    template = json.dumps({"spec": {"template": {"spec": spec}}})
    taken.may("patch", "pod", name, *dry, *strategic, json.dumps({"spec": spec}))
    taken.may("patch", "deployment", "shop", *dry, *strategic, template)
    rule = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}
    taken.may("patch", WEBHOOK, operator.NAME, "--dry-run=server", "--type", "json", "--patch",
              json.dumps([{"op": "replace", "path": "/webhooks/0/rules", "value": [rule]}]))
    operator.reinstall("--set", "rollouts.enabled=false")
    try:
        taken.is_forbidden("patch", "deployment", "shop", *dry, *strategic, template)
    finally:
        operator.reinstall()
