"""The chart by itself; no cluster is asked."""

from kube import CHART, helm
from runner import scenario

WRONG = {
    "replicas=0": "replicas",
    "webhook.failurePolicy=Perhaps": "failurePolicy",
    "certificates.mode=openssl": "mode",
    "image.digest=sha256:short": "digest",
    "imagee.tag=1": "imagee",
    "extraEnv[0].name=PATH": "name",
}


def template(*values):
    return helm("template", "tracebuffer", CHART, "-n", "tracebuffer", *values, check=False)


@scenario("chart", "the chart renders with every set of values, and names what is wrong in one",
          needs_operator=False)
def renders():
    for values in [*sorted((CHART / "ci").glob("*-values.yaml")), CHART / "values-ha.yaml"]:
        helm("lint", "--strict", "--quiet", CHART, "-f", values)
        rendered = template("-f", values)
        assert rendered.code == 0, f"{values.name}: {rendered.err}"
        assert "<no value>" not in rendered.out, f"{values.name}: a value is missing"
    for setting, field in WRONG.items():
        refused = template("--set", setting)
        assert refused.code != 0, f"{setting} was taken"
        assert field in refused.err, f"{setting}: the message does not name {field}: {refused.err}"


@scenario("chart-rights", "no rule of the chart grants a wildcard; without references.verify no foreign Secret is readable",
          needs_operator=False)
def grants_little():
    rules = template("--show-only", "templates/rbac.yaml").out
    assert "'*'" not in rules and '"*"' not in rules, "a wildcard is granted"
    cluster_role = rules.split("kind: ClusterRoleBinding")[0]
    assert "secrets" not in cluster_role, "the ClusterRole names Secrets"
    verified = template("--show-only", "templates/rbac.yaml", "--set", "references.verify=true")
    assert "secrets, configmaps" in verified.out
    still = template("--show-only", "templates/rbac.yaml", "--set", "rollouts.enabled=false").out
    workloads = still.split("deployments, statefulsets, daemonsets")[1]
    assert workloads.split("verbs:")[1].splitlines()[0].strip() == "[get]", "restarts are still allowed"
