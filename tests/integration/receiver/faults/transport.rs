//! Faults of the network and of the destination's process.

use std::time::{Duration, Instant};

use crate::support::pipeline::{Pipeline, failed, names, over_both, soon};
use crate::support::scripted_destination::Answer;

const SHORT: &[(&str, &str)] = &[("TIMEOUT", "300ms")];

#[tokio::test]
async fn a_destination_that_comes_up_late_gets_everything_in_order() {
    over_both(async |protocol| {
        let mut pipeline = Pipeline::start_in_outage(protocol, &[]).await;
        pipeline.audited(pipeline.send(10, 3)).await;
        pipeline.failing(2).await;
        let metrics = pipeline.receiver.metrics().await;
        assert_eq!(metrics.unaccounted_spans(), 0, "{metrics:#?}");

        pipeline.destination.restart().await;
        pipeline.audited(pipeline.destination.spans_received(30)).await;

        let metrics = pipeline.all_arrived().await;
        assert!(failed(&metrics, "CONNECT", false) >= 2, "{metrics:#?}");
    })
    .await;
}

#[tokio::test]
async fn a_destination_that_swallows_requests_gets_them_again() {
    over_both(async |protocol| {
        let pipeline = Pipeline::start(protocol, SHORT).await;
        pipeline.destination.script([Answer::Swallow, Answer::Ignore, Answer::Swallow]);

        pipeline
            .audited(async {
                // More than fits into the sockets and windows of a peer that does not read.
                pipeline.send_padded(20, 3, 30_000).await;
                pipeline.destination.spans_received(60).await;
            })
            .await;

        pipeline.all_arrived().await;
        let first = &pipeline.destination.requests()[0];
        assert_eq!(first.spans[0].name, "0", "the lost request was the first");
    })
    .await;
}

#[tokio::test]
async fn a_slow_destination_gets_everything_once() {
    over_both(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[]).await;
        let slowly = || Answer::Delay(Duration::from_millis(60), Box::new(Answer::Accept));
        pipeline.destination.otherwise(slowly());

        let started = Instant::now();
        pipeline
            .audited(async {
                pipeline.send(20, 3).await;
                pipeline.destination.spans_received(60).await;
            })
            .await;

        pipeline.all_arrived().await;
        let requests = u32::try_from(pipeline.destination.requests().len()).expect("a few");
        assert!(requests > 1);
        assert!(started.elapsed() >= Duration::from_millis(60) * requests);
    })
    .await;
}

#[tokio::test]
async fn spans_survive_connections_that_are_reset() {
    over_both(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[]).await;

        for fault in [Answer::Reset, Answer::ResetStream, Answer::Reset] {
            pipeline.destination.script([fault]);
            pipeline
                .audited(async {
                    pipeline.send(5, 2).await;
                    pipeline.destination.spans_received(pipeline.named()).await;
                })
                .await;
        }

        let metrics = pipeline.all_arrived().await;
        // On a connection that was used before, another try follows at once and counts as one.
        assert!(failed(&metrics, "RESET", false) >= 1, "{metrics:#?}");
    })
    .await;
}

#[tokio::test]
async fn a_connection_the_destination_wants_to_end_is_replaced_without_a_loss() {
    over_both(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[]).await;
        pipeline.destination.otherwise(Answer::GoAway(Box::new(Answer::Accept)));

        pipeline
            .audited(async {
                pipeline.send(30, 2).await;
                pipeline.destination.spans_received(60).await;
            })
            .await;

        pipeline.all_arrived_at_least_once().await;
        assert!(pipeline.destination.connections() > 1);
    })
    .await;
}

#[tokio::test]
async fn a_destination_that_is_restarted_gets_everything_in_order() {
    over_both(async |protocol| {
        let mut pipeline = Pipeline::start(protocol, &[]).await;

        for _ in 0..3 {
            pipeline.audited(pipeline.send(10, 2)).await;
            pipeline.destination.stop().await;
            pipeline.audited(pipeline.send(10, 2)).await;
            pipeline.failing(1).await;
            pipeline.destination.restart().await;
            pipeline.quiet().await;
        }

        // A request may have been taken without its answer getting through.
        pipeline.all_arrived_at_least_once().await;
    })
    .await;
}

#[tokio::test]
async fn spans_whose_answer_was_lost_are_sent_again() {
    over_both(async |protocol| {
        let pipeline = Pipeline::start(protocol, SHORT).await;
        // Read and perhaps stored; the receiver cannot know.
        pipeline.destination.script([Answer::Swallow]);

        pipeline.audited(pipeline.send(1, 2)).await;
        soon("the second try", pipeline.destination.requests_read(2)).await;

        pipeline.all_arrived().await;
        let requests = pipeline.destination.requests().into_iter();
        let tried: Vec<Vec<_>> = requests
            .map(|request| request.spans.into_iter().map(|span| span.name).collect())
            .collect();
        assert_eq!(tried, [names(0..2), names(0..2)]);
    })
    .await;
}
