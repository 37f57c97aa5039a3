//! The controller: the webhook in every replica, reconciling and making certificates in one each.

mod leading;
mod serving;
mod settings;

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use kube::Client;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tracing::info;

pub use settings::{CertificateSource, ControllerSettings, PullPolicy, WebhookSettings};

use self::leading::Duties;
use self::serving::Server;
use crate::adapters::kubernetes::audiences::api_audiences;
use crate::adapters::kubernetes::certificates::{CertificateFollower, CertificateObjects, Names};
use crate::adapters::kubernetes::sidecar::SidecarDefaults;
use crate::adapters::kubernetes::watch::{NamespaceIndex, PodIndex, TraceBufferCache};
use crate::adapters::telemetry::controller::metrics::ControllerMetrics;
use crate::adapters::telemetry::logging;
use crate::application::reconcile::queue::WorkQueue;
use crate::bootstrap::process;

/// A long list of pods keeps one thread busy while the other answers the webhook.
const WORKERS: usize = 2;

/// What every part of a controller stands on.
struct Foundation {
    settings: ControllerSettings,
    client: Client,
    metrics: Arc<ControllerMetrics>,
    queue: Arc<WorkQueue>,
    trace_buffers: Arc<TraceBufferCache>,
    pods: Arc<PodIndex>,
    namespaces: Arc<NamespaceIndex>,
    certificate_objects: CertificateObjects,
    certificates: Arc<CertificateFollower>,
}

/// Runs a controller until it is told to stop. Fails when the cluster or a port cannot be used, or a
/// part that runs for ever has ended.
#[must_use]
pub fn run(settings: ControllerSettings) -> ExitCode {
    logging::init(&settings.log);
    process::run(runtime(), "the controller cannot run", serve(settings))
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()
}

async fn serve(settings: ControllerSettings) -> Result<(), Box<dyn Error>> {
    let stop = stopped()?;
    let foundation = Foundation::lay(settings).await?;
    let mut tasks = JoinSet::new();
    foundation.follow(&mut tasks);
    let duties = Duties::start(&foundation);
    let server = Server::start(&foundation, duties.is_leading(), &mut tasks)?;
    tokio::select! {
        () = stop => {}
        Some(ended) = tasks.join_next() => {
            return Err(format!("a part that runs for ever has ended: {ended:?}").into());
        }
    }
    info!("stopping; answering on while API servers still ask");
    tokio::join!(duties.end(), server.end());
    info!("ended");
    Ok(())
}

/// Ends at the first signal to stop.
fn stopped() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn certificate_objects(settings: &ControllerSettings, client: &Client) -> CertificateObjects {
    let webhook = &settings.webhook;
    let names = Names {
        namespace: settings.namespace.clone(),
        secret: webhook.secret_name.clone(),
        configuration: webhook.configuration_name.clone(),
        mode: webhook.certificates.as_str(),
    };
    CertificateObjects::new(client.clone(), names)
        .with_authorities(webhook.certificate_ca_file.clone())
}

impl Foundation {
    async fn lay(settings: ControllerSettings) -> Result<Self, Box<dyn Error>> {
        let client = Client::try_default().await.map_err(|error| {
            format!("there is no cluster: run this in a pod, or set KUBECONFIG: {error}")
        })?;
        let queue = Arc::new(WorkQueue::default());
        let defaults = SidecarDefaults {
            image: settings.sidecar_image.clone(),
            image_pull_policy: settings.sidecar_pull_policy.map(|policy| policy.as_str().into()),
            api_audiences: api_audiences(),
        };
        let trace_buffers = TraceBufferCache::new(client.clone(), defaults, queue.clone());
        let namespaces = Arc::new(NamespaceIndex::new(client.clone(), queue.clone()));
        let pods = PodIndex::new(client.clone(), Arc::clone(&namespaces), queue.clone());
        let certificate_objects = certificate_objects(&settings, &client);
        let certificates = CertificateFollower::new(certificate_objects.clone());
        Ok(Self {
            settings,
            client,
            metrics: Arc::new(ControllerMetrics::new()),
            queue,
            trace_buffers: Arc::new(trace_buffers),
            pods: Arc::new(pods),
            namespaces,
            certificate_objects,
            certificates: Arc::new(certificates),
        })
    }

    /// Keeps what is known of the cluster current.
    fn follow(&self, tasks: &mut JoinSet<()>) {
        let trace_buffers = Arc::clone(&self.trace_buffers);
        tasks.spawn(async move { trace_buffers.run().await });
        let pods = Arc::clone(&self.pods);
        tasks.spawn(async move { pods.run().await });
        let certificates = Arc::clone(&self.certificates);
        tasks.spawn(async move { certificates.run().await });
        let namespaces = Arc::clone(&self.namespaces);
        tasks.spawn(async move { namespaces.run().await });
    }
}
