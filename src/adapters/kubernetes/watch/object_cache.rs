//! What is known of the objects of one kind: a mirror of the API server's state.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::domain::operator::object_key::ObjectKey;

/// How many deletions are remembered.
const MAX_TOMBSTONES: usize = 256;

/// The objects by name, each in the newest version seen, whatever the order in which versions come:
/// a watch and a direct list may overtake each other.
///
/// Versions are resource versions, which grow with every change; 0 is one that is not known, and
/// counts as newest.
pub(super) struct ObjectCache<V> {
    objects: BTreeMap<ObjectKey, CachedObject<V>>,
    /// The last deletions, lest an older state that comes late brings an object back.
    tombstones: VecDeque<(ObjectKey, u64)>,
    /// While everything is listed anew: what was seen in the list.
    relisted: Option<BTreeSet<ObjectKey>>,
}

struct CachedObject<V> {
    version: u64,
    value: Arc<V>,
}

impl<V> Default for ObjectCache<V> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), tombstones: VecDeque::new(), relisted: None }
    }
}

impl<V> ObjectCache<V> {
    pub(super) fn get(&self, key: &ObjectKey) -> Option<&Arc<V>> {
        self.objects.get(key).map(|held| &held.value)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<V>> {
        self.objects.values().map(|held| &held.value)
    }

    /// Those of a namespace, by name.
    pub(super) fn in_namespace<'a>(
        &'a self,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Arc<V>> {
        let first = ObjectKey { namespace: namespace.to_owned(), name: String::new() };
        let from = self.objects.range(first..);
        from.take_while(move |(key, _)| key.namespace == namespace).map(|(_, held)| &held.value)
    }

    /// Returns whether this version would change anything.
    pub(super) fn is_newer_version(&self, key: &ObjectKey, version: u64) -> bool {
        let is_newer = |than: u64| version == 0 || version > than;
        match self.objects.get(key) {
            Some(held) => is_newer(held.version),
            None => self.tombstones.iter().all(|(gone, at)| gone != key || is_newer(*at)),
        }
    }

    /// Takes an object in this version, and returns it, unless that is old news.
    pub(super) fn apply(&mut self, key: ObjectKey, version: u64, value: Arc<V>) -> Option<Arc<V>> {
        if let Some(listed) = &mut self.relisted {
            listed.insert(key.clone());
        }
        if !self.is_newer_version(&key, version) {
            return None;
        }
        self.objects.insert(key, CachedObject { version, value: Arc::clone(&value) });
        Some(value)
    }

    /// Takes note that an object is gone since this version; returns its last state, unless that is
    /// old news.
    pub(super) fn remove(&mut self, key: &ObjectKey, version: u64) -> Option<Arc<V>> {
        self.add_tombstone(key, version, version)
    }

    /// Takes note that an object is of no interest in this version; returns its last state that was,
    /// unless that is old news. The same version may become of interest.
    pub(super) fn untrack(&mut self, key: &ObjectKey, version: u64) -> Option<Arc<V>> {
        // Most of a cluster's pods are of no interest ever; deletions are to be remembered instead.
        self.objects.get(key)?;
        self.add_tombstone(key, version, version.saturating_sub(1))
    }

    fn add_tombstone(&mut self, key: &ObjectKey, version: u64, last: u64) -> Option<Arc<V>> {
        if self.objects.get(key).is_some_and(|held| version != 0 && version < held.version) {
            return None;
        }
        if self.tombstones.len() == MAX_TOMBSTONES {
            self.tombstones.pop_front();
        }
        self.tombstones.push_back((key.clone(), last));
        self.objects.remove(key).map(|held| held.value)
    }

    /// Forgets the objects that are not wanted any more, and returns them.
    pub(super) fn remove_where(&mut self, is_unwanted: impl Fn(&V) -> bool) -> Vec<Arc<V>> {
        let mut forgotten = Vec::new();
        self.objects.retain(|_, held| {
            let is_unwanted = is_unwanted(&held.value);
            if is_unwanted {
                forgotten.push(Arc::clone(&held.value));
            }
            !is_unwanted
        });
        forgotten
    }

    /// Everything is about to be listed anew.
    pub(super) fn start_relist(&mut self) {
        self.relisted = Some(BTreeSet::new());
    }

    /// Returns whether [`list`](Self::apply_listed) would change anything.
    pub(super) fn version_differs(&self, key: &ObjectKey, version: u64) -> bool {
        self.objects.get(key).is_none_or(|held| version == 0 || held.version != version)
    }

    /// Takes an object from the new list, which is right even where it says an older version: the
    /// cluster may have been restored from a backup.
    pub(super) fn apply_listed(&mut self, key: ObjectKey, version: u64, value: Arc<V>) {
        self.mark_listed(key.clone());
        self.objects.insert(key, CachedObject { version, value });
    }

    /// Takes note that the new list has an object as it is known.
    pub(super) fn mark_listed(&mut self, key: ObjectKey) {
        if let Some(listed) = &mut self.relisted {
            listed.insert(key);
        }
    }

    /// The list is complete: what it did not have is gone.
    pub(super) fn finish_relist(&mut self) {
        self.tombstones.clear();
        if let Some(listed) = self.relisted.take() {
            self.objects.retain(|key, _| listed.contains(key));
        }
    }
}

#[cfg(test)]
mod tests;
