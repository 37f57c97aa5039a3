//! How many requests the elections of an idle operator send.

use super::*;

const MINUTES: usize = 10;

/// Two replicas, each in the elections for both leases.
#[tokio::test(start_paused = true)]
async fn two_idle_replicas_send_less_than_a_request_a_second() {
    let server = ApiServer::new();
    let leases = ["tracebuffer", "tracebuffer-webhook-tls"];
    let electors: Vec<_> = ["a", "b"]
        .into_iter()
        .flat_map(|replica| leases.map(|lease| (replica, lease)))
        .map(|(replica, lease)| RunningElector::start_for(&server, lease, replica, 1.0))
        .collect();
    sleep(Duration::from_mins(1)).await;
    let requests = || {
        let verbs = [Verb::Get, Verb::List, Verb::Watch, Verb::Create, Verb::Replace];
        verbs.map(|verb| server.seen(verb, LEASES))
    };
    let before = requests();

    sleep(Duration::from_mins(10)).await;

    let after = requests();
    let sent: Vec<_> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    println!("get, list, watch, create and replace in {MINUTES} minutes: {sent:?}");
    assert!(sent.iter().sum::<usize>() <= 45 * MINUTES, "{sent:?}");
    assert_eq!(electors.iter().filter(|elector| elector.leads()).count(), 2);
}

/// As with a Role of an earlier version of the chart.
#[tokio::test(start_paused = true)]
async fn without_watches_a_lease_is_read_every_two_seconds_and_taken_over_as_soon() {
    let server = ApiServer::new();
    for verb in [Verb::List, Verb::Watch] {
        server.script(RequestMatcher::to(verb, LEASES), Fault::Refuse(403));
    }
    let first = RunningElector::start(&server, "a", 1.0);
    wait_until("leads", || first.leads()).await;
    let second = RunningElector::start(&server, "b", 1.0);
    sleep(7 * SECOND).await;
    first.stop().await;
    assert!(wait_until("handed over", || second.leads()).await <= 2 * SECOND);

    let third = RunningElector::start(&server, "c", 1.0);
    sleep(7 * SECOND).await;
    second.kill();

    assert!(wait_until("replaced", || third.leads()).await <= 17 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_falls_silent_delays_the_next_leader_little() {
    for fault in [Fault::Stall, Fault::Drop] {
        let server = ApiServer::new();
        let first = RunningElector::start(&server, "a", 1.0);
        wait_until("leads", || first.leads()).await;
        let second = RunningElector::start(&server, "b", 1.0);
        sleep(7 * SECOND).await;
        server.script(RequestMatcher::to(Verb::List, LEASES), fault.clone());
        server.script(RequestMatcher::to(Verb::Watch, LEASES), fault);
        server.break_watches(LEASES);
        sleep(20 * SECOND).await;
        assert!(first.leads() && !second.leads());

        first.stop().await;
        assert!(wait_until("replaced", || second.leads()).await <= 2 * SECOND);
    }
}
