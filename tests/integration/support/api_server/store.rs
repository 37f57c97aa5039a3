//! The objects and their history.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

/// Identifies an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ResourceKey {
    pub resource: String,
    pub namespace: String,
    pub name: String,
}

impl ResourceKey {
    pub(crate) fn new(resource: &str, namespace: &str, name: &str) -> Self {
        Self { resource: resource.into(), namespace: namespace.into(), name: name.into() }
    }

    /// Returns the key in the metadata of an object.
    pub(crate) fn of_object(resource: &str, object: &Value) -> Self {
        let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
        Self::new(resource, text("namespace"), text("name"))
    }
}

/// One change, with the object before and after it.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub version: u64,
    pub resource: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// The requested history is no longer available.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HistoryExpired;

pub(crate) struct Store {
    /// The version of the newest change.
    pub version: u64,
    /// Changes up to this version are dropped.
    oldest_version: u64,
    objects: BTreeMap<ResourceKey, Value>,
    history: VecDeque<Change>,
    /// The remaining items of paged lists, by token.
    pages: BTreeMap<String, (u64, Vec<Value>)>,
    pub server_version: (String, String),
}

impl Default for Store {
    fn default() -> Self {
        Self {
            version: 100,
            oldest_version: 0,
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            pages: BTreeMap::new(),
            server_version: ("1".into(), "33".into()),
        }
    }
}

impl Store {
    pub(crate) fn get(&self, place: &ResourceKey) -> Option<&Value> {
        self.objects.get(place)
    }

    pub(crate) fn all(&self, resource: &str) -> impl Iterator<Item = &Value> {
        let first = ResourceKey::new(resource, "", "");
        self.objects
            .range(first..)
            .take_while(move |(place, _)| place.resource == resource)
            .map(|(_, object)| object)
    }

    /// Stores `object` with the fields that a server sets. Returns its version.
    pub(crate) fn put(&mut self, place: &ResourceKey, mut object: Value) -> u64 {
        let before = self.objects.get(place).cloned();
        let generation = generation(before.as_ref(), &object);
        let version = self.version + 1;
        let known = before.as_ref().map(|before| &before["metadata"]);
        let keep = |key: &str, new: Value| known.map_or(new, |known| known[key].clone());
        let (uid, created) = (
            keep("uid", json!(format!("uid-{version}"))),
            keep("creationTimestamp", json!("2026-01-01T00:00:00Z")),
        );
        let metadata = &mut object["metadata"];
        metadata["name"] = json!(place.name);
        if !place.namespace.is_empty() {
            metadata["namespace"] = json!(place.namespace);
        }
        metadata["uid"] = uid;
        metadata["creationTimestamp"] = created;
        metadata["generation"] = json!(generation);
        metadata["resourceVersion"] = json!(version.to_string());
        self.objects.insert(place.clone(), object.clone());
        self.record_change(place, before, Some(object))
    }

    pub(crate) fn remove(&mut self, place: &ResourceKey) -> Option<Value> {
        let before = self.objects.remove(place)?;
        self.record_change(place, Some(before.clone()), None);
        Some(before)
    }

    fn record_change(
        &mut self,
        place: &ResourceKey,
        before: Option<Value>,
        after: Option<Value>,
    ) -> u64 {
        self.version += 1;
        let (version, resource) = (self.version, place.resource.clone());
        self.history.push_back(Change { version, resource, before, after });
        version
    }

    /// Returns the changes of a resource after `version`.
    pub(crate) fn changes_since(
        &self,
        version: u64,
        resource: &str,
    ) -> Result<Vec<Change>, HistoryExpired> {
        if version < self.oldest_version {
            return Err(HistoryExpired);
        }
        let changes = self.history.iter().filter(|change| change.version > version);
        Ok(changes.filter(|change| change.resource == resource).cloned().collect())
    }

    pub(crate) fn expire_history(&mut self) {
        self.version += 1;
        self.oldest_version = self.version;
        self.history.clear();
        self.pages.clear();
    }

    /// Returns `limit` of `items` (all if it is 0) and the token for the others.
    pub(crate) fn page(
        &mut self,
        mut items: Vec<Value>,
        at: u64,
        limit: usize,
    ) -> (Vec<Value>, String) {
        if limit == 0 || items.len() <= limit {
            return (items, String::new());
        }
        let rest = items.split_off(limit);
        let token = format!("page-{}-{}", at, self.pages.len());
        self.pages.insert(token.clone(), (at, rest));
        (items, token)
    }

    /// Returns the remaining items of a list.
    pub(crate) fn next_page(&mut self, token: &str) -> Result<(u64, Vec<Value>), HistoryExpired> {
        self.pages.get(token).cloned().ok_or(HistoryExpired)
    }
}

/// Increases whenever anything but metadata and status changes.
fn generation(before: Option<&Value>, after: &Value) -> u64 {
    let substance = |object: &Value| {
        let mut object = object.clone();
        if let Some(fields) = object.as_object_mut() {
            fields.retain(|key, _| key != "metadata" && key != "status");
        }
        object
    };
    let Some(before) = before else { return 1 };
    let known = before["metadata"]["generation"].as_u64().unwrap_or(1);
    known + u64::from(substance(before) != substance(after))
}
