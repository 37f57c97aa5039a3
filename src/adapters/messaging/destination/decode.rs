//! Decompressing responses, up to a limit.

use std::io::{self, Read};

use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use crate::domain::text::quoted;

/// The largest zstd window accepted (8 MiB): what RFC 8878 recommends that every decoder supports.
const ZSTD_WINDOW_BITS: u32 = 23;
/// Maximum encodings applied to one body. More than one is already rare.
const MAX_ENCODINGS: usize = 3;

/// Why a body, or the rest of it, could not be decompressed.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("its encoding {} is not supported", quoted(.0))]
    Unsupported(String),
    #[error("it cannot be decompressed: {0}")]
    Corrupt(#[from] io::Error),
    #[error("it is too long after decompression")]
    TooLong,
}

/// Removes `encodings`, a list as in `content-encoding` and `grpc-encoding`, in which the last was
/// applied last.
///
/// Returns up to `max_bytes` of the content, and the error that ended it early. Nothing is returned
/// of an encoding that is not supported: it is no text to show.
pub(super) fn decode(
    encoded: Vec<u8>,
    encodings: &str,
    max_bytes: usize,
) -> (Vec<u8>, Option<DecodeError>) {
    let names = encodings.split(',').map(|name| name.trim().to_ascii_lowercase());
    let names: Vec<_> = names.filter(|name| !matches!(name.as_str(), "" | "identity")).collect();
    if encoded.is_empty() || names.is_empty() {
        return (encoded, None);
    }
    if names.len() > MAX_ENCODINGS {
        return (Vec::new(), Some(DecodeError::Unsupported(encodings.to_owned())));
    }
    let (mut content, mut error) = (encoded, None);
    for name in names.iter().rev() {
        let (decoded, failed) = decode_one(&content, name, max_bytes);
        (content, error) = (decoded, failed.or(error));
    }
    (content, error)
}

fn decode_one(encoded: &[u8], name: &str, max_bytes: usize) -> (Vec<u8>, Option<DecodeError>) {
    match name {
        "gzip" | "x-gzip" => read_up_to(max_bytes, MultiGzDecoder::new(encoded)),
        // RFC 9110, 8.4.1.2: zlib's format, although some servers send it without its header.
        "deflate" if has_zlib_header(encoded) => read_up_to(max_bytes, ZlibDecoder::new(encoded)),
        "deflate" => read_up_to(max_bytes, DeflateDecoder::new(encoded)),
        "zstd" => match zstd_decoder(encoded) {
            Ok(decoder) => read_up_to(max_bytes, decoder),
            Err(error) => (Vec::new(), Some(error.into())),
        },
        _ => (Vec::new(), Some(DecodeError::Unsupported(name.to_owned()))),
    }
}

/// Reads all frames, as gzip's decoder reads all members.
fn zstd_decoder(encoded: &[u8]) -> io::Result<zstd::Decoder<'static, &[u8]>> {
    let mut decoder = zstd::Decoder::with_buffer(encoded)?;
    decoder.window_log_max(ZSTD_WINDOW_BITS)?;
    Ok(decoder)
}

/// RFC 1950, 2.2: the method is 8, and the first two bytes are a multiple of 31.
fn has_zlib_header(encoded: &[u8]) -> bool {
    encoded.first_chunk().is_some_and(|header: &[u8; 2]| {
        header[0] & 0x0f == 8 && u16::from_be_bytes(*header).is_multiple_of(31)
    })
}

fn read_up_to(max_bytes: usize, decoder: impl Read) -> (Vec<u8>, Option<DecodeError>) {
    let mut content = Vec::new();
    let read = decoder.take(max_bytes as u64 + 1).read_to_end(&mut content);
    let is_too_long = content.len() > max_bytes;
    content.truncate(max_bytes);
    match read {
        Err(error) => (content, Some(error.into())),
        Ok(_) => (content, is_too_long.then_some(DecodeError::TooLong)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const MAX_BYTES: usize = 1_000;
    const ENCODINGS: [&str; 4] = ["gzip", "x-gzip", "deflate", "zstd"];

    pub(in super::super) fn encoded(content: &[u8], encoding: &str) -> Vec<u8> {
        let level = Compression::fast();
        match encoding {
            "gzip" | "x-gzip" => written(GzEncoder::new(Vec::new(), level), content).finish(),
            "deflate" => written(ZlibEncoder::new(Vec::new(), level), content).finish(),
            "zstd" => zstd::encode_all(content, 1),
            other => panic!("unknown encoding {other}"),
        }
        .unwrap()
    }

    fn written<W: Write>(mut encoder: W, content: &[u8]) -> W {
        encoder.write_all(content).unwrap();
        encoder
    }

    fn decoded(body: &[u8], encodings: &str) -> (Vec<u8>, Option<String>) {
        let (content, error) = decode(body.to_vec(), encodings, MAX_BYTES);
        (content, error.map(|error| error.to_string()))
    }

    #[test]
    fn each_encoding_is_decoded() {
        for encoding in ENCODINGS {
            for content in [&b"rejected"[..], b"", &[7; MAX_BYTES]] {
                let body = encoded(content, encoding);

                assert_eq!(decoded(&body, encoding), (content.to_vec(), None), "{encoding}");
                assert_eq!(decoded(&body, &encoding.to_uppercase()).1, None, "{encoding}");
            }
        }
    }

    #[test]
    fn several_gzip_members_or_zstd_frames_are_one_body() {
        for encoding in ["gzip", "zstd"] {
            let body = [encoded(b"rej", encoding), encoded(b"ected", encoding)].concat();

            assert_eq!(decoded(&body, encoding), (b"rejected".to_vec(), None), "{encoding}");
        }
    }

    #[test]
    fn deflate_may_lack_its_header() {
        let encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        let body = written(encoder, b"rejected").finish().unwrap();

        assert_eq!(decoded(&body, "deflate"), (b"rejected".to_vec(), None));
    }

    #[test]
    fn a_list_of_encodings_is_removed_from_its_end() {
        let body = encoded(&encoded(b"rejected", "gzip"), "zstd");

        assert_eq!(decoded(&body, "gzip, identity,zstd"), (b"rejected".to_vec(), None));
    }

    #[test]
    fn no_encoding_and_identity_change_nothing() {
        for encodings in ["", "identity", "Identity, identity"] {
            assert_eq!(decoded(b"rejected", encodings), (b"rejected".to_vec(), None));
        }
    }

    #[test]
    fn an_empty_body_is_empty_in_any_encoding() {
        for encodings in ["gzip", "zstd", "br"] {
            assert_eq!(decoded(b"", encodings), (vec![], None), "{encodings}");
        }
    }

    #[test]
    fn an_unknown_encoding_is_named_and_its_bytes_are_not_shown() {
        let error = r#"its encoding "b\u{202e}r" is not supported"#;

        assert_eq!(decoded(b"rejected", "b\u{202e}r"), (vec![], Some(error.to_owned())));
    }

    #[test]
    fn a_bomb_is_cut_at_the_limit() {
        for encoding in ENCODINGS {
            let body = encoded(&vec![b'a'; 1 << 20], encoding);

            let (content, error) = decode(body, encoding, MAX_BYTES);

            assert_eq!(content, [b'a'; MAX_BYTES], "{encoding}");
            assert!(matches!(error, Some(DecodeError::TooLong)), "{encoding}: {error:?}");
        }
    }

    #[test]
    fn nested_bombs_are_cut_at_each_layer() {
        let once = encoded(&vec![b'a'; 1 << 24], "gzip");
        let body = encoded(&once, "gzip");

        let (content, error) = decode(body, "gzip,gzip", MAX_BYTES);

        assert!(content.len() <= MAX_BYTES, "{}", content.len());
        assert!(error.is_some());
    }

    #[test]
    fn a_long_list_of_encodings_is_not_even_tried() {
        let (content, error) = decode(vec![1, 2, 3], &"gzip,".repeat(1_000), MAX_BYTES);

        assert_eq!(content, Vec::<u8>::new());
        assert!(matches!(error, Some(DecodeError::Unsupported(_))), "{error:?}");
    }

    #[test]
    fn of_a_truncated_body_the_beginning_is_kept() {
        let mut random = fastrand::Rng::with_seed(7);
        let content: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(900).collect();
        for encoding in ["gzip", "deflate"] {
            let body = encoded(&content, encoding);

            let (beginning, error) = decode(body[..600].to_vec(), encoding, MAX_BYTES);

            assert!(!beginning.is_empty() && content.starts_with(&beginning), "{encoding}");
            assert!(matches!(error, Some(DecodeError::Corrupt(_))), "{encoding}: {error:?}");
        }
        let body = encoded(&content, "zstd");
        let (_, error) = decode(body[..600].to_vec(), "zstd", MAX_BYTES);
        assert!(matches!(error, Some(DecodeError::Corrupt(_))), "{error:?}");
    }

    #[test]
    fn bytes_that_are_not_compressed_are_an_error() {
        for encoding in ENCODINGS {
            let (content, error) = decode(b"<html>oops".to_vec(), encoding, MAX_BYTES);

            assert!(content.len() < 10, "{encoding}: {content:?}");
            assert!(matches!(error, Some(DecodeError::Corrupt(_))), "{encoding}: {error:?}");
        }
    }
}
