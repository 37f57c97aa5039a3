//! Injection of pods as in the webhook.

mod cluster;
mod pods;
mod properties;
mod restricted;
