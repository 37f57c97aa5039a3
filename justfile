# Recipes for daily work; `.ci/run` has the steps. `just` without arguments lists the recipes.

[private]
default:
    @just --list

# All steps of CI
ci:
    .ci/run

# The tests, which need only Rust
test:
    .ci/run test

# Formatting and lints
lint:
    .ci/run fmt clippy

# Thread schedules of the buffer, explored by shuttle
shuttle:
    .ci/run shuttle

# Line coverage, with its minimum
cover:
    .ci/run cover

# Bans, licences and sources of dependencies; advisories if the database is available
deny:
    .ci/run deny

# The documentation, without warnings
doc:
    .ci/run doc

# The chart, without a cluster; `UPDATE=1 just chart` writes its README
chart:
    .ci/run chart

# Interoperability with the OpenTelemetry SDK and Collector
interop:
    .ci/run interop

# Builds and starts the image for each architecture
images:
    .ci/run images

# Attacks on the static receiver in a control group; `just attacks heads` runs those with `heads` in their name
attacks *FILTERS:
    tests/attacks/run.sh {{ FILTERS }}

# The operator on a real Kubernetes node; `just cluster skips` runs one scenario
cluster *SCENARIOS:
    tests/cluster/run.sh {{ SCENARIOS }}

# Cost of the buffer and the scan, compared with prost
bench *ARGS:
    cargo bench --locked --bench buffer --bench scan {{ ARGS }}

# User instructions of the receiver, counted by callgrind, compared with a prost server
bench-instructions *ARGS:
    cargo bench --locked --bench instructions -- {{ ARGS }}

# End-to-end benchmarks, compared with the OpenTelemetry Collector
bench-e2e *ARGS:
    cargo bench --locked --bench e2e -- {{ ARGS }}

# Runs a receiver with settings from the environment; prints batches if no endpoint is set
run *ARGS:
    cargo run --locked -- receiver {{ ARGS }}
