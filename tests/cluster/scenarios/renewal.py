"""Renewal of a token. Runs late, because the wait begins with the scenario `token`."""

import json
import time

from kube import eventually, kubectl
from runner import scenario
from scenarios.headers import TOKENS, send_with_token, tokens

# The minimum lifetime of a token is 10 minutes; the kubelet renews it at 80 % of that, plus or minus 10 s,
# and syncs volumes about once a minute.
RENEWED_AFTER = 480 + 90


@scenario("token-renewed", "a token that the kubelet renews is used without a restart")
def token_is_renewed():
    send_with_token()
    first = eventually("a token arrives", tokens, 60)[0]
    wait = first["iat"] + RENEWED_AFTER - time.time()
    eventually("another token arrives", lambda: len(tokens()) > 1, max(wait, 30), every=3)
    pod = json.loads(kubectl("get", "pods", "-n", TOKENS, "-l", "app=shop", "-o", "json").out)["items"][0]
    restarts = [each["restartCount"] for each in pod["status"]["initContainerStatuses"]]
    assert restarts == [0], restarts
    kubectl("delete", "namespace", TOKENS, "--wait=false")
