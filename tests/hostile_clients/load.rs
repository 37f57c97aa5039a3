//! Clients that ask for more than their share.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::task::JoinSet;
use tonic::Response;

use crate::client::{Protocol, Verdict, ways};
use crate::samples::{request, span, spans};
use crate::victim::Victim;

/// What a client waits at most before it must have an answer.
const LONGEST: Duration = Duration::from_secs(3);

#[tokio::test]
async fn large_requests_of_one_client_do_not_keep_each_other_or_another_client_waiting() {
    let victim = Victim::start().await;
    let address = format!("http://{}", victim.receiver.grpc());
    let greedy = TraceServiceClient::connect(address).await.expect("it listens");
    // Too large for the share of a small one: they are read one at a time.
    let large = request(vec![Span { trace_state: "x".repeat(300 << 10), ..span("large") }]);

    let mut streams = JoinSet::new();
    for _ in 0..30 {
        let (mut client, request) = (greedy.clone(), large.clone());
        streams.spawn(async move {
            let started = Instant::now();
            let answer = client.export(request).await;
            (answer.map(Response::into_inner), started.elapsed())
        });
    }
    for way in ways(&victim.receiver, &[Protocol::Grpc, Protocol::Http1]) {
        let mut connection = way.connect().await;
        for _ in 0..20 {
            let started = Instant::now();
            let answer = connection.send(way.request(spans(&["small"]))).await;
            assert_eq!(answer.verdict(), Verdict::Accepted, "{answer:?}");
            assert!(started.elapsed() < LONGEST, "{:?} over {way:?}", started.elapsed());
        }
    }

    for (answer, took) in streams.join_all().await {
        answer.expect("a large request is taken");
        assert!(took < LONGEST, "{took:?}");
    }
    drop(greedy);
    victim.recovers().await;
}
