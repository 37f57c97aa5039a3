"""Subjects of the attacks, and what they are answered."""

import contextlib
import ipaddress
import json

from kube import kubectl
from parts import processes

LISTENING = "0A"


class Subject:
    """A user or a ServiceAccount, whom the administrator impersonates."""

    def __init__(self, name):
        self.name = name

    def tries(self, *words, **options):
        """Runs kubectl, and returns its output whatever its exit code is."""
        return kubectl("--as", self.name, *words, check=False, **options)

    def is_forbidden(self, *words, **options):
        answer = self.tries(*words, **options)
        assert answer.code != 0 and "forbidden" in answer.err, (
            f"{self.name} was not refused: kubectl {' '.join(map(str, words))}: {answer.out}{answer.err}")

    def may(self, *words, **options):
        """Asserts that a request succeeds, which shows that others are refused for the right reason."""
        answer = self.tries(*words, **options)
        assert answer.code == 0, f"{self.name} was refused: kubectl {' '.join(map(str, words))}: {answer.err}"
        return answer

    def creates(self, namespace, one, *flags):
        return self.tries("create", "-n", namespace, "-f", "-", *flags, stdin=json.dumps(one))


def account(namespace, name):
    """Returns a ServiceAccount as a subject."""
    return Subject(f"system:serviceaccount:{namespace}:{name}")


def granted(namespace, name, role):
    """Returns a user who has a ClusterRole in one namespace."""
    kubectl("create", "rolebinding", name, f"--clusterrole={role}", f"--user={name}", "-n", namespace)
    return Subject(name)


def pod_author(namespace, name):
    """Returns a user who may only create Deployments and pods, and annotate the latter, in one namespace."""
    kubectl("create", "role", name, "--verb=create,get,patch", "--resource=pods,deployments.apps", "-n", namespace)
    kubectl("create", "rolebinding", name, f"--role={name}", f"--user={name}", "-n", namespace)
    return Subject(name)


def patch(**fields):
    """Returns the words of kubectl for a merge patch."""
    return ["--type", "merge", "--patch", json.dumps(fields)]


def remote_addresses(one):
    """Returns to which addresses, `IP:port`, a pod's processes connect; those of its servers' clients are left out."""
    lines = []
    for process in processes(one):
        with contextlib.suppress(OSError):  # it has ended
            lines = [line.split() for name in ("tcp", "tcp6")
                     for line in (process / "net" / name).read_text().splitlines()[1:]]
            break
    served = {address(line[1])[1] for line in lines if line[3] == LISTENING}
    outward = [line for line in lines if line[3] != LISTENING and address(line[1])[1] not in served]
    return {"{}:{}".format(*address(line[2])) for line in outward}


def address(text):
    """Decodes an address of /proc/net/tcp: an IPv4 address, also in IPv6, and a port."""
    host, _, port = text.partition(":")
    return str(ipaddress.IPv4Address(bytes.fromhex(host[-8:])[::-1])), int(port, 16)
