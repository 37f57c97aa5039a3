//! What every replica serves: the webhook over TLS, health and metrics.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::info;

use super::Foundation;
use crate::adapters::kubernetes::watch::ClusterCatalog;
use crate::adapters::kubernetes::webhook::WebhookService;
use crate::adapters::server::{Connections, Tls, TlsProbe, bind};
use crate::adapters::telemetry::controller::admin::{
    Condition, ControllerPages, Observed, Readiness, condition,
};
use crate::adapters::telemetry::pages::AdminService;

/// How long open reviews may take once their connections were asked to go.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// The webhook's connections, and whether more may come.
pub(super) struct Server {
    readiness: Arc<Readiness>,
    reviews: Connections,
    linger: Duration,
}

impl Server {
    pub(super) fn start(
        foundation: &Foundation,
        is_leading: watch::Receiver<bool>,
        tasks: &mut JoinSet<()>,
    ) -> Result<Self, Box<dyn Error>> {
        let settings = &foundation.settings;
        let listeners = bind(&settings.webhook.addresses)?;
        let admin = bind(&settings.admin)?;
        let own_port = listeners.first().ok_or("there is no address for the webhook")?;
        let probe = Arc::new(TlsProbe::new(own_port.local_addr()?)?);
        let tls = Tls::new(foundation.certificates.served())?;
        let readiness = Arc::new(Readiness::new(conditions(foundation, Arc::clone(&probe))));
        let pages = ControllerPages::new(
            Arc::clone(&foundation.metrics),
            Arc::clone(&readiness),
            observed(foundation, is_leading),
        );
        let (reviews, webhook) = (Connections::new(), webhook(foundation));
        tasks.spawn({
            let reviews = reviews.clone();
            async move { reviews.serve_tls(listeners, tls, webhook).await }
        });
        tasks.spawn(async move {
            Connections::new().serve(admin, AdminService::new(Arc::new(pages))).await;
        });
        tasks.spawn(async move { probe.run().await });
        info!(webhook = ?settings.webhook.addresses, admin = ?settings.admin, "listening");
        Ok(Self { readiness, reviews, linger: settings.linger })
    }

    /// Turns unready, answers on until no API server asks any more, then lets the last ones go.
    pub(super) async fn end(self) {
        self.readiness.end();
        self.reviews.end(self.linger, LAST_ANSWERS).await;
    }
}

fn webhook(foundation: &Foundation) -> WebhookService<ClusterCatalog> {
    let catalog = ClusterCatalog {
        trace_buffers: Arc::clone(&foundation.trace_buffers),
        namespaces: Arc::clone(&foundation.namespaces),
    };
    let facts = foundation.settings.facts();
    WebhookService::new(Arc::new(catalog), facts, foundation.metrics.clone())
}

fn conditions(foundation: &Foundation, probe: Arc<TlsProbe>) -> Vec<Condition> {
    let trace_buffers = Arc::clone(&foundation.trace_buffers);
    let namespaces = Arc::clone(&foundation.namespaces);
    let (held, trusted) = (foundation.certificates.served(), foundation.certificates.served());
    vec![
        condition(
            move || trace_buffers.is_synced(),
            "the TraceBuffers have not been listed; may the operator list tracebuffers?",
        ),
        condition(
            move || namespaces.is_synced(),
            "the namespaces have not been listed; is the operator allowed to list namespaces?",
        ),
        condition(
            move || held.valid_until().is_some(),
            "there is no certificate to serve; see the operators' logs",
        ),
        condition(
            move || trusted.is_trusted(),
            "the webhook's caBundle does not hold the authority of the certificate that is served",
        ),
        condition(move || probe.answers(), "the webhook does not answer over TLS"),
    ]
}

fn observed(foundation: &Foundation, is_leading: watch::Receiver<bool>) -> Observed {
    let served = foundation.certificates.served();
    let trace_buffers = Arc::clone(&foundation.trace_buffers);
    let pods = Arc::clone(&foundation.pods);
    Observed {
        is_leader: Box::new(move || *is_leading.borrow()),
        certificate_until: Box::new(move || served.valid_until()),
        watch_ages: vec![
            ("tracebuffers", Box::new(move || trace_buffers.age())),
            ("pods", Box::new(move || pods.age())),
        ],
    }
}
