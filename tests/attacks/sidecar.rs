//! What the operator gives to the sidecar of a default `TraceBuffer`, as `tracebuffer inject` prints it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::{fs, io};

use serde_json::{Value, json};
use tracebuffer::domain::units::ByteSize;

/// The environment, files and memory of a sidecar.
pub(crate) struct Sidecar {
    pub(crate) environment: Vec<(String, String)>,
    /// The content of the limits file, which is an annotation of the pod.
    pub(crate) limits: String,
    /// The memory limit of the container, in bytes.
    pub(crate) memory: u64,
}

/// The ports of one receiver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) grpc: u16,
    pub(crate) http: u16,
    pub(crate) admin: u16,
}

impl Sidecar {
    /// Injects the sidecar of a `TraceBuffer` that sets only its destination and ports. `folder` is
    /// for its manifests.
    pub(crate) fn inject(
        binary: &Path,
        folder: &Path,
        destination: SocketAddr,
        ports: Ports,
    ) -> io::Result<Self> {
        let trace_buffer = json!({
            "apiVersion": "tracebuffer.dev/v1alpha1",
            "kind": "TraceBuffer",
            "metadata": { "name": "default" },
            "spec": {
                "destination": { "endpoint": format!("http://{destination}") },
                "receiver": {
                    "grpcPort": ports.grpc, "httpPort": ports.http, "adminPort": ports.admin,
                },
            },
        });
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": "attacked", "annotations": { "tracebuffer.dev/inject": "true" } },
            "spec": { "containers": [{ "name": "application", "image": "application" }] },
        });
        let (trace_buffer_file, pod_file) =
            (folder.join("tracebuffer.json"), folder.join("pod.json"));
        fs::write(&trace_buffer_file, trace_buffer.to_string())?;
        fs::write(&pod_file, pod.to_string())?;
        let output = Command::new(binary)
            .args(["inject", "--filename"])
            .arg(&pod_file)
            .arg("--tracebuffer")
            .arg(&trace_buffer_file)
            .output()?;
        let printed = serde_json::from_slice(&output.stdout).unwrap_or_default();
        Self::from_pod(&printed).ok_or_else(|| {
            let log = String::from_utf8_lossy(&output.stderr);
            io::Error::other(format!("`tracebuffer inject` printed no sidecar: {log}"))
        })
    }

    fn from_pod(pod: &Value) -> Option<Self> {
        let container = pod.pointer("/spec/initContainers/0")?;
        let variables = container.get("env")?.as_array()?.iter();
        let environment = variables.map(|variable| {
            let text = |key| variable.get(key)?.as_str().map(str::to_owned);
            Some((text("name")?, text("value")?))
        });
        let memory = container.pointer("/resources/limits/memory")?.as_str()?;
        let limits = pod.pointer("/metadata/annotations/tracebuffer.dev~1limits")?.as_str()?;
        Some(Self {
            environment: environment.collect::<Option<_>>()?,
            limits: limits.to_owned(),
            memory: memory.parse::<ByteSize>().ok()?.0,
        })
    }
}
