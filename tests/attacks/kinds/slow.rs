//! Peers that are slower than anybody has to be.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::sleep;

use crate::hpack::{self, Call};
use crate::http1::{self, Http1};
use crate::http2::{DATA, END_STREAM, Http2, Reading};
use crate::payload::Body;
use crate::target::{Attackers, Target, attackers, connect_with_small_buffer};
use crate::trial::Attack;

/// Longer than requests wait for memory.
const SECONDS: u64 = 10;
/// What is announced: nearly the largest share of the reading budget.
const ANNOUNCED_BYTES: u32 = 250 << 10;
/// Less than any timeout for a pause.
const PAUSE: Duration = Duration::from_secs(3);

pub(super) fn attacks() -> Vec<Attack> {
    let attack = |name, what, start| Attack::calm(name, what, SECONDS, start);
    vec![
        attack("slow-http/5", "5 clients announce 250 KiB and send a byte every 3 s", |t| {
            send_slowly(t, 5, Duration::from_secs(3), 1)
        }),
        attack("slow-http/100", "100 clients announce 250 KiB and send a byte every 3 s", |t| {
            send_slowly(t, 100, PAUSE, 1)
        }),
        attack(
            "slow-http-1k/100",
            "100 clients announce 250 KiB and send 1 KiB every 100 ms",
            |t| send_slowly(t, 100, Duration::from_millis(100), 1 << 10),
        ),
        attack(
            "slow-http-2k/100",
            "100 clients announce 250 KiB and send 2 KiB every 100 ms",
            |t| send_slowly(t, 100, Duration::from_millis(100), 2 << 10),
        ),
        attack(
            "slow-proven-http/100",
            "100 clients send a whole request, then 250 KiB at 1 KiB every 100 ms",
            |t| prove_and_send_slowly(t, 100),
        ),
        attack(
            "slow-proven-grpc/64",
            "64 connections, 7 slow streams, and a whole request every second",
            |t| prove_and_stream_slowly(t, 64),
        ),
        attack(
            "slow-grpc/100",
            "100 gRPC streams announce 250 KiB and send a byte every 3 s",
            |t| stream_slowly(t, 100),
        ),
        attack("slow-gzip/100", "100 clients send gzip, 10 bytes every 3 s", |t| {
            send_gzip_slowly(t, 100)
        }),
        attack("slow-reader/64", "64 clients pipeline requests and read a byte a second", |t| {
            read_slowly(t, 64)
        }),
    ]
}

fn send_slowly(target: &Target, clients: usize, pause: Duration, bytes: usize) -> Attackers {
    let target = target.clone();
    attackers(clients, move |number| {
        let (address, body) = (target.otlp(number), target.bodies.large.clone());
        async move {
            let head = http1::post(&body, ANNOUNCED_BYTES.into());
            send_pieces(Http1::connect(address).await?, head, body, bytes, pause).await
        }
    })
}

/// Who was served is believed to be a sender like others.
fn prove_and_send_slowly(target: &Target, clients: usize) -> Attackers {
    let target = target.clone();
    attackers(clients, move |number| {
        let (address, bodies) = (target.otlp(number), target.bodies.clone());
        async move {
            let mut connection = Http1::connect(address).await?;
            connection.post(&bodies.small).await?;
            let head = http1::post(&bodies.large, ANNOUNCED_BYTES.into());
            let pause = Duration::from_millis(100);
            send_pieces(connection, head, bodies.large.clone(), 1 << 10, pause).await
        }
    })
}

fn prove_and_stream_slowly(target: &Target, connections: usize) -> Attackers {
    const SLOW_STREAMS: usize = 7;
    let target = target.clone();
    attackers(connections, move |number| {
        let (address, small) = (target.otlp(number), target.bodies.small.clone());
        async move {
            let mut connection = Http2::open(address, &[], Reading::Everything).await?;
            let head = hpack::post(Call::Grpc, "identity");
            let prefix = |bytes: u32| [&[0][..], &bytes.to_be_bytes()].concat();
            let slow: Vec<_> = (0..SLOW_STREAMS)
                .map(|_| {
                    let stream = connection.request(&head, 0);
                    connection.frame(DATA, 0, stream, &prefix(ANNOUNCED_BYTES));
                    stream
                })
                .collect();
            loop {
                let whole = connection.request(&head, 0);
                let length = u32::try_from(small.bytes.len()).map_err(io::Error::other)?;
                let message = [prefix(length), small.bytes.to_vec()].concat();
                connection.frame(DATA, END_STREAM, whole, &message);
                for stream in &slow {
                    connection.frame(DATA, 0, *stream, &[10; 1 << 10]);
                }
                connection.flush().await?;
                sleep(Duration::from_secs(1)).await;
            }
        }
    })
}

fn send_gzip_slowly(target: &Target, clients: usize) -> Attackers {
    let (target, body) = (target.clone(), target.bodies.medium.gzip());
    attackers(clients, move |number| {
        let (address, body) = (target.otlp(number), body.clone());
        async move {
            let head = http1::post(&body, body.bytes.len() as u64);
            send_pieces(Http1::connect(address).await?, head, body, 10, PAUSE).await
        }
    })
}

async fn send_pieces(
    mut connection: Http1,
    head: String,
    body: Body,
    bytes: usize,
    pause: Duration,
) -> io::Result<()> {
    connection.send(head.as_bytes()).await?;
    // Enough for the receiver to see that it needs memory.
    let (first, rest) = body.bytes.split_at(100);
    connection.send(first).await?;
    let sending = async {
        for piece in rest.chunks(bytes) {
            sleep(pause).await;
            connection.send(piece).await?;
        }
        connection.response().await.map(drop)
    };
    sending.await
}

/// All streams of as few connections as possible.
fn stream_slowly(target: &Target, streams: usize) -> Attackers {
    const PER_CONNECTION: usize = 8;
    let target = target.clone();
    attackers(streams / PER_CONNECTION, move |number| {
        let address = target.otlp(number);
        async move {
            let mut connection = Http2::open(address, &[], Reading::Everything).await?;
            let head = hpack::post(Call::Grpc, "identity");
            let mut opened = Vec::new();
            for _ in 0..PER_CONNECTION {
                let stream = connection.request(&head, 0);
                let prefix = [&[0][..], &ANNOUNCED_BYTES.to_be_bytes()].concat();
                connection.frame(DATA, 0, stream, &prefix);
                opened.push(stream);
            }
            loop {
                for stream in &opened {
                    connection.frame(DATA, 0, *stream, &[10]);
                }
                connection.flush().await?;
                sleep(PAUSE).await;
            }
        }
    })
}

fn read_slowly(target: &Target, clients: usize) -> Attackers {
    let target = target.clone();
    attackers(clients, move |number| {
        let (address, body) = (target.otlp(number), target.bodies.small.clone());
        async move {
            let (read, write) = connect_with_small_buffer(address).await?.into_split();
            let head = http1::post(&body, body.bytes.len() as u64);
            let requests = [head.as_bytes(), &body.bytes].concat().repeat(20);
            tokio::select! {
                ended = read_a_byte_a_second(read) => ended,
                ended = write_without_end(write, &requests) => ended,
            }
        }
    })
}

async fn read_a_byte_a_second(mut read: OwnedReadHalf) -> io::Result<()> {
    loop {
        read.read_u8().await?;
        sleep(Duration::from_secs(1)).await;
    }
}

async fn write_without_end(mut write: OwnedWriteHalf, requests: &[u8]) -> io::Result<()> {
    loop {
        write.write_all(requests).await?;
    }
}
