//! All faults combined, with several requests in flight.

use std::collections::HashSet;
use std::time::Duration;

use tracebuffer::adapters::messaging::destination::config::Protocol;

use crate::support::pipeline::{
    Pipeline, dropped_spans, over_both_protocols, rejected_spans, sent_spans,
};
use crate::support::scripted_destination::ScriptedResponse;

#[tokio::test]
async fn in_a_storm_of_faults_every_span_is_accounted_for() {
    over_both_protocols(async |protocol| {
        let settings = [("MAX_SPANS", "200"), ("CONCURRENCY", "4"), ("TIMEOUT", "200ms")];
        let pipeline = Pipeline::start(protocol, &settings).await;
        let mut random = fastrand::Rng::with_seed(42);
        // Successes in between keep the backoff short.
        let answers =
            (0..30).flat_map(|_| [fault(protocol, &mut random), ScriptedResponse::Accept]);
        pipeline.destination.script(answers);

        let metrics = pipeline
            .while_auditing(async {
                for _ in 0..60 {
                    pipeline.send(random.usize(1..5), random.usize(1..8)).await;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                pipeline.wait_until_drained().await
            })
            .await;

        let gone = ["permanent", "overflow"].map(|reason| dropped_spans(&metrics, reason));
        let total = sent_spans(&metrics) + rejected_spans(&metrics) + gone.iter().sum::<u64>();
        assert_eq!(total, pipeline.span_count() as u64);
        // A reset also loses the responses to other requests, whose spans then arrive twice.
        let taken: HashSet<_> = pipeline.destination.received_names().into_iter().collect();
        assert!(
            taken.len() as u64 >= sent_spans(&metrics) + rejected_spans(&metrics),
            "{metrics:#?}"
        );
        assert!(
            sent_spans(&metrics) > 0 && rejected_spans(&metrics) > 0 && gone[0] > 0,
            "{metrics:#?}"
        );
    })
    .await;
}

fn fault(protocol: Protocol, random: &mut fastrand::Rng) -> ScriptedResponse {
    let code = |grpc, http| match protocol {
        Protocol::Grpc => ScriptedResponse::grpc(grpc),
        Protocol::Http => ScriptedResponse::http(http),
    };
    match random.u8(..9) {
        0 => ScriptedResponse::NeverRespond,
        1 => ScriptedResponse::ResetConnection,
        2 => ScriptedResponse::ResetStream,
        3 => ScriptedResponse::PartialSuccess { rejected: 1, message: "scripted" },
        4 => ScriptedResponse::Delay(Duration::from_millis(50), Box::new(ScriptedResponse::Accept)),
        5 => code(14, 503),
        6 => code(16, 401),
        7 => code(3, 400),
        _ => code(8, 413),
    }
}
