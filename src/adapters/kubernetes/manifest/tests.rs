use super::*;
use serde_json::json;

const TRACE_BUFFER: &str = "\
# ours
apiVersion: v1
kind: Secret
metadata: {name: other}
---
apiVersion: tracebuffer.dev/v1alpha1
kind: TraceBuffer
metadata: {name: default}
spec:
  destination: {endpoint: http://collector:4317}
";

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web   # a comment
  namespace: shop
spec:
  template:
    metadata:
      annotations:
        tracebuffer.dev/inject: \"true\"
    spec:
      unheardOf: {z: 1, a: 2}
      containers:
      - name: web
        image: web:1
";

const SERVICE: &str = "apiVersion: v1\nkind: Service   # unchanged\nmetadata: {name: web}\n";

fn defaults() -> SidecarDefaults {
    SidecarDefaults { image: "tracebuffer:1".into(), ..SidecarDefaults::unknown() }
}

fn injector(manifest: &str) -> OfflineInjector {
    let trace_buffers = parse_trace_buffers(manifest, "shop", &defaults()).unwrap();
    OfflineInjector { namespace: "shop".into(), trace_buffers }
}

fn inject(manifest: &str) -> InjectedManifest {
    injector(TRACE_BUFFER).inject(manifest).unwrap()
}

fn values(manifest: &str) -> Vec<Value> {
    documents::parse_documents(manifest)
        .unwrap()
        .into_iter()
        .map(|document| document.value)
        .collect()
}

#[test]
fn a_template_gets_its_sidecar_and_keeps_the_rest() {
    let InjectedManifest { manifest, messages } = inject(DEPLOYMENT);
    assert_eq!(messages, ["Deployment web: injected the sidecar of TraceBuffer shop/default"]);
    let deployment = &values(&manifest)[0];
    let spec = &deployment["spec"]["template"]["spec"];
    assert_eq!(spec["initContainers"][0]["name"], "tracebuffer");
    assert_eq!(spec["unheardOf"], json!({"z": 1, "a": 2}));
    assert!(
        manifest.starts_with("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n"),
        "{manifest}"
    );
    assert!(manifest.find("z: 1").unwrap() < manifest.find("a: 2").unwrap());
}

#[test]
fn other_documents_are_printed_as_they_are() {
    let (head, tail) = ("# head\n---\n# note\n", "---\n# tail\nkind: X\n");
    let manifest = inject(&format!("{head}{SERVICE}---\n{DEPLOYMENT}{tail}")).manifest;
    assert!(
        manifest.starts_with(&format!("{head}{SERVICE}---\napiVersion: apps/v1\n")),
        "{manifest}"
    );
    assert!(manifest.ends_with(tail), "{manifest}");
    assert_eq!(values(&manifest).len(), 4);
}

#[test]
fn injection_is_idempotent() {
    let once = inject(DEPLOYMENT).manifest;
    assert_eq!(inject(&once), InjectedManifest { manifest: once.clone(), messages: vec![] });
}

#[test]
fn a_skipped_pod_is_unchanged_and_reported() {
    let manifest = DEPLOYMENT.replace("unheardOf: {z: 1, a: 2}", "hostNetwork: true");
    let InjectedManifest { manifest: same, messages } = inject(&manifest);
    assert_eq!(same, manifest);
    assert_eq!(messages.len(), 1);
    assert!(messages[0].starts_with("Deployment web: no sidecar (HostNetwork): the pod uses"));
}

#[test]
fn labels_and_annotations_of_namespace_objects_are_used() {
    let silent = DEPLOYMENT.replace("tracebuffer.dev/inject: \"true\"", "other: x");
    let labelled = "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  \
                    labels: {tracebuffer.dev/inject: enabled}\n";
    let InjectedManifest { messages, .. } = inject(&format!("{silent}{labelled}"));
    assert_eq!(messages, ["Deployment web: injected the sidecar of TraceBuffer shop/default"]);

    let named = "---\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  \
                 metadata:\n    name: shop\n    \
                 annotations: {tracebuffer.dev/tracebuffer: nowhere}\n";
    let InjectedManifest { messages, .. } = inject(&format!("{DEPLOYMENT}{named}"));
    assert!(messages[0].contains("there is no TraceBuffer shop/nowhere"), "{messages:?}");
}

#[test]
fn a_pod_that_does_not_opt_in_is_unchanged_without_a_message() {
    for annotation in ["tracebuffer.dev/inject: \"false\"", "other: x"] {
        let manifest = DEPLOYMENT.replace("tracebuffer.dev/inject: \"true\"", annotation);
        assert_eq!(
            inject(&manifest),
            InjectedManifest { manifest: manifest.clone(), messages: vec![] }
        );
    }
}

#[test]
fn an_annotation_on_the_deployment_itself_is_reported_as_misplaced() {
    let metadata = "metadata:\n  annotations: {tracebuffer.dev/inject: \"true\"}\n  name: web   #";
    let manifest = DEPLOYMENT
        .replace("        tracebuffer.dev/inject: \"true\"\n", "        x: y\n")
        .replace("metadata:\n  name: web   #", metadata);
    assert_eq!(
        inject(&manifest).messages,
        [
            "Deployment web: no sidecar: annotation tracebuffer.dev/inject is on the object; move it \
             to spec.template.metadata.annotations"
        ]
    );
}

#[test]
fn warnings_name_the_object() {
    let manifest =
        DEPLOYMENT.replace("unheardOf: {z: 1, a: 2}", "terminationGracePeriodSeconds: 1");
    let messages = inject(&manifest).messages;
    assert!(messages[1].starts_with("Deployment web: terminationGracePeriodSeconds 1 is less"));
}

#[test]
fn the_first_pull_secrets_are_a_warning() {
    let with_secret = format!("{TRACE_BUFFER}  sidecar: {{imagePullSecrets: [{{name: pull}}]}}\n");
    let offline = injector(&with_secret);
    assert_eq!(offline.inject(DEPLOYMENT).unwrap().messages.len(), 2);
    let with_own = DEPLOYMENT.replace("unheardOf: {z: 1, a: 2}", "imagePullSecrets: [{name: own}]");
    assert_eq!(offline.inject(&with_own).unwrap().messages.len(), 1);
}

#[test]
fn every_item_of_a_list_is_injected() {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "a", "annotations": {"tracebuffer.dev/inject": "true"}},
        "spec": {"containers": [{"name": "a"}]},
    });
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [pod, pod]});
    let InjectedManifest { manifest, messages } = inject(&list.to_string());
    let list: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(list["items"][1]["spec"]["initContainers"][0]["name"], "tracebuffer");
    assert_eq!(messages.len(), 2);
}

#[test]
fn an_invalid_pod_is_rejected_with_object_and_field() {
    let manifest = DEPLOYMENT.replace("\"true\"", "true");
    assert_eq!(
        injector(TRACE_BUFFER).inject(&manifest).unwrap_err().to_string(),
        "Deployment web: spec.template.metadata.annotations[tracebuffer.dev/inject] is not a string; \
         quote the value"
    );
}

#[test]
fn a_manifest_without_a_trace_buffer_or_with_an_invalid_one_is_rejected() {
    let error = |manifest: &str| {
        parse_trace_buffers(manifest, "shop", &defaults()).unwrap_err().to_string()
    };
    assert_eq!(
        error(SERVICE),
        "no object of kind TraceBuffer and apiVersion tracebuffer.dev/v1alpha1 was found"
    );
    let wrong = TRACE_BUFFER.replace("http://collector:4317", "nowhere");
    assert!(error(&wrong).starts_with("TraceBuffer shop/default: spec.destination.endpoint "));
    let untyped = TRACE_BUFFER.replace("{endpoint: http://collector:4317}", "7");
    assert!(error(&untyped).starts_with("TraceBuffer shop/default: invalid type"));
}
