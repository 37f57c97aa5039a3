//! The controller: the webhook in every replica, reconciling and making certificates in one each.

mod leader_tasks;
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

use self::leader_tasks::LeaderTasks;
use self::serving::ControllerServer;
use crate::adapters::kubernetes::audiences::api_audiences;
use crate::adapters::kubernetes::certificates::{
    CertificateObjectNames, CertificateWatcher, KubeCertificateStore,
};
use crate::adapters::kubernetes::sidecar::SidecarDefaults;
use crate::adapters::kubernetes::watch::{NamespaceCache, PodCache, TraceBufferCache};
use crate::adapters::telemetry::logging;
use crate::adapters::telemetry::operator::metrics::ControllerMetrics;
use crate::application::operator::reconcile::queue::WorkQueue;
use crate::bootstrap::process;

/// A long list of pods keeps one thread busy while the other answers the webhook.
const WORKERS: usize = 2;

/// What every part of a controller stands on.
struct ControllerContext {
    settings: ControllerSettings,
    client: Client,
    metrics: Arc<ControllerMetrics>,
    queue: Arc<WorkQueue>,
    trace_buffers: Arc<TraceBufferCache>,
    pods: Arc<PodCache>,
    namespaces: Arc<NamespaceCache>,
    certificate_store: KubeCertificateStore,
    certificates: Arc<CertificateWatcher>,
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
    let stop = shutdown_signal()?;
    let foundation = ControllerContext::connect(settings).await?;
    let mut tasks = JoinSet::new();
    foundation.spawn_watches(&mut tasks);
    let duties = LeaderTasks::start(&foundation);
    let server = ControllerServer::start(&foundation, duties.is_leading(), &mut tasks)?;
    tokio::select! {
        () = stop => {}
        Some(ended) = tasks.join_next() => {
            return Err(format!("a part that runs for ever has ended: {ended:?}").into());
        }
    }
    info!("stopping; answering on while API servers still ask");
    tokio::join!(duties.shut_down(), server.shut_down());
    info!("ended");
    Ok(())
}

/// Ends at the first signal to stop.
fn shutdown_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn certificate_store(settings: &ControllerSettings, client: &Client) -> KubeCertificateStore {
    let webhook = &settings.webhook;
    let names = CertificateObjectNames {
        namespace: settings.namespace.clone(),
        secret: webhook.secret_name.clone(),
        configuration: webhook.configuration_name.clone(),
        mode: webhook.certificates.as_str(),
    };
    KubeCertificateStore::new(client.clone(), names)
        .with_ca_file(webhook.certificate_ca_file.clone())
}

impl ControllerContext {
    async fn connect(settings: ControllerSettings) -> Result<Self, Box<dyn Error>> {
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
        let namespaces = Arc::new(NamespaceCache::new(client.clone(), queue.clone()));
        let pods = PodCache::new(client.clone(), Arc::clone(&namespaces), queue.clone());
        let certificate_objects = certificate_store(&settings, &client);
        let certificates = CertificateWatcher::new(certificate_objects.clone());
        Ok(Self {
            settings,
            client,
            metrics: Arc::new(ControllerMetrics::new()),
            queue,
            trace_buffers: Arc::new(trace_buffers),
            pods: Arc::new(pods),
            namespaces,
            certificate_store: certificate_objects,
            certificates: Arc::new(certificates),
        })
    }

    /// Keeps what is known of the cluster current.
    fn spawn_watches(&self, tasks: &mut JoinSet<()>) {
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
