//! The settings of the receiver. Flags, variables, help, `.env.example` and the table of
//! `docs/receiver.md` are generated from this table.

use crate::adapters::messaging::destination::config::{Compression, Protocol};
use crate::cli::settings::kinds::{
    BOOLEAN, Choice, DurationRange, FilePath, HeaderFileList, HeaderList, HeaderNameList,
    HeaderPrefixList, IntegerRange, Optional, OriginList, ProxyUrl, ServerUrl, SizeRange,
    SocketAddresses, TlsServerName,
};
use crate::cli::settings::{log, settings};
use crate::domain::bounds::{self, Bounds};
use crate::domain::limits::OverflowPolicy;

settings! {
    ENDPOINT in Destination: Optional<ServerUrl> = Optional(ServerUrl), default "",
        "URL of the destination; if unset, traces are printed to the console";
    PROTOCOL in Destination: Choice<Protocol> = Choice(&[
            ("grpc", Protocol::Grpc), ("http", Protocol::Http), ("http/protobuf", Protocol::Http),
        ]), default "grpc",
        "Transport protocol: OTLP/gRPC, or OTLP/HTTP with protobuf";
    COMPRESSION in Destination: Choice<Compression> = Choice(&[
            ("none", Compression::None), ("gzip", Compression::Gzip), ("zstd", Compression::Zstd),
        ]), default "none",
        "Compression of request bodies";
    HEADERS in Destination: HeaderList = HeaderList, default "",
        "Headers added to every request; prefer a file for secrets, because other users can see flags";
    HEADERS_FILE in Destination: Optional<FilePath> = Optional(FilePath), default "",
        "File with additional headers, one name=value or name: value per line; read again when it changes";
    HEADER_VALUE_FILES in Destination: HeaderFileList = HeaderFileList, default "",
        "Headers whose values are the contents of files; read again when a file changes";
    HEADER_VALUE_PREFIXES in Destination: HeaderPrefixList = HeaderPrefixList, default "",
        "Prefixes of the values from HEADER_VALUE_FILES, with %20 for a space: authorization=Bearer%20";
    OPTIONAL_HEADERS in Destination: HeaderNameList = HeaderNameList, default "",
        "Headers of HEADER_VALUE_FILES that are omitted while their file is missing or empty; requests wait for the files of the other headers";
    CA_FILE in Destination: Optional<FilePath> = Optional(FilePath), default "",
        "PEM file of the certificate authorities to trust instead of the built-in ones";
    TRUST_SYSTEM_ROOTS in Destination: Optional<Choice<bool>> = Optional(BOOLEAN), default "",
        "Whether to trust the built-in public certificate authorities; if unset, they are trusted only if CA_FILE is unset";
    TLS_SERVER_NAME in Destination: Optional<TlsServerName> = Optional(TlsServerName),
        default "",
        "Name to verify in the server certificate and to send as SNI; unset uses the host of ENDPOINT";
    CLIENT_CERTIFICATE_FILE in Destination: Optional<FilePath> = Optional(FilePath), default "",
        "PEM file of the client certificate";
    CLIENT_KEY_FILE in Destination: Optional<FilePath> = Optional(FilePath), default "",
        "PEM file of the private key of the client certificate";
    TIMEOUT in Destination: DurationRange = DurationRange(bounds::TIMEOUT), default "10s",
        "Maximum duration of one request, including connecting";
    CONNECTION_MAX_AGE in Destination: DurationRange = DurationRange(bounds::CONNECTION_MAX_AGE), default "5m",
        "Age at which a connection is replaced by a new one before the next request, give or take a fifth, so that load spreads over new servers; 0s keeps connections";
    PROXY in Destination: Optional<ProxyUrl> = Optional(ProxyUrl), default "",
        "URL of the HTTP proxy through which the destination is reached by CONNECT, or direct for none; if unset, HTTPS_PROXY or HTTP_PROXY and NO_PROXY apply, but not to this machine, names without a dot, and names that end with .svc or .cluster.local";

    MAX_SPANS in Buffer: IntegerRange = IntegerRange(bounds::MAX_SPANS), default "50000",
        "Maximum number of buffered spans";
    MAX_BYTES in Buffer: SizeRange = SizeRange(bounds::MAX_BYTES), default "32Mi",
        "Maximum memory for buffered spans";
    MAX_AGE in Buffer: Optional<DurationRange> = Optional(DurationRange(bounds::MAX_AGE)), default "",
        "Age at which an unsent span is dropped; if unset, spans are kept until the buffer is full";
    OVERFLOW in Buffer: Choice<OverflowPolicy> = Choice(&[
            ("drop-oldest", OverflowPolicy::DropOldest), ("reject", OverflowPolicy::Reject),
        ]), default "drop-oldest",
        "Policy for new spans when the buffer is full: drop the oldest spans, or reject the new ones";
    LIMITS_FILE in Buffer: Optional<FilePath> = Optional(FilePath), default "",
        "File with limits that override MAX_SPANS, MAX_BYTES and MAX_AGE, as lines max_spans=, max_bytes= and max_age=; read again when it changes";

    BATCH_MAX_SPANS in Sending: IntegerRange = IntegerRange(bounds::BATCH_MAX_SPANS), default "8192",
        "Maximum number of spans in one request; never more than a quarter of MAX_SPANS";
    BATCH_MAX_BYTES in Sending: SizeRange = SizeRange(bounds::BATCH_MAX_BYTES), default "3.5Mi",
        "Maximum size of one request before compression; never more than a quarter of MAX_BYTES";
    LINGER in Sending: DurationRange = DurationRange(bounds::LINGER), default "200ms",
        "Maximum time that a span waits for other spans to be sent in the same request";
    CONCURRENCY in Sending: IntegerRange = IntegerRange(bounds::CONCURRENCY), default "1",
        "Maximum number of concurrent requests; the order of spans is preserved only with 1";

    GRPC_ADDR in Listening: SocketAddresses = SocketAddresses, default "127.0.0.1:4317,[::1]:4317",
        "Addresses to receive OTLP on, usually over gRPC; HTTP is also accepted";
    HTTP_ADDR in Listening: SocketAddresses = SocketAddresses, default "127.0.0.1:4318,[::1]:4318",
        "Addresses to receive OTLP on, usually over HTTP; gRPC is also accepted";
    ADMIN_ADDR in Listening: SocketAddresses = SocketAddresses, default "127.0.0.1:9417",
        "Addresses to serve health checks, metrics and the state of the buffer on";
    MAX_REQUEST_BYTES in Listening: SizeRange = SizeRange(bounds::MAX_REQUEST_BYTES), default "4Mi",
        "Maximum size of a received request after decompression; never more than MAX_BYTES";
    MAX_HEAD_BYTES in Listening: SizeRange = SizeRange(bounds::MAX_HEAD_BYTES), default "8Ki",
        "Maximum size of the head of a received request, which large tokens can exceed; HTTP/2 counts 32 bytes more per header, and HTTP/1.1 always allows 8Ki";
    CORS_ALLOWED_ORIGINS in Listening: Optional<OriginList> = Optional(OriginList), default "",
        "Origins of web pages that may send traces from a browser, or * for all; if unset, browsers refuse to send";

    DRAIN_TIMEOUT in Process: DurationRange = DurationRange(bounds::DRAIN_TIMEOUT), default "25s",
        "Maximum time to send the remaining spans after a stop signal; less if the destination accepts nothing for 5s";
    TERMINATION_GRACE_PERIOD in Process: Optional<DurationRange> = Optional(DurationRange(bounds::GRACE_PERIOD)), default "",
        "terminationGracePeriodSeconds of the pod: after a flush by a preStop hook, sending ends 2s before the kubelet kills the container; if unset, only DRAIN_TIMEOUT applies";
    TERMINATION_MESSAGE_FILE in Process: FilePath = FilePath, default "/dev/termination-log",
        "File for what became of the spans at the end of the process, if it exists: terminationMessagePath of a container";
    WORKERS in Process: IntegerRange = IntegerRange(Bounds { min: 1, max: 64 }), default "1",
        "Number of worker threads";

    + log::FORMAT, log::LEVEL
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::settings::AnySetting;

    #[test]
    fn the_variable_and_the_flag_are_derived_from_the_name() {
        assert_eq!(MAX_SPANS.env_var(), "TRACEBUFFER_MAX_SPANS");
        assert_eq!(MAX_SPANS.flag(), "max-spans");
    }

    #[test]
    fn no_variable_collides_with_the_variables_of_a_kubernetes_service() {
        // For a Service `tracebuffer-x`, the kubelet sets TRACEBUFFER_X_PORT,
        // TRACEBUFFER_X_PORT_80_TCP_ADDR and TRACEBUFFER_X_SERVICE_HOST.
        for setting in ALL {
            let name = setting.env_var();
            assert!(!name.ends_with("_PORT"), "{name}");
            assert!(!name.contains("_PORT_"), "{name}");
            assert!(!name.contains("_SERVICE_"), "{name}");
        }
    }

    #[test]
    fn only_header_values_and_the_proxy_are_secret() {
        let secret: Vec<_> =
            ALL.iter().filter(|setting| setting.is_secret()).map(|s| s.name()).collect();

        assert_eq!(secret, ["HEADERS", "HEADER_VALUE_PREFIXES", "PROXY"]);
    }

    #[test]
    fn the_settings_of_a_group_are_adjacent() {
        let mut groups: Vec<_> = ALL.iter().map(|setting| setting.group()).collect();
        groups.dedup();

        assert_eq!(groups, ["Destination", "Buffer", "Sending", "Listening", "Process"]);
    }
}
