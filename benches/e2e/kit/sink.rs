//! The destination: counts what arrives and responds at once, or never responds, or never reads.

use std::{
    net::{Ipv4Addr, TcpListener as StdListener},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::{
    RecvStream,
    server::{Builder, SendResponse},
};
use http::{HeaderMap, HeaderValue, Request, Response};
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
};

use super::{BenchResult, process, scanner::Scanner};

const WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// `ExportTraceServiceResponse {}` on the wire: no compression, length 0.
const EMPTY_ANSWER: Bytes = Bytes::from_static(&[0; 5]);

/// How the sink treats its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SinkBehavior {
    /// Reads, counts and responds OK.
    Respond,
    /// Speaks HTTP/2 and reads, but never responds.
    NeverRespond,
    /// Accepts connections and never reads a byte.
    NeverRead,
}

/// The spans that arrived in whole requests; the ids are the generator's sequence numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) spans: u64,
    /// Sum of all ids, wrapping: with equal counts and sums no span is lost or doubled.
    pub(crate) sum: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// The first of the unbroken sequence that ends with the last id.
    pub(crate) unbroken_from: u64,
    /// How many ids were not greater than the one before.
    pub(crate) out_of_order: u64,
    /// Requests that were not one whole readable message.
    pub(crate) malformed: u64,
}

/// A running sink; it stops when dropped.
#[derive(Debug)]
pub(crate) struct Sink {
    port: u16,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    tally: Mutex<Tally>,
    arrived: Arc<AtomicU64>,
}

impl Tally {
    fn count_span(&mut self, id: u64) {
        if self.spans == 0 {
            self.first = id;
        } else if id <= self.last {
            self.out_of_order += 1;
        }
        if self.spans == 0 || id != self.last + 1 {
            self.unbroken_from = id;
        }
        self.last = id;
        self.spans += 1;
        self.sum = self.sum.wrapping_add(id);
    }

    fn add(&mut self, later: &Self) {
        if later.spans > 0 {
            self.out_of_order +=
                later.out_of_order + u64::from(self.spans > 0 && later.first <= self.last);
            if self.spans == 0 {
                self.first = later.first;
            }
            let continues = later.unbroken_from == later.first && later.first == self.last + 1;
            if self.spans == 0 || !continues {
                self.unbroken_from = later.unbroken_from;
            }
            self.last = later.last;
        }
        self.requests += later.requests;
        self.spans += later.spans;
        self.sum = self.sum.wrapping_add(later.sum);
        self.malformed += later.malformed;
    }
}

impl Sink {
    /// Listens on `port` of 127.0.0.1, in a thread of its own on `core`.
    pub(crate) fn start(port: u16, behavior: SinkBehavior, core: usize) -> BenchResult<Self> {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let state = Arc::clone(&shared);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let pinned = process::pin_this_thread(core);
            runtime.block_on(async move {
                let listener = pinned.and_then(|()| Ok(TcpListener::from_std(listener)?));
                let Ok(listener) = ready_with(listener, &ready) else { return };
                tokio::select! {
                    () = serve(listener, behavior, state) => {}
                    _ = stopped => {}
                }
            });
        });
        is_ready.recv()??;
        Ok(Self { port, shared, stop: Some(stop), thread: Some(thread) })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn tally(&self) -> Tally {
        *self.shared.tally.lock()
    }

    /// Counts the spans that arrived; for the generator's backlog.
    pub(crate) fn arrived(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.shared.arrived)
    }

    /// Resets the counts.
    pub(crate) fn reset(&self) {
        *self.shared.tally.lock() = Tally::default();
        self.shared.arrived.store(0, Ordering::Relaxed);
    }

    /// Waits until `spans` spans arrived, or none came for `patience`.
    pub(crate) fn wait_for(&self, spans: u64, patience: Duration) -> Tally {
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            let tally = self.tally();
            if tally.spans >= spans || since.elapsed() > patience {
                return tally;
            }
            if tally.spans != seen {
                (seen, since) = (tally.spans, Instant::now());
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Dropping the sender stops the thread too; a thread that panicked has already reported it.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ready_with<T>(
    started: BenchResult<T>,
    ready: &std::sync::mpsc::Sender<BenchResult<()>>,
) -> Result<T, ()> {
    let (outcome, value) = match started {
        Ok(value) => (Ok(()), Ok(value)),
        Err(error) => (Err(error), Err(())),
    };
    ready.send(outcome).map_err(|_| ())?;
    value
}

async fn serve(listener: TcpListener, behavior: SinkBehavior, shared: Arc<Shared>) {
    let mut unread = Vec::new();
    loop {
        match listener.accept().await {
            Ok((tcp, _)) if behavior == SinkBehavior::NeverRead => unread.push(tcp),
            Ok((tcp, _)) => drop(tokio::spawn(connection(tcp, behavior, Arc::clone(&shared)))),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// An error is a connection that the subject closed; spans lost with it are missing in the tally.
async fn connection(
    tcp: TcpStream,
    behavior: SinkBehavior,
    shared: Arc<Shared>,
) -> BenchResult<()> {
    tcp.set_nodelay(true)?;
    let mut builder = Builder::new();
    builder.initial_window_size(WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
    let mut connection = builder.handshake::<_, Bytes>(tcp).await?;
    // The tasks that never respond wait for this until the connection ends.
    let (_open, closed) = watch::channel(());
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        let (shared, closed) = (Arc::clone(&shared), closed.clone());
        tokio::spawn(exchange(request, respond, behavior, shared, closed));
    }
    Ok(())
}

async fn exchange(
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    behavior: SinkBehavior,
    shared: Arc<Shared>,
    mut closed: watch::Receiver<()>,
) -> BenchResult<()> {
    let tally = read(request.into_body()).await?;
    if behavior == SinkBehavior::NeverRespond {
        // h2 resets the stream if `respond` is dropped; changed() fails when the connection ends.
        return Ok(closed.changed().await?);
    }
    answer(respond)?;
    shared.tally.lock().add(&tally);
    shared.arrived.fetch_add(tally.spans, Ordering::Relaxed);
    Ok(())
}

async fn read(mut body: RecvStream) -> BenchResult<Tally> {
    let mut tally = Tally { requests: 1, ..Tally::default() };
    let mut scanner = Scanner::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        if scanner.feed(&piece, |id| tally.count_span(id)).is_err() {
            tally.malformed = 1;
        }
        body.flow_control().release_capacity(piece.len())?;
    }
    tally.malformed |= u64::from(!scanner.finished());
    Ok(tally)
}

fn answer(mut respond: SendResponse<Bytes>) -> BenchResult<()> {
    let mut head = Response::new(());
    head.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let mut stream = respond.send_response(head, false)?;
    stream.send_data(EMPTY_ANSWER, false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(trailers)?;
    Ok(())
}
