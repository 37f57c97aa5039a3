//! OTLP on the wire, as a server reads and writes it.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tonic_types::{ErrorDetails, StatusExt, pb};
use tracebuffer::adapters::messaging::destination::config::Protocol;

/// A response, part by part.
#[derive(Clone, Debug, Default)]
pub(crate) struct RawResponse {
    /// HTTP status; 0 means 200.
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    pub(crate) trailers: Vec<(&'static str, String)>,
    /// Whether the response breaks off where it should end.
    pub(crate) broken: bool,
}

/// One request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedRequest {
    pub(crate) spans: Vec<Span>,
    /// The host and port that the request is for.
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    /// Bytes of the body on the wire.
    pub(crate) wire_bytes: usize,
    /// Which connection it came over, counted from 0.
    pub(crate) connection: usize,
}

/// The body of a response.
pub(crate) struct ResponseBody {
    frames: VecDeque<Frame<Bytes>>,
    ending: Ending,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Clean,
    /// Breaks off once the previous frames are flushed.
    Breaking,
    Broken,
}

/// Reads a request of at most `max_bytes` to its end and decodes it.
pub(super) async fn read_request(
    request: Request<Incoming>,
    connection: usize,
    max_bytes: usize,
) -> io::Result<ReceivedRequest> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, max_bytes);
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let is_grpc = is_grpc(&head.headers);
    let (message, encoding) = if is_grpc {
        let compressed = body[0] == 1;
        assert_eq!(body[1..5], u32::try_from(body.len() - 5).unwrap().to_be_bytes());
        (body.slice(5..), head.headers.get("grpc-encoding").filter(|_| compressed))
    } else {
        (body.clone(), head.headers.get("content-encoding"))
    };
    let message = decompressed(&message, encoding)?;
    let message =
        ExportTraceServiceRequest::decode(message.as_slice()).map_err(io::Error::other)?;
    let scopes = message.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    Ok(ReceivedRequest {
        spans: scopes.flat_map(|scope| scope.spans).collect(),
        authority: authority(&head),
        path: head.uri.path().to_owned(),
        version: head.version,
        headers: head.headers,
        wire_bytes: body.len(),
        connection,
    })
}

fn authority(head: &Parts) -> String {
    let of_http1 = || head.headers["host"].to_str().unwrap().to_owned();
    head.uri.authority().map_or_else(of_http1, ToString::to_string)
}

pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get("content-type").is_some_and(|value| value == "application/grpc")
}

fn decompressed(message: &[u8], encoding: Option<&HeaderValue>) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    match encoding.map(HeaderValue::as_bytes) {
        None => return Ok(message.to_vec()),
        Some(b"gzip") => flate2::read::GzDecoder::new(message).read_to_end(&mut unpacked)?,
        Some(b"zstd") => zstd::Decoder::new(message)?.read_to_end(&mut unpacked)?,
        Some(other) => panic!("unknown encoding {other:?}"),
    };
    Ok(unpacked)
}

/// Compresses as [`decompressed`] decompresses.
pub(crate) fn compressed(content: &[u8], encoding: &str) -> Vec<u8> {
    match encoding {
        "gzip" => {
            let level = flate2::Compression::fast();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(content).unwrap();
            encoder.finish()
        }
        "zstd" => zstd::encode_all(content, 1),
        other => panic!("unknown encoding {other:?}"),
    }
    .unwrap()
}

/// A success; `partial` holds rejected spans and a message.
pub(super) fn success(grpc: bool, partial: Option<(i64, &str)>) -> RawResponse {
    let partial_success = partial.map(|(rejected_spans, message)| ExportTracePartialSuccess {
        rejected_spans,
        error_message: message.to_owned(),
    });
    let message = ExportTraceServiceResponse { partial_success }.encode_to_vec();
    if grpc { RawResponse::grpc(&message, 0) } else { RawResponse::protobuf(200, message) }
}

pub(super) fn grpc_error(code: i32, message: &str, retry_after: Option<Duration>) -> RawResponse {
    let details = match retry_after {
        Some(delay) => ErrorDetails::with_retry_info(Some(delay)),
        None => ErrorDetails::new(),
    };
    let status = tonic::Status::with_error_details(code.into(), message, details);
    let mut headers = HeaderMap::new();
    status.add_header(&mut headers).expect("tonic can encode its own status");
    let mut reply = RawResponse::default();
    reply.headers.push(("content-type", "application/grpc".to_owned()));
    for name in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
        if let Some(value) = headers.get(name) {
            reply.headers.push((name, value.to_str().unwrap().to_owned()));
        }
    }
    reply
}

pub(super) fn http_error(status: u16, message: &str, retry_after: Option<String>) -> RawResponse {
    let body = pb::Status { message: message.to_owned(), ..pb::Status::default() };
    let mut reply = RawResponse::protobuf(status, body.encode_to_vec());
    reply.headers.extend(retry_after.map(|value| ("retry-after", value)));
    reply
}

impl RawResponse {
    /// A gRPC response with a message and, in trailers, a status.
    pub(crate) fn grpc(message: &[u8], status: i32) -> Self {
        let mut body = BytesMut::new();
        body.put_u8(0);
        body.put_u32(u32::try_from(message.len()).unwrap());
        body.put_slice(message);
        Self {
            headers: vec![("content-type", "application/grpc".to_owned())],
            body: body.freeze(),
            trailers: vec![("grpc-status", status.to_string())],
            ..Self::default()
        }
    }

    /// A success with rejected spans, compressed by `encoding`.
    pub(crate) fn partial_success(protocol: Protocol, rejected: i64, encoding: &str) -> Self {
        let partial_success = Some(ExportTracePartialSuccess {
            rejected_spans: rejected,
            error_message: "scripted".to_owned(),
        });
        let message = ExportTraceServiceResponse { partial_success }.encode_to_vec();
        let message = compressed(&message, encoding);
        let (mut answer, header) = match protocol {
            Protocol::Grpc => (Self::grpc(&message, 0), "grpc-encoding"),
            Protocol::Http => (Self::protobuf(200, message), "content-encoding"),
        };
        if protocol == Protocol::Grpc {
            answer.body = [&[1], &answer.body[1..]].concat().into();
        }
        answer.headers.push((header, encoding.to_owned()));
        answer
    }

    /// An HTTP response with a protobuf message.
    pub(crate) fn protobuf(status: u16, message: Vec<u8>) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/x-protobuf".to_owned())],
            body: message.into(),
            ..Self::default()
        }
    }
}

impl From<RawResponse> for Response<ResponseBody> {
    fn from(reply: RawResponse) -> Self {
        let mut frames = VecDeque::new();
        if !reply.body.is_empty() {
            frames.push_back(Frame::data(reply.body));
        }
        if !reply.trailers.is_empty() {
            frames.push_back(Frame::trailers(header_map(reply.trailers)));
        }
        let ending = if reply.broken { Ending::Breaking } else { Ending::Clean };
        let mut response = Self::new(ResponseBody { frames, ending });
        if reply.status != 0 {
            *response.status_mut() = StatusCode::from_u16(reply.status).unwrap();
        }
        *response.headers_mut() = header_map(reply.headers);
        response
    }
}

fn header_map(pairs: Vec<(&'static str, String)>) -> HeaderMap {
    let pairs = pairs.into_iter();
    pairs
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::try_from(value).unwrap()))
        .collect()
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match (self.frames.pop_front(), self.ending) {
            (Some(frame), _) => Poll::Ready(Some(Ok(frame))),
            (None, Ending::Clean) => Poll::Ready(None),
            (None, Ending::Breaking) => {
                self.ending = Ending::Broken;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            (None, Ending::Broken) => Poll::Ready(Some(Err(io::Error::other("scripted")))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.ending == Ending::Clean
    }
}
