//! Requests without a response, and silent watches.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_request_without_a_response_times_out_and_is_retried() {
    for (verb, resource) in [
        // By the rotator.
        (Verb::Get, CONFIGURATIONS),
        (Verb::Get, "secrets"),
        (Verb::Create, "secrets"),
        (Verb::Patch, CONFIGURATIONS),
        (Verb::Patch, "secrets"),
        // By the watcher.
        (Verb::List, CONFIGURATIONS),
        (Verb::List, "secrets"),
        (Verb::Watch, CONFIGURATIONS),
        (Verb::Watch, "secrets"),
    ] {
        let mut harness = Harness::new();
        harness.api.script(RequestMatcher::to(verb, resource).times(1), Fault::Stall);
        let served = harness.leader();

        sleep(240 * SECOND).await;

        assert!(served.is_trusted(), "{verb:?} {resource}");
        let is_counted = *harness.failures.0.lock() > 0;
        let is_watched = matches!(verb, Verb::List | Verb::Watch);
        assert_eq!(is_counted, !is_watched, "{verb:?} {resource}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_supplied_certificate_is_published_after_a_request_without_a_response() {
    for (verb, resource) in
        [(Verb::Get, "secrets"), (Verb::Get, CONFIGURATIONS), (Verb::Patch, CONFIGURATIONS)]
    {
        let mut harness = Harness::new();
        harness.upgrade("existingSecret/given");
        harness.give(GIVEN, &made(), true);
        harness.api.script(RequestMatcher::to(verb, resource).times(1), Fault::Stall);
        let served = harness.given(None);

        sleep(30 * SECOND).await;

        assert!(served.is_trusted(), "{verb:?} {resource}");
        assert!(*harness.failures.0.lock() > 0, "{verb:?} {resource}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_is_restarted_within_70_seconds() {
    let mut harness = Harness::new();
    let served = harness.leader();
    sleep(120 * SECOND).await;
    let before = served.valid_until();
    harness.api.stall_watches("secrets");
    let mut other = harness.secret();
    let other_tls = made_at(SystemWallClock.now().saturating_sub(3600 * SECOND));
    other["data"]["tls.crt"] = BASE64_STANDARD.encode(&other_tls.leaf).into();
    other["data"]["tls.key"] = BASE64_STANDARD.encode(&other_tls.leaf_key).into();
    other["data"]["ca.crt"] = BASE64_STANDARD.encode(&other_tls.bundle).into();
    other["data"]["ca.key"] = BASE64_STANDARD.encode(&other_tls.authority_key).into();
    harness.api.put("secrets", other);

    sleep(90 * SECOND).await;

    assert_ne!(served.valid_until(), before);
}
