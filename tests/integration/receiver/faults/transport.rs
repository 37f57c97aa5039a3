//! Faults of the network and of the destination's process.

use std::time::{Duration, Instant};

use crate::support::pipeline::{
    Pipeline, failed_requests, over_both_protocols, span_names, within_timeout,
};
use crate::support::scripted_destination::ScriptedResponse;

const SHORT: &[(&str, &str)] = &[("TIMEOUT", "300ms")];

#[tokio::test]
async fn a_destination_that_comes_up_late_gets_everything_in_order() {
    over_both_protocols(async |protocol| {
        let mut pipeline = Pipeline::start_in_outage(protocol, &[]).await;
        pipeline.while_auditing(pipeline.send(10, 3)).await;
        pipeline.wait_until_failing(2).await;
        let metrics = pipeline.receiver.metrics().await;
        assert_eq!(metrics.unaccounted_spans(), 0, "{metrics:#?}");

        pipeline.destination.restart().await;
        pipeline.while_auditing(pipeline.destination.wait_for_spans(30)).await;

        let metrics = pipeline.assert_all_arrived().await;
        assert!(failed_requests(&metrics, "CONNECT", false) >= 2, "{metrics:#?}");
    })
    .await;
}

#[tokio::test]
async fn requests_that_get_no_response_are_sent_again() {
    over_both_protocols(async |protocol| {
        let pipeline = Pipeline::start(protocol, SHORT).await;
        pipeline.destination.script([
            ScriptedResponse::NeverRespond,
            ScriptedResponse::NeverRead,
            ScriptedResponse::NeverRespond,
        ]);

        pipeline
            .while_auditing(async {
                // More than fits into the sockets and windows of a peer that does not read.
                pipeline.send_padded(20, 3, 30_000).await;
                pipeline.destination.wait_for_spans(60).await;
            })
            .await;

        pipeline.assert_all_arrived().await;
        let first = &pipeline.destination.requests()[0];
        assert_eq!(first.spans[0].name, "0", "the lost request was the first");
    })
    .await;
}

#[tokio::test]
async fn a_slow_destination_gets_everything_once() {
    over_both_protocols(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[]).await;
        let slowly = || {
            ScriptedResponse::Delay(Duration::from_millis(60), Box::new(ScriptedResponse::Accept))
        };
        pipeline.destination.set_default_response(slowly());

        let started = Instant::now();
        pipeline
            .while_auditing(async {
                pipeline.send(20, 3).await;
                pipeline.destination.wait_for_spans(60).await;
            })
            .await;

        pipeline.assert_all_arrived().await;
        let requests = u32::try_from(pipeline.destination.requests().len()).expect("a few");
        assert!(requests > 1);
        assert!(started.elapsed() >= Duration::from_millis(60) * requests);
    })
    .await;
}

#[tokio::test]
async fn spans_survive_connections_that_are_reset() {
    over_both_protocols(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[]).await;

        for fault in [
            ScriptedResponse::ResetConnection,
            ScriptedResponse::ResetStream,
            ScriptedResponse::ResetConnection,
        ] {
            pipeline.destination.script([fault]);
            pipeline
                .while_auditing(async {
                    pipeline.send(5, 2).await;
                    pipeline.destination.wait_for_spans(pipeline.span_count()).await;
                })
                .await;
        }

        let metrics = pipeline.assert_all_arrived().await;
        // On a reused connection the request is repeated at once, and both attempts count as one.
        assert!(failed_requests(&metrics, "RESET", false) >= 1, "{metrics:#?}");
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_the_destination_asks_to_close_is_replaced_without_loss() {
    over_both_protocols(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[]).await;
        pipeline
            .destination
            .set_default_response(ScriptedResponse::GoAway(Box::new(ScriptedResponse::Accept)));

        pipeline
            .while_auditing(async {
                pipeline.send(30, 2).await;
                pipeline.destination.wait_for_spans(60).await;
            })
            .await;

        pipeline.assert_all_arrived_at_least_once().await;
        assert!(pipeline.destination.connections() > 1);
    })
    .await;
}

#[tokio::test]
async fn a_destination_that_is_restarted_gets_everything_in_order() {
    over_both_protocols(async |protocol| {
        let mut pipeline = Pipeline::start(protocol, &[]).await;

        for _ in 0..3 {
            pipeline.while_auditing(pipeline.send(10, 2)).await;
            pipeline.destination.stop().await;
            pipeline.while_auditing(pipeline.send(10, 2)).await;
            pipeline.wait_until_failing(1).await;
            pipeline.destination.restart().await;
            pipeline.wait_until_drained().await;
        }

        // The destination may have accepted a request whose response was lost.
        pipeline.assert_all_arrived_at_least_once().await;
    })
    .await;
}

#[tokio::test]
async fn spans_whose_response_was_lost_are_sent_again() {
    over_both_protocols(async |protocol| {
        let pipeline = Pipeline::start(protocol, SHORT).await;
        // The destination may have stored the spans; the receiver cannot know.
        pipeline.destination.script([ScriptedResponse::NeverRespond]);

        pipeline.while_auditing(pipeline.send(1, 2)).await;
        within_timeout("the second attempt", pipeline.destination.wait_for_requests(2)).await;

        pipeline.assert_all_arrived().await;
        let requests = pipeline.destination.requests().into_iter();
        let tried: Vec<Vec<_>> = requests
            .map(|request| request.spans.into_iter().map(|span| span.name).collect())
            .collect();
        assert_eq!(tried, [span_names(0..2), span_names(0..2)]);
    })
    .await;
}
