//! Admitting a pod: the decision, with the `TraceBuffer`s that are known, or can be learnt.

use std::sync::Arc;

use crate::domain::injection::candidate::Candidate;
use crate::domain::injection::decide::{
    ClusterFacts, Decision, NamespaceFacts, PodFacts, Shape, Skip, Wanted, decide, wanted,
};
use crate::domain::injection::request::InjectRequest;
use crate::domain::injection::skip::SkipReason;
use crate::ports::catalog::Catalog;

/// Decides what becomes of `pod`. Where its `TraceBuffer` is not known, the catalog is refreshed
/// once: it may be as new as the pod.
pub async fn admit<C>(
    catalog: &C,
    pod: &PodFacts,
    namespace: &NamespaceFacts,
    cluster: &ClusterFacts,
) -> Decision<C::Sidecar>
where
    C: Catalog,
    C::Sidecar: Shape,
{
    let decide = || decide(pod, namespace, cluster, |wanted| known(catalog, wanted));
    let decision = decide();
    let Some(missed) = missed(&decision, pod, namespace) else { return decision };
    catalog.refresh(missed.namespace()).await;
    decide()
}

fn known<C: Catalog>(catalog: &C, wanted: &Wanted) -> Vec<Arc<Candidate<C::Sidecar>>> {
    match wanted {
        Wanted::AllOf(namespace) => catalog.in_namespace(namespace),
        Wanted::One(key) => catalog.get(key).into_iter().collect(),
    }
}

/// Returns what was looked for in vain.
fn missed<S>(decision: &Decision<S>, pod: &PodFacts, namespace: &NamespaceFacts) -> Option<Wanted> {
    let Decision::Skip(Skip { reason, .. }) = decision else { return None };
    if !matches!(reason, SkipReason::NoTraceBuffer | SkipReason::TraceBufferNotFound) {
        return None;
    }
    let request = InjectRequest::of(pod.inject.as_deref(), namespace.asks).ok()??;
    wanted(&request, &namespace.name)
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::domain::injection::candidate::{ObjectKey, SidecarMode, SidecarPorts};

    struct FakeSidecar;

    impl Shape for FakeSidecar {
        fn mode(&self) -> SidecarMode {
            SidecarMode::Auto
        }

        fn ports(&self) -> SidecarPorts {
            SidecarPorts { grpc: 4317, http: 4318, admin: 9417 }
        }

        fn volumes(&self) -> impl Iterator<Item = &str> {
            [].into_iter()
        }
    }

    /// Knows the first, and after a refresh of its namespace the second.
    #[derive(Default)]
    struct FakeCatalog {
        known: Mutex<Vec<ObjectKey>>,
        to_learn: Vec<ObjectKey>,
        refreshed: Mutex<Vec<String>>,
    }

    impl FakeCatalog {
        fn of(known: &[&str], to_learn: &[&str]) -> Self {
            let keys = |names: &[&str]| names.iter().map(|name| key(name)).collect::<Vec<_>>();
            let (known, to_learn) = (Mutex::new(keys(known)), keys(to_learn));
            Self { known, to_learn, ..Self::default() }
        }
    }

    impl Catalog for FakeCatalog {
        type Sidecar = FakeSidecar;

        fn get(&self, key: &ObjectKey) -> Option<Arc<Candidate<FakeSidecar>>> {
            self.known.lock().contains(key).then(|| candidate(key))
        }

        fn in_namespace(&self, namespace: &str) -> Vec<Arc<Candidate<FakeSidecar>>> {
            let known = self.known.lock();
            known.iter().filter(|key| key.namespace == namespace).map(candidate).collect()
        }

        fn refresh(&self, namespace: &str) -> impl Future<Output = ()> + Send {
            self.refreshed.lock().push(namespace.to_owned());
            let learnt = self.to_learn.iter().filter(|key| key.namespace == namespace);
            self.known.lock().extend(learnt.cloned());
            async {}
        }
    }

    fn key(text: &str) -> ObjectKey {
        let (namespace, name) = text.split_once('/').unwrap();
        ObjectKey { namespace: namespace.into(), name: name.into() }
    }

    fn candidate(key: &ObjectKey) -> Arc<Candidate<FakeSidecar>> {
        let allowed_namespaces = vec!["shop".to_owned()];
        Arc::new(Candidate { key: key.clone(), sidecar: Ok(FakeSidecar), allowed_namespaces })
    }

    async fn admitted(
        catalog: &FakeCatalog,
        inject: &str,
    ) -> (Result<String, SkipReason>, Vec<String>) {
        let pod = PodFacts { inject: Some(inject.into()), ..PodFacts::default() };
        let namespace = NamespaceFacts { name: "shop".into(), asks: false };
        let cluster = ClusterFacts { native_sidecars: true, own_namespace: "operator".into() };
        let from = match admit(catalog, &pod, &namespace, &cluster).await {
            Decision::Inject { candidate, .. } | Decision::Complete(candidate) => {
                Ok(candidate.key.to_string())
            }
            Decision::Skip(skip) => Err(skip.reason),
        };
        (from, catalog.refreshed.lock().clone())
    }

    #[tokio::test]
    async fn what_is_known_costs_no_refresh() {
        let catalog = FakeCatalog::of(&["shop/a"], &[]);
        assert_eq!(admitted(&catalog, "true").await, (Ok("shop/a".into()), vec![]));
    }

    #[tokio::test]
    async fn a_trace_buffer_as_new_as_its_pod_is_found_by_a_refresh() {
        for inject in ["true", "a"] {
            let catalog = FakeCatalog::of(&[], &["shop/a"]);
            let expected = (Ok("shop/a".into()), vec!["shop".to_owned()]);
            assert_eq!(admitted(&catalog, inject).await, expected);
        }
    }

    #[tokio::test]
    async fn the_namespace_that_is_named_is_refreshed() {
        let catalog = FakeCatalog::of(&[], &["platform/a"]);
        let expected = (Ok("platform/a".into()), vec!["platform".to_owned()]);
        assert_eq!(admitted(&catalog, "platform/a").await, expected);
    }

    #[tokio::test]
    async fn a_second_miss_is_final() {
        let catalog = FakeCatalog::of(&[], &[]);
        let missed = (Err(SkipReason::NoTraceBuffer), vec!["shop".to_owned()]);
        assert_eq!(admitted(&catalog, "true").await, missed);
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
