//! A minimal gRPC client over one HTTP/2 connection: it sends encoded messages without copying
//! them.

use std::net::Ipv4Addr;

use bytes::Bytes;
use h2::{RecvStream, client::SendRequest};
use http::{HeaderMap, Request};
use tokio::net::TcpStream;

use super::{BenchResult, scanner::Malformed};

const EXPORT_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// One connection; clones share it.
#[derive(Clone)]
pub(crate) struct Client {
    connection: SendRequest<Bytes>,
    head: Request<()>,
}

/// The response of the receiver.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExportResponse {
    /// The gRPC status code; 0 is OK.
    pub(crate) code: u32,
    /// `partial_success.rejected_spans`.
    pub(crate) rejected: u64,
}

impl Client {
    pub(crate) async fn connect(port: u16, compressed: bool) -> BenchResult<Self> {
        let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        tcp.set_nodelay(true)?;
        let (connection, driver) = h2::client::handshake(tcp).await?;
        // It ends when the last clone of the connection is dropped, or with an error that requests
        // also get.
        tokio::spawn(driver);
        Ok(Self { connection, head: head(port, compressed)? })
    }

    /// Sends one message and waits for its response.
    pub(crate) async fn export(&self, message: Bytes) -> BenchResult<ExportResponse> {
        let mut connection = self.connection.clone().ready().await?;
        let (response, mut stream) = connection.send_request(self.head.clone(), false)?;
        stream.send_data(message, true)?;
        let (head, mut body) = response.await?.into_parts();
        let message = read(&mut body).await?;
        let trailers = body.trailers().await?;
        let code = trailers.as_ref().and_then(status).or_else(|| status(&head.headers));
        let code = code.ok_or_else(|| format!("no gRPC status, HTTP status {}", head.status))?;
        let rejected = rejected_spans(&message).map_err(|Malformed| "unreadable answer")?;
        Ok(ExportResponse { code, rejected })
    }
}

fn head(port: u16, compressed: bool) -> BenchResult<Request<()>> {
    let request = Request::post(format!("http://127.0.0.1:{port}{EXPORT_PATH}"))
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "tracebuffer-bench");
    let encoding = if compressed { "gzip" } else { "identity" };
    Ok(request.header("grpc-encoding", encoding).body(())?)
}

async fn read(body: &mut RecvStream) -> BenchResult<Vec<u8>> {
    let mut message = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        message.extend_from_slice(&piece);
        body.flow_control().release_capacity(piece.len())?;
    }
    Ok(message)
}

fn status(headers: &HeaderMap) -> Option<u32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// Reads `partial_success.rejected_spans` out of a framed `ExportTraceServiceResponse`.
fn rejected_spans(message: &[u8]) -> Result<u64, Malformed> {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
    use prost::Message;

    let Some(body) = message.get(5..).filter(|body| !body.is_empty()) else { return Ok(0) };
    let response = ExportTraceServiceResponse::decode(body).map_err(|_| Malformed)?;
    let rejected = response.partial_success.map_or(0, |partial| partial.rejected_spans);
    u64::try_from(rejected).map_err(|_| Malformed)
}
