//! A gRPC client as SDKs have one: a connection that is kept, and replaced when the receiver ends it.

use std::net::SocketAddr;
use std::{fmt, io};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::payload::Body;

const METHOD: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// gRPC repeats a call at once, and once, if the server says that it has not begun it.
const ATTEMPTS: u32 = 2;
const OK: &str = "0";

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Accepted,
    /// A status other than success: gRPC's or HTTP's.
    Refused(String),
    /// No response, or none in time.
    Failed(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted => write!(f, "accepted"),
            Self::Refused(status) => write!(f, "refused: {status}"),
            Self::Failed(reason) => write!(f, "failed: {reason}"),
        }
    }
}

/// One channel.
pub(crate) struct Grpc {
    address: SocketAddr,
    connection: tokio::sync::Mutex<Option<Connection>>,
}

struct Connection {
    requests: SendRequest<Bytes>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Grpc {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, connection: tokio::sync::Mutex::new(None) }
    }

    /// Sends one request and waits for its status.
    pub(crate) async fn export(&self, body: &Body) -> Outcome {
        let mut error = None;
        for _ in 0..ATTEMPTS {
            match self.attempt(body).await {
                Ok(outcome) => return outcome,
                Err(failure) if failure.may_be_repeated => error = Some(failure),
                Err(failure) => return Outcome::Failed(failure.message),
            }
        }
        Outcome::Failed(error.map_or_else(String::new, |failure| failure.message))
    }

    async fn attempt(&self, body: &Body) -> Result<Outcome, Failure> {
        let mut requests = self.requests().await?.ready().await?;
        let head = Request::post(format!("http://{}{METHOD}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-encoding", body.encoding)
            .body(())
            .expect("the head is valid");
        let (response, mut stream) = requests.send_request(head, false)?;
        stream.send_data(body.grpc_message(), true)?;
        Ok(outcome(response.await?).await?)
    }

    async fn requests(&self) -> Result<SendRequest<Bytes>, Failure> {
        let mut connection = self.connection.lock().await;
        if let Some(open) = connection.as_ref().filter(|open| !open.driver.is_finished()) {
            return Ok(open.requests.clone());
        }
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (requests, driver) = h2::client::handshake(stream).await?;
        let driver = tokio::spawn(async move {
            // Every request on the connection learns of its end.
            let _ = driver.await;
        });
        Ok(connection.insert(Connection { requests, driver }).requests.clone())
    }
}

async fn outcome(response: Response<RecvStream>) -> Result<Outcome, h2::Error> {
    if response.status() != 200 {
        return Ok(Outcome::Refused(response.status().to_string()));
    }
    let (head, mut body) = response.into_parts();
    while let Some(chunk) = body.data().await {
        let length = chunk?.len();
        body.flow_control().release_capacity(length)?;
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    let field = |name| field(&trailers, name).or_else(|| field(&head.headers, name));
    Ok(match field("grpc-status") {
        Some(code) if code == OK => Outcome::Accepted,
        Some(code) => {
            let message = field("grpc-message").unwrap_or_default();
            Outcome::Refused(format!("grpc-status {code}: {message}"))
        }
        None => Outcome::Failed("no grpc-status".to_owned()),
    })
}

fn field(fields: &HeaderMap, name: &str) -> Option<String> {
    Some(fields.get(name)?.to_str().ok()?.to_owned())
}

/// Why there was no response.
#[derive(Debug)]
struct Failure {
    message: String,
    may_be_repeated: bool,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self { message: error.to_string(), may_be_repeated: false }
    }
}

impl From<h2::Error> for Failure {
    fn from(error: h2::Error) -> Self {
        let reason = error.reason();
        let was_not_begun = reason == Some(Reason::REFUSED_STREAM)
            || error.is_go_away() && reason == Some(Reason::NO_ERROR);
        Self { message: error.to_string(), may_be_repeated: was_not_begun }
    }
}
