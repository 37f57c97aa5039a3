//! Open watches.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, interval_at, sleep_until};

use super::Inner;
use super::request::ApiRequest;
use super::response::{Chunk, ChunkedBody, connection_reset, status_object, streaming_response};
use super::store::Change;
use super::view::{as_requested, is_selected};

const BOOKMARK_INTERVAL: Duration = Duration::from_mins(1);

/// A command to open watches, with the name of a resource, empty for all.
#[derive(Clone, Debug)]
pub(crate) enum WatchCommand {
    /// The store has changed.
    Changed,
    Send(String, &'static str, Value),
    Bookmark(String),
    End(String),
    Break(String),
    Stall(String),
}

struct Watch {
    inner: Arc<Inner>,
    request: ApiRequest,
    sender: mpsc::UnboundedSender<Chunk>,
    /// The version up to which everything was sent.
    sent_version: u64,
}

/// Whether a watch continues.
#[derive(PartialEq, Eq)]
enum WatchState {
    Open,
    Ended,
}

pub(crate) fn start(inner: &Arc<Inner>, request: ApiRequest) -> Response<ChunkedBody> {
    let (sender, response) = streaming_response();
    let commands = inner.commands.subscribe();
    let sent = request.parameter("resourceVersion").parse().unwrap_or(0);
    let watch = Watch { inner: Arc::clone(inner), request, sender, sent_version: sent };
    tokio::spawn(watch.run(commands));
    response
}

impl Watch {
    async fn run(mut self, mut commands: broadcast::Receiver<WatchCommand>) {
        let timeout = self.request.parameter("timeoutSeconds").parse().unwrap_or(290);
        let end = Instant::now() + Duration::from_secs(timeout);
        let mut bookmarks = interval_at(Instant::now() + BOOKMARK_INTERVAL, BOOKMARK_INTERVAL);
        while self.catch_up() == WatchState::Open
            && self.step(&mut commands, &mut bookmarks, end).await == WatchState::Open
        {}
    }

    async fn step(
        &mut self,
        commands: &mut broadcast::Receiver<WatchCommand>,
        bookmarks: &mut Interval,
        end: Instant,
    ) -> WatchState {
        tokio::select! {
            () = self.sender.closed() => return WatchState::Ended,
            () = sleep_until(end) => return WatchState::Ended,
            _ = bookmarks.tick() => self.bookmark(),
            command = commands.recv() => match command {
                Ok(command) => return self.handle_command(command).await,
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return WatchState::Ended,
            },
        }
        WatchState::Open
    }

    async fn handle_command(&mut self, command: WatchCommand) -> WatchState {
        let is_mine = |resource: &String| resource.is_empty() || *resource == self.request.resource;
        match command {
            WatchCommand::Send(resource, kind, object) if is_mine(&resource) => {
                self.send(kind, &object);
            }
            WatchCommand::Bookmark(resource) if is_mine(&resource) => self.bookmark(),
            WatchCommand::End(resource) if is_mine(&resource) => return WatchState::Ended,
            WatchCommand::Break(resource) if is_mine(&resource) => {
                drop(self.sender.send(Err(connection_reset())));
                return WatchState::Ended;
            }
            WatchCommand::Stall(resource) if is_mine(&resource) => {
                self.sender.closed().await;
                return WatchState::Ended;
            }
            _ => {}
        }
        WatchState::Open
    }

    fn catch_up(&mut self) -> WatchState {
        let store = self.inner.store.lock();
        let changes = store.changes_since(self.sent_version, &self.request.resource);
        self.sent_version = store.version;
        drop(store);
        let Ok(changes) = changes else {
            self.send("ERROR", &status_object(410, "too old resource version"));
            return WatchState::Ended;
        };
        for change in changes {
            self.send_change(&change);
        }
        WatchState::Open
    }

    /// Sends a change as this watch's selectors see it.
    fn send_change(&self, change: &Change) {
        let visible = |object: &Option<Value>| {
            object.clone().filter(|object| is_selected(&self.request, object))
        };
        match (visible(&change.before), visible(&change.after)) {
            (None, Some(after)) => self.send("ADDED", &after),
            (Some(_), Some(after)) => self.send("MODIFIED", &after),
            (Some(before), None) => {
                let mut last = change.after.clone().unwrap_or(before);
                last["metadata"]["resourceVersion"] = json!(change.version.to_string());
                self.send("DELETED", &last);
            }
            (None, None) => {}
        }
    }

    fn bookmark(&self) {
        let metadata = json!({ "resourceVersion": self.sent_version.to_string() });
        let object = json!({ "apiVersion": "v1", "kind": "Bookmark", "metadata": metadata });
        self.write("BOOKMARK", &object);
    }

    fn send(&self, kind: &str, object: &Value) {
        self.write(kind, &as_requested(&self.request, object));
    }

    fn write(&self, kind: &str, object: &Value) {
        let line = format!("{}\n", json!({ "type": kind, "object": object }));
        // The client may have disconnected.
        drop(self.sender.send(Ok(Bytes::from(line))));
    }
}
