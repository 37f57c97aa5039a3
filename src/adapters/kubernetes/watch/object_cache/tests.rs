use super::*;

fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: "shop".into(), name: name.into() }
}

fn values(cache: &ObjectCache<u64>) -> Vec<u64> {
    cache.all().map(|value| **value).collect()
}

#[test]
fn a_newer_version_is_not_replaced_by_an_older_one_that_arrives_later() {
    let mut cache = ObjectCache::default();

    assert!(cache.apply(key("a"), 10, Arc::new(10)).is_some());
    assert!(cache.apply(key("a"), 9, Arc::new(9)).is_none(), "older");
    assert!(cache.apply(key("a"), 10, Arc::new(10)).is_none(), "the same again");
    assert_eq!(values(&cache), [10]);
}

#[test]
fn versions_compare_as_numbers_and_an_unknown_one_is_the_newest() {
    let mut cache = ObjectCache::default();
    cache.apply(key("a"), 9, Arc::new(9));

    assert!(cache.apply(key("a"), 10, Arc::new(10)).is_some());
    assert!(cache.apply(key("a"), 0, Arc::new(0)).is_some());
}

#[test]
fn a_version_older_than_the_deletion_restores_nothing() {
    let mut cache = ObjectCache::default();
    cache.apply(key("a"), 10, Arc::new(10));

    assert!(cache.remove(&key("a"), 12).is_some());
    assert!(cache.apply(key("a"), 11, Arc::new(11)).is_none());
    assert!(cache.apply(key("a"), 13, Arc::new(13)).is_some(), "created again");
}

#[test]
fn a_deletion_older_than_the_cached_version_removes_nothing() {
    let mut cache = ObjectCache::default();
    cache.apply(key("a"), 10, Arc::new(10));

    assert!(cache.remove(&key("a"), 9).is_none());
    assert_eq!(values(&cache), [10]);
}

#[test]
fn an_untracked_version_may_be_tracked_again_but_an_older_one_may_not() {
    let mut cache = ObjectCache::default();
    cache.apply(key("a"), 10, Arc::new(10));

    assert!(cache.untrack(&key("a"), 9).is_none(), "outdated");
    assert!(cache.untrack(&key("a"), 12).is_some());
    assert!(cache.apply(key("a"), 11, Arc::new(11)).is_none());
    assert!(cache.apply(key("a"), 12, Arc::new(12)).is_some());
}

#[test]
fn the_number_of_remembered_deletions_is_bounded() {
    let mut cache: ObjectCache<u64> = ObjectCache::default();
    for version in 1..=1000 {
        cache.remove(&key(&version.to_string()), version);
    }

    assert_eq!(cache.tombstones.len(), MAX_TOMBSTONES);
}

#[test]
fn a_relist_replaces_everything() {
    let mut cache = ObjectCache::default();
    for (name, version) in [("gone", 10), ("back", 11), ("same", 12)] {
        cache.apply(key(name), version, Arc::new(version));
    }

    cache.start_relist();
    cache.apply_listed(key("back"), 5, Arc::new(5));
    cache.mark_listed(key("same"));
    assert!(cache.apply(key("direct"), 20, Arc::new(20)).is_some(), "the watch will confirm it");
    assert_eq!(values(&cache).len(), 4, "nothing is removed until the list is complete");
    cache.finish_relist();

    assert_eq!(values(&cache), [5, 12]);
    assert_eq!(cache.relists(), 1);
}

#[test]
fn a_namespace_contains_only_its_own_objects() {
    let mut cache = ObjectCache::default();
    for (namespace, name) in [("a", "z"), ("b", "1"), ("b", "2"), ("ba", "0")] {
        let key = ObjectKey { namespace: namespace.into(), name: name.into() };
        cache.apply(key, 1, Arc::new(format!("{namespace}/{name}")));
    }

    let found: Vec<_> = cache.in_namespace("b").map(|value| value.as_str()).collect();
    assert_eq!(found, ["b/1", "b/2"]);
}
