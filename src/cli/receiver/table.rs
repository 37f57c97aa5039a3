//! Every setting of the receiver, once. Flags, variables, help, `.env.example` and the
//! table of `docs/receiver.md` all come from here.

use crate::adapters::messaging::destination::config::{Compression, Protocol};
use crate::cli::settings::kinds::{
    BOOLEAN, Choice, DurationRange, FilePath, HeaderFileList, HeaderList, HeaderNameList,
    HeaderPrefixList, IntegerRange, Optional, ServerUrl, SizeRange, SocketAddresses, TlsServerName,
};
use crate::cli::settings::{log, settings};
use crate::domain::bounds::{self, Bounds};
use crate::domain::limits::OverflowPolicy;

settings! {
    ENDPOINT in Destination: Optional<ServerUrl> = Optional(ServerUrl), default "",
        "Endpoint that traces are sent to; unset prints them to the console";
    PROTOCOL in Destination: Choice<Protocol> = Choice(&[
            ("grpc", Protocol::Grpc), ("http", Protocol::Http), ("http/protobuf", Protocol::Http),
        ]), default "grpc",
        "Transport to the destination: OTLP/gRPC, or OTLP/HTTP with protobuf";
    COMPRESSION in Destination: Choice<Compression> = Choice(&[
            ("none", Compression::None), ("gzip", Compression::Gzip), ("zstd", Compression::Zstd),
        ]), default "none",
        "Compression of requests";
    HEADERS in Destination: HeaderList = HeaderList, default "",
        "Headers added to every request; other users can see a flag, so prefer a file";
    HEADERS_FILE in Destination: Optional<FilePath> = Optional(FilePath), default "",
        "File of more headers, one name=value or name: value per line; reloaded on change";
    HEADER_VALUE_FILES in Destination: HeaderFileList = HeaderFileList, default "",
        "Headers whose value is the content of a file; reloaded on change";
    HEADER_VALUE_PREFIXES in Destination: HeaderPrefixList = HeaderPrefixList, default "",
        "Prefixes of the values in such files, %20 for a space: authorization=Bearer%20";
    OPTIONAL_HEADERS in Destination: HeaderNameList = HeaderNameList, default "",
        "Which of these headers are omitted while their file is missing or empty; any other blocks requests";
    CA_FILE in Destination: Optional<FilePath> = Optional(FilePath), default "",
        "PEM file of the certificate authorities to trust instead of the built-in ones";
    TRUST_SYSTEM_ROOTS in Destination: Optional<Choice<bool>> = Optional(BOOLEAN), default "",
        "Whether to trust the built-in public authorities; unset trusts them only if CA_FILE is unset";
    TLS_SERVER_NAME in Destination: Optional<TlsServerName> = Optional(TlsServerName),
        default "",
        "Name to verify in the server certificate and to send as SNI; unset uses the host of ENDPOINT";
    CLIENT_CERTIFICATE_FILE in Destination: Optional<FilePath> = Optional(FilePath), default "",
        "PEM file of the client certificate";
    CLIENT_KEY_FILE in Destination: Optional<FilePath> = Optional(FilePath), default "",
        "PEM file of the client certificate's private key";
    TIMEOUT in Destination: DurationRange = DurationRange(bounds::TIMEOUT), default "10s",
        "Timeout of a request, including connection setup";

    MAX_SPANS in Buffer: IntegerRange = IntegerRange(bounds::MAX_SPANS), default "50000",
        "Maximum number of buffered spans";
    MAX_BYTES in Buffer: SizeRange = SizeRange(bounds::MAX_BYTES), default "32Mi",
        "Maximum memory for buffered spans";
    MAX_AGE in Buffer: Optional<DurationRange> = Optional(DurationRange(bounds::MAX_AGE)), default "",
        "Age at which a buffered span is dropped; unset disables expiry";
    OVERFLOW in Buffer: Choice<OverflowPolicy> = Choice(&[
            ("drop-oldest", OverflowPolicy::DropOldest), ("reject", OverflowPolicy::Reject),
        ]), default "drop-oldest",
        "What a full buffer does with new spans: drop the oldest spans, or reject the new ones";
    LIMITS_FILE in Buffer: Optional<FilePath> = Optional(FilePath), default "",
        "File of limits applied while running: lines max_spans=, max_bytes=, max_age=";

    BATCH_MAX_SPANS in Sending: IntegerRange = IntegerRange(bounds::BATCH_MAX_SPANS), default "8192",
        "Maximum spans per request; at most a quarter of MAX_SPANS";
    BATCH_MAX_BYTES in Sending: SizeRange = SizeRange(bounds::BATCH_MAX_BYTES), default "3.5Mi",
        "Maximum uncompressed size of a request; at most a quarter of MAX_BYTES";
    LINGER in Sending: DurationRange = DurationRange(bounds::LINGER), default "200ms",
        "How long a span waits for more spans to share its request";
    CONCURRENCY in Sending: IntegerRange = IntegerRange(bounds::CONCURRENCY), default "1",
        "Maximum requests in flight; with more than 1, spans may arrive out of order";

    GRPC_ADDR in Listening: SocketAddresses = SocketAddresses, default "127.0.0.1:4317,[::1]:4317",
        "Addresses that receive OTLP/gRPC; they accept OTLP/HTTP as well";
    HTTP_ADDR in Listening: SocketAddresses = SocketAddresses, default "127.0.0.1:4318,[::1]:4318",
        "Addresses that receive OTLP/HTTP; they accept OTLP/gRPC as well";
    ADMIN_ADDR in Listening: SocketAddresses = SocketAddresses, default "127.0.0.1:9417",
        "Addresses that serve health checks, metrics and the state of the buffer";
    MAX_REQUEST_BYTES in Listening: SizeRange = SizeRange(bounds::MAX_REQUEST_BYTES), default "4Mi",
        "Maximum decompressed size of a received request; at most MAX_BYTES";

    DRAIN_TIMEOUT in Process: DurationRange = DurationRange(bounds::DRAIN_TIMEOUT), default "25s",
        "Maximum time to send buffered spans at shutdown";
    WORKERS in Process: IntegerRange = IntegerRange(Bounds { min: 1, max: 64 }), default "1",
        "Number of worker threads";

    + log::FORMAT, log::LEVEL
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::settings::AnySetting;

    #[test]
    fn a_name_gives_the_variable_and_the_flag() {
        assert_eq!(MAX_SPANS.env_var(), "TRACEBUFFER_MAX_SPANS");
        assert_eq!(MAX_SPANS.flag(), "max-spans");
    }

    #[test]
    fn no_variable_has_a_name_that_a_kubernetes_service_can_put_into_a_pod() {
        // A Service `tracebuffer-x` makes TRACEBUFFER_X_PORT, …_PORT_80_TCP_ADDR, …_SERVICE_HOST.
        for setting in ALL {
            let name = setting.env_var();
            assert!(!name.ends_with("_PORT"), "{name}");
            assert!(!name.contains("_PORT_"), "{name}");
            assert!(!name.contains("_SERVICE_"), "{name}");
        }
    }

    #[test]
    fn only_values_of_headers_are_secret() {
        let secret: Vec<_> =
            ALL.iter().filter(|setting| setting.is_secret()).map(|s| s.name()).collect();

        assert_eq!(secret, ["HEADERS", "HEADER_VALUE_PREFIXES"]);
    }

    #[test]
    fn settings_of_one_group_stand_together() {
        let mut groups: Vec<_> = ALL.iter().map(|setting| setting.group()).collect();
        groups.dedup();

        assert_eq!(groups, ["Destination", "Buffer", "Sending", "Listening", "Process"]);
    }
}
