//! What becomes of pods at the webhook.

mod cluster;
mod pods;
mod properties;
mod restricted;
