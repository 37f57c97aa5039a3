//! What makes running pods outdated.

use super::*;

fn hash(changes: &Value) -> String {
    built(changes).hash
}

#[test]
fn the_hash_of_a_spec_is_the_same_in_every_release() {
    // Running pods have these hashes. A changed hash makes every running pod outdated.
    assert_eq!(hash(&json!({})), "77d9a97550c856c52b0dc296fa32331a");
    let full = json!({
        "buffer": { "overflow": "Reject" },
        "destination": { "headers": [{ "name": "a", "value": "b" }], "concurrency": 2 },
        "sidecar": { "image": "mine:1", "resources": { "limits": { "memory": "1Gi" } } },
    });
    assert_eq!(hash(&full), "a825741a5c6e4dd0ca9ddbf4c8802391");
}

/// Returns a spec with every field of the hash, each with a value other than its default.
fn every_field() -> Value {
    json!({
        "buffer": { "overflow": "Reject" },
        "destination": {
            "endpoint": "https://traces.example/v1/traces",
            "protocol": "HTTPProtobuf",
            "compression": "Zstd",
            "headers": [
                { "name": "X-Literal", "value": "a b" },
                { "name": "Authorization", "prefix": "Bearer ", "optional": true, "valueFrom": {
                    "secretKeyRef": { "name": "token", "key": "t" } } },
                { "name": "x-tenant", "optional": false, "valueFrom": {
                    "configMapKeyRef": { "name": "tenants", "key": "shop" } } },
                { "name": "x-token", "valueFrom": {
                    "serviceAccountToken": { "audience": "traces", "expirationSeconds": 600 } } },
                { "name": "x-node", "valueFrom": { "fieldRef": { "fieldPath": "spec.nodeName" } } },
            ],
            "tls": {
                "ca": { "configMapKeyRef": { "name": "ca", "key": "ca.crt" } },
                "trustSystemRoots": true,
                "clientCertificateSecretRef": { "name": "client" },
                "serverName": "traces.internal",
            },
            "timeout": "1m30s",
            "batch": { "maxSpans": 77, "maxBytes": "1Mi", "linger": "1s500ms" },
            "concurrency": 2,
        },
        "receiver": {
            "grpcPort": 5317, "httpPort": 5318, "adminPort": 9418, "maxRequestBytes": "1.5Mi",
        },
        "sidecar": {
            "mode": "Container",
            "image": "mine:1",
            "imagePullSecrets": [{ "name": "pull" }],
            "resources": {
                "requests": { "cpu": "100m", "memory": "64Mi", "ephemeral-storage": "16Mi" },
                "limits": { "cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi" },
            },
            "applicationEnvironment": "Never",
            "securityContext": { "runAsUser": 1000, "runAsGroup": 2000 },
        },
        "drainTimeout": "1m",
    })
}

#[test]
fn the_hash_of_every_field_is_the_same_in_every_release() {
    assert_eq!(hash(&every_field()), "bba1cd07557240be2b1c44ed4627ec3f");
    let mut other = every_field();
    other["destination"]["tls"]["ca"] =
        json!({ "secretKeyRef": { "name": "ca", "key": "ca.crt" } });
    assert_eq!(hash(&other), "36f589fc7ed7a1f4d6e73ccc30603fcf");
}

#[test]
fn settings_applied_to_running_pods_or_unused_by_them_do_not_change_the_hash() {
    let plain = hash(&json!({}));
    for changes in [
        json!({ "buffer": { "maxSpans": 7, "maxBytes": "64Mi", "maxAge": "1h" } }),
        json!({ "allowedNamespaces": { "from": "All" } }),
        json!({ "rollout": { "strategy": "OnChange", "maxConcurrent": 3, "interval": "1m" } }),
    ] {
        assert_eq!(hash(&changes), plain, "{changes}");
    }
}

#[test]
fn the_operators_image_does_not_change_the_hash_but_the_specs_image_does() {
    let newer = SidecarDefaults { image: "tracebuffer:9".into(), ..SidecarDefaults::unknown() };

    let upgraded = build(&object(&json!({})), &newer).unwrap();

    assert_eq!(upgraded.hash, hash(&json!({})));
    let own = |image: &str| hash(&json!({ "sidecar": { "image": image } }));
    assert_ne!(own("mine:1"), hash(&json!({})));
    assert_ne!(own("mine:1"), own("mine:2"));
}

#[test]
fn each_setting_that_needs_a_new_pod_changes_the_hash() {
    let reference = json!({ "name": "n", "key": "k" });
    let tls = json!({ "endpoint": "https://x", "tls": { "ca": { "secretKeyRef": reference } } });
    let from = |from: &Value| json!({ "headers": [{ "name": "a", "valueFrom": from }] });
    let header = |value: &str| json!({ "headers": [{ "name": "a", "value": value }] });
    let mut hashes: Vec<_> = [
        json!({}),
        json!({ "buffer": { "overflow": "Reject" } }),
        json!({ "destination": { "endpoint": "http://other" } }),
        json!({ "destination": { "protocol": "HTTPProtobuf" } }),
        json!({ "destination": { "compression": "Gzip" } }),
        json!({ "destination": header("1") }),
        json!({ "destination": header("2") }),
        json!({ "destination": from(&json!({ "secretKeyRef": reference })) }),
        json!({ "destination": from(&json!({ "configMapKeyRef": reference })) }),
        json!({ "destination": { "endpoint": "https://x" } }),
        json!({ "destination": tls }),
        json!({ "destination": { "timeout": "9s" } }),
        json!({ "destination": { "connectionMaxAge": "5m" } }),
        json!({ "destination": { "connectionMaxAge": "0s" } }),
        json!({ "destination": { "proxy": { "url": "http://proxy:3128" } } }),
        json!({ "destination": { "proxy": { "url": "http://proxy:3129" } } }),
        json!({ "destination": { "batch": { "linger": "1s" } } }),
        json!({ "destination": { "concurrency": 2 } }),
        json!({ "receiver": { "grpcPort": 5317 } }),
        json!({ "receiver": { "maxRequestBytes": "1Mi" } }),
        json!({ "receiver": { "maxHeadBytes": "8Ki" } }),
        json!({ "receiver": { "maxHeadBytes": "16Ki" } }),
        json!({ "sidecar": { "mode": "Container" } }),
        json!({ "sidecar": { "imagePullSecrets": [{ "name": "x" }] } }),
        json!({ "sidecar": { "resources": { "requests": { "cpu": "1" } } } }),
        json!({ "sidecar": { "applicationEnvironment": "Never" } }),
        json!({ "sidecar": { "securityContext": {} } }),
        json!({ "sidecar": { "securityContext": { "runAsUser": 1000 } } }),
        json!({ "drainTimeout": "5s" }),
    ]
    .iter()
    .map(hash)
    .collect();
    let all = hashes.len();
    hashes.sort();
    hashes.dedup();

    assert_eq!(hashes.len(), all);
}

#[test]
fn equivalent_specs_have_the_same_hash() {
    let same = [
        (json!({}), json!({ "drainTimeout": "0m25s" })),
        (json!({ "drainTimeout": "90s" }), json!({ "drainTimeout": "1m30s" })),
        (json!({}), json!({ "destination": { "batch": { "maxBytes": "3.5Mi" } } })),
        (json!({}), json!({ "destination": { "timeout": "10000ms", "concurrency": 1 } })),
        (
            json!({ "destination": { "connectionMaxAge": "1m" } }),
            json!({ "destination": { "connectionMaxAge": "60s" } }),
        ),
        (
            json!({ "receiver": { "maxHeadBytes": "16Ki" } }),
            json!({ "receiver": { "maxHeadBytes": 16_384 } }),
        ),
        (
            json!({ "sidecar": { "resources": { "requests": { "cpu": "100m" } } } }),
            json!({ "sidecar": { "resources": { "requests": { "cpu": "0.1" } } } }),
        ),
    ];
    for (one, other) in &same {
        assert_eq!(hash(one), hash(other), "{one} {other}");
    }
}
