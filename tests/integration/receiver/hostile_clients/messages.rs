//! Messages that are truncated, decompress to huge sizes, nest too deep, or are mislabelled.

use std::io::Write;

use bytes::{Bytes, BytesMut};
use flate2::{Compress, Compression, FlushCompress};

use crate::support::client::{
    ALL_PROTOCOLS, EXPORT_PATH, GRPC_CONTENT_TYPE, HTTP_PROTOCOLS, JSON_CONTENT_TYPE, Protocol,
    ResponseKind, TRACES_PATH, post, receiver_endpoints, with_header,
};
use crate::support::receiver_under_test::{ReceiverUnderTest, send_and_read_to_end};
use crate::support::samples::{frame_message, gzip, spans, zstd};

/// How a request over HTTP/1.1 begins, without its length.
const HTTP1_HEAD: &str =
    "POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\n";

#[tokio::test]
async fn a_message_truncated_anywhere_is_refused_without_harm() {
    let receiver = ReceiverUnderTest::start().await;
    let message = spans(&["one", "two"]);

    for endpoint in receiver_endpoints(&receiver.receiver, ALL_PROTOCOLS) {
        let mut connection = endpoint.connect().await;
        for cut in 1..message.len() {
            let answer = connection.send(endpoint.request(message.slice(..cut))).await;
            assert_eq!(answer.kind(), ResponseKind::Malformed, "{cut} bytes over {endpoint:?}");
        }
        for compressed in [gzip(&message), zstd(&message)] {
            let encoding = if compressed[0] == 0x1f { "gzip" } else { "zstd" };
            let cut = compressed.len() - 3;
            let answer = endpoint.export_compressed(encoding, &compressed[..cut]).await;
            assert_eq!(answer.kind(), ResponseKind::Malformed, "{encoding} over {endpoint:?}");
        }
    }

    receiver.assert_recovers().await;
}

#[tokio::test]
async fn a_message_shorter_than_announced_is_refused_without_harm() {
    let receiver = ReceiverUnderTest::start().await;
    let message = spans(&["one"]);

    for endpoint in receiver_endpoints(&receiver.receiver, &[Protocol::Grpc]) {
        let frame = frame_message(0, &message);
        for cut in 1..frame.len() {
            let answer =
                endpoint.send(post(EXPORT_PATH, GRPC_CONTENT_TYPE, frame.slice(..cut))).await;
            assert_eq!(answer.kind(), ResponseKind::Malformed, "{cut} bytes over {endpoint:?}");
        }
    }
    for framing in ["content-length: 1000\r\n\r\n", "transfer-encoding: chunked\r\n\r\n1000\r\n"] {
        let input = [HTTP1_HEAD.as_bytes(), framing.as_bytes(), &message].concat();
        send_and_read_to_end(receiver.connect().await, &input).await;
    }

    receiver.assert_recovers().await;
}

#[tokio::test]
async fn ten_gibibytes_of_zeros_in_a_small_message_are_refused_without_harm() {
    let receiver = ReceiverUnderTest::start().await;
    let (zstd, gzip) = (zstd_zeros(), gzip_zeros());
    assert!(zstd.len() < 400_000 && gzip.len() < 4 << 20, "{} {}", zstd.len(), gzip.len());

    for endpoint in receiver_endpoints(&receiver.receiver, ALL_PROTOCOLS) {
        for (encoding, bomb) in [("zstd", &zstd), ("gzip", &gzip)] {
            let answer = endpoint.export_compressed(encoding, bomb).await;
            assert_eq!(answer.kind(), ResponseKind::TooLarge, "{encoding} over {endpoint:?}");
        }
    }

    receiver.assert_recovers().await;
}

/// 10 GiB: a frame of blocks that each repeat one byte 128 Ki times.
fn zstd_zeros() -> Bytes {
    const BLOCK: u32 = 128 << 10;
    const BLOCKS: usize = (10 << 30) / BLOCK as usize;
    // Magic number; no checksum, no content size; a window of 128 KiB.
    let mut frame = BytesMut::from(&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38][..]);
    // A block that repeats a byte, and is not the last.
    let header = (BLOCK << 3 | 1 << 1).to_le_bytes();
    let block = [header[0], header[1], header[2], 0];
    frame.extend_from_slice(&block.repeat(BLOCKS - 1));
    frame.extend_from_slice(&[header[0] | 1, header[1], header[2], 0]);
    frame.freeze()
}

/// 3 GiB, the most that fits into a request: deflate compresses a thousandfold at best.
fn gzip_zeros() -> Bytes {
    let mut deflate = Compress::new(Compression::fast(), false);
    let mut chunk = Vec::with_capacity(1 << 20);
    let zeros = vec![0; 1 << 20];
    deflate.compress_vec(&zeros, &mut chunk, FlushCompress::Full).expect("memory has room");
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for _ in 0..(3 << 20) / chunk.len() {
        member.write_all(&chunk).expect("memory has room");
    }
    member.into()
}

#[tokio::test]
async fn endlessly_nested_messages_are_refused_without_harm() {
    let receiver = ReceiverUnderTest::start().await;
    let open = |text: &str| text.repeat(200_000);
    let start = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":"#;
    let arrays = format!("{start}{}", open(r#"{"arrayValue":{"values":["#));
    let objects = format!("{start}{}", open(r#"{"kvlistValue":{"values":[{"value":"#));
    let unknown = format!(r#"{{"unknown":{}"#, open("["));

    for endpoint in receiver_endpoints(&receiver.receiver, HTTP_PROTOCOLS) {
        for json in [&arrays, &objects, &unknown, &open("[")] {
            let json = json[..json.len().min(4 << 20)].to_owned();
            let answer = endpoint.send(post(TRACES_PATH, JSON_CONTENT_TYPE, json)).await;
            assert_eq!(answer.kind(), ResponseKind::Malformed, "over {endpoint:?}");
        }
    }
    let nested = nested_protobuf();
    for endpoint in receiver_endpoints(&receiver.receiver, ALL_PROTOCOLS) {
        assert_eq!(
            endpoint.export(nested.clone()).await.kind(),
            ResponseKind::Malformed,
            "{endpoint:?}"
        );
    }

    receiver.assert_recovers().await;
}

/// 50,000 nested arrays, in an attribute of a resource.
fn nested_protobuf() -> Bytes {
    let mut message = Vec::new();
    let wrap = |message: &mut Vec<u8>, field: u8| {
        let mut length = message.len();
        // Written backwards; the whole message is reversed at the end.
        let mut varint = Vec::new();
        while length >= 0x80 {
            varint.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
            length >>= 7;
        }
        varint.push(u8::try_from(length).expect("seven bits"));
        varint.reverse();
        message.extend(varint);
        message.push(field << 3 | 2);
    };
    for _ in 0..50_000 {
        wrap(&mut message, 1); // ArrayValue.values
        wrap(&mut message, 5); // AnyValue.array_value
    }
    for field in [2, 1, 1, 1] {
        // KeyValue.value, Resource.attributes, ResourceSpans.resource, the request.
        wrap(&mut message, field);
    }
    message.reverse();
    message.into()
}

#[tokio::test]
async fn messages_of_the_wrong_type_are_refused_without_harm() {
    let receiver = ReceiverUnderTest::start().await;
    let wrong_json = [
        "null",
        "7",
        "\"spans\"",
        "[]",
        "true",
        "{\"resourceSpans\":{}}",
        "{\"resourceSpans\":[7]}",
        "{\"resourceSpans\":[{\"scopeSpans\":\"x\"}]}",
        "{",
        "\u{0}",
        "",
        "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"name\":[]}]}]}]}",
    ];
    for endpoint in receiver_endpoints(&receiver.receiver, HTTP_PROTOCOLS) {
        for json in wrong_json {
            let answer = endpoint.send(post(TRACES_PATH, JSON_CONTENT_TYPE, json)).await;
            assert_eq!(answer.kind(), ResponseKind::Malformed, "{json} over {endpoint:?}");
        }
    }
    // Field 1 with each other wire type, including one that does not exist.
    let wrong_protobuf: [&[u8]; 6] = [
        &[0x08, 0x01],
        &[0x09, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x0b],
        &[0x0c],
        &[0x0d, 0, 0, 0, 0],
        &[0x0f, 0],
    ];
    for endpoint in receiver_endpoints(&receiver.receiver, ALL_PROTOCOLS) {
        for message in wrong_protobuf {
            let answer = endpoint.export(Bytes::copy_from_slice(message)).await;
            assert_eq!(answer.kind(), ResponseKind::Malformed, "{message:?} over {endpoint:?}");
        }
        // JSON labelled as protobuf, and zstd labelled as gzip.
        assert_eq!(endpoint.export("{\"resourceSpans\":[]}").await.kind(), ResponseKind::Malformed);
        let zstd = zstd(&spans(&["a"]));
        let answer = endpoint.export_compressed("gzip", &zstd).await;
        assert_eq!(answer.kind(), ResponseKind::Malformed, "{endpoint:?}");
    }

    receiver.assert_recovers().await;
}

#[tokio::test]
async fn messages_larger_than_allowed_are_refused_without_harm() {
    let receiver = ReceiverUnderTest::start().await;
    let oversize = Bytes::from(vec![0x0a; 16 << 20]);

    for endpoint in receiver_endpoints(&receiver.receiver, &[Protocol::Grpc, Protocol::Http2]) {
        for _ in 0..4 {
            let answer = endpoint.export(oversize.clone()).await;
            assert_eq!(answer.kind(), ResponseKind::TooLarge, "{endpoint:?}");
        }
        // The announced length is too large.
        let overstated = [&[0][..], &u32::MAX.to_be_bytes(), &spans(&["a"])].concat();
        let answer = endpoint
            .send(with_header(post(EXPORT_PATH, GRPC_CONTENT_TYPE, overstated), "te", "trailers"))
            .await;
        assert_eq!(answer.header("grpc-status"), "8", "{answer:?}");
    }
    // As raw bytes, since the usual client leaves some of these connections open.
    let lengths =
        ["content-length: 16777216\r\n\r\n", "transfer-encoding: chunked\r\n\r\n1000000\r\n"];
    for length in lengths {
        let input = [HTTP1_HEAD.as_bytes(), length.as_bytes(), &oversize].concat();
        let response = send_and_read_to_end(receiver.connect().await, &input).await;
        let response = String::from_utf8_lossy(&response);
        assert!(response.starts_with("HTTP/1.1 413 "), "{response}");
    }

    receiver.assert_recovers().await;
}
