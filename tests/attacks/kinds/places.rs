//! Connections that take the places of others.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::grpc::Grpc;
use crate::hpack::{self, Call};
use crate::http1::{self, Http1};
use crate::http2::{self, Http2, Reading};
use crate::target::{Attackers, Target, attackers};
use crate::trial::Attack;

/// Longer than a newcomer waits for a place.
const SECONDS: u64 = 10;
/// How long a connection is left unanswered before it is closed.
const ABANDONED_FOR: Duration = Duration::from_secs(2);

pub(super) fn attacks() -> Vec<Attack> {
    let attack = |name, what, start| Attack::calm(name, what, SECONDS, start);
    vec![
        attack("idle-http2/258", "258 HTTP/2 connections without a request", |t| {
            hold_http2(t, 258)
        }),
        attack("idle-http1/300", "300 HTTP/1.1 connections after one request", |t| {
            hold_http1(t, 300)
        }),
        attack("idle-tcp/300", "300 connections that send nothing", |t| hold_after(t, 300, b"")),
        attack("half-heads/300", "300 connections with half a head", |t| {
            hold_after(t, 300, b"POST /v1/traces HTTP/1.1\r\nhost: a\r\nx: ")
        }),
        attack("half-prefaces/300", "300 connections with half a preface", |t| {
            hold_after(t, 300, &http2::PREFACE[..20])
        }),
        attack("leak/40", "40 gRPC channels a second that are used once and never closed", |t| {
            leak_channels(t, 40)
        }),
        attack("unanswered/120", "120 new connections a second that answer nothing", |t| {
            leave_unanswered(t, 120)
        }),
        attack("half-closed/256", "256 clients that end their side after half a request", |t| {
            half_close(t, 256)
        }),
    ]
}

fn hold_http2(target: &Target, connections: usize) -> Attackers {
    let target = target.clone();
    attackers(connections, move |number| {
        let address = target.otlp(number);
        async move { Http2::open(address, &[], Reading::Everything).await?.hold().await }
    })
}

fn hold_http1(target: &Target, connections: usize) -> Attackers {
    let target = target.clone();
    attackers(connections, move |number| {
        let target = target.clone();
        async move {
            let mut connection = Http1::connect(target.otlp(number)).await?;
            connection.post(&target.bodies.small).await?;
            connection.hold().await
        }
    })
}

fn hold_after(target: &Target, connections: usize, sent: &'static [u8]) -> Attackers {
    let target = target.clone();
    attackers(connections, move |number| {
        let address = target.otlp(number);
        async move {
            let mut connection = Http1::connect(address).await?;
            connection.send(sent).await?;
            connection.hold().await
        }
    })
}

/// A client that opens a channel for every request and forgets to close it.
fn leak_channels(target: &Target, per_second: u32) -> Attackers {
    let target = target.clone();
    attackers(1, move |_| {
        let target = target.clone();
        async move {
            let mut leaked = JoinSet::new();
            let mut ticks = interval(Duration::from_secs(1) / per_second);
            loop {
                ticks.tick().await;
                let target = target.clone();
                leaked.spawn(async move {
                    let channel = Grpc::new(target.grpc);
                    channel.export(&target.bodies.small).await;
                    std::future::pending::<()>().await;
                });
            }
        }
    })
}

/// Connections that begin a request and then answer neither settings nor pings.
fn leave_unanswered(target: &Target, per_second: u32) -> Attackers {
    let target = target.clone();
    attackers(1, move |_| {
        let target = target.clone();
        async move {
            let mut opened = JoinSet::new();
            let mut ticks = interval(Duration::from_secs(1) / per_second);
            for number in 0.. {
                ticks.tick().await;
                while opened.try_join_next().is_some() {}
                opened.spawn(abandon(target.otlp(number)));
            }
            Ok(())
        }
    })
}

async fn abandon(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&http2::opening(&[])).await?;
    sleep(ABANDONED_FOR).await;
    Ok(())
}

fn half_close(target: &Target, clients: usize) -> Attackers {
    let target = target.clone();
    attackers(clients, move |number| {
        let (address, body) = (target.otlp(number), target.bodies.small.clone());
        async move {
            if number.is_multiple_of(2) {
                let mut connection = Http1::connect(address).await?;
                connection.send(http1::post(&body, 1_000_000).as_bytes()).await?;
                connection.send(&body.bytes).await?;
                connection.half_close().await?;
                return connection.hold().await;
            }
            let mut connection = Http2::open(address, &[], Reading::Everything).await?;
            connection.request(&hpack::post(Call::Grpc, "identity"), 0);
            connection.flush().await?;
            connection.half_close().await?;
            connection.hold().await
        }
    })
}
