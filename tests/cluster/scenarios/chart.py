"""The chart without a cluster. chart_values.py tests the effect of its values."""

import json
import re
import tempfile

from kube import CHART, ROOT, equal, helm
from rendering import make_parent, read_yaml, render, settings, template
from runner import scenario

CI = sorted((CHART / "ci").glob("*-values.yaml"))
# Invalid values, and a part of the error message.
WRONG = {
    "replicaCount=0": "replicaCount",
    "webhook.failurePolicy=Perhaps": "failurePolicy",
    "certificates.mode=openssl": "mode",
    "image.digest=sha256:short": "digest",
    "imagee.tag=1": "imagee",
    "sidecar.image=registry.example/sidecar:1": "sidecar/image",
    "monitoring.podMonitor.scrapeTimeout=soon": "scrapeTimeout",
    "networkPolicy.egress.dnsPorts[0]=dns": "dnsPorts",
    "namespaceOverride=Observability": "namespaceOverride",
    "extraEnv[0].value=PATH": "name",
    "extraEnv[0].name=TRACEBUFFER_LOG_LEVEL": "TRACEBUFFER_LOG_LEVEL",
    "defaultTraceBuffer=default": "defaultTraceBuffer",
    "defaultTraceBuffer=Shop/default": "defaultTraceBuffer",
    "defaultTraceBuffer=shop/a..b": "defaultTraceBuffer",
    "defaultTraceBuffer=shop/a.-b": "defaultTraceBuffer",
    f"defaultTraceBuffer=shop/{'a' * 254}": "such as observability/default",
    "certificates.certManager.issuerRef.kind=ClusterIssuer": "issuerRef",
    "defaultTraceBuffer=shop/enabled": "no TraceBuffer can have this name",
    "webhook.port=9417": "webhook.port and admin.port",
    "webhook.port=443": "port",
    "serviceAccount.create=false": "serviceAccount.name",
    "podDisruptionBudget.minAvailable=1,podDisruptionBudget.maxUnavailable=1": "exclude each other",
}
# Not in values.yaml: `enabled` belongs to a parent chart, the others are objects with defaults as a whole.
OPEN = ("enabled", "strategy", "certificates.certManager.issuerRef")


@scenario("chart", "the chart renders with every set of values, and errors name the invalid value",
          needs_operator=False)
def renders():
    for values in [*CI, CHART / "values-ha.yaml"]:
        helm("lint", "--strict", "--quiet", CHART, "-f", values)
        rendered = template("-f", values)
        assert rendered.code == 0, f"{values.name}: {rendered.err}"
        assert "<no value>" not in rendered.out, f"{values.name}: a value is missing"
        read_yaml(rendered.out)
    for setting, field in WRONG.items():
        refused = template("--set", setting)
        assert refused.code != 0, f"{setting} was accepted"
        assert field in refused.err, f"{setting}: the message does not name {field}: {refused.err}"


@scenario("chart-rights", "no rule of the chart grants a wildcard; without references.verify only the operator's Secret is readable",
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
    none = render("--set", "rbac.create=false")
    kinds = {kind for kind, _ in none}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}, kinds


@scenario("chart-users", "users who may view or edit a namespace may view or edit its TraceBuffers",
          needs_operator=False)
def grants_users():
    prefix = "rbac.authorization.k8s.io/aggregate-to-"

    def aggregated(role):
        return {key.removeprefix(prefix) for key in role["metadata"]["labels"] if key.startswith(prefix)}

    objects = render()
    view, edit = objects["ClusterRole", "tracebuffer-view"], objects["ClusterRole", "tracebuffer-edit"]
    equal("view", aggregated(view), {"view", "edit", "admin", "cluster-reader"})
    equal("edit", aggregated(edit), {"edit", "admin"})
    verbs = {verb for rule in view["rules"] for verb in rule["verbs"]}
    equal("verbs of view", verbs, {"get", "list", "watch"})
    for rule in view["rules"] + edit["rules"]:
        equal("the group", rule["apiGroups"], ["tracebuffer.dev"])
    equal("editable resources", {name for rule in edit["rules"] for name in rule["resources"]}, {"tracebuffers"})
    apart = render("--set", "rbac.aggregateClusterRoles=false")
    equal("not aggregated", aggregated(apart["ClusterRole", "tracebuffer-edit"]), set())


@scenario("chart-values", "every value is in the schema and in the README's table, and set once by a file of ci/",
          needs_operator=False)
def covers_values():
    values, = read_yaml((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    known = set(schema_leaves(schema, schema))
    have = set(leaves(values, known))
    equal("in the schema only", {leaf for leaf in known - have if not leaf.startswith(OPEN)}, set())
    equal("in values.yaml only", have - known - set(OPEN), set())
    files = [*CI, CHART / "values-ha.yaml"]
    given = {leaf for file in files for each in read_yaml(file.read_text()) for leaf in leaves(each, known)}
    equal("set by no file", known - given, set())
    table = re.findall(r"(?m)^\| (\S+) \| \w+ \| .* \| (.*) \|$", (CHART / "README.md").read_text())
    listed = {name for name, _ in table}
    missing = {leaf for leaf in have if not {leaf, leaf.rsplit(".", 1)[0]} & listed}
    equal("not in the README", missing, set())
    undescribed = [name for name, text in table if not text.strip() and not name.startswith("certificates.")]
    equal("without a description", undescribed, [])


def schema_leaves(schema, node, path=""):
    """Yields the paths of the values in a schema, down to those without properties."""
    if "$ref" in node:
        node = schema["definitions"][node["$ref"].rsplit("/", 1)[1]]
    if not node.get("properties"):
        yield path
        return
    for name, inner in node["properties"].items():
        yield from schema_leaves(schema, inner, f"{path}.{name}".lstrip("."))


def leaves(values, known, path=""):
    """Yields the paths of values, down to those in a schema."""
    if path in known or not isinstance(values, dict) or not values:
        yield path
        return
    for name, inner in values.items():
        yield from leaves(inner, known, f"{path}.{name}".lstrip("."))


@scenario("chart-subchart", "a parent chart's condition enables the chart, and its global values apply",
          needs_operator=False)
def is_a_dependency():
    for values, there in (
        ("tracebuffer: {enabled: true}", True), ("tracebuffer: {enabled: false}", False), ("{}", True),
    ):
        with tempfile.TemporaryDirectory() as folder:
            objects = render(chart=make_parent(folder, values))
            equal(f"rendered with {values}", ("Deployment", "tracebuffer") in objects, there)
    with tempfile.TemporaryDirectory() as folder:
        parent = make_parent(folder, "{}", "tracebuffer.enabled,global.observability")
        equal("a second condition", render("--set", "global.observability=false", chart=parent), {})
    given = """
    global: {imageRegistry: mirror.example, imagePullSecrets: [mirror], storageClass: fast}
    tracebuffer: {imagePullSecrets: [{name: own}]}
    """
    unset = settings("tracebuffer.podSecurityContext.runAsUser=null", "tracebuffer.podSecurityContext.runAsGroup=null")
    with tempfile.TemporaryDirectory() as folder:
        objects = render(*unset, chart=make_parent(folder, given))
    pod = objects["Deployment", "tracebuffer"]["spec"]["template"]["spec"]
    equal("image", pod["containers"][0]["image"].split("/")[0], "mirror.example")
    equal("pull secrets", pod["imagePullSecrets"], [{"name": "mirror"}, {"name": "own"}])
    equal("user", pod["securityContext"].keys() & {"runAsUser", "runAsGroup"}, set())


@scenario("chart-links", "the chart's README and Chart.yaml have absolute links to existing files, and the same version",
          needs_operator=False)
def links_are_whole():
    text = (CHART / "README.md").read_text()
    relative = [link for link in re.findall(r"\]\(([^)]*)\)", text) if not link.startswith(("https://", "#"))]
    equal("relative links", relative, [])
    about, = read_yaml((CHART / "Chart.yaml").read_text())
    images, = read_yaml("images:\n" + about["annotations"]["artifacthub.io/images"])
    tags = {image["image"].rsplit(":", 1)[1] for image in images["images"]}
    equal("the tag for Artifact Hub", tags, {about["appVersion"]})
    linked = text + about["annotations"]["artifacthub.io/links"]
    for link in re.findall(r"https://github\.com/tracebuffer/tracebuffer/blob/main/([^)#\s]+)", linked):
        assert (ROOT / link).exists(), f"{link} does not exist"
    icon = about["icon"].split("/main/")[1]
    assert (ROOT / icon).exists(), "the icon does not exist"
