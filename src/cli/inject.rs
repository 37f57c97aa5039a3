//! `tracebuffer inject`: injects sidecars as the webhook does, without a cluster.

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Arg, ArgMatches, Command, value_parser};

use super::input_file::InputFile;
use crate::adapters::kubernetes::manifest::{
    InjectedManifest, OfflineInjector, parse_trace_buffers,
};
use crate::adapters::kubernetes::sidecar::{Sidecar, SidecarDefaults};
use crate::domain::operator::injection::trace_buffer_view::TraceBufferView;

/// The name of the subcommand.
pub(super) const NAME: &str = "inject";

/// The namespace of objects without one, as in kubectl.
const DEFAULT_NAMESPACE: &str = "default";
/// The default image, of this version.
const IMAGE: &str = concat!("ghcr.io/tracebuffer/tracebuffer:", env!("CARGO_PKG_VERSION"));

const AFTER_HELP: &str = "\
Reads Kubernetes objects in YAML or JSON and prints them with the sidecar added to each Pod and pod \
template (of a Deployment, StatefulSet, DaemonSet, ReplicaSet, ReplicationController, Job or CronJob, \
also within a List) whose annotation tracebuffer.dev/inject asks for it. The decisions are those of \
the operator's webhook; labels and annotations of namespaces are taken from Namespace objects in the \
input. An existing sidecar is not changed; to update it, inject into the original manifest.

Documents without a sidecar are printed unchanged. The others keep all fields and the order of keys, \
but lose their comments. Injected and skipped pods are reported on standard error.

Exit code: 0 on success, also if pods are skipped; 1 if the input cannot be read or has errors.";

/// The arguments of `tracebuffer inject`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InjectArgs {
    manifest: InputFile,
    trace_buffers: InputFile,
    /// The namespace of objects without one; `None` means that of the `TraceBuffer`s.
    namespace: Option<String>,
    image: String,
}

/// Describes the subcommand.
pub(super) fn command() -> Command {
    let file = |name: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .required(true)
    };
    Command::new(NAME)
        .about("Adds the sidecar to manifests, without a cluster")
        .after_help(AFTER_HELP)
        .arg(
            file("filename")
                .short('f')
                .help("Manifest to add the sidecar to; - for standard input"),
        )
        .arg(file("tracebuffer").help("Manifest with the TraceBuffers; - for standard input"))
        .arg(
            Arg::new("namespace").long("namespace").short('n').value_name("NAME").help(
                "Namespace of objects without one [default: the namespace of the TraceBuffers]",
            ),
        )
        .arg(
            Arg::new("image")
                .long("image")
                .value_name("IMAGE")
                .default_value(IMAGE)
                .help("Image of the sidecar if the TraceBuffer sets none"),
        )
}

impl InjectArgs {
    /// Reads the arguments.
    pub(super) fn from_flags(flags: &ArgMatches) -> Self {
        let file = |name| InputFile(flags.get_one::<PathBuf>(name).cloned().unwrap_or_default());
        let text = |name| flags.get_one::<String>(name).cloned().unwrap_or_default();
        Self {
            manifest: file("filename"),
            trace_buffers: file("tracebuffer"),
            namespace: flags.get_one("namespace").cloned(),
            image: text("image"),
        }
    }

    /// Prints the injected manifest to standard output and the messages to standard error.
    pub(super) fn run(self) -> ExitCode {
        let result = self.inject(&mut io::stdin()).and_then(|injected| {
            let printed = io::stdout().write_all(injected.manifest.as_bytes());
            printed.map_err(|error| format!("standard output: {error}"))?;
            Ok(injected.messages)
        });
        let (lines, code) = match result {
            Ok(messages) => (messages, ExitCode::SUCCESS),
            Err(error) => (vec![error], ExitCode::FAILURE),
        };
        for line in lines {
            // If standard error is closed, only the exit code reports the result.
            let _ = writeln!(io::stderr(), "tracebuffer inject: {line}");
        }
        code
    }

    fn inject(&self, stdin: &mut dyn Read) -> Result<InjectedManifest, String> {
        let Self { manifest, trace_buffers: source, .. } = self;
        if manifest.is_stdin() && source.is_stdin() {
            return Err("only one of --filename and --tracebuffer can be standard input".to_owned());
        }
        let at = |file: &InputFile, error: &dyn Display| format!("{file}: {error}");
        let defaults = SidecarDefaults { image: self.image.clone(), ..SidecarDefaults::unknown() };
        let text = source.read(stdin).map_err(|error| at(source, &error))?;
        let namespace = self.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
        let trace_buffers =
            parse_trace_buffers(&text, namespace, &defaults).map_err(|error| at(source, &error))?;
        let injector = OfflineInjector {
            namespace: self.namespace.clone().unwrap_or_else(|| common_namespace(&trace_buffers)),
            trace_buffers,
        };
        let text = manifest.read(stdin).map_err(|error| at(manifest, &error))?;
        injector.inject(&text).map_err(|error| at(manifest, &error))
    }
}

/// Returns the namespace of all `TraceBuffer`s if it is the same, or else `default`.
fn common_namespace(trace_buffers: &[Arc<TraceBufferView<Sidecar>>]) -> String {
    let mut namespaces = trace_buffers.iter().map(|one| one.key.namespace.as_str());
    let first = namespaces.next().unwrap_or(DEFAULT_NAMESPACE);
    if namespaces.all(|other| other == first) { first } else { DEFAULT_NAMESPACE }.to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cli::input_file::STDIN;

    const TRACE_BUFFER: &str = "\
apiVersion: tracebuffer.dev/v1alpha1
kind: TraceBuffer
metadata:
  name: default
spec:
  destination:
    endpoint: http://collector:4317
";

    const POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations:
    tracebuffer.dev/inject: \"true\"
spec:
  containers:
  - name: web
    image: web:1
";

    fn injection(arguments: &[&str]) -> InjectArgs {
        let flags = command().try_get_matches_from([&[NAME], arguments].concat()).unwrap();
        InjectArgs::from_flags(&flags)
    }

    /// Injects `manifest`, given on standard input.
    fn injected(manifest: &str, arguments: &[&str]) -> Result<InjectedManifest, String> {
        injected_from(TRACE_BUFFER, manifest, arguments)
    }

    fn injected_from(
        trace_buffers: &str,
        manifest: &str,
        arguments: &[&str],
    ) -> Result<InjectedManifest, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tb.yaml");
        fs::write(&file, trace_buffers).unwrap();
        let files = ["-f", STDIN, "--tracebuffer", file.to_str().unwrap()];
        injection(&[&files, arguments].concat()).inject(&mut manifest.as_bytes())
    }

    #[test]
    fn a_pod_on_standard_input_gets_its_sidecar() {
        let InjectedManifest { manifest, messages } = injected(POD, &[]).unwrap();
        assert_eq!(messages, ["Pod web: injected the sidecar of TraceBuffer default/default"]);
        let image = format!("image: {IMAGE}");
        assert!(manifest.contains(&image) && manifest.contains("initContainers:"), "{manifest}");
    }

    #[test]
    fn flags_choose_namespace_and_image() {
        let InjectedManifest { manifest, messages } =
            injected(POD, &["-n", "shop", "--image", "mine:1"]).unwrap();
        assert_eq!(messages, ["Pod web: injected the sidecar of TraceBuffer shop/default"]);
        assert!(manifest.contains("image: mine:1"));
    }

    #[test]
    fn a_manifest_without_a_namespace_uses_that_of_the_trace_buffers() {
        let of = |namespace: &str| {
            let name = format!("name: default\n  namespace: {namespace}");
            TRACE_BUFFER.replace("name: default", &name)
        };
        let one = injected_from(&of("shop"), POD, &[]).unwrap();
        let two = injected_from(&format!("{}---\n{}", of("shop"), of("bank")), POD, &[]).unwrap();
        assert_eq!(one.messages, ["Pod web: injected the sidecar of TraceBuffer shop/default"]);
        assert!(two.messages[0].contains("namespace default has no TraceBuffer"), "{two:?}");
    }

    #[test]
    fn an_unreadable_input_is_named() {
        let missing = injection(&["-f", STDIN, "--tracebuffer", "/no/such"]);
        let error = missing.inject(&mut "".as_bytes()).unwrap_err();
        assert!(error.starts_with("/no/such: "), "{error}");
        let error = injected("a: [", &[]).unwrap_err();
        assert!(error.starts_with("standard input: document 1: "), "{error}");
    }

    #[test]
    fn standard_input_is_read_only_once() {
        let both = injection(&["-f", STDIN, "--tracebuffer", STDIN]);
        assert!(both.inject(&mut "".as_bytes()).unwrap_err().starts_with("only one of"));
    }
}
