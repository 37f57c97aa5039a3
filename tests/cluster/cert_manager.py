"""cert-manager: the cluster's own, or the program that node/build.sh built, run outside of the cluster."""

import json
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from kube import get, kubectl

CRD = "certificates.cert-manager.io"


@contextmanager
def running():
    """Provides cert-manager for the time of the context."""
    if get("crd", CRD):
        yield
        return
    program = shutil.which("cert-manager")
    assert program, "cert-manager is neither in the cluster nor a program here (node/build.sh builds it)"
    crds = Path(program).parent / "cert-manager-crds"
    kubectl("apply", "--server-side", "-f", crds)
    kubectl("wait", "--for=condition=Established", f"crd/{CRD}", "--timeout=30s")
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen([program], stdout=log, stderr=log)
        try:
            yield
        except BaseException:
            log.seek(0)
            print("--- cert-manager\n" + "".join(log.readlines()[-60:]))
            raise
        finally:
            process.terminate()
            process.wait(30)
            kubectl("delete", "-f", crds, "--timeout=60s")


def is_ready(name, namespace):
    """Returns whether a Certificate has been issued."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions(name, namespace))


def renew(name, namespace):
    """Requests an early renewal, as `cmctl renew` does."""
    issuing = {
        "type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "asked for",
        "lastTransitionTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    patch = {"status": {"conditions": [*conditions(name, namespace), issuing]}}
    kubectl("patch", "certificate", name, "-n", namespace, "--subresource=status", "--type=merge",
            "-p", json.dumps(patch))


def conditions(name, namespace):
    return (get("certificate", name, namespace) or {}).get("status", {}).get("conditions", [])
