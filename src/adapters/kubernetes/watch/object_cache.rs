//! A cache of the objects of one kind.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::domain::operator::object_key::ObjectKey;

/// Maximum number of deletions that are remembered.
const MAX_TOMBSTONES: usize = 256;

/// The objects by key, each in its newest version, regardless of the order in which versions arrive: a
/// watch and a direct list may overtake each other.
///
/// Versions are resource versions, which increase with each change. 0 is an unknown version, which
/// counts as the newest.
pub(super) struct ObjectCache<V> {
    objects: BTreeMap<ObjectKey, CachedObject<V>>,
    /// The last deletions, so that an older version that arrives late does not restore an object.
    tombstones: VecDeque<(ObjectKey, u64)>,
    /// During a relist: the objects in the list so far.
    relisted: Option<BTreeSet<ObjectKey>>,
    /// The number of complete relists.
    relists: u64,
}

struct CachedObject<V> {
    version: u64,
    value: Arc<V>,
}

impl<V> Default for ObjectCache<V> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), tombstones: VecDeque::new(), relisted: None, relists: 0 }
    }
}

impl<V> ObjectCache<V> {
    pub(super) fn get(&self, key: &ObjectKey) -> Option<&Arc<V>> {
        self.objects.get(key).map(|cached| &cached.value)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<V>> {
        self.objects.values().map(|cached| &cached.value)
    }

    /// Returns the objects of a namespace, ordered by name.
    pub(super) fn in_namespace<'a>(
        &'a self,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Arc<V>> {
        let first = ObjectKey { namespace: namespace.to_owned(), name: String::new() };
        let from = self.objects.range(first..);
        from.take_while(move |(key, _)| key.namespace == namespace).map(|(_, cached)| &cached.value)
    }

    /// Returns whether this version is newer than the cached one.
    pub(super) fn is_newer_version(&self, key: &ObjectKey, version: u64) -> bool {
        let is_newer = |than: u64| version == 0 || version > than;
        match self.objects.get(key) {
            Some(cached) => is_newer(cached.version),
            None => self.tombstones.iter().all(|(gone, at)| gone != key || is_newer(*at)),
        }
    }

    /// Stores an object in this version, and returns it, unless the version is outdated.
    pub(super) fn apply(&mut self, key: ObjectKey, version: u64, value: Arc<V>) -> Option<Arc<V>> {
        if !self.is_newer_version(&key, version) {
            return None;
        }
        self.objects.insert(key, CachedObject { version, value: Arc::clone(&value) });
        Some(value)
    }

    /// Removes an object that was deleted in this version, and returns its last state, unless the
    /// version is outdated.
    pub(super) fn remove(&mut self, key: &ObjectKey, version: u64) -> Option<Arc<V>> {
        self.add_tombstone(key, version, version)
    }

    /// Removes an object that is not tracked in this version, and returns its last state, unless the
    /// version is outdated. The same version may become tracked again.
    pub(super) fn untrack(&mut self, key: &ObjectKey, version: u64) -> Option<Arc<V>> {
        // Most pods of a cluster are never tracked; they must not displace the tombstones of others.
        self.objects.get(key)?;
        self.add_tombstone(key, version, version.saturating_sub(1))
    }

    fn add_tombstone(&mut self, key: &ObjectKey, version: u64, last: u64) -> Option<Arc<V>> {
        if self.objects.get(key).is_some_and(|cached| version != 0 && version < cached.version) {
            return None;
        }
        if self.tombstones.len() == MAX_TOMBSTONES {
            self.tombstones.pop_front();
        }
        self.tombstones.push_back((key.clone(), last));
        self.objects.remove(key).map(|cached| cached.value)
    }

    /// Removes the objects for which `is_unwanted` is true, and returns them.
    pub(super) fn remove_where(&mut self, is_unwanted: impl Fn(&V) -> bool) -> Vec<Arc<V>> {
        let mut removed = Vec::new();
        self.objects.retain(|_, cached| {
            let is_unwanted = is_unwanted(&cached.value);
            if is_unwanted {
                removed.push(Arc::clone(&cached.value));
            }
            !is_unwanted
        });
        removed
    }

    /// Starts a relist.
    pub(super) fn start_relist(&mut self) {
        self.relisted = Some(BTreeSet::new());
    }

    /// Returns whether [`apply_listed`](Self::apply_listed) would change anything.
    pub(super) fn version_differs(&self, key: &ObjectKey, version: u64) -> bool {
        self.objects.get(key).is_none_or(|cached| version == 0 || cached.version != version)
    }

    /// Stores an object from a relist, even in an older version: the cluster may have been restored
    /// from a backup.
    pub(super) fn apply_listed(&mut self, key: ObjectKey, version: u64, value: Arc<V>) {
        self.mark_listed(key.clone());
        self.objects.insert(key, CachedObject { version, value });
    }

    /// Records that the relist contains an object in its cached version.
    pub(super) fn mark_listed(&mut self, key: ObjectKey) {
        if let Some(listed) = &mut self.relisted {
            listed.insert(key);
        }
    }

    /// Returns the number of complete relists. If it has changed during a direct list, the watch may
    /// already be past deletions that the direct list does not know of.
    pub(super) const fn relists(&self) -> u64 {
        self.relists
    }

    pub(super) const fn is_relisting(&self) -> bool {
        self.relisted.is_some()
    }

    /// Completes a relist: removes the objects that it does not contain, also those that were applied
    /// meanwhile, because they may have been deleted before it.
    pub(super) fn finish_relist(&mut self) {
        self.relists += 1;
        self.tombstones.clear();
        if let Some(listed) = self.relisted.take() {
            self.objects.retain(|key, _| listed.contains(key));
        }
    }
}

#[cfg(test)]
mod tests;
