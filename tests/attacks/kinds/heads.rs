//! Heads of requests, held while the receiver awaits the body.

use std::io;
use std::net::SocketAddr;

use crate::hpack::{self, Call, Filling};
use crate::http2::{Http2, Reading};
use crate::target::{Attackers, Target, attackers};
use crate::trial::Attack;

const SECONDS: u64 = 7;
/// Frames that continue a head are this small in one attack.
const SMALL_FRAME_BYTES: usize = 64;

pub(super) fn attacks() -> Vec<Attack> {
    let attack = |name, what, start| Attack::calm(name, what, SECONDS, start);
    vec![
        attack("heads-tiny-http/1", "1 connection, OTLP/HTTP, tiny fields", |t| {
            hold_heads(t, 1, Call::Http, Filling::Tiny)
        }),
        attack("heads-tiny-http/64", "64 connections, OTLP/HTTP, tiny fields", |t| {
            hold_heads(t, 64, Call::Http, Filling::Tiny)
        }),
        attack("heads-tiny-http/256", "256 connections, OTLP/HTTP, tiny fields", |t| {
            hold_heads(t, 256, Call::Http, Filling::Tiny)
        }),
        attack("heads-tiny-grpc/64", "64 connections, OTLP/gRPC, tiny fields", |t| {
            hold_heads(t, 64, Call::Grpc, Filling::Tiny)
        }),
        attack("heads-tiny-grpc/256", "256 connections, OTLP/gRPC, tiny fields", |t| {
            hold_heads(t, 256, Call::Grpc, Filling::Tiny)
        }),
        attack("heads-same/256", "256 connections, one name again and again", |t| {
            hold_heads(t, 256, Call::Http, Filling::Same)
        }),
        attack("heads-long/256", "256 connections, one long value", |t| {
            hold_heads(t, 256, Call::Http, Filling::Long)
        }),
        attack("heads-table/256", "256 connections, fields fill the dynamic table", |t| {
            hold_heads(t, 256, Call::Http, Filling::Indexed)
        }),
        attack(
            "heads-continued/64",
            "64 connections, heads in CONTINUATION frames, unfinished",
            |t| hold_unfinished(t, 64),
        ),
    ]
}

fn hold_heads(target: &Target, connections: usize, call: Call, filling: Filling) -> Attackers {
    let target = target.clone();
    attackers(connections, move |number| {
        // A receiver that refuses the largest heads may accept those of half the size, and so on.
        let share = 1 << (number % 4);
        hold_on_connection(target.otlp(number), call, filling, share)
    })
}

async fn hold_on_connection(
    address: SocketAddr,
    call: Call,
    filling: Filling,
    share: usize,
) -> io::Result<()> {
    let mut connection = Http2::open(address, &[], Reading::Everything).await?;
    let limits = connection.limits;
    let head = [hpack::post(call, "identity"), hpack::filling(filling, limits.header_list / share)];
    for _ in 0..limits.streams {
        connection.request(&head.concat(), 0);
    }
    connection.flush().await?;
    connection.hold().await
}

/// Heads that never end, in frames of a few fields each.
fn hold_unfinished(target: &Target, connections: usize) -> Attackers {
    let target = target.clone();
    attackers(connections, move |number| {
        let address = target.otlp(number);
        async move {
            let mut connection = Http2::open(address, &[], Reading::Everything).await?;
            let list = connection.limits.header_list;
            let head = [hpack::post(Call::Http, "identity"), hpack::filling(Filling::Tiny, list)];
            connection.request_without_end(&head.concat(), SMALL_FRAME_BYTES);
            connection.flush().await?;
            connection.hold().await
        }
    })
}
