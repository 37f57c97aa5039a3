"""Effect of the chart's values, without a cluster."""

import operator_release
from kube import CHART, equal
from rendering import environment, only, operator_container, render, settings, template
from runner import scenario

DIGEST, OTHER = f"sha256:{'0' * 64}", f"sha256:{'1' * 64}"
# Values, the operator's image and the sidecar's. VERSION is the chart's appVersion.
IMAGES = [
    ([], "ghcr.io/tracebuffer/tracebuffer:VERSION", "ghcr.io/tracebuffer/tracebuffer:VERSION"),
    (["image.tag=v2"], "ghcr.io/tracebuffer/tracebuffer:v2", "ghcr.io/tracebuffer/tracebuffer:v2"),
    (["image.registry=r.example", "image.repository=a/b", "image.tag=v2"], "r.example/a/b:v2", "r.example/a/b:v2"),
    (["image.registry=", "image.repository=localhost/tracebuffer"],
     "localhost/tracebuffer:VERSION", "localhost/tracebuffer:VERSION"),
    (["image.registry=r.example:5000/"], "r.example:5000/tracebuffer/tracebuffer:VERSION",
     "r.example:5000/tracebuffer/tracebuffer:VERSION"),
    (["global.imageRegistry=m.example"], "m.example/tracebuffer/tracebuffer:VERSION",
     "m.example/tracebuffer/tracebuffer:VERSION"),
    (["global.imageRegistry=m.example", "sidecar.image.registry=r.example"],
     "m.example/tracebuffer/tracebuffer:VERSION", "m.example/tracebuffer/tracebuffer:VERSION"),
    ([f"image.digest={DIGEST}"], f"ghcr.io/tracebuffer/tracebuffer:VERSION@{DIGEST}",
     f"ghcr.io/tracebuffer/tracebuffer:VERSION@{DIGEST}"),
    ([f"image.digest={DIGEST}", "sidecar.image.registry=r.example"],
     f"ghcr.io/tracebuffer/tracebuffer:VERSION@{DIGEST}", f"r.example/tracebuffer/tracebuffer:VERSION@{DIGEST}"),
    ([f"image.digest={DIGEST}", "sidecar.image.tag=v3"],
     f"ghcr.io/tracebuffer/tracebuffer:VERSION@{DIGEST}", "ghcr.io/tracebuffer/tracebuffer:v3"),
    ([f"image.digest={DIGEST}", "image.tag=v2", "sidecar.image.repository=other"],
     f"ghcr.io/tracebuffer/tracebuffer:v2@{DIGEST}", "ghcr.io/other:v2"),
    ([f"image.digest={DIGEST}", f"sidecar.image.digest={OTHER}"],
     f"ghcr.io/tracebuffer/tracebuffer:VERSION@{DIGEST}", f"ghcr.io/tracebuffer/tracebuffer:VERSION@{OTHER}"),
]


@scenario("chart-images", "the images of operator and sidecar are composed of their fields; the sidecar's default to the operator's",
          needs_operator=False)
def composes_images():
    version = operator_container(render())["image"].rsplit(":", 1)[1]
    for values, operator, sidecar in IMAGES:
        objects = render(*settings(*values))
        found = operator_container(objects)["image"], environment(objects)["TRACEBUFFER_SIDECAR_IMAGE"]
        equal(values, found, (operator.replace("VERSION", version), sidecar.replace("VERSION", version)))
        check = objects["Pod", "tracebuffer-check"]["spec"]["containers"][0]
        equal(f"helm test with {values}", check["image"], found[0])
    for values, operator, sidecar in (
        ([], "IfNotPresent", "IfNotPresent"), (["image.pullPolicy=Always"], "Always", "Always"),
        (["sidecar.image.pullPolicy=Never"], "IfNotPresent", "Never"),
    ):
        objects = render(*settings(*values))
        policy = environment(objects)["TRACEBUFFER_SIDECAR_IMAGE_PULL_POLICY"]
        equal(values, (operator_container(objects)["imagePullPolicy"], policy), (operator, sidecar))
    for image in ("localhost/tracebuffer:dev", "registry.example:5000/a/b:1", "tracebuffer:dev"):
        objects = render(*operator_release.image_values(image))
        equal("the scenarios' image", operator_container(objects)["image"], image)


@scenario("chart-webhook", "the operator knows the excluded namespaces; the label never selects kube-system or the operator's namespace",
          needs_operator=False)
def excludes_namespaces():
    for values, excluded in (
        ([], ["kube-system"]), (["webhook.excludedNamespaces=null"], []),
        (["webhook.excludedNamespaces={istio-system}"], ["istio-system"]),
        (["namespaceOverride=elsewhere"], ["kube-system"]),
    ):
        objects = render(*settings(*values))
        equal(values, environment(objects)["TRACEBUFFER_EXCLUDED_NAMESPACES"], ",".join(excluded))
        own = only(objects, "Deployment")["metadata"]["namespace"]
        selectors = {entry["name"].split(".")[0]: entry["namespaceSelector"]["matchExpressions"]
                     for entry in only(objects, "MutatingWebhookConfiguration")["webhooks"]}
        by_name = {name: set(selector[-1]["values"]) for name, selector in selectors.items()}
        equal(f"annotated, {values}", by_name["inject"], {*excluded, own})
        equal(f"labelled, {values}", by_name["inject-namespace"], {*excluded, own, "kube-system"})
        assert all(selector[-1]["operator"] == "NotIn" for selector in selectors.values())
        label = {"key": "tracebuffer.dev/inject", "operator": "In", "values": ["true", "enabled"]}
        equal("the label", selectors["inject-namespace"][0], label)
    annotated, _ = only(render(), "MutatingWebhookConfiguration")["webhooks"]
    assert "in ['false', 'disabled']" in annotated["matchConditions"][0]["expression"]
    named = render("--set", "defaultTraceBuffer=shop/default")
    equal("the default", environment(named)["TRACEBUFFER_DEFAULT_TRACE_BUFFER"], "shop/default")
    equal("no default", environment(render())["TRACEBUFFER_DEFAULT_TRACE_BUFFER"], "")


@scenario("chart-network", "policies have numeric ports, and every port has its value, also in the node's network",
          needs_operator=False)
def follows_ports():
    objects = render(*settings("networkPolicy.enabled=true", "webhook.port=10250", "admin.port=10261"))
    policy = only(objects, "NetworkPolicy")["spec"]
    ports = [port["port"] for rule in policy["ingress"] + policy["egress"] for port in rule["ports"]]
    equal("ports", ports, [10250, 10261, 53, 53, 443, 6443])
    equal("types", policy["policyTypes"], ["Ingress", "Egress"])
    env = environment(objects)
    equal("webhook", env["TRACEBUFFER_WEBHOOK_ADDR"], "0.0.0.0:10250,[::]:10250")
    equal("admin", env["TRACEBUFFER_ADMIN_ADDR"], "0.0.0.0:10261,[::]:10261")
    equal("container", {p["name"]: p["containerPort"] for p in operator_container(objects)["ports"]},
          {"webhook": 10250, "admin": 10261})
    ingress = render(*settings("networkPolicy.enabled=true", "networkPolicy.egress.enabled=false"))
    equal("without egress", only(ingress, "NetworkPolicy")["spec"]["policyTypes"], ["Ingress"])

    host = only(render("-f", CHART / "ci" / "host-network-values.yaml"), "Deployment")["spec"]
    pod = host["template"]["spec"]
    equal("host", (pod["hostNetwork"], pod["dnsPolicy"]), (True, "ClusterFirstWithHostNet"))
    # A new pod that waits for the port of an old one, which waits for the new pod, would wait indefinitely.
    equal("update", host["strategy"]["rollingUpdate"], {"maxUnavailable": 1, "maxSurge": 0})


@scenario("chart-pods", "the operator's pods pass the restricted level, and on OpenShift the platform sets the user",
          needs_operator=False)
def secures_pods():
    for objects, user in ((render(), 65532), (render("-f", CHART / "ci" / "openshift-values.yaml"), None)):
        for pod in (only(objects, "Deployment")["spec"]["template"]["spec"], only(objects, "Pod")["spec"]):
            security, container = pod["securityContext"], pod["containers"][0]["securityContext"]
            equal("user", (security.get("runAsUser"), security.get("runAsGroup")), (user, user))
            assert security["runAsNonRoot"] and not container["allowPrivilegeEscalation"]
            equal("seccomp", security["seccompProfile"], {"type": "RuntimeDefault"})
            equal("capabilities", container["capabilities"], {"drop": ["ALL"]})
    constraint, = only(render(), "Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"]
    equal("spread within a version", constraint["matchLabelKeys"], ["pod-template-hash"])


@scenario("chart-names", "names, namespace and labels of every object are those of the values",
          needs_operator=False)
def names_objects():
    objects = render(*settings("nameOverride=tb", "namespaceOverride=elsewhere", "commonLabels.team=a"))
    for (kind, name), each in objects.items():
        about = each["metadata"]
        equal(f"namespace of {kind} {name}", about.get("namespace", "elsewhere") in ("elsewhere", "default"), True)
        assert kind == "CustomResourceDefinition" or name.startswith("tracebuffer-tb"), f"{kind} {name}"
        for label, value in {"team": "a", "app.kubernetes.io/name": "tb"}.items():
            equal(f"{label} of {kind} {name}", about["labels"].get(label), value)
        assert "helm.sh/chart" in about["labels"], f"{kind} {name}"
    equal("a release of that name", ("Deployment", "tracebuffer") in render(), True)
    kept = render("--set", "commonLabels.app\\.kubernetes\\.io/name=mine,podLabels.app\\.kubernetes\\.io/name=mine")
    spec = only(kept, "Deployment")["spec"]
    equal("selected", spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items(), True)


@scenario("chart-extras", "extra variables, arguments, volumes and objects are rendered; a variable that the chart sets is refused",
          needs_operator=False)
def adds_extras():
    objects = render("-f", CHART / "ci" / "everything-values.yaml")
    container = operator_container(objects)
    equal("arguments", container["args"], ["controller", "--log-level=trace"])
    equal("proxy", environment(objects)["HTTPS_PROXY"], "http://proxy.example:3128")
    assert {"name": "scratch", "mountPath": "/scratch"} in container["volumeMounts"]
    equal("an object", objects["ConfigMap", "tracebuffer-extra"]["data"], {"operator": "traces"})
    assert ("ConfigMap", "tracebuffer-text") in objects
    annotations = objects["CustomResourceDefinition", "tracebuffers.tracebuffer.dev"]["metadata"]["annotations"]
    equal("the definition", annotations, {"example.com/owner": "platform"})
    names = {name for values in ("default", "existing-secret")
             for name in environment(render("-f", CHART / "ci" / f"{values}-values.yaml"))}
    for name in sorted(names):
        refused = template("--set", f"extraEnv[0].name={name}")
        assert refused.code != 0 and name in refused.err, f"{name} may be in the container twice"


@scenario("chart-monitors", "PodMonitors select their pods from another namespace, as configured",
          needs_operator=False)
def monitors():
    objects = render("-f", CHART / "ci" / "monitoring-values.yaml")
    own, sidecars = objects["PodMonitor", "tracebuffer"], objects["PodMonitor", "tracebuffer-sidecars"]
    equal("namespaces", [each["metadata"]["namespace"] for each in (own, sidecars)], ["monitoring"] * 2)
    equal("the operator's", own["spec"]["namespaceSelector"], {"matchNames": ["tracebuffer"]})
    equal("the sidecars'", sidecars["spec"]["namespaceSelector"], {"any": True})
    for each, port in ((own, "admin"), (sidecars, "tb-admin")):
        endpoint, = each["spec"]["podMetricsEndpoints"]
        equal("endpoint", endpoint, {
            "port": port, "path": "/metrics", "interval": "15s", "scrapeTimeout": "10s", "honorLabels": True,
            "relabelings": [{"action": "labeldrop", "regex": "pod_template_hash"}],
            "metricRelabelings": [{"action": "drop", "sourceLabels": ["__name__"], "regex": "process_.*"}],
        })
    for values, field in (
        ([], {"maxUnavailable": 1}), (["podDisruptionBudget.minAvailable=0"], {"minAvailable": 0}),
        (["podDisruptionBudget.maxUnavailable=50%"], {"maxUnavailable": "50%"}),
    ):
        spec = only(render(*settings(*values)), "PodDisruptionBudget")["spec"]
        equal(values, {k: v for k, v in spec.items() if k in ("minAvailable", "maxUnavailable")}, field)
