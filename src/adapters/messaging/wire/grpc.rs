//! The gRPC protocol of OTLP's trace service: its path, headers, and the prefix of its messages.

use std::time::Duration;

/// The path of `TraceService/Export`.
pub const EXPORT_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// The content type of requests and responses, without a message format.
pub const CONTENT_TYPE: &str = "application/grpc";
/// The header that names how messages are compressed.
pub const GRPC_ENCODING: &str = "grpc-encoding";
/// The header with how long the client waits for the response.
pub const GRPC_TIMEOUT: &str = "grpc-timeout";
/// Length of the prefix of a message, in bytes.
pub const PREFIX_BYTES: usize = 5;
/// Maximum digits of a timeout.
const MAX_TIMEOUT_DIGITS: usize = 8;

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

/// Parses the value of `grpc-timeout`: at most eight digits and a unit (gRPC, PROTOCOL-HTTP2).
///
/// Returns `None` for anything else. Like gRPC's C core and tonic, a server then serves the call as
/// one without a timeout.
#[must_use]
pub fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > MAX_TIMEOUT_DIGITS {
        return None;
    }
    let number = digits.iter().try_fold(0_u64, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
    })?;
    match unit {
        b'H' => Some(Duration::from_secs(number * 3600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_has_up_to_eight_digits_and_one_of_six_units() {
        for (value, expected) in [
            ("2H", Duration::from_hours(2)),
            ("3M", Duration::from_mins(3)),
            ("4S", Duration::from_secs(4)),
            ("5m", Duration::from_millis(5)),
            ("6u", Duration::from_micros(6)),
            ("7n", Duration::from_nanos(7)),
            ("0S", Duration::ZERO),
            ("00000010S", Duration::from_secs(10)),
            ("99999999H", Duration::from_hours(99_999_999)),
        ] {
            assert_eq!(parse_timeout(value.as_bytes()), Some(expected), "{value}");
        }
    }

    #[test]
    fn a_malformed_timeout_is_none() {
        for value in [
            "",
            "S",
            "10",
            "10s",
            "10h",
            "1.5S",
            "-1S",
            "+1S",
            " 1S",
            "1S ",
            "1 S",
            "123456789S",
            "1SS",
            "\u{663}S",
        ] {
            assert_eq!(parse_timeout(value.as_bytes()), None, "{value}");
        }
    }

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
