//! Outages that outlast the buffer, the spans' age, or the credentials.

use std::time::{Duration, Instant};

use tracebuffer::adapters::messaging::destination::config::Protocol;

use crate::support::client::ResponseKind;
use crate::support::pipeline::{
    Pipeline, dropped_spans, failed_requests, over_both_protocols, sent_spans, span_names,
};
use crate::support::receiver::Metrics;
use crate::support::scripted_destination::ScriptedResponse;

#[tokio::test]
async fn after_an_overflow_the_newest_spans_arrive_and_the_rest_is_counted() {
    over_both_protocols(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[("MAX_SPANS", "100")]).await;
        pipeline.destination.script([ScriptedResponse::come_back_later(protocol)]);
        let started = Instant::now();
        pipeline.send(1, 1).await;
        pipeline.wait_until_failing(1).await;

        // Nothing is in flight meanwhile, so the oldest spans can be dropped.
        pipeline.while_auditing(pipeline.send(37, 7)).await;
        assert!(
            started.elapsed() < Duration::from_secs(2),
            "the test was too slow to be conclusive"
        );
        let metrics = pipeline.receiver.metrics().await;
        assert_eq!(dropped_spans(&metrics, "overflow"), 160);
        assert_eq!(metrics.unaccounted_spans(), 0, "{metrics:#?}");
        let metrics = pipeline.while_auditing(pipeline.wait_until_drained()).await;

        assert_eq!(pipeline.destination.received_names(), span_names(160..260));
        assert_eq!(sent_spans(&metrics), 100);
        assert_eq!(dropped_spans(&metrics, "overflow"), 160);
    })
    .await;
}

#[tokio::test]
async fn after_an_overflow_in_bytes_the_newest_requests_arrive_and_the_rest_is_counted() {
    over_both_protocols(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[("MAX_BYTES", "256Ki")]).await;
        pipeline.destination.script([ScriptedResponse::come_back_later(protocol)]);
        pipeline.send(1, 1).await;
        pipeline.wait_until_failing(1).await;

        // About 10 KiB each, so between 20 and 25 requests fit.
        pipeline.while_auditing(pipeline.send_padded(80, 2, 5_000)).await;
        let metrics = pipeline.while_auditing(pipeline.wait_until_drained()).await;

        let arrived = pipeline.destination.received_names();
        assert!((40..=50).contains(&arrived.len()), "{arrived:?}");
        assert_eq!(
            arrived,
            span_names(pipeline.span_count() - arrived.len()..pipeline.span_count())
        );
        assert_eq!(
            dropped_spans(&metrics, "overflow"),
            (pipeline.span_count() - arrived.len()) as u64
        );
    })
    .await;
}

#[tokio::test]
async fn with_overflow_reject_a_full_buffer_responds_unavailable_and_loses_no_accepted_span() {
    over_both_protocols(async |protocol| {
        let settings = [("MAX_SPANS", "100"), ("OVERFLOW", "reject")];
        let mut pipeline = Pipeline::start_in_outage(protocol, &settings).await;
        pipeline.while_auditing(pipeline.send(14, 7)).await;
        let accepted = pipeline.span_count();

        let refused = pipeline.endpoint().export(pipeline.next_request(7, 0)).await;
        assert_eq!(refused.kind(), ResponseKind::Unavailable, "{refused:?}");
        let delay = refused.details().retry_info().and_then(|info| info.retry_delay);
        assert!(delay.is_some() || !refused.header("retry-after").is_empty(), "{refused:?}");
        pipeline.destination.restart().await;
        let metrics = pipeline.while_auditing(pipeline.wait_until_drained()).await;

        assert_eq!(pipeline.destination.received_names(), span_names(0..accepted));
        assert_eq!(metrics.accepted_spans(), 98);
        assert_eq!(dropped_spans(&metrics, "overflow"), 0);
        let full = [("reason", "full")];
        assert_eq!(metrics.sum::<u64>("tracebuffer_receiver_refused_spans_total", &full), 7);
    })
    .await;
}

#[tokio::test]
async fn a_batch_in_flight_is_never_counted_as_both_dropped_and_sent() {
    over_both_protocols(async |protocol| {
        let settings = [("MAX_SPANS", "100"), ("TIMEOUT", "300ms")];
        let pipeline = Pipeline::start(protocol, &settings).await;
        pipeline
            .destination
            .script([ScriptedResponse::NeverRespond, ScriptedResponse::NeverRespond]);
        let slowly =
            ScriptedResponse::Delay(Duration::from_millis(20), Box::new(ScriptedResponse::Accept));
        pipeline.destination.set_default_response(slowly);

        let metrics = pipeline
            .while_auditing(async {
                while pipeline.destination.received_names().is_empty() {
                    pipeline.send(10, 7).await;
                }
                pipeline.send(40, 7).await;
                pipeline.wait_until_drained().await
            })
            .await;

        let numbers: Vec<usize> = (pipeline.destination.received_names().iter())
            .map(|name| name.parse().expect("a number"))
            .collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "in order, none twice: {numbers:?}");
        assert_eq!(sent_spans(&metrics), numbers.len() as u64);
        assert_eq!(
            dropped_spans(&metrics, "overflow"),
            (pipeline.span_count() - numbers.len()) as u64
        );
        let newest = pipeline.span_count() - 75..pipeline.span_count();
        assert!(newest.into_iter().all(|number| numbers.contains(&number)), "{numbers:?}");
    })
    .await;
}

#[tokio::test]
async fn spans_older_than_the_maximum_age_are_dropped_in_an_outage() {
    over_both_protocols(async |protocol| {
        let mut pipeline = Pipeline::start_in_outage(protocol, &[("MAX_AGE", "300ms")]).await;

        pipeline.while_auditing(pipeline.send(5, 2)).await;
        let expired = |metrics: &Metrics| dropped_spans(metrics, "expired") == 10;
        pipeline.while_auditing(pipeline.receiver.wait_for_metrics(expired)).await;
        pipeline.destination.restart().await;
        // Until the next attempt, new spans would expire too.
        pipeline
            .while_auditing(async {
                while pipeline.destination.received_names().is_empty() {
                    pipeline.send(1, 2).await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
            .await;

        let metrics = pipeline.wait_until_drained().await;
        let arrived = pipeline.destination.received_names();
        assert_eq!(
            arrived,
            span_names(pipeline.span_count() - arrived.len()..pipeline.span_count())
        );
        assert_eq!(sent_spans(&metrics), arrived.len() as u64);
        assert_eq!(
            dropped_spans(&metrics, "expired"),
            (pipeline.span_count() - arrived.len()) as u64
        );
    })
    .await;
}

#[tokio::test]
async fn an_expired_token_loses_one_batch_per_backoff_and_each_is_smaller() {
    over_both_protocols(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[("MAX_SPANS", "160")]).await;
        let (refusal, code) = match protocol {
            Protocol::Grpc => (ScriptedResponse::grpc(16), "UNAUTHENTICATED"),
            Protocol::Http => (ScriptedResponse::http(401), "401"),
        };
        pipeline.destination.script([ScriptedResponse::come_back_later(protocol)]);
        pipeline.destination.script([(); 3].map(|()| refusal.clone()));
        pipeline.send(1, 1).await;
        pipeline.wait_until_failing(1).await;

        pipeline.while_auditing(pipeline.send(159, 1)).await;
        let metrics = pipeline.while_auditing(pipeline.wait_until_drained()).await;

        let batches: Vec<_> =
            pipeline.destination.requests().iter().map(|request| request.spans.len()).collect();
        // Slow start begins with 16.
        assert_eq!(batches[..4], [1, 16, 8, 4]);
        assert_eq!(failed_requests(&metrics, code, true), 3);
        assert_eq!(dropped_spans(&metrics, "permanent"), 28);
        assert_eq!(pipeline.destination.received_names(), span_names(28..160));
        assert!(pipeline.receiver.log().contains(code), "{}", pipeline.receiver.log());
    })
    .await;
}
