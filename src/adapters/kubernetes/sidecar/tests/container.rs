//! The container and its volumes.

use k8s_openapi::api::core::v1::{SecurityContext, VolumeProjection};

use super::*;

fn amount(sidecar: &Sidecar, of: &str, name: &str) -> Option<String> {
    let resources = sidecar.container.resources.as_ref().unwrap();
    let amounts = if of == "limits" { &resources.limits } else { &resources.requests };
    Some(amounts.as_ref()?.get(name)?.0.clone())
}

fn security(changes: &Value) -> SecurityContext {
    built(changes).container.security_context.unwrap()
}

fn destination_files(sidecar: &Sidecar) -> Vec<VolumeProjection> {
    let volume = sidecar.volumes.iter().find(|volume| volume.name == "tracebuffer-destination");
    volume.unwrap().projected.clone().unwrap().sources.unwrap()
}

#[test]
fn a_sidecar_passes_the_restricted_level() {
    let context = security(&json!({}));

    assert_eq!(context.run_as_non_root, Some(true));
    assert_eq!((context.run_as_user, context.run_as_group), (Some(65_532), Some(65_532)));
    assert_eq!(context.allow_privilege_escalation, Some(false));
    assert_eq!(context.read_only_root_filesystem, Some(true));
    let capabilities = context.capabilities.unwrap();
    assert_eq!(capabilities.drop.unwrap(), ["ALL"]);
    assert_eq!(capabilities.add, None);
    assert_eq!(context.seccomp_profile.unwrap().type_, "RuntimeDefault");
}

#[test]
fn the_user_is_set_by_the_platform_or_the_spec() {
    let platform = security(&json!({ "sidecar": { "securityContext": {} } }));
    assert_eq!((platform.run_as_user, platform.run_as_group), (None, None));
    assert_eq!(platform.run_as_non_root, Some(true));

    let context = security(&json!({ "sidecar": { "securityContext": { "runAsUser": 1_000 } } }));
    assert_eq!((context.run_as_user, context.run_as_group), (Some(1_000), Some(1_000)));

    let both = json!({ "runAsUser": 1_000, "runAsGroup": 2_000 });
    let context = security(&json!({ "sidecar": { "securityContext": both } }));
    assert_eq!((context.run_as_user, context.run_as_group), (Some(1_000), Some(2_000)));
}

#[test]
fn the_container_runs_the_receiver_without_probes() {
    let container = built(&json!({ "receiver": { "adminPort": 9_000 } })).container;

    assert_eq!(container.name, "tracebuffer");
    assert_eq!(container.args.unwrap(), ["receiver"]);
    assert_eq!(container.command, None);
    assert_eq!(container.ports.unwrap()[0].container_port, 9_000);
    assert_eq!(container.termination_message_path, None);
    assert_eq!(container.termination_message_policy.as_deref(), Some("FallbackToLogsOnError"));
    assert_eq!(container.startup_probe, None);
    assert_eq!(container.liveness_probe, None);
    assert_eq!(container.readiness_probe, None);
    let before_stop = container.lifecycle.unwrap().pre_stop.unwrap().exec.unwrap();
    assert_eq!(before_stop.command.unwrap(), ["/tracebuffer", "flush"]);
}

#[test]
fn the_image_is_that_of_the_operator_or_of_the_spec() {
    let container = built(&json!({})).container;
    assert_eq!(container.image.as_deref(), Some("registry.example/tracebuffer:0.1.0"));
    assert_eq!(container.image_pull_policy.as_deref(), Some("IfNotPresent"));

    let own = json!({ "sidecar": { "image": "mine:2", "imagePullSecrets": [{ "name": "pull" }] } });
    let sidecar = built(&own);
    assert_eq!(sidecar.container.image.as_deref(), Some("mine:2"));
    assert_eq!(sidecar.container.image_pull_policy, None);
    assert_eq!(sidecar.image_pull_secrets[0].name, "pull");
}

#[test]
fn the_limits_are_a_file_that_follows_the_pods_annotation() {
    let sidecar = built(&json!({}));

    assert_eq!(sidecar.volumes.len(), 1);
    let items = sidecar.volumes[0].downward_api.clone().unwrap().items.unwrap();
    assert_eq!(items[0].path, "limits");
    let field = items[0].field_ref.clone().unwrap().field_path;
    assert_eq!(field, "metadata.annotations['tracebuffer.dev/limits']");
    let mounts = sidecar.container.volume_mounts.unwrap();
    assert_eq!(mounts[0].mount_path, "/etc/tracebuffer/pod");
    assert_eq!((mounts[0].read_only, &mounts[0].sub_path), (Some(true), &None));
    let variables = sidecar.container.env.unwrap();
    let file = variables.iter().find(|v| v.name == "TRACEBUFFER_LIMITS_FILE").unwrap();
    assert_eq!(file.value.as_deref(), Some("/etc/tracebuffer/pod/limits"));
}

/// The API server mounts the service account token only if nothing else is mounted at its path.
#[test]
fn the_path_of_the_api_token_is_taken_by_another_mount() {
    let sidecar = built(&json!({}));

    let mounts = sidecar.container.volume_mounts.unwrap();
    let path = "/var/run/secrets/kubernetes.io/serviceaccount";
    let mount = mounts.iter().find(|mount| mount.mount_path == path).unwrap();
    assert_eq!(mount.name, "tracebuffer-pod-info");
}

#[test]
fn secrets_are_optional_files_and_never_environment_variables() {
    let token = |key: &str| json!({ "name": "token", "key": key });
    let sidecar = built(&json!({ "destination": {
        "endpoint": "https://traces.example",
        "headers": [
            { "name": "Authorization", "valueFrom": { "secretKeyRef": token("bearer") } },
            { "name": "x-key", "valueFrom": { "secretKeyRef": token("other") } },
        ],
        "tls": {
            "ca": { "secretKeyRef": { "name": "ca", "key": "tls.ca" } },
            "clientCertificateSecretRef": { "name": "client" },
        },
    } }));

    let sources = destination_files(&sidecar);
    let found: Vec<_> = sources
        .iter()
        .map(|source| source.secret.clone().unwrap())
        .flat_map(|secret| {
            assert_eq!(secret.optional, Some(true));
            let items = secret.items.unwrap();
            items.into_iter().map(move |item| (secret.name.clone(), item.key, item.path))
        })
        .collect();
    let expected = [
        ("ca", "tls.ca", "ca.crt"),
        ("client", "tls.crt", "client.crt"),
        ("client", "tls.key", "client.key"),
        ("token", "bearer", "headers/authorization"),
        ("token", "other", "headers/x-key"),
    ];
    let owned = |(a, b, c): (&str, &str, &str)| (a.to_owned(), b.to_owned(), c.to_owned());
    assert_eq!(found, expected.map(owned));
    let mounts = sidecar.container.volume_mounts.unwrap();
    assert_eq!(mounts[1].mount_path, "/etc/tracebuffer/destination");
    assert!(sidecar.container.env.unwrap().iter().all(|variable| variable.value_from.is_none()));
}

#[test]
fn authorities_may_come_from_a_config_map() {
    let sidecar = built(&json!({ "destination": {
        "endpoint": "https://traces.example",
        "tls": { "ca": { "configMapKeyRef": { "name": "trust", "key": "bundle.pem" } } },
    } }));

    let source = destination_files(&sidecar)[0].config_map.clone().unwrap();
    assert_eq!((source.name.as_str(), source.optional), ("trust", Some(true)));
    assert_eq!(source.items.unwrap()[0].path, "ca.crt");
}

#[test]
fn resources_follow_the_limits() {
    let sidecar = built(&json!({}));

    // 20Mi + 32Mi + 4Mi + 2 x 4Mi; a flood over 200 connections was measured to need 46.5Mi.
    assert_eq!(amount(&sidecar, "requests", "memory").as_deref(), Some("64Mi"));
    assert_eq!(amount(&sidecar, "limits", "memory").as_deref(), Some("64Mi"));
    assert_eq!(amount(&sidecar, "requests", "cpu").as_deref(), Some("10m"));
    assert_eq!(amount(&sidecar, "limits", "cpu"), None);
    assert_eq!(amount(&sidecar, "requests", "ephemeral-storage").as_deref(), Some("16Mi"));
    assert_eq!(amount(&sidecar, "limits", "ephemeral-storage"), None);
    assert!(!sidecar.has_explicit_resources);
}

#[test]
fn larger_requests_and_heads_and_compression_need_more_memory() {
    let large =
        json!({ "buffer": { "maxBytes": "1Gi" }, "receiver": { "maxRequestBytes": "64Mi" } });
    // 20Mi + 1024Mi + 128Mi + 128Mi
    assert_eq!(amount(&built(&large), "limits", "memory").as_deref(), Some("1300Mi"));

    let heads = |size: &str| json!({ "receiver": { "maxHeadBytes": size } });
    // 64Mi + 2 x 64 x 5 x (16Ki - 8Ki); 9Ki are treated as 16Ki
    for size in ["9Ki", "16Ki"] {
        assert_eq!(amount(&built(&heads(size)), "limits", "memory").as_deref(), Some("69Mi"));
    }
    // 64Mi + 2 x 64 x 5 x (64Ki - 8Ki)
    assert_eq!(amount(&built(&heads("64Ki")), "limits", "memory").as_deref(), Some("99Mi"));
    for size in ["4Ki", "8Ki"] {
        assert_eq!(amount(&built(&heads(size)), "limits", "memory").as_deref(), Some("64Mi"));
    }

    let compressed = json!({ "destination": { "compression": "Gzip", "concurrency": 2 } });
    // 64Mi + 2 x (3.5Mi + 4Mi)
    assert_eq!(amount(&built(&compressed), "limits", "memory").as_deref(), Some("79Mi"));
}

#[test]
fn explicit_resources_are_unchanged() {
    let sidecar = built(&json!({ "sidecar": { "resources": {
        "requests": { "cpu": "0.1" },
        "limits": { "memory": "0.5Gi" },
    } } }));

    assert_eq!(amount(&sidecar, "requests", "cpu").as_deref(), Some("0.1"));
    assert_eq!(amount(&sidecar, "requests", "memory"), None);
    assert_eq!(amount(&sidecar, "limits", "memory").as_deref(), Some("0.5Gi"));
    assert!(sidecar.has_explicit_resources);
}

#[test]
fn the_application_gets_one_endpoint_for_every_protocol_or_none() {
    let endpoint = |changes: Value| built(&changes).application_endpoint;

    assert_eq!(endpoint(json!({})).as_deref(), Some("http://127.0.0.1:4317/"));
    assert_eq!(
        endpoint(json!({ "receiver": { "grpcPort": 5_000 } })).as_deref(),
        Some("http://127.0.0.1:5000/")
    );
    assert_eq!(endpoint(json!({ "sidecar": { "applicationEnvironment": "Never" } })), None);
}

#[test]
fn the_drain_timeout_is_rounded_up_to_whole_seconds() {
    assert_eq!(built(&json!({})).drain_timeout_seconds, 25);
    assert_eq!(built(&json!({ "drainTimeout": "1001ms" })).drain_timeout_seconds, 2);
}

#[test]
fn mode_and_uid_are_those_of_the_trace_buffer() {
    for (mode, expected) in [("Native", SidecarMode::Native), ("Container", SidecarMode::Container)]
    {
        assert_eq!(built(&json!({ "sidecar": { "mode": mode } })).mode, expected);
    }
    assert_eq!(built(&json!({})).uid, "u-1");
}
