//! What the tests share.

pub(crate) mod api_server;
pub(crate) mod buffer;
pub(crate) mod client;
pub(crate) mod destinations;
pub(crate) mod pipeline;
pub(crate) mod pki;
pub(crate) mod process;
pub(crate) mod receiver;
pub(crate) mod requests;
pub(crate) mod samples;
pub(crate) mod scripted_destination;
pub(crate) mod spans;
pub(crate) mod tls_scene;
pub(crate) mod victim;
pub(crate) mod volume;
