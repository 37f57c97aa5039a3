# Names for what one does daily; `.ci/run` holds the steps. `just` alone lists them.

[private]
default:
    @just --list

# Everything that CI does
ci:
    .ci/run

# The tests: nothing but Rust needed
test:
    .ci/run test

# Formatting and lints
lint:
    .ci/run fmt clippy

# Schedules of the buffer's threads, explored by shuttle
shuttle:
    .ci/run shuttle

# Line coverage, with the bars
cover:
    .ci/run cover

# Bans, licences, sources; advisories where the database is at hand
deny:
    .ci/run deny

# The documentation, without a warning
doc:
    .ci/run doc

# The chart without a cluster; `UPDATE=1 just chart` writes its README
chart:
    .ci/run chart

# The OpenTelemetry SDK and Collector on either side
interop:
    .ci/run interop

# The image for each architecture, built and started
images:
    .ci/run images

# The operator on a real Kubernetes node; `just cluster skips` runs one scenario
cluster *SCENARIOS:
    tests/cluster/run.sh {{ SCENARIOS }}

# What each part costs, beside prost
bench *ARGS:
    cargo bench --locked --bench buffer --bench scan {{ ARGS }}

# User instructions of the receiver, counted by callgrind, beside a prost server
bench-instructions *ARGS:
    cargo bench --locked --bench instructions -- {{ ARGS }}

# Generator, subject and sink on cores of their own, beside the OpenTelemetry Collector
bench-e2e *ARGS:
    cargo bench --locked --bench e2e -- {{ ARGS }}

# A receiver with the environment's settings; prints batches if no endpoint is set
run *ARGS:
    cargo run --locked -- receiver {{ ARGS }}
