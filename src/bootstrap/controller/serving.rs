//! The servers of every replica: the webhook over TLS, health and metrics.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::info;

use super::ControllerContext;
use crate::adapters::kubernetes::watch::ClusterCatalog;
use crate::adapters::kubernetes::webhook::WebhookService;
use crate::adapters::server::{HttpServer, PortLimits, Tls, TlsProbe, bind};
use crate::adapters::telemetry::admin_server::AdminService;
use crate::adapters::telemetry::operator::admin::{
    ControllerPages, GaugeCallbacks, Readiness, ReadinessCheck, readiness_check,
};
use crate::domain::text::in_one_line;

/// Maximum characters of a reason why the replica is not ready.
const MAX_REASON_CHARS: usize = 500;
/// How long open reviews may take once the shutdown of their connections has begun.
const CONNECTION_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The running webhook server and the replica's readiness.
pub(super) struct ControllerServer {
    readiness: Arc<Readiness>,
    webhook_connections: HttpServer,
    shutdown_delay: Duration,
}

impl ControllerServer {
    pub(super) fn start(
        context: &ControllerContext,
        is_leading: watch::Receiver<bool>,
        tasks: &mut JoinSet<()>,
    ) -> Result<Self, Box<dyn Error>> {
        let settings = &context.settings;
        let listeners = bind(&settings.webhook.addresses)?;
        let admin = bind(&settings.admin)?;
        let own_port = listeners.first().ok_or("the webhook has no address to listen on")?;
        let probe = Arc::new(TlsProbe::new(own_port.local_addr()?)?);
        let tls = Tls::new(context.certificates.served())?;
        let readiness = Arc::new(Readiness::new(readiness_checks(context, Arc::clone(&probe))));
        let pages = ControllerPages::new(
            Arc::clone(&context.metrics),
            Arc::clone(&readiness),
            scrape_sources(context, is_leading),
        );
        let (reviews, webhook) = (HttpServer::new(), webhook(context));
        tasks.spawn({
            let reviews = reviews.clone();
            async move { reviews.serve_tls(PortLimits::WEBHOOK, listeners, tls, webhook).await }
        });
        tasks.spawn(async move {
            let service = AdminService::new(Arc::new(pages));
            HttpServer::new().serve(PortLimits::ADMIN, admin, service).await;
        });
        tasks.spawn(async move { probe.run().await });
        info!(webhook = ?settings.webhook.addresses, admin = ?settings.admin, "listening");
        Ok(Self {
            readiness,
            webhook_connections: reviews,
            shutdown_delay: settings.shutdown_delay,
        })
    }

    /// Becomes unready, keeps serving for the shutdown delay until no API server sends requests,
    /// then closes the remaining connections.
    pub(super) async fn shut_down(self) {
        self.readiness.begin_shutdown();
        self.webhook_connections
            .shut_down_gracefully(self.shutdown_delay, CONNECTION_DRAIN_TIMEOUT)
            .await;
    }
}

fn webhook(context: &ControllerContext) -> WebhookService<ClusterCatalog> {
    let catalog = ClusterCatalog {
        trace_buffers: Arc::clone(&context.trace_buffers),
        namespaces: Arc::clone(&context.namespaces),
    };
    let facts = context.settings.cluster_facts();
    WebhookService::new(Arc::new(catalog), facts, context.metrics.clone())
}

fn readiness_checks(context: &ControllerContext, probe: Arc<TlsProbe>) -> Vec<ReadinessCheck> {
    let trace_buffers = Arc::clone(&context.trace_buffers);
    let namespaces = Arc::clone(&context.namespaces);
    let (held, trusted) = (context.certificates.served(), context.certificates.served());
    vec![
        Box::new(move || {
            sync_failure("TraceBuffers", trace_buffers.is_synced(), || trace_buffers.failure())
        }),
        Box::new(move || {
            sync_failure("namespaces", namespaces.is_synced(), || namespaces.failure())
        }),
        readiness_check(
            move || held.valid_until().is_some(),
            "the webhook has no certificate to serve; see the operators' logs",
        ),
        readiness_check(
            move || trusted.is_trusted(),
            "the webhook's caBundle does not contain the authority that signed its certificate",
        ),
        readiness_check(move || probe.is_healthy(), "the webhook does not respond over TLS"),
    ]
}

/// Returns why objects are not known yet: the failure of their watch, if there is one.
fn sync_failure(
    objects: &str,
    is_synced: bool,
    failure: impl FnOnce() -> Option<String>,
) -> Option<String> {
    if is_synced {
        return None;
    }
    let pending = || format!("the {objects} have not been listed yet");
    Some(failure().map_or_else(pending, |failure| in_one_line(&failure, MAX_REASON_CHARS)))
}

fn scrape_sources(
    context: &ControllerContext,
    is_leading: watch::Receiver<bool>,
) -> GaugeCallbacks {
    let served = context.certificates.served();
    let trace_buffers = Arc::clone(&context.trace_buffers);
    let pods = Arc::clone(&context.pods);
    GaugeCallbacks {
        is_leader: Box::new(move || *is_leading.borrow()),
        certificate_until: Box::new(move || served.valid_until()),
        watch_ages: vec![
            ("tracebuffers", Box::new(move || trace_buffers.age())),
            ("pods", Box::new(move || pods.age())),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsynced_replica_names_the_failure_of_the_watch() {
        let forbidden = || Some("not allowed to watch namespaces:\nadd a rule".to_owned());

        assert_eq!(sync_failure("namespaces", true, forbidden), None);
        assert_eq!(
            sync_failure("namespaces", false, forbidden).unwrap(),
            "not allowed to watch namespaces:; add a rule"
        );
        assert_eq!(
            sync_failure("namespaces", false, || None).unwrap(),
            "the namespaces have not been listed yet"
        );
    }
}
