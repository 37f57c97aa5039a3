//! Helpers that the tests share.

pub(crate) mod api_server;
pub(crate) mod buffer;
pub(crate) mod client;
pub(crate) mod connect_proxy;
pub(crate) mod destinations;
pub(crate) mod pipeline;
pub(crate) mod pki;
pub(crate) mod process;
pub(crate) mod proto_requests;
pub(crate) mod receiver;
pub(crate) mod receiver_under_test;
pub(crate) mod samples;
pub(crate) mod scripted_destination;
pub(crate) mod spans;
pub(crate) mod tls_harness;
pub(crate) mod volume;
