use super::*;

fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: "shop".into(), name: name.into() }
}

fn values(mirror: &ObjectCache<u64>) -> Vec<u64> {
    mirror.all().map(|value| **value).collect()
}

#[test]
fn the_newest_version_stays_whatever_comes_after_it() {
    let mut mirror = ObjectCache::default();

    assert!(mirror.apply(key("a"), 10, Arc::new(10)).is_some());
    assert!(mirror.apply(key("a"), 9, Arc::new(9)).is_none(), "older");
    assert!(mirror.apply(key("a"), 10, Arc::new(10)).is_none(), "the same again");
    assert_eq!(values(&mirror), [10]);
}

#[test]
fn a_version_counts_as_a_number_and_an_unknown_one_as_new() {
    let mut mirror = ObjectCache::default();
    mirror.apply(key("a"), 9, Arc::new(9));

    assert!(mirror.apply(key("a"), 10, Arc::new(10)).is_some());
    assert!(mirror.apply(key("a"), 0, Arc::new(0)).is_some());
}

#[test]
fn a_state_older_than_the_deletion_brings_nothing_back() {
    let mut mirror = ObjectCache::default();
    mirror.apply(key("a"), 10, Arc::new(10));

    assert!(mirror.remove(&key("a"), 12).is_some());
    assert!(mirror.apply(key("a"), 11, Arc::new(11)).is_none());
    assert!(mirror.apply(key("a"), 13, Arc::new(13)).is_some(), "made anew");
}

#[test]
fn a_deletion_older_than_what_is_known_removes_nothing() {
    let mut mirror = ObjectCache::default();
    mirror.apply(key("a"), 10, Arc::new(10));

    assert!(mirror.remove(&key("a"), 9).is_none());
    assert_eq!(values(&mirror), [10]);
}

#[test]
fn a_version_of_no_interest_may_become_interesting_and_older_ones_may_not() {
    let mut mirror = ObjectCache::default();
    mirror.apply(key("a"), 10, Arc::new(10));

    assert!(mirror.untrack(&key("a"), 9).is_none(), "old news");
    assert!(mirror.untrack(&key("a"), 12).is_some());
    assert!(mirror.apply(key("a"), 11, Arc::new(11)).is_none());
    assert!(mirror.apply(key("a"), 12, Arc::new(12)).is_some());
}

#[test]
fn only_so_many_deletions_are_remembered() {
    let mut mirror: ObjectCache<u64> = ObjectCache::default();
    for version in 1..=1000 {
        mirror.remove(&key(&version.to_string()), version);
    }

    assert_eq!(mirror.tombstones.len(), MAX_TOMBSTONES);
}

#[test]
fn a_new_list_is_right_in_everything() {
    let mut mirror = ObjectCache::default();
    for (name, version) in [("gone", 10), ("back", 11), ("same", 12)] {
        mirror.apply(key(name), version, Arc::new(version));
    }

    mirror.start_relist();
    mirror.apply_listed(key("back"), 5, Arc::new(5));
    mirror.mark_listed(key("same"));
    assert!(mirror.apply(key("fresh"), 20, Arc::new(20)).is_some(), "found meanwhile");
    assert_eq!(values(&mirror).len(), 4, "until it is complete nothing goes");
    mirror.finish_relist();

    assert_eq!(values(&mirror), [5, 20, 12]);
}

#[test]
fn a_namespace_has_its_own_objects_only() {
    let mut mirror = ObjectCache::default();
    for (namespace, name) in [("a", "z"), ("b", "1"), ("b", "2"), ("ba", "0")] {
        let key = ObjectKey { namespace: namespace.into(), name: name.into() };
        mirror.apply(key, 1, Arc::new(format!("{namespace}/{name}")));
    }

    let found: Vec<_> = mirror.in_namespace("b").map(|value| value.as_str()).collect();
    assert_eq!(found, ["b/1", "b/2"]);
}
