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
        "Where traces are sent; unset prints them to the console";
    PROTOCOL in Destination: Choice<Protocol> = Choice(&[
            ("grpc", Protocol::Grpc), ("http", Protocol::Http), ("http/protobuf", Protocol::Http),
        ]), default "grpc",
        "Transport to the destination: OTLP/gRPC, or OTLP/HTTP with protobuf";
    COMPRESSION in Destination: Choice<Compression> = Choice(&[
            ("none", Compression::None), ("gzip", Compression::Gzip), ("zstd", Compression::Zstd),
        ]), default "none",
        "How requests are compressed";
    HEADERS in Destination: HeaderList = HeaderList, default "",
        "Headers added to every request; others can see a flag, so prefer a file";
    HEADERS_FILE in Destination: Optional<FilePath> = Optional(FilePath), default "",
        "File of more headers, one name=value or name: value a line; read again when it changes";
    HEADER_VALUE_FILES in Destination: HeaderFileList = HeaderFileList, default "",
        "Headers whose value is a file's content; read again when it changes";
    HEADER_VALUE_PREFIXES in Destination: HeaderPrefixList = HeaderPrefixList, default "",
        "What is put before the value in such a file, %20 for a space: authorization=Bearer%20";
    OPTIONAL_HEADERS in Destination: HeaderNameList = HeaderNameList, default "",
        "Which of them are left out while their file is missing or empty; others hold requests back";
    CA_FILE in Destination: Optional<FilePath> = Optional(FilePath), default "",
        "PEM file of the authorities to trust instead of the built-in ones";
    TRUST_SYSTEM_ROOTS in Destination: Optional<Choice<bool>> = Optional(BOOLEAN), default "",
        "Whether to trust the built-in public authorities; unset: only where CA_FILE is unset";
    TLS_SERVER_NAME in Destination: Optional<TlsServerName> = Optional(TlsServerName),
        default "",
        "Name that the certificate must bear, sent as SNI; unset: the host of ENDPOINT";
    CLIENT_CERTIFICATE_FILE in Destination: Optional<FilePath> = Optional(FilePath), default "",
        "PEM file of the certificate shown to the destination";
    CLIENT_KEY_FILE in Destination: Optional<FilePath> = Optional(FilePath), default "",
        "PEM file of that certificate's private key";
    TIMEOUT in Destination: DurationRange = DurationRange(bounds::TIMEOUT), default "10s",
        "Longest wait for one answer, connecting included";

    MAX_SPANS in Buffer: IntegerRange = IntegerRange(bounds::MAX_SPANS), default "50000",
        "Most spans held";
    MAX_BYTES in Buffer: SizeRange = SizeRange(bounds::MAX_BYTES), default "32Mi",
        "Most memory held by spans";
    MAX_AGE in Buffer: Optional<DurationRange> = Optional(DurationRange(bounds::MAX_AGE)), default "",
        "Age at which a span is dropped unsent; unset keeps it until room is needed";
    OVERFLOW in Buffer: Choice<OverflowPolicy> = Choice(&[
            ("drop-oldest", OverflowPolicy::DropOldest), ("reject", OverflowPolicy::Reject),
        ]), default "drop-oldest",
        "What a full buffer does with new spans: drop the oldest for them, or refuse them";
    LIMITS_FILE in Buffer: Optional<FilePath> = Optional(FilePath), default "",
        "File of limits to follow while running: lines max_spans=, max_bytes=, max_age=";

    BATCH_MAX_SPANS in Sending: IntegerRange = IntegerRange(bounds::BATCH_MAX_SPANS), default "8192",
        "Most spans in one request; never more than a quarter of MAX_SPANS";
    BATCH_MAX_BYTES in Sending: SizeRange = SizeRange(bounds::BATCH_MAX_BYTES), default "3.5Mi",
        "Largest request, uncompressed; never more than a quarter of MAX_BYTES";
    LINGER in Sending: DurationRange = DurationRange(bounds::LINGER), default "200ms",
        "How long a span waits for others to share its request";
    CONCURRENCY in Sending: IntegerRange = IntegerRange(bounds::CONCURRENCY), default "1",
        "Requests on their way at the same time; more than 1 gives up their order";

    GRPC_ADDR in Listening: SocketAddresses = SocketAddresses, default "127.0.0.1:4317,[::1]:4317",
        "Where traces are received, usually over gRPC; HTTP is understood too";
    HTTP_ADDR in Listening: SocketAddresses = SocketAddresses, default "127.0.0.1:4318,[::1]:4318",
        "Where traces are received, usually over HTTP; gRPC is understood too";
    ADMIN_ADDR in Listening: SocketAddresses = SocketAddresses, default "127.0.0.1:9417",
        "Where health, metrics and the state of the buffer are shown";
    MAX_REQUEST_BYTES in Listening: SizeRange = SizeRange(bounds::MAX_REQUEST_BYTES), default "4Mi",
        "Largest request received, decompressed; never more than MAX_BYTES";

    DRAIN_TIMEOUT in Process: DurationRange = DurationRange(bounds::DRAIN_TIMEOUT), default "25s",
        "Longest time to send what is left after the signal to stop";
    WORKERS in Process: IntegerRange = IntegerRange(Bounds { min: 1, max: 64 }), default "1",
        "Threads that do the work";

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
