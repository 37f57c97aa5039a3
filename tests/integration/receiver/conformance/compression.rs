//! Compression: none and gzip as OTLP requires, and zstd.
//!
//! gRPC, HTTP/1.1 and HTTP/2, each on both ports.

use bytes::Bytes;

use super::recording;
use crate::support::client::{
    ALL_PROTOCOLS, Protocol, ResponseKind, receiver_endpoints, with_header,
};
use crate::support::destinations::RecordingDestination;
use crate::support::receiver::ReceiverProcess;
use crate::support::samples::{gzip, spans, zstd};

/// A zstd frame that holds nothing to decompress (RFC 8878, Skippable Frames).
const SKIPPABLE_FRAME: &[u8] = &[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];

/// OTLP, Protocol Details: "All server components MUST support the following transport compression
/// options: No compression, denoted by `none`." RFC 9110, 12.5.3: "The "identity" token is used as a
/// synonym for "no encoding"".
#[tokio::test]
async fn a_request_without_compression_is_accepted_under_each_of_its_names() {
    let mut recorder = RecordingDestination::start().await;
    let receiver = recording(&recorder).await;

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        for name in ["", "none", "identity", "Identity"] {
            let header = encoding_header(endpoint.protocol);
            let answer =
                endpoint.send(with_header(endpoint.request(spans(&["a"])), header, name)).await;

            assert_eq!(answer.kind(), ResponseKind::Accepted, "{name:?} over {endpoint:?}");
            assert_eq!(recorder.next().await, spans(&["a"]));
        }
    }
}

/// OTLP, Protocol Details: "All server components MUST support the following transport compression
/// options: […] Gzip compression, denoted by `gzip`." RFC 9110, 8.4.1: "All content codings are
/// case-insensitive"; "A recipient SHOULD consider "x-gzip" to be equivalent to "gzip"."
#[tokio::test]
async fn a_gzip_request_is_accepted_whatever_the_case_of_its_name() {
    assert_forwarded(&["gzip", "GZIP", "x-gzip"], &gzip(&spans(&["a", "b"]))).await;
}

/// RFC 1952, 2.2: "A gzip file consists of a series of "members"": the message consists of all of
/// them.
#[tokio::test]
async fn a_sequence_of_gzip_members_is_read_to_its_end() {
    let message = spans(&["a", "b"]);
    let (first, second) = message.split_at(7);
    let members = [gzip(first), gzip(b""), gzip(second)].concat();

    assert_forwarded(&["gzip"], &members).await;
}

/// Beyond OTLP: zstd (RFC 8878).
#[tokio::test]
async fn a_zstd_request_is_accepted() {
    assert_forwarded(&["zstd", "ZSTD"], &zstd(&spans(&["a", "b"]))).await;
}

/// RFC 8878, 3: "Zstandard compressed data is made up of one or more frames"; 3.1.2: skippable
/// frames hold nothing to decompress.
#[tokio::test]
async fn a_sequence_of_zstd_frames_is_read_to_its_end() {
    let message = spans(&["a", "b"]);
    let (first, second) = message.split_at(7);
    let frames =
        [zstd(first), Bytes::from_static(SKIPPABLE_FRAME), zstd(b""), zstd(second)].concat();

    assert_forwarded(&["zstd"], &frames).await;
}

/// OTLP, Bad Data: "data that cannot be decoded": a truncated compressed message.
#[tokio::test]
async fn a_truncated_compressed_message_is_refused() {
    let (gzip, zstd) = (gzip(&spans(&["a"])), zstd(&spans(&["a"])));
    let cases = [
        ("gzip", &gzip[..gzip.len() - 1]),
        ("gzip", &gzip[..5]),
        ("gzip", &[]),
        ("zstd", &zstd[..zstd.len() - 1]),
        ("zstd", &zstd[..3]),
        ("zstd", &[]),
    ];

    assert_undecodable(&cases, "ended before it was complete").await;
}

/// OTLP, Bad Data: "data that cannot be decoded": the bytes after the last member are not another
/// one.
#[tokio::test]
async fn garbage_after_a_compressed_message_is_refused() {
    let gzip = [gzip(&spans(&["a"])), Bytes::from_static(b"garbage, not gzip")].concat();
    let zstd = [zstd(&spans(&["a"])), Bytes::from_static(b"garbage")].concat();

    assert_undecodable(&[("gzip", &gzip), ("zstd", &zstd)], "cannot be decompressed").await;
}

/// OTLP, Bad Data: "data that cannot be decoded": the bytes do not match the header, or were
/// changed in transit (RFC 1952: "a Cyclic Redundancy Check value of the uncompressed data").
#[tokio::test]
async fn data_that_does_not_match_its_encoding_is_refused() {
    let plain = spans(&["a"]);
    let (gzip, zstd) = (gzip(&plain), zstd(&plain));
    let mut changed = gzip.to_vec();
    let checksum = changed.len() - 8;
    changed[checksum] ^= 1;
    let cases = [("gzip", &plain[..]), ("gzip", &zstd), ("zstd", &plain), ("zstd", &gzip)];

    assert_undecodable(&cases, "cannot be decompressed").await;
    assert_undecodable(&[("gzip", &changed)], "cannot be decompressed").await;
}

/// gRPC, Compression: "A message compressed by a client in a way not supported by its server MUST
/// fail with status `UNIMPLEMENTED`, its associated description indicating the unsupported
/// condition as well as the supported ones. The returned `grpc-accept-encoding` header MUST NOT
/// contain the compression method (encoding) used." RFC 9110, 15.5.16: "If the problem was caused
/// by an unsupported content coding, the Accept-Encoding response header field ought to be used".
#[tokio::test]
async fn an_unknown_encoding_is_refused_with_the_known_ones() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        for name in ["deflate", "br", "gzip, gzip", "snappy"] {
            let answer = endpoint.export_compressed(name, &spans(&["a"])).await;

            let (code, header) = match endpoint.protocol {
                Protocol::Grpc => (i32::from(answer.grpc_status().code()), "grpc-accept-encoding"),
                _ => (i32::from(answer.status.as_u16()), "accept-encoding"),
            };
            assert!(matches!(code, 12 | 415), "{name} over {endpoint:?} is answered by {code}");
            assert_eq!(answer.header(header), "gzip,zstd,identity", "{name} over {endpoint:?}");
            assert!(answer.error_status().message.contains("gzip,zstd,identity"), "{answer:?}");
        }
    }
}

async fn assert_forwarded(names: &[&str], compressed: &[u8]) {
    let mut recorder = RecordingDestination::start().await;
    let receiver = recording(&recorder).await;
    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        for name in names {
            let answer = endpoint.export_compressed(name, compressed).await;

            assert_eq!(answer.success_message().partial_success, None, "{name} over {endpoint:?}");
            assert_eq!(recorder.next().await, spans(&["a", "b"]), "{name} over {endpoint:?}");
        }
    }
}

async fn assert_undecodable(cases: &[(&str, &[u8])], reason: &str) {
    let receiver = ReceiverProcess::start(&[]).await;
    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        for (name, compressed) in cases {
            let answer = endpoint.export_compressed(name, compressed).await;

            assert_eq!(
                answer.kind(),
                ResponseKind::Malformed,
                "{name} over {endpoint:?}: {compressed:x?}"
            );
            let message = answer.error_status().message;
            assert!(message.contains(reason), "{message:?} does not contain {reason:?}");
        }
    }
}

fn encoding_header(protocol: Protocol) -> &'static str {
    if protocol == Protocol::Grpc { "grpc-encoding" } else { "content-encoding" }
}
