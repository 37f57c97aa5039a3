//! The sidecar's container.

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, ExecAction, Lifecycle, LifecycleHandler,
    SeccompProfile, SecurityContext, Volume,
};

use super::validated::{RunAs, ValidatedSpec};
use super::{SidecarDefaults, environment, resources, volumes};
use crate::adapters::kubernetes::names::SIDECAR_CONTAINER;
use crate::adapters::kubernetes::resource::TraceBufferSpec;

/// Path of the program in the image.
const PROGRAM_PATH: &str = "/tracebuffer";
/// The name of the port that a `PodMonitor` reads metrics from.
const ADMIN_PORT_NAME: &str = "tb-admin";

/// Builds the container, which mounts `volumes`.
///
/// It has no probes. Where a service mesh redirects what arrives in a pod, or demands mTLS of it, probes
/// over HTTP fail, and the application would never start; those that execute a program cost CPU. The
/// receiver listens within milliseconds, and ends by itself if it hangs. A probe of readiness would take
/// the pod out of its Service.
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
    Container {
        name: SIDECAR_CONTAINER.to_owned(),
        image: Some(image.unwrap_or_else(|| defaults.image.clone())),
        image_pull_policy,
        args: Some(vec!["receiver".to_owned()]),
        env: Some(environment::variables(spec, checked)),
        ports: Some(vec![ContainerPort {
            name: Some(ADMIN_PORT_NAME.to_owned()),
            container_port: checked.ports.admin.into(),
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        resources: Some(resources::resources(spec, checked)),
        security_context: Some(security_context(checked.user)),
        volume_mounts: Some(volumes::mounts(volumes)),
        // The receiver leaves its message in the default file; if it cannot start, its log tells why.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        lifecycle: Some(Lifecycle { pre_stop: Some(flush_hook()), ..Lifecycle::default() }),
        ..Container::default()
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
