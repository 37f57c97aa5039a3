//! Heads of requests, held while the receiver awaits the body.

use std::io;
use std::net::SocketAddr;

use crate::hpack::{self, Call, Filling};
use crate::http1::Http1;
use crate::http2::{Http2, Reading};
use crate::target::{Attackers, Target, attackers};
use crate::trial::Attack;

const SECONDS: u64 = 7;
/// Frames that continue a head are this small in one attack.
const SMALL_FRAME_BYTES: usize = 64;

/// A head of fewer bytes than the receiver allows, and of fewer fields than hyper parses.
const HTTP1_HEAD_BYTES: usize = 15 << 10;
const HTTP1_FIELDS: usize = 90;
const PROTOBUF: &str = "content-type: application/x-protobuf";

pub(super) fn attacks() -> Vec<Attack> {
    let attack = |name, what, start| Attack::calm(name, what, SECONDS, start);
    let busy = |name, what, start| Attack::busy(name, what, SECONDS, start);
    vec![
        attack("heads-tiny-http/1", "1 connection, OTLP/HTTP, tiny fields", |t| {
            hold_heads(t, 1, Call::Http, Filling::Tiny)
        }),
        attack("heads-tiny-http/64", "64 connections, OTLP/HTTP, tiny fields", |t| {
            hold_heads(t, 64, Call::Http, Filling::Tiny)
        }),
        busy("heads-tiny-http/256", "256 connections, OTLP/HTTP, tiny fields", |t| {
            hold_heads(t, 256, Call::Http, Filling::Tiny)
        }),
        attack("heads-tiny-grpc/64", "64 connections, OTLP/gRPC, tiny fields", |t| {
            hold_heads(t, 64, Call::Grpc, Filling::Tiny)
        }),
        busy("heads-tiny-grpc/256", "256 connections, OTLP/gRPC, tiny fields", |t| {
            hold_heads(t, 256, Call::Grpc, Filling::Tiny)
        }),
        busy("heads-same/256", "256 connections, one name again and again", |t| {
            hold_heads(t, 256, Call::Http, Filling::Same)
        }),
        busy("heads-long/256", "256 connections, one long value", |t| {
            hold_heads(t, 256, Call::Http, Filling::Long)
        }),
        busy("heads-table/256", "256 connections, fields fill the dynamic table", |t| {
            hold_heads(t, 256, Call::Http, Filling::Indexed)
        }),
        attack(
            "heads-continued/64",
            "64 connections, heads in CONTINUATION frames, unfinished",
            |t| hold_unfinished(t, 64),
        ),
        busy("heads-http1/256", "256 connections, HTTP/1.1 heads of 15 KiB without end", |t| {
            hold_http1(t, 256, |fields| format!("POST /v1/traces HTTP/1.1\r\n{fields}"))
        }),
        busy("heads-http1-body/256", "256 connections, whole HTTP/1.1 heads, no body", |t| {
            hold_http1(t, 256, |fields| {
                let fields: String = fields.split_inclusive('\n').take(HTTP1_FIELDS).collect();
                let length = "content-length: 250000";
                format!("POST /v1/traces HTTP/1.1\r\n{PROTOBUF}\r\n{length}\r\n{fields}\r\n")
            })
        }),
        busy("trailers-http1/256", "256 connections, HTTP/1.1 trailers without end", |t| {
            hold_http1(t, 256, |fields| {
                let chunked = "transfer-encoding: chunked";
                format!("POST /v1/traces HTTP/1.1\r\n{PROTOBUF}\r\n{chunked}\r\n\r\n0\r\n{fields}")
            })
        }),
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

fn hold_http1(target: &Target, connections: usize, head: fn(&str) -> String) -> Attackers {
    let target = target.clone();
    attackers(connections, move |number| {
        let address = target.otlp(number);
        async move {
            let fields: Vec<_> =
                (0..HTTP1_HEAD_BYTES / 9).map(|n| format!("x{n:04}: \r\n")).collect();
            let mut connection = Http1::connect(address).await?;
            connection.send(head(&fields.concat()).as_bytes()).await?;
            connection.hold().await
        }
    })
}
