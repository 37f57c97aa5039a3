//! Data that the destination refuses: poison records, and batches that are too large.

use tracebuffer::adapters::messaging::destination::config::Protocol;

use crate::support::pipeline::{
    Pipeline, dropped_spans, failed_requests, over_both_protocols, span_names,
};
use crate::support::receiver::Metrics;
use crate::support::scripted_destination::{ReceivedRequest, ScriptedResponse};

/// The largest request that the destination accepts, in bytes.
const SMALL: usize = 100_000;

#[tokio::test]
async fn a_poison_record_is_dropped_alone() {
    let poisoned = |request: &ReceivedRequest| request.spans.iter().any(|span| span.name == "77");
    over_both_protocols(async |protocol| {
        let pipeline = Pipeline::start_in_outage(protocol, &[]).await;
        pipeline.while_auditing(pipeline.send(100, 2)).await;

        let (pipeline, metrics) = after_refusing(poisoned, pipeline, protocol).await;

        // Spans 76 and 77 are in the same record.
        let expected = [span_names(0..76), span_names(78..200)].concat();
        assert_eq!(pipeline.destination.received_names(), expected);
        assert_eq!(dropped_spans(&metrics, "permanent"), 2);
        let log = pipeline.receiver.log();
        assert!(log.contains("they are lost") && log.contains("spans=2"), "{log}");
    })
    .await;
}

#[tokio::test]
async fn only_poison_records_are_dropped_when_there_are_several() {
    let poisoned =
        |request: &ReceivedRequest| request.spans.iter().any(|span| span.name.ends_with('7'));
    over_both_protocols(async |protocol| {
        let pipeline = Pipeline::start_in_outage(protocol, &[]).await;
        pipeline.while_auditing(pipeline.send(50, 1)).await;

        let (pipeline, metrics) = after_refusing(poisoned, pipeline, protocol).await;

        let mut expected = span_names(0..50);
        expected.retain(|name| !name.ends_with('7'));
        assert_eq!(pipeline.destination.received_names(), expected);
        assert_eq!(dropped_spans(&metrics, "permanent"), 5);
    })
    .await;
}

/// Ends the outage of a destination that refuses `poisoned` requests as invalid, and waits until
/// the buffer is drained.
async fn after_refusing(
    poisoned: fn(&ReceivedRequest) -> bool,
    mut pipeline: Pipeline,
    protocol: Protocol,
) -> (Pipeline, Metrics) {
    let refusal = match protocol {
        Protocol::Grpc => ScriptedResponse::grpc(3),
        Protocol::Http => ScriptedResponse::http(400),
    };
    let answer =
        ScriptedResponse::If(poisoned, Box::new(refusal), Box::new(ScriptedResponse::Accept));
    pipeline.destination.set_default_response(answer);
    pipeline.destination.restart().await;
    let metrics = pipeline.while_auditing(pipeline.wait_until_drained()).await;
    (pipeline, metrics)
}

#[tokio::test]
async fn batches_too_large_for_the_destination_arrive_in_smaller_ones() {
    over_both_protocols(async |protocol| {
        let mut pipeline = Pipeline::start_in_outage(protocol, &[]).await;
        let (refusal, code) = match protocol {
            Protocol::Grpc => (ScriptedResponse::grpc(8), "RESOURCE_EXHAUSTED"),
            Protocol::Http => (ScriptedResponse::http(413), "413"),
        };
        let too_large = |request: &ReceivedRequest| request.wire_bytes > SMALL;
        pipeline.destination.set_default_response(ScriptedResponse::If(
            too_large,
            Box::new(refusal),
            Box::new(ScriptedResponse::Accept),
        ));

        pipeline.while_auditing(pipeline.send_padded(150, 2, 1000)).await;
        // A single request several times larger than the destination accepts.
        pipeline.while_auditing(pipeline.send_padded(1, 300, 1000)).await;
        pipeline.while_auditing(pipeline.send_padded(50, 2, 1000)).await;
        pipeline.destination.restart().await;
        let metrics = pipeline.while_auditing(pipeline.assert_all_arrived()).await;

        assert!(failed_requests(&metrics, code, true) >= 2, "{metrics:#?}");
        let accepted = pipeline.destination.requests().into_iter();
        let largest =
            accepted.map(|request| request.wire_bytes).filter(|&bytes| bytes <= SMALL).max();
        assert!(largest.is_some_and(|largest| largest > SMALL / 4), "{largest:?}");
    })
    .await;
}

#[tokio::test]
async fn batches_that_a_proxy_resets_for_their_size_arrive_in_smaller_ones() {
    over_both_protocols(async |protocol| {
        let pipeline = Pipeline::start_in_short_outage(protocol).await;
        pipeline.destination.set_default_response(ScriptedResponse::AcceptUpTo(SMALL));

        pipeline.while_auditing(pipeline.send_padded(150, 2, 1000)).await;
        // A single request several times larger than the proxy passes on.
        pipeline.while_auditing(pipeline.send_padded(1, 300, 1000)).await;
        pipeline.while_auditing(pipeline.send_padded(50, 2, 1000)).await;
        let metrics = pipeline.while_auditing(pipeline.assert_all_arrived()).await;

        assert!(failed_requests(&metrics, "RESET", false) >= 3, "{metrics:#?}");
        assert_eq!(dropped_spans(&metrics, "permanent"), 0);
    })
    .await;
}

#[tokio::test]
async fn batches_refused_by_a_retryable_code_arrive_in_smaller_ones() {
    // Without the word that the size is the cause.
    for (code, name) in [(11, "OUT_OF_RANGE"), (10, "ABORTED")] {
        let pipeline = Pipeline::start_in_short_outage(Protocol::Grpc).await;
        let too_large = |request: &ReceivedRequest| request.wire_bytes > SMALL;
        pipeline.destination.set_default_response(ScriptedResponse::If(
            too_large,
            Box::new(ScriptedResponse::grpc(code)),
            Box::new(ScriptedResponse::Accept),
        ));

        pipeline.while_auditing(pipeline.send_padded(150, 2, 1000)).await;
        let metrics = pipeline.while_auditing(pipeline.assert_all_arrived()).await;

        assert!(failed_requests(&metrics, name, false) >= 1, "{metrics:#?}");
    }
}

#[tokio::test]
async fn an_outage_that_the_destination_reports_leaves_batches_whole() {
    over_both_protocols(async |protocol| {
        let mut pipeline = Pipeline::start_in_outage(protocol, &[]).await;
        pipeline.while_auditing(pipeline.send_padded(20, 2, 1000)).await;
        let refusal = match protocol {
            Protocol::Grpc => ScriptedResponse::grpc(14),
            Protocol::Http => ScriptedResponse::http(503),
        };
        pipeline.destination.script([(); 4].map(|()| refusal.clone()));

        pipeline.destination.restart().await;
        pipeline.while_auditing(pipeline.assert_all_arrived()).await;

        let requests = pipeline.destination.requests();
        let spans: Vec<_> = requests.iter().map(|request| request.spans.len()).collect();
        // Four attempts with the first batch of a slow start; and none smaller than that.
        assert_eq!(spans, [16, 16, 16, 16, 16, 24]);
    })
    .await;
}

#[tokio::test]
async fn a_record_at_which_a_proxy_resets_the_connection_is_dropped_alone() {
    over_both_protocols(async |protocol| {
        let pipeline = Pipeline::start_in_short_outage(protocol).await;
        let at_fault =
            |request: &ReceivedRequest| request.spans.iter().any(|span| span.name == "77");
        pipeline.destination.set_default_response(ScriptedResponse::If(
            at_fault,
            Box::new(ScriptedResponse::ResetStream),
            Box::new(ScriptedResponse::Accept),
        ));

        pipeline.while_auditing(pipeline.send(100, 2)).await;
        let metrics = pipeline.while_auditing(pipeline.wait_until_drained()).await;

        // Spans 77 and 78 are in the same record.
        let expected = [span_names(0..77), span_names(79..201)].concat();
        assert_eq!(pipeline.destination.received_names(), expected);
        assert_eq!(dropped_spans(&metrics, "permanent"), 2);
        let log = pipeline.receiver.log();
        assert!(log.contains("its spans are lost") && log.contains("spans=2"), "{log}");
    })
    .await;
}
