//! A client for a receiver over every transport of OTLP, with control of every byte.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, Request, StatusCode, Uri};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic_types::{ErrorDetails, Status, StatusExt};

use crate::support::receiver::ReceiverProcess;
use crate::support::samples::frame_message;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// The path of the only gRPC method.
pub(crate) const EXPORT_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// The path for HTTP.
pub(crate) const TRACES_PATH: &str = "/v1/traces";
pub(crate) const PROTOBUF_CONTENT_TYPE: &str = "application/x-protobuf";
pub(crate) const JSON_CONTENT_TYPE: &str = "application/json";
pub(crate) const GRPC_CONTENT_TYPE: &str = "application/grpc";

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Grpc,
    Http1,
    Http2,
}

/// Every protocol.
pub(crate) const ALL_PROTOCOLS: &[Protocol] = &[Protocol::Grpc, Protocol::Http1, Protocol::Http2];
/// OTLP/HTTP over both versions of HTTP.
pub(crate) const HTTP_PROTOCOLS: &[Protocol] = &[Protocol::Http1, Protocol::Http2];

/// An address of a receiver and the protocol to use there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceiverEndpoint {
    pub(crate) address: SocketAddr,
    pub(crate) protocol: Protocol,
}

/// A body that can be sent.
pub(crate) trait SendBody:
    Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static
{
}

impl<B> SendBody for B where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static
{
}

/// A connection for several requests.
pub(crate) struct Connection<B> {
    endpoint: ReceiverEndpoint,
    sender: Sender<B>,
    task: JoinHandle<hyper::Result<()>>,
}

enum Sender<B> {
    Http1(http1::SendRequest<B>),
    Http2(http2::SendRequest<B>),
}

/// A body that begins and never ends.
pub(crate) struct UnfinishedBody(Option<Bytes>);

/// A body in pieces, each sent in a frame of its own.
pub(crate) struct BodyInPieces(VecDeque<Bytes>);

/// A response with its headers, body and trailers.
#[derive(Clone, Debug)]
pub(crate) struct OtlpResponse {
    pub(crate) endpoint: ReceiverEndpoint,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

/// The meaning of a response, from the codes of either transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseKind {
    /// OK, 200.
    Accepted,
    /// `INVALID_ARGUMENT`, 400.
    Malformed,
    /// `RESOURCE_EXHAUSTED`, 413.
    TooLarge,
    /// `UNAVAILABLE`, 503.
    Unavailable,
    /// `UNIMPLEMENTED`; 404, 405 and 415.
    Unsupported,
}

/// Both ports of a receiver, each with all of `protocols`.
pub(crate) fn receiver_endpoints(
    receiver: &ReceiverProcess,
    protocols: &[Protocol],
) -> Vec<ReceiverEndpoint> {
    let ports = [receiver.grpc(), receiver.http()];
    let on =
        |address| protocols.iter().map(move |&protocol| ReceiverEndpoint { address, protocol });
    ports.into_iter().flat_map(on).collect()
}

/// A POST of `body`.
pub(crate) fn post(path: &str, content_type: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::post(path).header(CONTENT_TYPE, content_type);
    request.body(Full::new(body.into())).expect("path and type are valid")
}

/// The same request with one more header.
pub(crate) fn with_header<B>(
    mut request: Request<B>,
    name: &'static str,
    value: &str,
) -> Request<B> {
    let value = value.parse().expect("a header value");
    request.headers_mut().append(HeaderName::from_static(name), value);
    request
}

impl ReceiverEndpoint {
    /// Sends a serialized request as an exporter does.
    pub(crate) async fn export(self, message: impl Into<Bytes>) -> OtlpResponse {
        self.send(self.request(message)).await
    }

    /// Sends a compressed request as an exporter does.
    pub(crate) async fn export_compressed(self, encoding: &str, message: &[u8]) -> OtlpResponse {
        let request = match self.protocol {
            Protocol::Grpc => with_header(
                post(EXPORT_PATH, GRPC_CONTENT_TYPE, frame_message(1, message)),
                "grpc-encoding",
                encoding,
            ),
            Protocol::Http1 | Protocol::Http2 => {
                with_header(self.request(message.to_vec()), "content-encoding", encoding)
            }
        };
        self.send(request).await
    }

    /// A serialized request as an exporter sends it.
    pub(crate) fn request(self, message: impl Into<Bytes>) -> Request<Full<Bytes>> {
        match self.protocol {
            Protocol::Grpc => with_header(
                post(EXPORT_PATH, GRPC_CONTENT_TYPE, frame_message(0, &message.into())),
                "te",
                "trailers",
            ),
            Protocol::Http1 | Protocol::Http2 => post(TRACES_PATH, PROTOBUF_CONTENT_TYPE, message),
        }
    }

    /// Sends a serialized request over new connections until it is answered, as exporters do: where others
    /// wait, a connection that has sent nothing for a moment gives way, and clients may be slow.
    pub(crate) async fn export_until_answered(self, message: Bytes) -> OtlpResponse {
        for _ in 0..5 {
            let answer = self.connect().await.try_send(self.request(message.clone())).await;
            match answer {
                Ok(answer) => return answer,
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        self.export(message).await
    }

    /// Sends `request` over a connection of its own.
    pub(crate) async fn send<B: SendBody>(self, request: Request<B>) -> OtlpResponse {
        self.connect().await.send(request).await
    }

    /// Opens a connection.
    pub(crate) async fn connect<B: SendBody>(self) -> Connection<B> {
        let stream = TcpStream::connect(self.address).await.expect("the receiver listens");
        stream.set_nodelay(true).expect("an open socket takes options");
        self.connect_over(stream).await
    }

    /// Opens a connection over `stream`.
    pub(crate) async fn connect_over<B, S>(self, stream: S) -> Connection<B>
    where
        B: SendBody,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let io = TokioIo::new(stream);
        if self.protocol == Protocol::Http1 {
            let (sender, connection) = http1::handshake(io).await.expect("a connection opens");
            let running = tokio::spawn(connection);
            return Connection { endpoint: self, sender: Sender::Http1(sender), task: running };
        }
        let opened = http2::handshake(TokioExecutor::new(), io).await;
        let (sender, connection) = opened.expect("a connection opens");
        let running = tokio::spawn(connection);
        Connection { endpoint: self, sender: Sender::Http2(sender), task: running }
    }

    /// Adds the host to a request, in the form that the version of HTTP requires.
    fn with_host<B>(self, mut request: Request<B>) -> Request<B> {
        let host = self.address.to_string();
        if self.protocol == Protocol::Http1 {
            request.headers_mut().insert(HOST, host.parse().expect("an address is a host"));
            return request;
        }
        let path = request.uri().path_and_query().expect("a request has a path").clone();
        let uri = Uri::builder().scheme("http").authority(host).path_and_query(path).build();
        *request.uri_mut() = uri.expect("address and path are valid");
        request
    }
}

impl<B: SendBody> Connection<B> {
    /// Sends one request.
    pub(crate) async fn send(&mut self, request: Request<B>) -> OtlpResponse {
        let endpoint = self.endpoint;
        let answer = self.try_send(request).await;
        answer.unwrap_or_else(|error| panic!("{endpoint:?} got no response: {error:?}"))
    }

    /// Sends one request on a connection that may be closed.
    async fn try_send(&mut self, request: Request<B>) -> Result<OtlpResponse, hyper::Error> {
        let endpoint = self.endpoint;
        let request = endpoint.with_host(request);
        let exchange = async {
            let response = match &mut self.sender {
                Sender::Http1(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await?
                }
                Sender::Http2(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await?
                }
            };
            let (head, body) = response.into_parts();
            let body = body.collect().await?;
            let trailers = body.trailers().cloned().unwrap_or_default();
            let (status, headers) = (head.status, head.headers);
            Ok::<_, hyper::Error>(OtlpResponse {
                endpoint,
                status,
                headers,
                body: body.to_bytes(),
                trailers,
            })
        };
        timeout(REQUEST_TIMEOUT, exchange).await.expect("an answer comes in time")
    }

    /// Waits until the receiver has closed the connection gracefully.
    pub(crate) async fn closed(self) {
        let closed = timeout(REQUEST_TIMEOUT, self.task).await.expect("it is closed in time");
        closed.expect("the client does not panic").expect("it is closed gracefully");
    }
}

impl BodyInPieces {
    /// Cuts `body` into pieces of `size` bytes.
    pub(crate) fn new(body: &[u8], size: usize) -> Self {
        Self(body.chunks(size).map(Bytes::copy_from_slice).collect())
    }
}

impl Body for BodyInPieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}

impl UnfinishedBody {
    pub(crate) fn new(begin: impl Into<Bytes>) -> Self {
        Self(Some(begin.into()))
    }
}

impl Body for UnfinishedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.take().map_or(Poll::Pending, |begin| Poll::Ready(Some(Ok(Frame::data(begin)))))
    }
}

impl OtlpResponse {
    /// The kind that the status code means.
    pub(crate) fn kind(&self) -> ResponseKind {
        let code = match self.endpoint.protocol {
            Protocol::Grpc => i32::from(self.grpc_status().code()),
            Protocol::Http1 | Protocol::Http2 => i32::from(self.status.as_u16()),
        };
        match code {
            0 | 200 => ResponseKind::Accepted,
            3 | 400 => ResponseKind::Malformed,
            8 | 413 => ResponseKind::TooLarge,
            14 | 503 => ResponseKind::Unavailable,
            12 | 404 | 405 | 415 => ResponseKind::Unsupported,
            _ => panic!("a response of an unknown kind: {self:#?}"),
        }
    }

    /// The gRPC status, which must be where gRPC requires it.
    pub(crate) fn grpc_status(&self) -> tonic::Status {
        assert_eq!(self.status, 200, "gRPC answers are 200: {self:#?}");
        assert_eq!(self.content_type(), GRPC_CONTENT_TYPE, "{self:#?}");
        // In trailers, or in the headers of a response without body and trailers.
        let (place, alone) = if self.trailers.is_empty() {
            (&self.headers, self.body.is_empty())
        } else {
            (&self.trailers, !self.headers.contains_key("grpc-status"))
        };
        assert!(alone, "the status is in the wrong place: {self:#?}");
        tonic::Status::from_header_map(place).unwrap_or_else(|| panic!("no status: {self:#?}"))
    }

    /// The message of a success, which must be encoded as the transport requires.
    pub(crate) fn success_message(&self) -> ExportTraceServiceResponse {
        assert_eq!(self.kind(), ResponseKind::Accepted, "{self:#?}");
        let message = match self.endpoint.protocol {
            Protocol::Grpc => {
                let length = u32::try_from(self.body.len() - 5).expect("an answer is small");
                let prefix = [&[0][..], &length.to_be_bytes()].concat();
                assert_eq!(self.body[..5], prefix, "one message, not compressed");
                self.body.slice(5..)
            }
            Protocol::Http1 | Protocol::Http2 => {
                assert_eq!(self.content_type(), PROTOBUF_CONTENT_TYPE, "{self:#?}");
                self.body.clone()
            }
        };
        ExportTraceServiceResponse::decode(message).expect("the answer decodes")
    }

    /// The partial success, which must be present.
    pub(crate) fn partial_success(&self) -> ExportTracePartialSuccess {
        self.success_message().partial_success.unwrap_or_else(|| panic!("full success: {self:#?}"))
    }

    /// The `Status` of a refusal, which must be encoded as the transport requires.
    pub(crate) fn error_status(&self) -> Status {
        assert_ne!(self.kind(), ResponseKind::Accepted, "{self:#?}");
        let status = match self.endpoint.protocol {
            Protocol::Grpc if self.grpc_status().details().is_empty() => {
                let message = self.grpc_status().message().to_owned();
                Status { code: self.grpc_status().code().into(), message, details: vec![] }
            }
            Protocol::Grpc => {
                Status::decode(self.grpc_status().details()).expect("the details are a Status")
            }
            Protocol::Http1 | Protocol::Http2 => {
                assert_eq!(self.content_type(), PROTOBUF_CONTENT_TYPE, "{self:#?}");
                Status::decode(self.body.clone()).expect("the body is a Status")
            }
        };
        assert!(!status.message.is_empty(), "a refusal has a message: {self:#?}");
        status
    }

    /// The details of a refusal.
    pub(crate) fn details(&self) -> ErrorDetails {
        let Status { code, message, .. } = self.error_status();
        let details = self.error_status().encode_to_vec().into();
        tonic::Status::with_details(code.into(), message, details).get_error_details()
    }

    /// The content type, as it is written.
    pub(crate) fn content_type(&self) -> &str {
        self.header("content-type")
    }

    /// A header, as it is written; empty when there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("printable"))
    }
}
