//! Whether the API server calls the webhook for a pod that is created now.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ServiceReference};
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
/// The label of an `EndpointSlice` with the name of its Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// How long a problem must last until it is reported: a replica that has just started is not ready yet.
const MIN_DURATION: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Where the objects are through which the API server calls the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookObjectNames {
    /// The name of the `MutatingWebhookConfiguration`.
    pub configuration: String,
    /// The namespace of the operator. Services elsewhere are not watched.
    pub namespace: String,
}

/// Watches the objects through which the API server calls the webhook. [`run`](Self::run) keeps it
/// current.
pub struct WebhookWatch {
    client: Client,
    names: WebhookObjectNames,
    changes: Arc<dyn ChangeHandler>,
    certificate_problem: Box<CertificateProblem>,
    state: Mutex<WebhookState>,
}

/// Returns why API servers that reach the webhook by this name refuse the served certificate.
type CertificateProblem = dyn Fn(Option<&str>) -> Option<String> + Send + Sync;

#[derive(Default)]
struct WebhookState {
    /// `None` until it was read.
    configuration: Option<ConfigurationState>,
    /// By name; `None` until they were listed.
    slices: Option<BTreeMap<String, Slice>>,
    /// The current problem, and when it began.
    problem: Option<(String, Instant)>,
    /// Whether the problem was reported.
    is_reported: bool,
}

enum ConfigurationState {
    Missing,
    WithoutEntry,
    /// The entry refers to this Service, or to a URL.
    Complete(Option<ServiceReference>),
}

/// What is known of an `EndpointSlice`.
struct Slice {
    service: String,
    /// Whether connections are sent to one of its endpoints.
    is_ready: bool,
}

impl WebhookWatch {
    /// Creates a watch that reports changes to `changes`, as a resync. `certificate_problem` returns why API
    /// servers refuse the served certificate, if they do, given the name by which they reach the webhook, if
    /// that is known.
    #[must_use]
    pub fn new(
        client: Client,
        names: WebhookObjectNames,
        changes: Arc<dyn ChangeHandler>,
        certificate_problem: impl Fn(Option<&str>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let (certificate_problem, state) = (Box::new(certificate_problem), Mutex::default());
        Self { client, names, changes, certificate_problem, state }
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
            WatchedObject { client: self.client.clone(), name, rule: RbacRule::CONFIGURATIONS };
        let handle = |found: Option<MutatingWebhookConfiguration>| {
            self.state.lock().configuration = Some(configuration_state(found));
        };
        watch_object(configuration, Api::all, handle).await;
    }

    async fn watch_slices(&self) {
        let namespace = &self.names.namespace;
        let config = watcher::Config::default().labels(SERVICE_LABEL);
        let (client, health) = (self.client.clone(), WatchHealth::new());
        let slices = WatchTarget { client, config, health: &health, rule: SLICES };
        let mut listed = BTreeMap::new();
        let handle = |event: Event<EndpointSlice>| match event {
            Event::Init => listed.clear(),
            Event::InitApply(slice) => _ = listed.insert(slice.name_any(), read_slice(&slice)),
            Event::InitDone => self.state.lock().slices = Some(std::mem::take(&mut listed)),
            Event::Apply(slice) => self.change_slices(|slices| {
                slices.insert(slice.name_any(), read_slice(&slice));
            }),
            Event::Delete(slice) => self.change_slices(|slices| {
                slices.remove(&slice.name_any());
            }),
        };
        watch_api_forever(slices, |client| Api::namespaced(client, namespace), handle).await;
    }

    fn change_slices(&self, change: impl FnOnce(&mut BTreeMap<String, Slice>)) {
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
        let WebhookObjectNames { configuration, namespace } = &self.names;
        let of_configuration =
            |problem: &str| Some(format!("MutatingWebhookConfiguration {configuration} {problem}"));
        let service = match state.configuration.as_ref()? {
            ConfigurationState::Missing => return of_configuration("does not exist"),
            ConfigurationState::WithoutEntry => {
                return of_configuration(&format!("has no entry {WEBHOOK_ENTRY}"));
            }
            ConfigurationState::Complete(service) => service.as_ref(),
        };
        let host = service.map(|service| format!("{}.{}.svc", service.name, service.namespace));
        if let Some(problem) = (self.certificate_problem)(host.as_deref()) {
            return Some(problem);
        }
        let service = service.filter(|service| service.namespace == *namespace)?;
        let mut slices = state.slices.as_ref()?.values();
        let is_ready = slices.any(|slice| slice.is_ready && slice.service == service.name);
        (!is_ready).then(|| format!("Service {namespace}/{} has no ready endpoint", service.name))
    }
}

fn configuration_state(found: Option<MutatingWebhookConfiguration>) -> ConfigurationState {
    let Some(found) = found else { return ConfigurationState::Missing };
    let mut entries = found.webhooks.unwrap_or_default().into_iter();
    match entries.find(|entry| entry.name == WEBHOOK_ENTRY) {
        Some(entry) => ConfigurationState::Complete(entry.client_config.service),
        None => ConfigurationState::WithoutEntry,
    }
}

/// A readiness that is not set counts as ready, as the API has it.
fn read_slice(slice: &EndpointSlice) -> Slice {
    let is_ready = slice.endpoints.iter().any(|endpoint| {
        let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready);
        ready.unwrap_or(true)
    });
    let service = slice.labels().get(SERVICE_LABEL).cloned().unwrap_or_default();
    Slice { service, is_ready }
}
