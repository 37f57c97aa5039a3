//! The sidecar's container.

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, ExecAction, HTTPGetAction, Lifecycle, LifecycleHandler,
    Probe, SeccompProfile, SecurityContext, Volume,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::validated::{RunAs, ValidatedSpec};
use super::{SidecarDefaults, environment, resources, volumes};
use crate::adapters::kubernetes::names::SIDECAR_CONTAINER;
use crate::adapters::kubernetes::resource::TraceBufferSpec;

/// Path of the program in the image.
const PROGRAM_PATH: &str = "/tracebuffer";
/// The name of the port that a `PodMonitor` reads metrics from.
const ADMIN_PORT_NAME: &str = "tb-admin";
/// Seconds until a sidecar that does not listen is restarted; the application waits for it.
const STARTUP_TIMEOUT_SECONDS: i32 = 300;

/// Builds the container, which mounts `volumes`.
pub(super) fn container(
    spec: &TraceBufferSpec,
    checked: &ValidatedSpec,
    defaults: &SidecarDefaults,
    volumes: &[Volume],
) -> Container {
    let image = spec.sidecar.image.clone();
    let image_pull_policy = match &image {
        Some(_) => None,
        None => defaults.image_pull_policy.clone(),
    };
    let admin = i32::from(checked.ports.admin);
    Container {
        name: SIDECAR_CONTAINER.to_owned(),
        image: Some(image.unwrap_or_else(|| defaults.image.clone())),
        image_pull_policy,
        args: Some(vec!["receiver".to_owned()]),
        env: Some(environment::variables(spec, checked)),
        ports: Some(vec![ContainerPort {
            name: Some(ADMIN_PORT_NAME.to_owned()),
            container_port: admin,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        resources: Some(resources::resources(spec, checked)),
        security_context: Some(security_context(checked.user)),
        volume_mounts: Some(volumes::mounts(volumes)),
        startup_probe: Some(Probe {
            period_seconds: Some(1),
            failure_threshold: Some(STARTUP_TIMEOUT_SECONDS),
            ..probe("/ready", admin)
        }),
        liveness_probe: Some(Probe {
            period_seconds: Some(10),
            failure_threshold: Some(6),
            timeout_seconds: Some(5),
            ..probe("/live", admin)
        }),
        // The receiver leaves its message in the default file; if it cannot start, its log tells why.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        lifecycle: Some(Lifecycle { pre_stop: Some(flush_hook()), ..Lifecycle::default() }),
        ..Container::default()
    }
}

/// There is no readiness probe: a sidecar that is not ready would take the pod out of its Service.
fn probe(path: &str, port: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(port),
            ..HTTPGetAction::default()
        }),
        ..Probe::default()
    }
}

/// Flushes the receiver when the pod terminates, while the application still runs.
fn flush_hook() -> LifecycleHandler {
    LifecycleHandler {
        exec: Some(ExecAction { command: Some(vec![PROGRAM_PATH.to_owned(), "flush".to_owned()]) }),
        ..LifecycleHandler::default()
    }
}

/// Meets the `restricted` level of Pod Security, independently of the pod's own context.
fn security_context(user: RunAs) -> SecurityContext {
    let RunAs { user, group } = user;
    SecurityContext {
        run_as_non_root: Some(true),
        run_as_user: user,
        run_as_group: group,
        allow_privilege_escalation: Some(false),
        privileged: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            localhost_profile: None,
        }),
        ..SecurityContext::default()
    }
}
