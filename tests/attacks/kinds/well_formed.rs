//! Clients that keep to every rule, and send as much as they can: one request at a time on each
//! connection, of all sizes, formats and encodings.

use fastrand::Rng;

use crate::grpc::Grpc;
use crate::http1::Http1;
use crate::payload::Body;
use crate::target::{Attackers, Target, attackers};
use crate::trial::Attack;

/// Long enough for every combination of sizes that are read at the same time.
const SECONDS: u64 = 10;

pub(super) fn attacks() -> Vec<Attack> {
    let attack = |name, what, start| Attack::busy(name, what, SECONDS, start);
    vec![
        attack("mixed-http/1", "1 keep-alive client, all sizes, formats and encodings", |t| {
            post(t, 1, |target| &target.bodies.mixed)
        }),
        attack("mixed-http/4", "4 keep-alive clients, all sizes, formats and encodings", |t| {
            post(t, 4, |target| &target.bodies.mixed)
        }),
        attack("mixed-http/16", "16 keep-alive clients, all sizes, formats and encodings", |t| {
            post(t, 16, |target| &target.bodies.mixed)
        }),
        attack("mixed-grpc/4", "4 gRPC clients, all sizes and encodings", |t| {
            export(t, 4, |target| &target.bodies.mixed)
        }),
        attack("mixed-grpc/64", "64 gRPC clients, all sizes and encodings", |t| {
            export(t, 64, |target| &target.bodies.mixed)
        }),
        attack("largest-http/1", "1 keep-alive client, requests just below 4 MiB", |t| {
            post(t, 1, |target| &target.bodies.largest)
        }),
        attack("largest-http/64", "64 keep-alive clients, requests just below 4 MiB", |t| {
            post(t, 64, |target| &target.bodies.largest)
        }),
        attack("largest-grpc/1", "1 gRPC client, requests just below 4 MiB", |t| {
            export(t, 1, |target| &target.bodies.largest)
        }),
        attack("spans-invalid/4", "4 clients, near 4 MiB, every second span is invalid", |t| {
            post(t, 4, |target| &target.bodies.half_invalid)
        }),
        attack("spans-tiny/4", "4 clients, as many of the smallest spans as fit", |t| {
            post(t, 4, |target| &target.bodies.tiny_spans)
        }),
    ]
}

fn post(target: &Target, clients: usize, bodies: fn(&Target) -> &[Body]) -> Attackers {
    let target = target.clone();
    attackers(clients, move |number| {
        let target = target.clone();
        async move {
            let mut random = Rng::with_seed(number as u64);
            let mut connection = Http1::connect(target.http).await?;
            loop {
                if let Some(body) = random.choice(bodies(&target)) {
                    connection.post(body).await?;
                }
            }
        }
    })
}

fn export(target: &Target, clients: usize, bodies: fn(&Target) -> &[Body]) -> Attackers {
    let target = target.clone();
    attackers(clients, move |number| {
        let target = target.clone();
        async move {
            let mut random = Rng::with_seed(number as u64);
            let channel = Grpc::new(target.grpc);
            let protobuf: Vec<_> = bodies(&target)
                .iter()
                .filter(|body| body.content_type.ends_with("protobuf"))
                .collect();
            loop {
                if let Some(body) = random.choice(&protobuf) {
                    channel.export(body).await;
                }
            }
        }
    })
}
