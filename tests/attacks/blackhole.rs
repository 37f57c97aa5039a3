//! A destination that reads every request and never answers.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncWriteExt, copy, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::http2::{INITIAL_WINDOW_SIZE, WINDOW_UPDATE, frame, settings};

/// Large enough for every batch, so that the receiver has sent all of one and waits for its answer.
const WINDOW: u32 = 1 << 24;

/// Stops when dropped.
pub(crate) struct Blackhole {
    pub(crate) address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Blackhole {
    pub(crate) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(swallow(stream));
            }
        });
        Ok(Self { address, accepting })
    }
}

impl Drop for Blackhole {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn swallow(mut stream: TcpStream) -> io::Result<()> {
    let settings = settings(&[(INITIAL_WINDOW_SIZE, WINDOW)]);
    // More of the connection's window than a run can send.
    let window = frame(WINDOW_UPDATE, 0, 0, &(u32::MAX >> 2).to_be_bytes());
    stream.write_all(&[settings, window].concat()).await?;
    copy(&mut stream, &mut sink()).await.map(drop)
}
