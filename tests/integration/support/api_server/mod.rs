//! A Kubernetes API server in this process, without sockets unless it is asked to listen, that
//! misbehaves as a script says.
//!
//! It keeps whatever objects it is given, by resource (`pods`, `leases.coordination.k8s.io`), and
//! serves get, list (in pages), watch (with bookmarks), create (also as a dry run), replace, patch,
//! delete, the `status` subresource and `/version`. What it simplifies: no schemas, no defaults, no
//! admission, no finalizers; server-side apply and strategic merge are deep merges that replace
//! lists, and remember no owners of fields.

mod handle;
pub(crate) mod listening;
mod patch;
mod request;
mod response;
mod script;
mod selector;
mod store;
mod view;
mod watching;

use std::sync::Arc;

use kube::Client;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::broadcast;

pub(crate) use self::request::Verb;
use self::script::Script;
pub(crate) use self::script::{Fault, RequestMatcher, RuleId};
use self::store::{ResourceKey, Store};
use self::watching::WatchCommand;

/// The server; clones are handles to the same one.
#[derive(Clone)]
pub(crate) struct ApiServer {
    inner: Arc<Inner>,
}

struct Inner {
    store: Mutex<Store>,
    script: Mutex<Script>,
    /// What open watches hear.
    commands: broadcast::Sender<WatchCommand>,
}

impl ApiServer {
    /// An empty server that behaves.
    pub(crate) fn new() -> Self {
        let (commands, _) = broadcast::channel(4096);
        let inner = Inner { store: Mutex::default(), script: Mutex::default(), commands };
        Self { inner: Arc::new(inner) }
    }

    /// A client of it, in the namespace `default`.
    pub(crate) fn client(&self) -> Client {
        let inner = Arc::clone(&self.inner);
        let service = tower::service_fn(move |request| handle::handle(Arc::clone(&inner), request));
        Client::new(service, "default")
    }

    /// Creates or replaces an object behind everybody's back; returns its new resource version.
    ///
    /// `resource` is the plural with its group, such as `pods` or `leases.coordination.k8s.io`.
    pub(crate) fn put(&self, resource: &str, object: Value) -> u64 {
        let version =
            self.inner.store.lock().put(&ResourceKey::of_object(resource, &object), object);
        self.send_command(WatchCommand::Changed);
        version
    }

    /// Removes an object if it is there; `namespace` is empty for a cluster's own.
    pub(crate) fn remove(&self, resource: &str, namespace: &str, name: &str) {
        self.inner.store.lock().remove(&ResourceKey::new(resource, namespace, name));
        self.send_command(WatchCommand::Changed);
    }

    /// The object as it is stored.
    pub(crate) fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.inner.store.lock().get(&ResourceKey::new(resource, namespace, name)).cloned()
    }

    /// Every object of a resource.
    pub(crate) fn all(&self, resource: &str) -> Vec<Value> {
        self.inner.store.lock().all(resource).cloned().collect()
    }

    /// Forgets all history: a watch that resumes from any version so far, or a list that continues,
    /// is told `410 Gone`.
    pub(crate) fn expire(&self) {
        self.inner.store.lock().expire_history();
    }

    /// Says what becomes of requests like `calls`, until [`lift`](Self::lift) or as often as they
    /// say. The newest rule that fits decides.
    pub(crate) fn script(&self, calls: RequestMatcher, fault: Fault) -> RuleId {
        self.inner.script.lock().add(calls, fault)
    }

    /// Takes a rule back; requests that it stalls stay so.
    pub(crate) fn lift(&self, rule: RuleId) {
        self.inner.script.lock().remove_rule(rule);
    }

    /// Every connection breaks, and none can be made, until the rule is lifted.
    pub(crate) fn disconnect(&self) -> RuleId {
        let rule = self.script(RequestMatcher::any(), Fault::Drop);
        self.send_command(WatchCommand::Break(String::new()));
        rule
    }

    /// How many requests like this there were, whatever became of them.
    pub(crate) fn seen(&self, verb: Verb, resource: &str) -> usize {
        self.inner.script.lock().request_count(verb, resource)
    }

    /// Sends an event as it is to the open watches of a resource: for duplicates, old states and
    /// nonsense. `kind` is `ADDED_FIELDS`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`.
    pub(crate) fn send_event(&self, resource: &str, kind: &'static str, object: Value) {
        self.send_command(WatchCommand::Send(resource.to_owned(), kind, object));
    }

    /// Sends a bookmark to every open watch of a resource.
    pub(crate) fn bookmark(&self, resource: &str) {
        self.send_command(WatchCommand::Bookmark(resource.to_owned()));
    }

    /// Ends the open watches of a resource (of all, if it is empty) as a server does now and then.
    pub(crate) fn end_watches(&self, resource: &str) {
        self.send_command(WatchCommand::End(resource.to_owned()));
    }

    /// Breaks their connections.
    pub(crate) fn break_watches(&self, resource: &str) {
        self.send_command(WatchCommand::Break(resource.to_owned()));
    }

    /// Nothing more comes from those that are open, not even their end.
    pub(crate) fn stall_watches(&self, resource: &str) {
        self.send_command(WatchCommand::Stall(resource.to_owned()));
    }

    /// The version that `/version` tells, as major and minor.
    pub(crate) fn set_version(&self, major: &str, minor: &str) {
        self.inner.store.lock().server_version = (major.to_owned(), minor.to_owned());
    }

    fn send_command(&self, command: WatchCommand) {
        // Nobody may be watching.
        drop(self.inner.commands.send(command));
    }
}
