"""The operator's release in the cluster."""

import os

from kube import CHART, apply, delete, eventually, get, helm, kubectl, list_all, metrics

NAMESPACE = NAME = "tracebuffer"
SECRET = "tracebuffer-webhook-tls"
SELECTOR = "app.kubernetes.io/name=tracebuffer,app.kubernetes.io/component=operator"


def image_values(image):
    name, _, tag = image.rpartition(":")
    registry, slash, repository = name.partition("/")
    fields = {"registry": registry if slash else "", "repository": repository if slash else name, "tag": tag}
    return [word for field, text in fields.items() for word in ("--set-string", f"image.{field}={text}")]


def install(*values, chart=CHART, image=None):
    """Installs or upgrades the release, and waits until every operator is ready."""
    return helm(
        "upgrade", "--install", NAME, chart, "-n", NAMESPACE, "--create-namespace", "--wait",
        "--timeout", "90s", *image_values(image or os.environ["IMAGE"]),
        "--set", "log.format=text", *values, timeout=180,
    )


def uninstall():
    """Uninstalls the release, and deletes the objects that the chart leaves."""
    helm("uninstall", NAME, "-n", NAMESPACE, "--wait", "--timeout", "90s")
    # Old operators serve for 10 s more, with a certificate that new ones do not know.
    eventually("no operator is left", lambda: not list_all("pods", NAMESPACE, SELECTOR), 60)
    delete("secret", SECRET, NAMESPACE)
    delete("lease", NAME, NAMESPACE)
    delete("lease", SECRET, NAMESPACE)


def ensure():
    """Installs the release with default values, in a namespace that enforces the restricted level."""
    apply({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {
            "name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        },
    })
    install()


def pods():
    """Lists the operators that are not terminating."""
    every = list_all("pods", NAMESPACE, SELECTOR)
    return [pod for pod in every if "deletionTimestamp" not in pod["metadata"]]


def reinstall(*values):
    """Installs with other values, and waits until all operators with the old values have ended."""
    install(*values)
    eventually("the old operators have ended",
               lambda: len(list_all("pods", NAMESPACE, SELECTOR)) == len(pods()), 60)


def scale(replicas):
    """Sets the number of operators, and waits until they are running or have ended."""
    kubectl("scale", "deployment", NAME, "-n", NAMESPACE, f"--replicas={replicas}")
    if replicas == 0:
        eventually("no operator is left", lambda: not list_all("pods", NAMESPACE, SELECTOR), 60)
    else:
        kubectl("rollout", "status", "deployment", NAME, "-n", NAMESPACE, "--timeout=90s")


def leader():
    """Returns the name of the leader's pod, or None."""
    lease = get("lease", NAME, NAMESPACE)
    holder = lease and lease["spec"].get("holderIdentity")
    return next((p["metadata"]["name"] for p in pods() if p["metadata"]["name"] in (holder or "")), None)


def leader_metrics():
    return metrics(leader(), NAMESPACE, 9417)


def show():
    """Prints details about a failure."""
    print("--- operator")
    for words in (
        ["get", "pods,lease", "-n", NAMESPACE, "-o", "wide"],
        ["get", "events", "-n", NAMESPACE, "--sort-by=.metadata.creationTimestamp"],
        ["logs", "-n", NAMESPACE, "-l", SELECTOR, "--prefix", "--tail=40"],
        ["get", "mutatingwebhookconfigurations", NAME, "-o", "jsonpath={.webhooks[*].name}"],
    ):
        answer = kubectl(*words, check=False)
        print("\n".join((answer.out + answer.err).splitlines()[-90:]))
