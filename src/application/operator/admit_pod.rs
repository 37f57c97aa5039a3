//! Admits a pod: decides by the `TraceBuffer`s that are cached, or can be listed.

use crate::domain::operator::injection::decide::{Decision, decide};
use crate::domain::operator::injection::facts::{
    ClusterFacts, NamespaceFacts, PodFacts, SidecarPresence,
};
use crate::domain::operator::injection::request::InjectRequest;
use crate::domain::operator::injection::select::{SelectedBy, Selection, select};
use crate::domain::operator::injection::skip::SkipReason;
use crate::ports::operator::catalog::{Catalog, UnknownNamespace};

/// Decides what to do with `pod` of the namespace `name`; `opted_in` says whether the namespace's label
/// asks for a sidecar. A `TraceBuffer` can be as new as its pod, so a namespace without cached
/// `TraceBuffer`s is listed before the decision relies on that.
///
/// # Errors
///
/// [`UnknownNamespace`] if the namespace or its `TraceBuffer`s cannot be read.
pub async fn admit<C: Catalog>(
    catalog: &C,
    pod: &PodFacts,
    (name, opted_in): (&str, bool),
    cluster: &ClusterFacts,
) -> Result<Decision<C::Sidecar>, UnknownNamespace> {
    let known = catalog.namespace(name).await?;
    let namespace = NamespaceFacts { opted_in, ..(*known).clone() };
    let mut listed = vec![];
    while let Some(next) = next_namespace_to_list(catalog, pod, &namespace, cluster, &listed) {
        catalog.refresh(&next).await?;
        listed.push(next);
    }
    Ok(decide(pod, &namespace, cluster, catalog))
}

/// Returns a namespace that must be listed before the decision is certain: the pod's, before the
/// operator's default is used or no `TraceBuffer` is found; that of the named `TraceBuffer`, before it
/// is reported as not found.
fn next_namespace_to_list<C: Catalog>(
    catalog: &C,
    pod: &PodFacts,
    namespace: &NamespaceFacts,
    cluster: &ClusterFacts,
    listed: &[String],
) -> Option<String> {
    if matches!(pod.sidecar, SidecarPresence::Injected(_)) {
        return None;
    }
    let request = InjectRequest::of_pod(pod.inject.as_deref(), namespace, cluster).ok()?;
    let (lists_pods_namespace, named_namespace) =
        match select(&request, namespace, cluster, || catalog.names_in(&namespace.name)) {
            Ok(Selection { key, by }) => (
                by == SelectedBy::OperatorDefault,
                catalog.get(&key).is_none().then_some(key.namespace),
            ),
            Err(skip) => (skip.reason == SkipReason::NoTraceBuffer, None),
        };
    let pods_namespace = lists_pods_namespace.then(|| namespace.name.clone());
    [pods_namespace, named_namespace].into_iter().flatten().find(|one| !listed.contains(one))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::domain::operator::injection::consent::{AllowedNamespaces, CredentialUse};
    use crate::domain::operator::injection::trace_buffer_view::{
        SidecarMode, SidecarPorts, SidecarTemplate, TraceBufferLister, TraceBufferView,
    };
    use crate::domain::operator::object_key::ObjectKey;

    struct FakeSidecar;

    impl SidecarTemplate for FakeSidecar {
        fn mode(&self) -> SidecarMode {
            SidecarMode::Native
        }

        fn ports(&self) -> SidecarPorts {
            SidecarPorts { grpc: 4317, http: 4318, admin: 9417 }
        }

        fn volume_names(&self) -> impl Iterator<Item = &str> {
            [].into_iter()
        }

        fn credential_use(&self) -> CredentialUse {
            CredentialUse::None
        }
    }

    /// Has `known`, and after a refresh of their namespace also `to_learn`.
    #[derive(Default)]
    struct FakeCatalog {
        known: Mutex<Vec<ObjectKey>>,
        to_learn: Vec<ObjectKey>,
        refreshed: Mutex<Vec<String>>,
        trace_buffer: Option<String>,
        is_unreachable: bool,
        cannot_list: bool,
    }

    impl FakeCatalog {
        fn of(known: &[&str], to_learn: &[&str]) -> Self {
            let keys = |names: &[&str]| names.iter().map(|name| key(name)).collect::<Vec<_>>();
            let (known, to_learn) = (Mutex::new(keys(known)), keys(to_learn));
            Self { known, to_learn, ..Self::default() }
        }
    }

    impl TraceBufferLister for FakeCatalog {
        type Sidecar = FakeSidecar;

        fn get(&self, key: &ObjectKey) -> Option<Arc<TraceBufferView<FakeSidecar>>> {
            self.known.lock().contains(key).then(|| trace_buffer_view(key))
        }

        fn names_in(&self, namespace: &str) -> Vec<String> {
            let known = self.known.lock();
            let here = known.iter().filter(|key| key.namespace == namespace);
            here.map(|key| key.name.clone()).collect()
        }
    }

    impl Catalog for FakeCatalog {
        async fn refresh(&self, namespace: &str) -> Result<(), UnknownNamespace> {
            if self.cannot_list {
                return Err(UnknownNamespace("no answer".into()));
            }
            self.refreshed.lock().push(namespace.to_owned());
            let learnt = self.to_learn.iter().filter(|key| key.namespace == namespace);
            self.known.lock().extend(learnt.cloned());
            Ok(())
        }

        async fn namespace(&self, name: &str) -> Result<Arc<NamespaceFacts>, UnknownNamespace> {
            if self.is_unreachable {
                return Err(UnknownNamespace("no answer".into()));
            }
            let trace_buffer = self.trace_buffer.clone();
            Ok(Arc::new(NamespaceFacts { trace_buffer, ..NamespaceFacts::unknown(name) }))
        }
    }

    fn key(text: &str) -> ObjectKey {
        text.parse().unwrap()
    }

    fn trace_buffer_view(key: &ObjectKey) -> Arc<TraceBufferView<FakeSidecar>> {
        let allowed_namespaces = AllowedNamespaces::All;
        let sidecar = Ok(Arc::new(FakeSidecar));
        Arc::new(TraceBufferView { key: key.clone(), sidecar, allowed_namespaces })
    }

    async fn admitted(
        catalog: &FakeCatalog,
        inject: &str,
    ) -> (Result<String, SkipReason>, Vec<String>) {
        let pod = PodFacts { inject: Some(inject.into()), ..PodFacts::default() };
        let cluster = ClusterFacts {
            operator_namespace: "operator".into(),
            default_trace_buffer: Some(key("platform/all")),
            ..ClusterFacts::default()
        };
        let from = match admit(catalog, &pod, ("shop", false), &cluster).await.unwrap() {
            Decision::Inject { trace_buffer, .. }
            | Decision::CompleteInjection { trace_buffer, .. } => Ok(trace_buffer.to_string()),
            Decision::Skip(skip) => Err(skip.reason),
        };
        (from, catalog.refreshed.lock().clone())
    }

    #[tokio::test]
    async fn a_known_trace_buffer_costs_no_refresh() {
        let catalog = FakeCatalog::of(&["shop/a"], &[]);
        assert_eq!(admitted(&catalog, "true").await, (Ok("shop/a".into()), vec![]));
    }

    #[tokio::test]
    async fn a_trace_buffer_created_just_before_its_pod_is_found_by_a_refresh() {
        for inject in ["true", "a"] {
            let catalog = FakeCatalog::of(&[], &["shop/a"]);
            let expected = (Ok("shop/a".into()), vec!["shop".to_owned()]);
            assert_eq!(admitted(&catalog, inject).await, expected);
        }
    }

    #[tokio::test]
    async fn the_named_namespace_is_refreshed() {
        let catalog = FakeCatalog::of(&[], &["platform/a"]);
        let expected = (Ok("platform/a".into()), vec!["platform".to_owned()]);
        assert_eq!(admitted(&catalog, "platform/a").await, expected);
    }

    #[tokio::test]
    async fn a_second_miss_is_final() {
        let catalog = FakeCatalog::of(&[], &[]);
        let refreshed = vec!["shop".to_owned(), "platform".to_owned()];
        let missed = (Err(SkipReason::TraceBufferNotFound), refreshed);
        assert_eq!(admitted(&catalog, "true").await, missed);
    }

    #[tokio::test]
    async fn the_operators_default_counts_only_after_the_pods_namespace_was_listed() {
        let catalog = FakeCatalog::of(&["platform/all"], &["shop/own"]);
        let own = (Ok("shop/own".into()), vec!["shop".to_owned()]);
        assert_eq!(admitted(&catalog, "true").await, own);

        let catalog = FakeCatalog::of(&["platform/all"], &[]);
        let default = (Ok("platform/all".into()), vec!["shop".to_owned()]);
        assert_eq!(admitted(&catalog, "true").await, default);
    }

    #[tokio::test]
    async fn the_annotation_of_the_namespace_is_used() {
        let mut catalog = FakeCatalog::of(&["shop/default", "platform/team"], &[]);
        catalog.trace_buffer = Some("platform/team".into());
        assert_eq!(admitted(&catalog, "true").await, (Ok("platform/team".into()), vec![]));
    }

    #[tokio::test]
    async fn nothing_is_decided_for_an_unknown_namespace() {
        let catalog = FakeCatalog { is_unreachable: true, ..FakeCatalog::of(&["shop/a"], &[]) };
        let pod = PodFacts { inject: Some("true".into()), ..PodFacts::default() };

        let admitted = admit(&catalog, &pod, ("shop", false), &ClusterFacts::default()).await;

        assert!(admitted.is_err());
    }

    #[tokio::test]
    async fn nothing_is_decided_while_the_namespace_may_have_its_own_trace_buffer() {
        let catalog = FakeCatalog { cannot_list: true, ..FakeCatalog::of(&["platform/all"], &[]) };
        let pod = PodFacts { inject: Some("true".into()), ..PodFacts::default() };
        let default_trace_buffer = Some(key("platform/all"));
        let cluster = ClusterFacts { default_trace_buffer, ..ClusterFacts::default() };

        let admitted = admit(&catalog, &pod, ("shop", false), &cluster).await;

        assert!(admitted.is_err());
    }

    #[tokio::test]
    async fn other_skips_cost_no_refresh() {
        for inject in ["false", "?"] {
            let (from, refreshed) = admitted(&FakeCatalog::of(&[], &[]), inject).await;
            assert!(from.is_err() && refreshed.is_empty());
        }
        let several = FakeCatalog::of(&["shop/a", "shop/b"], &[]);
        let expected = (Err(SkipReason::SeveralTraceBuffers), vec![]);
        assert_eq!(admitted(&several, "true").await, expected);
    }
}
