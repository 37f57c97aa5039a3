//! The gRPC protocol of OTLP's trace service: its path, headers, and the prefix of its messages.

/// The path of `TraceService/Export`.
pub const EXPORT_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// The content type of requests and responses, without a message format.
pub const CONTENT_TYPE: &str = "application/grpc";
/// The header that names how messages are compressed.
pub const GRPC_ENCODING: &str = "grpc-encoding";
/// Length of the prefix of a message, in bytes.
pub const PREFIX_BYTES: usize = 5;

/// Returns the prefix of a message of `length` bytes: its `Compressed-Flag` and `Message-Length`.
#[must_use]
pub const fn prefix(compressed: bool, length: u32) -> [u8; PREFIX_BYTES] {
    let [a, b, c, d] = length.to_be_bytes();
    [compressed as u8, a, b, c, d]
}

/// Returns the `Compressed-Flag` and the `Message-Length` of a prefix.
#[must_use]
pub const fn split_prefix(prefix: [u8; PREFIX_BYTES]) -> (u8, u32) {
    let [flag, length @ ..] = prefix;
    (flag, u32::from_be_bytes(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_the_flag_and_the_length_in_network_order() {
        assert_eq!(prefix(true, 0x0102_0304), [1, 1, 2, 3, 4]);
        assert_eq!(prefix(false, 5), [0, 0, 0, 0, 5]);
    }

    #[test]
    fn a_prefix_is_split_into_flag_and_length() {
        assert_eq!(split_prefix(prefix(true, u32::MAX)), (1, u32::MAX));
        assert_eq!(split_prefix([7, 0, 0, 1, 0]), (7, 256));
    }
}
