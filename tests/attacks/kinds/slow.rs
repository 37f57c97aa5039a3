//! Peers that are slower than anybody has to be.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::sleep;

use crate::hpack::{self, Call};
use crate::http1::{self, Http1};
use crate::http2::{DATA, Http2, Reading};
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
        let head = http1::post(&body, ANNOUNCED_BYTES.into());
        send_pieces(address, head, body, bytes, pause)
    })
}

fn send_gzip_slowly(target: &Target, clients: usize) -> Attackers {
    let (target, body) = (target.clone(), target.bodies.medium.gzip());
    attackers(clients, move |number| {
        let head = http1::post(&body, body.bytes.len() as u64);
        send_pieces(target.otlp(number), head, body.clone(), 10, PAUSE)
    })
}

async fn send_pieces(
    address: SocketAddr,
    head: String,
    body: Body,
    bytes: usize,
    pause: Duration,
) -> io::Result<()> {
    let mut connection = Http1::connect(address).await?;
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
