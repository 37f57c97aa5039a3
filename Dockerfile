# The image of tracebuffer, for sidecar and operator. It contains only one static binary.
#
#   docker build -t tracebuffer .
#   docker run --rm --network host tracebuffer
#   docker buildx build --platform linux/amd64,linux/arm64 .
#
# The receiver listens only on loopback, which a sidecar shares with its pod, unless TRACEBUFFER_GRPC_ADDR and
# TRACEBUFFER_HTTP_ADDR are set.

# Runs on the build platform and cross-compiles: a compiler under emulation takes an hour.
FROM --platform=$BUILDPLATFORM rust:1.95-bookworm AS build
# The Rust of the base image, without the components of rust-toolchain.toml.
ENV RUSTUP_TOOLCHAIN=1.95.0
RUN apt-get update && apt-get install -y --no-install-recommends \
    gcc-x86-64-linux-gnu libc6-dev-amd64-cross gcc-aarch64-linux-gnu libc6-dev-arm64-cross
WORKDIR /source
COPY Cargo.toml Cargo.lock build-static.sh ./
COPY src src
# Not built here, but the manifest names them.
COPY benches benches
COPY tests tests
ARG TARGETARCH
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cp "$(./build-static.sh "$TARGETARCH")" /tracebuffer

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
# OTLP (4317 and 4318 both speak gRPC and HTTP); health, metrics and /debug on 9417; the operator's
# webhook on 9443.
EXPOSE 4317 4318 9417 9443
STOPSIGNAL SIGTERM
ENTRYPOINT ["/tracebuffer"]
# For the operator: ["controller"].
CMD ["receiver"]
