//! The controller: every replica serves the webhook; one reconciles and one issues certificates.

mod leader_tasks;
mod serving;
mod settings;

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use kube::Client;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tracing::info;

pub use settings::{CertificateSource, ControllerSettings, PullPolicy, WebhookSettings};

use self::leader_tasks::LeaderTasks;
use self::serving::ControllerServer;
use crate::adapters::clock::SystemWallClock;
use crate::adapters::kubernetes::audiences::api_audiences;
use crate::adapters::kubernetes::certificates::{
    CertificateObjectNames, CertificateWatcher, KubeCertificateStore, ServedCertificate,
};
use crate::adapters::kubernetes::sidecar::SidecarDefaults;
use crate::adapters::kubernetes::watch::{
    NamespaceCache, PodCache, TraceBufferCache, WebhookObjectNames, WebhookWatch,
};
use crate::adapters::telemetry::operator::metrics::ControllerMetrics;
use crate::application::operator::reconcile::queue::WorkQueue;
use crate::bootstrap::process;
use crate::bootstrap::signals::StopSignals;
use crate::ports::clock::WallClock;

/// Worker threads. A long list of pods keeps one busy while the other serves the webhook.
const WORKERS: usize = 2;

/// What the parts of a controller share.
struct ControllerContext {
    settings: ControllerSettings,
    client: Client,
    metrics: Arc<ControllerMetrics>,
    queue: Arc<WorkQueue>,
    trace_buffers: Arc<TraceBufferCache>,
    pods: Arc<PodCache>,
    namespaces: Arc<NamespaceCache>,
    webhook: Arc<WebhookWatch>,
    certificate_store: KubeCertificateStore,
    certificates: Arc<CertificateWatcher>,
}

/// Runs a controller until a stop signal arrives. Fails if the cluster or a port cannot be used, or
/// if a background task ends.
#[must_use]
pub fn run(settings: ControllerSettings) -> ExitCode {
    process::run(runtime(), "the controller failed", serve(settings))
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()
}

async fn serve(settings: ControllerSettings) -> Result<(), Box<dyn Error>> {
    let mut signals = StopSignals::new()?;
    let context = ControllerContext::connect(settings).await?;
    let mut tasks = JoinSet::new();
    context.spawn_watches(&mut tasks);
    let leader_tasks = LeaderTasks::start(&context);
    let server = ControllerServer::start(&context, leader_tasks.is_leading(), &mut tasks)?;
    tokio::select! {
        _ = signals.next() => {}
        Some(ended) = tasks.join_next() => {
            return Err(format!("a background task ended unexpectedly: {ended:?}").into());
        }
    }
    info!("stopping; still serving the webhook until API servers have stopped using it");
    tokio::join!(leader_tasks.shut_down(), server.shut_down());
    info!("ended");
    Ok(())
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

fn webhook_watch(
    settings: &ControllerSettings,
    client: &Client,
    queue: &Arc<WorkQueue>,
    served: Arc<ServedCertificate>,
) -> WebhookWatch {
    let webhook = &settings.webhook;
    let names = WebhookObjectNames {
        configuration: webhook.configuration_name.clone(),
        namespace: settings.namespace.clone(),
    };
    WebhookWatch::new(client.clone(), names, queue.clone(), move |host| {
        served.problem(host, SystemWallClock.now())
    })
}

impl ControllerContext {
    async fn connect(settings: ControllerSettings) -> Result<Self, Box<dyn Error>> {
        let client = Client::try_default().await.map_err(|error| {
            format!("no cluster is configured: run in a pod, or set KUBECONFIG: {error}")
        })?;
        let queue = Arc::new(WorkQueue::default());
        let defaults = SidecarDefaults {
            image: settings.sidecar_image.clone(),
            image_pull_policy: settings.sidecar_pull_policy.map(|policy| policy.as_str().into()),
            api_audiences: api_audiences().await,
        };
        let trace_buffers = TraceBufferCache::new(client.clone(), defaults, queue.clone());
        let namespaces = Arc::new(NamespaceCache::new(client.clone(), queue.clone()));
        let pods = PodCache::new(client.clone(), Arc::clone(&namespaces), queue.clone());
        let certificate_objects = certificate_store(&settings, &client);
        let certificates = CertificateWatcher::new(certificate_objects.clone());
        let webhook = webhook_watch(&settings, &client, &queue, certificates.served());
        Ok(Self {
            settings,
            client,
            metrics: Arc::new(ControllerMetrics::new()),
            queue,
            trace_buffers: Arc::new(trace_buffers),
            pods: Arc::new(pods),
            namespaces,
            webhook: Arc::new(webhook),
            certificate_store: certificate_objects,
            certificates: Arc::new(certificates),
        })
    }

    /// Starts the watches that keep the caches current.
    fn spawn_watches(&self, tasks: &mut JoinSet<()>) {
        let trace_buffers = Arc::clone(&self.trace_buffers);
        tasks.spawn(async move { trace_buffers.run().await });
        let pods = Arc::clone(&self.pods);
        tasks.spawn(async move { pods.run().await });
        let certificates = Arc::clone(&self.certificates);
        tasks.spawn(async move { certificates.run().await });
        let namespaces = Arc::clone(&self.namespaces);
        tasks.spawn(async move { namespaces.run().await });
        let webhook = Arc::clone(&self.webhook);
        tasks.spawn(async move { webhook.run().await });
    }
}
