//! An in-process Kubernetes API server with scripted faults. It uses no sockets unless it is asked
//! to listen.
//!
//! It stores any objects, by resource (`pods`, `leases.coordination.k8s.io`), and
//! serves get, list (in pages), watch (with bookmarks), create (also as a dry run), replace, patch,
//! delete, the `status` subresource and `/version`. What it simplifies: no schemas, no defaults, no
//! admission, no finalizers; server-side apply and strategic merge are deep merges that replace
//! lists, and do not track field ownership.

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

/// The server; clones are handles to the same server.
#[derive(Clone)]
pub(crate) struct ApiServer {
    inner: Arc<Inner>,
}

struct Inner {
    store: Mutex<Store>,
    script: Mutex<Script>,
    /// Commands to the open watches.
    commands: broadcast::Sender<WatchCommand>,
}

impl ApiServer {
    /// Creates an empty server without faults.
    pub(crate) fn new() -> Self {
        let (commands, _) = broadcast::channel(4096);
        let inner = Inner { store: Mutex::default(), script: Mutex::default(), commands };
        Self { inner: Arc::new(inner) }
    }

    /// Returns a client of the server, in the namespace `default`.
    pub(crate) fn client(&self) -> Client {
        let inner = Arc::clone(&self.inner);
        let service = tower::service_fn(move |request| handle::handle(Arc::clone(&inner), request));
        Client::new(service, "default")
    }

    /// Creates or replaces an object without a request; returns its new resource version.
    ///
    /// `resource` is the plural with its group, such as `pods` or `leases.coordination.k8s.io`.
    pub(crate) fn put(&self, resource: &str, object: Value) -> u64 {
        let version =
            self.inner.store.lock().put(&ResourceKey::of_object(resource, &object), object);
        self.send_command(WatchCommand::Changed);
        version
    }

    /// Removes an object if it exists; `namespace` is empty for a cluster-scoped object.
    pub(crate) fn remove(&self, resource: &str, namespace: &str, name: &str) {
        self.inner.store.lock().remove(&ResourceKey::new(resource, namespace, name));
        self.send_command(WatchCommand::Changed);
    }

    /// Returns the stored object.
    pub(crate) fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.inner.store.lock().get(&ResourceKey::new(resource, namespace, name)).cloned()
    }

    /// Returns every object of a resource.
    pub(crate) fn all(&self, resource: &str) -> Vec<Value> {
        self.inner.store.lock().all(resource).cloned().collect()
    }

    /// Drops all history: a watch that resumes from an existing version, or a list that continues,
    /// gets `410 Gone`.
    pub(crate) fn expire(&self) {
        self.inner.store.lock().expire_history();
    }

    /// Adds a fault for the requests that match `calls`, until [`lift`](Self::lift) or for the
    /// matcher's number of times. The newest matching rule takes precedence.
    pub(crate) fn script(&self, calls: RequestMatcher, fault: Fault) -> RuleId {
        self.inner.script.lock().add(calls, fault)
    }

    /// Removes a rule; requests that it has stalled stay stalled.
    pub(crate) fn lift(&self, rule: RuleId) {
        self.inner.script.lock().remove_rule(rule);
    }

    /// Breaks every connection and refuses new ones until the rule is lifted.
    pub(crate) fn disconnect(&self) -> RuleId {
        let rule = self.script(RequestMatcher::any(), Fault::Drop);
        self.send_command(WatchCommand::Break(String::new()));
        rule
    }

    /// Returns the number of such requests, including failed ones.
    pub(crate) fn seen(&self, verb: Verb, resource: &str) -> usize {
        self.inner.script.lock().request_count(verb, resource)
    }

    /// Sends an event unchanged to the open watches of a resource, for duplicates, old states and
    /// invalid objects. `kind` is `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`.
    pub(crate) fn send_event(&self, resource: &str, kind: &'static str, object: Value) {
        self.send_command(WatchCommand::Send(resource.to_owned(), kind, object));
    }

    /// Sends a bookmark to every open watch of a resource.
    pub(crate) fn bookmark(&self, resource: &str) {
        self.send_command(WatchCommand::Bookmark(resource.to_owned()));
    }

    /// Ends the open watches of a resource (of all if it is empty), as servers regularly do.
    pub(crate) fn end_watches(&self, resource: &str) {
        self.send_command(WatchCommand::End(resource.to_owned()));
    }

    /// Breaks the connections of the open watches of a resource.
    pub(crate) fn break_watches(&self, resource: &str) {
        self.send_command(WatchCommand::Break(resource.to_owned()));
    }

    /// Lets the open watches of a resource send nothing more, not even their end.
    pub(crate) fn stall_watches(&self, resource: &str) {
        self.send_command(WatchCommand::Stall(resource.to_owned()));
    }

    /// Sets the major and minor version that `/version` returns.
    pub(crate) fn set_version(&self, major: &str, minor: &str) {
        self.inner.store.lock().server_version = (major.to_owned(), minor.to_owned());
    }

    fn send_command(&self, command: WatchCommand) {
        // There may be no open watch.
        drop(self.inner.commands.send(command));
    }
}
