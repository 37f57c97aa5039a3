//! Requests that are too large, and clients that go on sending after they were refused.

use std::io;
use std::net::SocketAddr;

use crate::hpack::{self, Call};
use crate::http1::{self, Http1};
use crate::http2::{DATA, Http2, Reading};
use crate::payload::Body;
use crate::target::{Attackers, Target, attackers};
use crate::trial::Attack;

const SECONDS: u64 = 5;
const REFUSED_BYTES: u64 = 10 << 20;
const PIECE_BYTES: usize = 64 << 10;

pub(super) fn attacks() -> Vec<Attack> {
    let attack = |name, what, start| Attack::busy(name, what, SECONDS, start);
    vec![
        attack("oversize-announced/64", "64 clients announce 4 GiB and send on", |t| {
            send_on(t, 64, |body| http1::post(body, 4 << 30))
        }),
        attack("oversize-10m/16", "16 clients send 10 MiB, whatever the answer", |t| {
            send_on(t, 16, |body| http1::post(body, REFUSED_BYTES))
        }),
        attack(
            "oversize-expect/64",
            "64 clients expect 100-continue and do not wait for it",
            |t| {
                send_on(t, 64, |body| {
                    http1::post(body, REFUSED_BYTES)
                        .replace("\r\n\r\n", "\r\nexpect: 100-continue\r\n\r\n")
                })
            },
        ),
        attack("oversize-chunked/64", "64 clients send chunks without end", |t| send_chunks(t, 64)),
        attack("oversize-grpc/64", "64 connections, gRPC messages that announce 4 GiB", |t| {
            announce_over_grpc(t, 64)
        }),
    ]
}

fn send_on(target: &Target, clients: usize, head: fn(&Body) -> String) -> Attackers {
    let target = target.clone();
    attackers(clients, move |number| {
        let body = target.bodies.small.clone();
        send_pieces(target.otlp(number), head(&body))
    })
}

async fn send_pieces(address: SocketAddr, head: String) -> io::Result<()> {
    let mut connection = Http1::connect(address).await?;
    connection.send(head.as_bytes()).await?;
    let piece = vec![10; PIECE_BYTES];
    for _ in 0..REFUSED_BYTES / PIECE_BYTES as u64 {
        connection.send(&piece).await?;
    }
    connection.hold().await
}

fn send_chunks(target: &Target, clients: usize) -> Attackers {
    let target = target.clone();
    attackers(clients, move |number| {
        let address = target.otlp(number);
        async move {
            let mut connection = Http1::connect(address).await?;
            let head = "POST /v1/traces HTTP/1.1\r\nhost: a\r\n\
                        content-type: application/x-protobuf\r\ntransfer-encoding: chunked\r\n\r\n";
            connection.send(head.as_bytes()).await?;
            let chunk = [b"400\r\n", &[10; 1 << 10][..], b"\r\n"].concat();
            loop {
                connection.send(&chunk).await?;
            }
        }
    })
}

fn announce_over_grpc(target: &Target, connections: usize) -> Attackers {
    let target = target.clone();
    attackers(connections, move |number| {
        let address = target.otlp(number);
        async move {
            let mut connection = Http2::open(address, &[], Reading::Everything).await?;
            let limits = connection.limits;
            let share =
                limits.stream_window.min(limits.connection_window / limits.streams) as usize;
            let head = hpack::post(Call::Grpc, "identity");
            for _ in 0..limits.streams {
                let stream = connection.request(&head, 0);
                connection.frame(DATA, 0, stream, &[0, 0xff, 0xff, 0xff, 0xff]);
                connection.frame(DATA, 0, stream, &vec![10; share.saturating_sub(5).min(16_000)]);
            }
            connection.flush().await?;
            connection.hold().await
        }
    })
}
