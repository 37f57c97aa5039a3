//! What to do about a refusal, as far as the answer tells. Empty if nothing is known that helps.

const CREDENTIALS: &str = "; check the configured headers and the client certificate";
const COMPRESSION: &str = "; it may not accept this compression: set COMPRESSION to none";
const SIZE: &str = "; raise the destination's limit on the size of requests";
const CAPACITY: &str = "; raise the destination's quota, rate or memory limit";
const INVALID_DATA: &str = "; the destination's log may name the data that it cannot read";
const ITS_LOG: &str = "; the cause is in the destination's log";
const GRPC_PORT: &str = "; does it accept OTLP traces over gRPC on this port?";

/// Words of refusals that mean the size of the request, by the gRPC libraries of Go, Java, C++,
/// Rust, .NET and JavaScript, and by proxies.
const SIZE_WORDS: [&str; 7] = [
    "larger than",
    "too large",
    "too big",
    "too long",
    "exceeds maximum",
    "exceeds the maximum",
    "message size",
];
/// Words of refusals that mean rates, quotas and memory.
const CAPACITY_WORDS: [&str; 9] = [
    "rate",
    "quota",
    "throttl",
    "too many",
    "memory",
    "exceeded",
    "concurren",
    "overload",
    "capacity",
];
/// Words of refusals that mean how the request is compressed.
const COMPRESSION_WORDS: [&str; 5] = ["compress", "encoding", "gzip", "zstd", "codec"];
/// Words of servers that expect TLS.
const TLS_WORDS: [&str; 2] = ["https", "requires tls"];

/// Returns the remedy for an HTTP status that is not a success. `text` is what the body says, and
/// `compressed` whether the request was.
pub(super) fn http_remedy(status: u16, text: &str, compressed: bool) -> &'static str {
    match status {
        300..=399 => "; redirects are not followed: use the final address as the endpoint",
        // A wrong content type, if the encoding is not to blame: there is only one.
        415 if compressed => COMPRESSION,
        415 => "; does it accept OTLP/HTTP in protobuf at this path?",
        401 | 403 => CREDENTIALS,
        407 => "; a proxy demands credentials: check the settings of the proxy",
        511 => "; the network demands a login",
        400.. if compressed && speaks_of(text, &COMPRESSION_WORDS) => COMPRESSION,
        400 if speaks_of(text, &TLS_WORDS) => "; the endpoint must begin with https://",
        400 if is_about_size(text) => SIZE,
        400 | 422 => INVALID_DATA,
        404 | 405 | 410 => "; check the path of the endpoint",
        413 => SIZE,
        414 => "; shorten the path of the endpoint",
        421 => "; check the host of the endpoint and the TLS server name",
        426 | 464 | 505 => "; is this its OTLP/HTTP port?",
        431 => "; shorten the configured headers",
        // A gateway's word for a destination that may soon be back, or a full one.
        429 | 502..=504 => "",
        500.. => ITS_LOG,
        _ => "",
    }
}

/// Returns the remedy for a gRPC status other than OK.
pub(super) fn grpc_remedy(code: i32, text: &str, compressed: bool) -> &'static str {
    match code {
        7 | 16 => CREDENTIALS,
        2 | 3 | 12 | 13 if compressed && speaks_of(text, &COMPRESSION_WORDS) => COMPRESSION,
        8 | 11 if is_about_size(text) => SIZE,
        8 if speaks_of(text, &CAPACITY_WORDS) => CAPACITY,
        8 => "; raise the limit that the destination reached, of size, rate or memory",
        3 => INVALID_DATA,
        12 => GRPC_PORT,
        2 | 13 | 15 => ITS_LOG,
        _ => "",
    }
}

/// Returns the remedy for an HTTP status of a peer that does not answer in gRPC.
pub(super) fn not_grpc_remedy(status: u16, text: &str, compressed: bool) -> &'static str {
    match status {
        401 | 403 | 407 | 413 | 429 | 431 | 500..=504 | 511 => {
            http_remedy(status, text, compressed)
        }
        400 if speaks_of(text, &TLS_WORDS) => http_remedy(status, text, compressed),
        _ => "; is this its OTLP/gRPC port?",
    }
}

/// Returns whether a refusal means the size of the request.
pub(super) fn is_about_size(text: &str) -> bool {
    speaks_of(text, &SIZE_WORDS)
}

fn speaks_of(text: &str, words: &[&str]) -> bool {
    let text = text.to_ascii_lowercase();
    words.iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refused_credentials_blame_the_credentials() {
        for status in 300..600 {
            let remedy = http_remedy(status, "", true);

            assert_eq!(remedy == CREDENTIALS, matches!(status, 401 | 403), "{status}: {remedy}");
        }
        for code in 1..20 {
            let remedy = grpc_remedy(code, "", true);

            assert_eq!(remedy == CREDENTIALS, matches!(code, 7 | 16), "{code}: {remedy}");
        }
    }

    #[test]
    fn only_a_refused_size_asks_for_a_larger_one() {
        let sizes = [
            "grpc: received message larger than max (5000000 vs. 4194304)",
            "gRPC message exceeds maximum size 4194304: 5000000",
            "Received message exceeds the maximum configured message size.",
            "Error, decoded message length too large: found 5000000 bytes, the limit is: 4194304",
            "SERVER: Received message larger than max (5000000 vs. 4194304)",
            "grpc: received message after decompression larger than max 4194304",
        ];
        for text in sizes {
            assert_eq!(grpc_remedy(8, text, false), SIZE, "{text}");
            assert_eq!(grpc_remedy(11, text, false), SIZE, "{text}");
        }
        let rates = [
            "rate limit reached",
            "Quota exceeded for quota metric 'Spans'",
            "data refused due to high memory usage",
            "too many concurrent requests",
            "ingestion throttled",
        ];
        for text in rates {
            assert_eq!(grpc_remedy(8, text, false), CAPACITY, "{text}");
        }
        assert_eq!(http_remedy(413, "", false), SIZE);
        for status in [429, 503, 507] {
            assert_ne!(http_remedy(status, "", false), SIZE, "{status}");
        }
    }

    #[test]
    fn a_refused_compression_is_named_only_if_there_is_one() {
        let grpc = [
            (12, r#"grpc: Decompressor is not installed for grpc-encoding "zstd""#),
            (12, "Content is compressed with `zstd` which isn't supported"),
            (12, "Can't find decompressor for zstd"),
            (13, "Compression algorithm 'gzip' not enabled."),
            (3, "gzip: invalid header"),
        ];
        for (code, text) in grpc {
            assert_eq!(grpc_remedy(code, text, true), COMPRESSION, "{text}");
            assert_ne!(grpc_remedy(code, text, false), COMPRESSION, "{text}");
        }
        let http = [
            (415, ""),
            (415, "Unsupported Media Type"),
            (400, "unsupported Content-Encoding: zstd"),
            (500, "failed to decompress"),
        ];
        for (status, text) in http {
            assert_eq!(http_remedy(status, text, true), COMPRESSION, "{status} {text}");
            assert_ne!(http_remedy(status, text, false), COMPRESSION, "{status} {text}");
        }
        assert_eq!(grpc_remedy(12, "unknown service", true), GRPC_PORT);
    }

    #[test]
    fn a_destination_that_is_unavailable_needs_no_remedy() {
        for status in [429, 502, 503, 504] {
            assert_eq!(http_remedy(status, "", true), "");
            assert_eq!(not_grpc_remedy(status, "", true), "");
        }
        for code in [1, 4, 10, 14] {
            assert_eq!(grpc_remedy(code, "", true), "");
        }
    }

    #[test]
    fn plain_http_to_a_tls_port_is_recognized() {
        let texts = [
            "Client sent an HTTP request to an HTTPS server.",
            "The plain HTTP request was sent to HTTPS port",
            "This combination of host and port requires TLS.",
        ];
        for text in texts {
            let remedy = "; the endpoint must begin with https://";
            assert_eq!(http_remedy(400, text, false), remedy, "{text}");
            assert_eq!(not_grpc_remedy(400, text, false), remedy, "{text}");
        }
    }

    #[test]
    fn a_wrong_path_or_protocol_is_a_matter_of_the_endpoint() {
        for status in [404, 405, 414, 421, 426] {
            let remedy = http_remedy(status, "", false);
            assert!(remedy.contains("endpoint") || remedy.contains("port"), "{status}: {remedy}");
        }
        for status in [200, 302, 400, 404, 405, 415, 464] {
            assert!(not_grpc_remedy(status, "", false).contains("OTLP/gRPC port"), "{status}");
        }
    }

    #[test]
    fn a_server_error_points_to_the_log_of_the_server() {
        for status in [500, 501, 507, 599] {
            assert_eq!(http_remedy(status, "", false), ITS_LOG, "{status}");
        }
        for code in [2, 13] {
            assert_eq!(grpc_remedy(code, "", false), ITS_LOG, "{code}");
        }
    }
}
