//! Clients that do nothing wrong, beside the attackers: one that keeps its connection, and new ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, timeout};

use crate::grpc::{Grpc, Outcome};
use crate::http1::Http1;
use crate::payload::Body;
use crate::target::Target;

/// Ten requests a second of each kind.
const REQUEST_INTERVAL: Duration = Duration::from_millis(100);
/// One new client a second.
const NEW_CLIENT_INTERVAL: Duration = Duration::from_secs(1);
/// After this a client gives up. Longer than any latency that would pass.
const PATIENCE: Duration = Duration::from_secs(5);

/// What became of the requests of polite clients.
#[derive(Default)]
pub(crate) struct Tally {
    /// Latencies of accepted requests.
    latencies: Vec<Duration>,
    /// The spans of accepted requests.
    pub(crate) accepted_spans: u64,
    /// Why the others were not served, and how many.
    pub(crate) unserved: BTreeMap<Outcome, usize>,
}

pub(crate) type SharedTally = Arc<Mutex<Tally>>;

impl Tally {
    fn record(&mut self, outcome: Outcome, latency: Duration, spans: u64) {
        if outcome == Outcome::Accepted {
            self.latencies.push(latency);
            self.accepted_spans += spans;
        } else {
            *self.unserved.entry(outcome).or_default() += 1;
        }
    }

    /// The share of requests that were accepted, from 0 to 1.
    pub(crate) fn served(&self) -> f64 {
        let (served, unserved) = (self.latencies.len(), self.unserved.values().sum::<usize>());
        if served + unserved == 0 { 0.0 } else { served as f64 / (served + unserved) as f64 }
    }

    /// The latency that a share of the accepted requests did not exceed.
    pub(crate) fn percentile(&self, share: f64) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let index = (sorted.len() as f64 * share).ceil() as usize;
        sorted.get(index.max(1) - 1).copied().unwrap_or_default()
    }
}

/// Sends ten requests a second of each of four kinds over one connection, until `end`; then waits for
/// the last answers.
pub(crate) async fn keep_sending(target: Target, end: Instant, tally: SharedTally) {
    let channel = Arc::new(Grpc::new(target.grpc));
    let bodies = &target.bodies;
    let kinds = [&bodies.small, &bodies.small_gzip, &bodies.medium, &bodies.large];
    let mut requests = JoinSet::new();
    let step = REQUEST_INTERVAL / 4;
    let mut ticks = interval_at(Instant::now(), step);
    for kind in kinds.into_iter().cycle() {
        let due = ticks.tick().await;
        if due >= end {
            break;
        }
        let (channel, body, tally) = (Arc::clone(&channel), kind.clone(), Arc::clone(&tally));
        requests.spawn(async move {
            let outcome = timeout(PATIENCE, channel.export(&body)).await.unwrap_or_else(given_up);
            tally.lock().record(outcome, due.elapsed(), body.spans);
        });
    }
    requests.join_all().await;
}

/// Every second a new client sends one request of each kind, every second one of them over HTTP/1.1
/// and connections of their own, until `end`.
pub(crate) async fn keep_arriving(target: Target, end: Instant, tally: SharedTally) {
    let mut clients = JoinSet::new();
    let mut ticks = interval_at(Instant::now(), NEW_CLIENT_INTERVAL);
    for number in 0.. {
        if ticks.tick().await >= end {
            break;
        }
        clients.spawn(arrive(target.clone(), number, Arc::clone(&tally)));
    }
    clients.join_all().await;
}

async fn arrive(target: Target, number: usize, tally: SharedTally) {
    let bodies = &target.bodies;
    let (channel, target) = (Grpc::new(target.grpc), &target);
    let requests = [&bodies.small, &bodies.small_gzip, &bodies.medium, &bodies.large].map(|body| {
        let (channel, tally) = (&channel, &tally);
        async move {
            let started = Instant::now();
            let outcome = if number.is_multiple_of(2) {
                timeout(PATIENCE, channel.export(body)).await
            } else {
                timeout(PATIENCE, post(target, body)).await
            };
            tally.lock().record(outcome.unwrap_or_else(given_up), started.elapsed(), body.spans);
        }
    });
    join_all(requests).await;
}

/// One request over a connection of its own.
async fn post(target: &Target, body: &Body) -> Outcome {
    let exchange = async { Http1::connect(target.http).await?.exchange(body).await };
    match exchange.await {
        Ok((200, _)) => Outcome::Accepted,
        Ok((status, content)) => {
            let content = String::from_utf8_lossy(&content);
            Outcome::Refused(format!("HTTP status {status}: {}", content.escape_default()))
        }
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

fn given_up<E>(_: E) -> Outcome {
    Outcome::Failed(format!("no answer within {} s", PATIENCE.as_secs()))
}
