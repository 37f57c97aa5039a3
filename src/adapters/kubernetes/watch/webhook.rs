//! Whether the API server calls the webhook for a pod that is created now.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;
use tokio::time::{Instant, interval};

use super::failure::RbacRule;
use super::health::WatchHealth;
use super::object_watch::{WatchedObject, watch_object};
use super::resilient_watch::{WatchTarget, watch_api_forever};
use crate::adapters::kubernetes::names::WEBHOOK_ENTRY;
use crate::ports::operator::pods::ChangeHandler;

const SLICES: RbacRule =
    RbacRule { group: "discovery.k8s.io", resource: "endpointslices", role: "Role" };
const CONFIGURATIONS: RbacRule = RbacRule {
    group: "admissionregistration.k8s.io",
    resource: "mutatingwebhookconfigurations",
    role: "ClusterRole",
};
/// The label of an `EndpointSlice` with the name of its Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// How long a problem must last until it is reported: a replica that has just started is not ready yet.
const MIN_DURATION: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// The objects through which the API server calls the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookObjectNames {
    /// The name of the `MutatingWebhookConfiguration`.
    pub configuration: String,
    /// The namespace of the Service.
    pub namespace: String,
    /// The name of the Service.
    pub service: String,
}

/// Watches the objects through which the API server calls the webhook. [`run`](Self::run) keeps it
/// current.
pub struct WebhookWatch {
    client: Client,
    names: WebhookObjectNames,
    changes: Arc<dyn ChangeHandler>,
    /// Whether the API server trusts the certificate that is served.
    is_trusted: Box<dyn Fn() -> bool + Send + Sync>,
    state: Mutex<WebhookState>,
}

#[derive(Default)]
struct WebhookState {
    /// `None` until it was read.
    configuration: Option<ConfigurationState>,
    /// Whether each `EndpointSlice` has a ready endpoint; `None` until they were listed.
    slices: Option<BTreeMap<String, bool>>,
    /// The current problem, and when it began.
    problem: Option<(String, Instant)>,
    /// Whether the problem was reported.
    is_reported: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ConfigurationState {
    Missing,
    WithoutEntry,
    Complete,
}

impl WebhookWatch {
    /// Creates a watch that reports changes to `changes`, as a resync. `is_trusted` is whether the
    /// configuration has the authority of the served certificate.
    #[must_use]
    pub fn new(
        client: Client,
        names: WebhookObjectNames,
        changes: Arc<dyn ChangeHandler>,
        is_trusted: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        let (is_trusted, state) = (Box::new(is_trusted), Mutex::default());
        Self { client, names, changes, is_trusted, state }
    }

    /// Watches until it is cancelled.
    pub async fn run(&self) {
        tokio::join!(self.watch_configuration(), self.watch_slices(), self.poll());
    }

    /// Returns why the API server has not called the webhook for some seconds, if so. What is not known
    /// yet, or must not be read, is no problem.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let state = self.state.lock();
        state.problem.as_ref().filter(|_| state.is_reported).map(|(problem, _)| problem.clone())
    }

    async fn watch_configuration(&self) {
        let WebhookObjectNames { configuration: name, .. } = &self.names;
        let configuration =
            WatchedObject { client: self.client.clone(), name, rule: CONFIGURATIONS };
        let handle = |found: Option<MutatingWebhookConfiguration>| {
            let entries = found.map(|found| found.webhooks.unwrap_or_default());
            self.state.lock().configuration = Some(match entries {
                None => ConfigurationState::Missing,
                Some(all) if all.iter().any(|entry| entry.name == WEBHOOK_ENTRY) => {
                    ConfigurationState::Complete
                }
                Some(_) => ConfigurationState::WithoutEntry,
            });
        };
        watch_object(configuration, Api::all, handle).await;
    }

    async fn watch_slices(&self) {
        let WebhookObjectNames { namespace, service, .. } = &self.names;
        let config = watcher::Config::default().labels(&format!("{SERVICE_LABEL}={service}"));
        let (client, health) = (self.client.clone(), WatchHealth::new());
        let slices = WatchTarget { client, config, health: &health, rule: SLICES };
        let mut listed = BTreeMap::new();
        let handle = |event: Event<EndpointSlice>| match event {
            Event::Init => listed.clear(),
            Event::InitApply(slice) => _ = listed.insert(slice.name_any(), has_ready(&slice)),
            Event::InitDone => self.state.lock().slices = Some(std::mem::take(&mut listed)),
            Event::Apply(slice) => self.change_slices(|slices| {
                slices.insert(slice.name_any(), has_ready(&slice));
            }),
            Event::Delete(slice) => self.change_slices(|slices| {
                slices.remove(&slice.name_any());
            }),
        };
        watch_api_forever(slices, |client| Api::namespaced(client, namespace), handle).await;
    }

    fn change_slices(&self, change: impl FnOnce(&mut BTreeMap<String, bool>)) {
        change(self.state.lock().slices.get_or_insert_default());
    }

    /// Notes how long a problem lasts.
    async fn poll(&self) -> Infallible {
        let mut ticks = interval(POLL_INTERVAL);
        loop {
            ticks.tick().await;
            if self.update() {
                self.changes.resync();
            }
        }
    }

    /// Returns whether what [`problem`](Self::problem) returns has changed.
    fn update(&self) -> bool {
        let mut state = self.state.lock();
        let Some(problem) = self.current_problem(&state) else {
            state.problem = None;
            return std::mem::take(&mut state.is_reported);
        };
        match &state.problem {
            // Another problem does not end the one before it.
            Some((known, since)) if *known != problem => {
                state.problem = Some((problem, *since));
                state.is_reported
            }
            Some((_, since)) => {
                let is_new = !state.is_reported && since.elapsed() >= MIN_DURATION;
                state.is_reported |= is_new;
                is_new
            }
            None => {
                state.problem = Some((problem, Instant::now()));
                false
            }
        }
    }

    fn current_problem(&self, state: &WebhookState) -> Option<String> {
        let WebhookObjectNames { configuration, namespace, service } = &self.names;
        let of_configuration = match state.configuration? {
            ConfigurationState::Missing => Some("does not exist".to_owned()),
            ConfigurationState::WithoutEntry => Some(format!("has no entry {WEBHOOK_ENTRY}")),
            ConfigurationState::Complete if !(self.is_trusted)() => {
                Some("has not the authority of the served certificate in its caBundle".to_owned())
            }
            ConfigurationState::Complete => None,
        };
        if let Some(problem) = of_configuration {
            return Some(format!("MutatingWebhookConfiguration {configuration} {problem}"));
        }
        let slices = state.slices.as_ref()?;
        let is_ready = slices.values().any(|is_ready| *is_ready);
        (!is_ready).then(|| format!("Service {namespace}/{service} has no ready endpoint"))
    }
}

/// Returns whether a slice has an endpoint to which connections are sent. A readiness that is not set
/// counts as ready, as the API has it.
fn has_ready(slice: &EndpointSlice) -> bool {
    slice.endpoints.iter().any(|endpoint| {
        let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready);
        ready.unwrap_or(true)
    })
}
