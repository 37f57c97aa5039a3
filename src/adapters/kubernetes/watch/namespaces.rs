//! The namespaces whose label asks for a sidecar in every pod.

use std::collections::BTreeSet;

/// Which namespaces ask, and whose pods are still to be listed: the pods of a namespace that did
/// not ask were not kept.
#[derive(Default)]
pub(super) struct Asking {
    names: BTreeSet<String>,
    unlisted: BTreeSet<String>,
    /// While everything is listed anew: what was seen in the list.
    listed: Option<BTreeSet<String>>,
}

impl Asking {
    pub(super) fn has(&self, namespace: &str) -> bool {
        self.names.contains(namespace)
    }

    pub(super) fn start_list(&mut self) {
        self.listed = Some(BTreeSet::new());
    }

    /// The namespace asks; returns whether that is new.
    pub(super) fn add(&mut self, namespace: String) -> bool {
        if let Some(listed) = &mut self.listed {
            listed.insert(namespace.clone());
        }
        let is_new = self.names.insert(namespace.clone());
        if is_new {
            self.unlisted.insert(namespace);
        }
        is_new
    }

    /// The namespace does not ask; returns whether that is new.
    pub(super) fn remove(&mut self, namespace: &str) -> bool {
        self.unlisted.remove(namespace);
        self.names.remove(namespace)
    }

    /// The list is complete; returns those that ask no more.
    pub(super) fn end_list(&mut self) -> Vec<String> {
        let listed = self.listed.take().unwrap_or_default();
        let gone: Vec<_> = self.names.difference(&listed).cloned().collect();
        for namespace in &gone {
            self.remove(namespace);
        }
        gone
    }

    /// One whose pods are to be listed.
    pub(super) fn next_unlisted(&self) -> Option<String> {
        self.unlisted.first().cloned()
    }

    pub(super) fn set_listed(&mut self, namespace: &str) {
        self.unlisted.remove(namespace);
    }

    pub(super) fn is_all_listed(&self) -> bool {
        self.unlisted.is_empty()
    }
}
