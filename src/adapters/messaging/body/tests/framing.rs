//! gRPC's prefix and compressed messages, in chunks of any size.

use bytes::Bytes;

use super::super::*;
use crate::adapters::messaging::testing::{
    BodyEvent, ScriptedBody, frame_message, gzip, peer, zstd,
};
use crate::domain::response_status::ResponseStatus;

const LIMIT: usize = 100 << 10;
const MESSAGE: &[u8] = b"a message of some length, of some length, of some length";

fn reader() -> BodyReader {
    BodyReader::new(LIMIT)
}

async fn read_grpc(body: ScriptedBody, encoding: Encoding) -> Result<Bytes, RequestError> {
    let reader = reader();
    let request = reader.open(peer(0)).unwrap();
    reader.read_grpc(&request, body, encoding).await
}

async fn read_http(body: ScriptedBody, encoding: Encoding) -> Result<Bytes, RequestError> {
    let options = ReadOptions { encoding, copies: 1 };
    let reader = reader();
    let request = reader.open(peer(0)).unwrap();
    reader.read_http(&request, body, None, options).await
}

fn assert_malformed(result: Result<Bytes, RequestError>, message: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.status, ResponseStatus::Malformed, "{error:?}");
    assert!(error.message.contains(message), "{:?} is not {message:?}", error.message);
}

#[tokio::test]
async fn a_grpc_message_is_read_wherever_it_is_split() {
    let frame = frame_message(0, MESSAGE);
    for at in 0..=frame.len() {
        let (first, second) = frame.split_at(at);

        let read = read_grpc(ScriptedBody::pieces([first, second]), Encoding::Identity).await;

        assert_eq!(read.unwrap(), MESSAGE, "split at {at}");
    }
}

#[tokio::test]
async fn a_grpc_message_is_read_byte_by_byte_and_with_trailers() {
    let body = ScriptedBody::byte_by_byte(&frame_message(0, MESSAGE)).then(BodyEvent::Trailers);

    assert_eq!(read_grpc(body, Encoding::Identity).await.unwrap(), MESSAGE);
}

#[tokio::test]
async fn an_empty_grpc_message_is_read() {
    for flag in [0, 1] {
        let body = ScriptedBody::pieces([frame_message(flag, b"")]);

        // A compressed message cannot be empty: it has at least a header.
        let read = read_grpc(body, Encoding::Gzip).await;

        assert_eq!(read.is_ok(), flag == 0);
    }
}

#[tokio::test]
async fn the_flag_of_a_grpc_message_tells_whether_it_is_compressed() {
    let plain = ScriptedBody::pieces([frame_message(0, MESSAGE)]);
    assert_eq!(read_grpc(plain, Encoding::Gzip).await.unwrap(), MESSAGE);

    let compressed = ScriptedBody::pieces([frame_message(1, &gzip(MESSAGE))]);
    assert_eq!(read_grpc(compressed, Encoding::Gzip).await.unwrap(), MESSAGE);
}

#[tokio::test]
async fn a_compressed_grpc_message_without_an_encoding_is_refused() {
    let body = ScriptedBody::pieces([frame_message(1, &gzip(MESSAGE))]);

    let error = read_grpc(body, Encoding::Identity).await.unwrap_err();

    assert_eq!(error.status, ResponseStatus::UndeclaredCompression);
    assert!(error.message.contains("names no grpc-encoding"), "{error:?}");
}

#[tokio::test]
async fn a_flag_that_grpc_does_not_know_is_refused() {
    let body = ScriptedBody::pieces([frame_message(2, MESSAGE)]);

    assert_malformed(read_grpc(body, Encoding::Gzip).await, "flag is 2, must be 0 or 1");
}

#[tokio::test]
async fn a_grpc_request_with_a_truncated_message_is_refused() {
    let frame = frame_message(0, MESSAGE);
    for length in 0..5 {
        let body = ScriptedBody::pieces([&frame[..length]]);
        assert_malformed(read_grpc(body, Encoding::Identity).await, "before its first message");
    }

    let short = ScriptedBody::pieces([&frame[..frame.len() - 3]]);
    assert_malformed(read_grpc(short, Encoding::Identity).await, "3 bytes before its message");
    let compressed = frame_message(1, &gzip(MESSAGE));
    let short = ScriptedBody::pieces([&compressed[..compressed.len() - 3]]);
    assert_malformed(read_grpc(short, Encoding::Gzip).await, "3 bytes before its message");
}

#[tokio::test]
async fn a_second_message_or_trailing_data_is_refused() {
    for (first, encoding) in [
        (frame_message(0, MESSAGE), Encoding::Identity),
        (frame_message(1, &gzip(MESSAGE)), Encoding::Gzip),
    ] {
        for second in [frame_message(0, b""), vec![7]] {
            let together = ScriptedBody::pieces([[&first[..], &second].concat()]);
            let apart = ScriptedBody::pieces([&first, &second]);

            for body in [together, apart] {
                assert_malformed(read_grpc(body, encoding).await, "data after the request");
            }
        }
    }
}

#[tokio::test]
async fn a_grpc_message_beyond_the_limit_is_refused_from_its_prefix() {
    for flag in [0, 1] {
        for length in [LIMIT + 1, u32::MAX as usize] {
            let prefix = [&[flag], &u32::try_from(length).unwrap().to_be_bytes()[..]].concat();
            let body = ScriptedBody::pieces([prefix]).then(BodyEvent::PanicIfPolled);

            let error = read_grpc(body, Encoding::Gzip).await.unwrap_err();

            assert_eq!(error.status, ResponseStatus::TooLarge, "flag {flag}, {length} bytes");
        }
    }
}

#[tokio::test]
async fn compressed_bytes_beyond_the_limit_are_refused_even_if_they_decompress_to_nothing() {
    // The body is ten times as large as the limit.
    let endless =
        |piece: Vec<u8>| ScriptedBody::pieces(vec![piece; 1000]).then(BodyEvent::PanicIfPolled);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 0xf8, 3, 0, 0][..], &[0; 1016]].concat();

    for (body, encoding) in
        [(endless(gzip(b"").repeat(51)), Encoding::Gzip), (endless(skippable), Encoding::Zstd)]
    {
        let error = read_http(body, encoding).await.unwrap_err();

        assert_eq!(error.status, ResponseStatus::TooLarge, "{encoding:?}");
    }
}

#[tokio::test]
async fn a_compressed_message_is_read_wherever_it_is_split() {
    let (first, second) = MESSAGE.split_at(9);
    let gzip = [gzip(first), gzip(b""), gzip(second)].concat();
    let zstd = [zstd(first), zstd(b""), zstd(second)].concat();

    for (compressed, encoding) in [(gzip, Encoding::Gzip), (zstd, Encoding::Zstd)] {
        for at in 0..=compressed.len() {
            let (first, second) = compressed.split_at(at);
            let body = ScriptedBody::pieces([first, second]);

            let read = read_http(body, encoding).await;

            assert_eq!(read.unwrap(), MESSAGE, "{encoding:?} split at {at}");
        }
        let dribbled = ScriptedBody::byte_by_byte(&compressed);
        assert_eq!(read_http(dribbled, encoding).await.unwrap(), MESSAGE, "{encoding:?}");
    }
}

#[tokio::test]
async fn a_compressed_message_truncated_anywhere_is_refused() {
    for (compressed, encoding) in [(gzip(MESSAGE), Encoding::Gzip), (zstd(MESSAGE), Encoding::Zstd)]
    {
        for length in 0..compressed.len() {
            let body = ScriptedBody::pieces([&compressed[..length]]);

            assert_malformed(read_http(body, encoding).await, "ended before it was complete");
        }
    }
}

#[tokio::test]
async fn a_message_of_exactly_the_limit_is_decompressed_and_one_byte_more_is_not() {
    let message: Vec<u8> = (0..=LIMIT).map(|index| index.to_le_bytes()[1]).collect();
    for (compress, encoding) in
        [(gzip as fn(&[u8]) -> Vec<u8>, Encoding::Gzip), (zstd, Encoding::Zstd)]
    {
        let taken = read_http(ScriptedBody::pieces([compress(&message[..LIMIT])]), encoding).await;
        let error = read_http(ScriptedBody::pieces([compress(&message)]), encoding).await;

        assert_eq!(taken.unwrap(), message[..LIMIT], "{encoding:?}");
        assert_eq!(error.unwrap_err().status, ResponseStatus::TooLarge, "{encoding:?}");
    }
}

#[tokio::test]
async fn a_zstd_window_of_any_size_is_accepted_since_it_takes_no_memory() {
    let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.include_contentsize(false).unwrap();
    std::io::Write::write_all(&mut encoder, MESSAGE).unwrap();
    let wide = encoder.finish().unwrap();

    let read = read_http(ScriptedBody::pieces([wide]), Encoding::Zstd).await;

    assert_eq!(read.unwrap(), MESSAGE);
}

#[test]
fn an_encoding_is_known_by_its_names_in_any_case() {
    for (name, expected) in [
        (&b""[..], Some(Encoding::Identity)),
        (b"identity", Some(Encoding::Identity)),
        (b"none", Some(Encoding::Identity)),
        (b" Gzip ", Some(Encoding::Gzip)),
        (b"x-gzip", Some(Encoding::Gzip)),
        (b"ZSTD", Some(Encoding::Zstd)),
        (b"deflate", None),
        (b"gzip,zstd", None),
        (b"\xff", None),
    ] {
        assert_eq!(Encoding::from_header(Some(name)), expected, "{name:?}");
    }
    assert_eq!(Encoding::from_header(None), Some(Encoding::Identity));
}
