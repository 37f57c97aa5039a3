# The image of tracebuffer: one static binary and nothing else, about 5 MB.
#
#   docker build -t tracebuffer .
#   docker run --rm --network host tracebuffer
#
# The receiver listens on loopback only unless TRACEBUFFER_GRPC_ADDR and TRACEBUFFER_HTTP_ADDR say
# otherwise: a sidecar shares its pod's loopback.

FROM rust:1.95-alpine AS build
# The image's own Rust, without the components that rust-toolchain.toml asks for.
ENV RUSTUP_TOOLCHAIN=1.95.0
RUN apk add --no-cache musl-dev
WORKDIR /source
COPY Cargo.toml Cargo.lock ./
COPY src src
# Not built here, but the manifest may name them.
COPY benches benches
COPY tests tests
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --release --locked && cp target/release/tracebuffer /tracebuffer

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tracebuffer" \
      org.opencontainers.image.description="A bounded, drop-oldest buffer for OpenTelemetry traces" \
      org.opencontainers.image.source="https://github.com/tracebuffer/tracebuffer" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /tracebuffer /tracebuffer
USER 65532:65532
# OTLP (4317 and 4318 both speak gRPC and HTTP); health, metrics and /debug on 9417.
EXPOSE 4317 4318 9417
STOPSIGNAL SIGTERM
ENTRYPOINT ["/tracebuffer"]
CMD ["receiver"]
