//! The sources of header values.

use k8s_openapi::api::core::v1::EnvVar;

use super::*;

fn with_headers(headers: &Value) -> Sidecar {
    built(&json!({ "destination": { "headers": headers } }))
}

fn header(name: &str, from: &Value) -> Value {
    json!({ "name": name, "valueFrom": from })
}

fn variable(sidecar: &Sidecar, name: &str) -> Option<EnvVar> {
    let variables = sidecar.container.env.as_ref().unwrap();
    variables.iter().find(|variable| variable.name == format!("TRACEBUFFER_{name}")).cloned()
}

fn value(sidecar: &Sidecar, name: &str) -> Option<String> {
    variable(sidecar, name)?.value
}

fn mount_of(sidecar: &Sidecar, volume: &str) -> String {
    let mounts = sidecar.container.volume_mounts.as_ref().unwrap();
    mounts.iter().find(|mount| mount.name == volume).unwrap().mount_path.clone()
}

#[test]
fn a_config_map_is_a_file_like_a_secret() {
    let reference = json!({ "name": "tenants", "key": "shop" });
    let sidecar =
        with_headers(&json!([header("x-tenant", &json!({ "configMapKeyRef": reference }))]));

    let path = "x-tenant=/etc/tracebuffer/destination/headers/x-tenant";
    assert_eq!(value(&sidecar, "HEADER_VALUE_FILES").as_deref(), Some(path));
    let sources = sidecar.volumes[1].projected.clone().unwrap().sources.unwrap();
    let source = sources[0].config_map.clone().unwrap();
    assert_eq!((source.name.as_str(), source.optional), ("tenants", Some(true)));
    assert_eq!(sidecar.credentials, CredentialUse::References);
}

#[test]
fn prefixes_and_optional_headers_are_passed_by_name() {
    let reference = json!({ "secretKeyRef": { "name": "token", "key": "t" } });
    let sidecar = with_headers(&json!([
        { "name": "Authorization", "valueFrom": reference, "prefix": "Bearer " },
        { "name": "x-extra", "valueFrom": reference, "optional": true },
        { "name": "x-plain", "valueFrom": reference, "optional": false },
    ]));

    let prefixes = value(&sidecar, "HEADER_VALUE_PREFIXES");
    assert_eq!(prefixes.as_deref(), Some("authorization=Bearer%20"));
    assert_eq!(value(&sidecar, "OPTIONAL_HEADERS").as_deref(), Some("x-extra"));
}

#[test]
fn each_token_has_its_own_volume_which_is_not_optional() {
    let token = |audience: &str| json!({ "serviceAccountToken": { "audience": audience } });
    let mut second = token("two");
    second["serviceAccountToken"]["expirationSeconds"] = 600.into();
    let secret = json!({ "secretKeyRef": { "name": "token", "key": "t" } });
    let sidecar = with_headers(&json!([
        header("a", &secret),
        header("b", &token("https://one")),
        header("c", &second),
    ]));

    let names: Vec<_> = sidecar.volumes.iter().map(|volume| volume.name.as_str()).collect();
    let expected = [
        "tracebuffer-pod-info",
        "tracebuffer-destination",
        "tracebuffer-token-1",
        "tracebuffer-token-2",
    ];
    assert_eq!(names, expected);
    let of = |volume: usize| {
        let sources = sidecar.volumes[volume].projected.clone().unwrap().sources.unwrap();
        let token = sources[0].service_account_token.clone().unwrap();
        (token.audience.unwrap(), token.expiration_seconds.unwrap(), token.path)
    };
    assert_eq!(of(2), ("https://one".into(), 3600, "token".into()));
    assert_eq!(of(3), ("two".into(), 600, "token".into()));
    assert_eq!(mount_of(&sidecar, "tracebuffer-token-1"), "/etc/tracebuffer/token/1");
    let files = value(&sidecar, "HEADER_VALUE_FILES").unwrap();
    assert!(files.ends_with("b=/etc/tracebuffer/token/1/token,c=/etc/tracebuffer/token/2/token"));
    assert_eq!(sidecar.credentials, CredentialUse::ServiceAccountToken);
}

#[test]
fn labels_and_annotations_are_files_that_follow_the_pod() {
    let field = |path: &str| json!({ "fieldRef": { "fieldPath": path } });
    let sidecar = with_headers(&json!([
        header("x-team", &field("metadata.labels['example.com/team']")),
        header("x-note", &field("metadata.annotations['note']")),
    ]));

    let items = sidecar.volumes[0].downward_api.clone().unwrap().items.unwrap();
    let files: Vec<_> =
        items.into_iter().map(|item| (item.path, item.field_ref.unwrap().field_path)).collect();
    let owned = |(path, field): (&str, &str)| (path.to_owned(), field.to_owned());
    assert_eq!(
        files[1..],
        [
            owned(("headers/x-team", "metadata.labels['example.com/team']")),
            owned(("headers/x-note", "metadata.annotations['note']")),
        ]
    );
    let files = value(&sidecar, "HEADER_VALUE_FILES").unwrap();
    assert!(files.starts_with("x-team=/etc/tracebuffer/pod/headers/x-team,"), "{files}");
    assert_eq!(sidecar.credentials, CredentialUse::None);
}

#[test]
fn other_fields_are_variables_defined_once_and_before_their_use() {
    let field = |path: &str| json!({ "fieldRef": { "fieldPath": path } });
    let sidecar = with_headers(&json!([
        { "name": "x-scope-orgid", "valueFrom": field("metadata.namespace"), "prefix": "k8s, $ " },
        header("x-node", &field("spec.nodeName")),
        header("x-again", &field("spec.nodeName")),
    ]));

    let variables = sidecar.container.env.as_ref().unwrap();
    let names: Vec<_> = variables.iter().map(|variable| variable.name.as_str()).collect();
    let place = |name: &str| names.iter().position(|found| *found == name).unwrap();
    assert!(place("TRACEBUFFER_FIELD_NODENAME") < place("TRACEBUFFER_HEADERS"));
    assert_eq!(names.iter().filter(|name| name.ends_with("_NODENAME")).count(), 1);
    let from = variable(&sidecar, "FIELD_NAMESPACE").unwrap().value_from.unwrap();
    assert_eq!(from.field_ref.unwrap().field_path, "metadata.namespace");
    let headers = "x-scope-orgid=k8s%2C%20%24%20$(TRACEBUFFER_FIELD_NAMESPACE),\
                   x-node=$(TRACEBUFFER_FIELD_NODENAME),x-again=$(TRACEBUFFER_FIELD_NODENAME)";
    assert_eq!(value(&sidecar, "HEADERS").as_deref(), Some(headers));
}

#[test]
fn pull_secrets_and_authorities_count_as_namespace_references() {
    for changes in [
        json!({ "sidecar": { "imagePullSecrets": [{ "name": "pull" }] } }),
        json!({ "destination": { "endpoint": "https://x", "tls": {
            "ca": { "configMapKeyRef": { "name": "ca", "key": "ca.crt" } } } } }),
        json!({ "destination": { "endpoint": "https://x", "tls": {
            "clientCertificateSecretRef": { "name": "client" } } } }),
    ] {
        assert_eq!(built(&changes).credentials, CredentialUse::References, "{changes}");
    }
    let tls = json!({ "destination": { "endpoint": "https://x", "tls": { "serverName": "y" } } });
    assert_eq!(built(&tls).credentials, CredentialUse::None);
}
