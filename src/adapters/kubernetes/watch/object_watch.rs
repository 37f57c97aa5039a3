//! A watch of one object.

use std::fmt::Debug;

use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::failure::RbacRule;
use super::health::WatchHealth;
use super::resilient_watch::{WatchTarget, watch_api_forever};

/// The object to watch.
pub(in crate::adapters::kubernetes) struct WatchedObject<'a> {
    pub(in crate::adapters::kubernetes) client: Client,
    pub(in crate::adapters::kubernetes) name: &'a str,
    /// The permission that the watch needs.
    pub(in crate::adapters::kubernetes) rule: RbacRule,
}

/// Calls `handle` with every state of the object, `None` while it does not exist, and again with the
/// same state whenever it is listed again. Survives the same errors as [`watch_api_forever`].
pub(in crate::adapters::kubernetes) async fn watch_object<K>(
    object: WatchedObject<'_>,
    api: impl FnOnce(Client) -> Api<K>,
    handle: impl Fn(Option<K>),
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let WatchedObject { client, name, rule } = object;
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let target = WatchTarget { client, config, health: &WatchHealth::new(), rule };
    let mut listed = None;
    watch_api_forever(target, api, |event| match event {
        Event::Init => listed = None,
        Event::InitApply(object) => listed = Some(object),
        Event::InitDone => handle(listed.take()),
        Event::Apply(object) => handle(Some(object)),
        Event::Delete(_) => handle(None),
    })
    .await;
}
