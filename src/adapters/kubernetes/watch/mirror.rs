//! What is known of the objects of one kind: a mirror of the API server's state.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::domain::injection::candidate::ObjectKey;

/// How many deletions are remembered.
const MAX_GONE: usize = 256;

/// The objects by name, each in the newest version seen, whatever the order in which versions come:
/// a watch and a direct list may overtake each other.
///
/// Versions are resource versions, which grow with every change; 0 is one that is not known, and
/// counts as newest.
pub(super) struct Mirror<V> {
    held: BTreeMap<ObjectKey, Held<V>>,
    /// The last deletions, lest an older state that comes late brings an object back.
    gone: VecDeque<(ObjectKey, u64)>,
    /// While everything is listed anew: what was seen in the list.
    listed: Option<BTreeSet<ObjectKey>>,
}

struct Held<V> {
    version: u64,
    value: Arc<V>,
}

impl<V> Default for Mirror<V> {
    fn default() -> Self {
        Self { held: BTreeMap::new(), gone: VecDeque::new(), listed: None }
    }
}

impl<V> Mirror<V> {
    pub(super) fn get(&self, key: &ObjectKey) -> Option<&Arc<V>> {
        self.held.get(key).map(|held| &held.value)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<V>> {
        self.held.values().map(|held| &held.value)
    }

    /// Those of a namespace, by name.
    pub(super) fn in_namespace<'a>(
        &'a self,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Arc<V>> {
        let first = ObjectKey { namespace: namespace.to_owned(), name: String::new() };
        let from = self.held.range(first..);
        from.take_while(move |(key, _)| key.namespace == namespace).map(|(_, held)| &held.value)
    }

    /// Returns whether this version would change anything.
    pub(super) fn is_news(&self, key: &ObjectKey, version: u64) -> bool {
        let is_newer = |than: u64| version == 0 || version > than;
        match self.held.get(key) {
            Some(held) => is_newer(held.version),
            None => self.gone.iter().all(|(gone, at)| gone != key || is_newer(*at)),
        }
    }

    /// Takes an object in this version, and returns it, unless that is old news.
    pub(super) fn apply(&mut self, key: ObjectKey, version: u64, value: Arc<V>) -> Option<Arc<V>> {
        if let Some(listed) = &mut self.listed {
            listed.insert(key.clone());
        }
        if !self.is_news(&key, version) {
            return None;
        }
        self.held.insert(key, Held { version, value: Arc::clone(&value) });
        Some(value)
    }

    /// Takes note that an object is gone since this version; returns its last state, unless that is
    /// old news.
    pub(super) fn remove(&mut self, key: &ObjectKey, version: u64) -> Option<Arc<V>> {
        self.bury(key, version, version)
    }

    /// Takes note that an object is of no interest in this version; returns its last state that was,
    /// unless that is old news. The same version may become of interest.
    pub(super) fn ignore(&mut self, key: &ObjectKey, version: u64) -> Option<Arc<V>> {
        // Most of a cluster's pods are of no interest ever; deletions are to be remembered instead.
        self.held.get(key)?;
        self.bury(key, version, version.saturating_sub(1))
    }

    fn bury(&mut self, key: &ObjectKey, version: u64, last: u64) -> Option<Arc<V>> {
        if self.held.get(key).is_some_and(|held| version != 0 && version < held.version) {
            return None;
        }
        if self.gone.len() == MAX_GONE {
            self.gone.pop_front();
        }
        self.gone.push_back((key.clone(), last));
        self.held.remove(key).map(|held| held.value)
    }

    /// Forgets the objects that are not wanted any more, and returns them.
    pub(super) fn forget(&mut self, is_unwanted: impl Fn(&V) -> bool) -> Vec<Arc<V>> {
        let mut forgotten = Vec::new();
        self.held.retain(|_, held| {
            let is_unwanted = is_unwanted(&held.value);
            if is_unwanted {
                forgotten.push(Arc::clone(&held.value));
            }
            !is_unwanted
        });
        forgotten
    }

    /// Everything is about to be listed anew.
    pub(super) fn start_list(&mut self) {
        self.listed = Some(BTreeSet::new());
    }

    /// Returns whether [`list`](Self::list) would change anything.
    pub(super) fn differs(&self, key: &ObjectKey, version: u64) -> bool {
        self.held.get(key).is_none_or(|held| version == 0 || held.version != version)
    }

    /// Takes an object from the new list, which is right even where it says an older version: the
    /// cluster may have been restored from a backup.
    pub(super) fn list(&mut self, key: ObjectKey, version: u64, value: Arc<V>) {
        self.seen(key.clone());
        self.held.insert(key, Held { version, value });
    }

    /// Takes note that the new list has an object as it is known.
    pub(super) fn seen(&mut self, key: ObjectKey) {
        if let Some(listed) = &mut self.listed {
            listed.insert(key);
        }
    }

    /// The list is complete: what it did not have is gone.
    pub(super) fn end_list(&mut self) {
        self.gone.clear();
        if let Some(listed) = self.listed.take() {
            self.held.retain(|key, _| listed.contains(key));
        }
    }
}

#[cfg(test)]
mod tests;
