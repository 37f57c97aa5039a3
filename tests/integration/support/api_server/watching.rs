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
use super::answer::{Chunk, Chunks, broken, status, streamed};
use super::handle::{is_wanted, shown};
use super::request::Asked;
use super::store::Change;

const BOOKMARK_EVERY: Duration = Duration::from_mins(1);

/// What open watches are told; a resource's name, or an empty one for all.
#[derive(Clone, Debug)]
pub(crate) enum Command {
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
    asked: Asked,
    sender: mpsc::UnboundedSender<Chunk>,
    /// The version up to which everything was sent.
    sent: u64,
}

/// Whether a watch goes on.
#[derive(PartialEq, Eq)]
enum Next {
    On,
    End,
}

pub(crate) fn start(inner: &Arc<Inner>, asked: Asked) -> Response<Chunks> {
    let (sender, response) = streamed();
    let commands = inner.commands.subscribe();
    let sent = asked.value("resourceVersion").parse().unwrap_or(0);
    let watch = Watch { inner: Arc::clone(inner), asked, sender, sent };
    tokio::spawn(watch.run(commands));
    response
}

impl Watch {
    async fn run(mut self, mut commands: broadcast::Receiver<Command>) {
        let timeout = self.asked.value("timeoutSeconds").parse().unwrap_or(290);
        let end = Instant::now() + Duration::from_secs(timeout);
        let mut bookmarks = interval_at(Instant::now() + BOOKMARK_EVERY, BOOKMARK_EVERY);
        while self.catch_up() == Next::On
            && self.step(&mut commands, &mut bookmarks, end).await == Next::On
        {}
    }

    async fn step(
        &mut self,
        commands: &mut broadcast::Receiver<Command>,
        bookmarks: &mut Interval,
        end: Instant,
    ) -> Next {
        tokio::select! {
            () = self.sender.closed() => return Next::End,
            () = sleep_until(end) => return Next::End,
            _ = bookmarks.tick() => self.bookmark(),
            command = commands.recv() => match command {
                Ok(command) => return self.obey(command).await,
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Next::End,
            },
        }
        Next::On
    }

    async fn obey(&mut self, command: Command) -> Next {
        let is_mine = |resource: &String| resource.is_empty() || *resource == self.asked.resource;
        match command {
            Command::Send(resource, kind, object) if is_mine(&resource) => self.send(kind, &object),
            Command::Bookmark(resource) if is_mine(&resource) => self.bookmark(),
            Command::End(resource) if is_mine(&resource) => return Next::End,
            Command::Break(resource) if is_mine(&resource) => {
                drop(self.sender.send(Err(broken())));
                return Next::End;
            }
            Command::Stall(resource) if is_mine(&resource) => {
                self.sender.closed().await;
                return Next::End;
            }
            _ => {}
        }
        Next::On
    }

    fn catch_up(&mut self) -> Next {
        let store = self.inner.store.lock();
        let changes = store.since(self.sent, &self.asked.resource);
        self.sent = store.version;
        drop(store);
        let Ok(changes) = changes else {
            self.send("ERROR", &status(410, "too old resource version"));
            return Next::End;
        };
        for change in changes {
            self.tell(&change);
        }
        Next::On
    }

    /// Sends a change as this watch's selectors see it.
    fn tell(&self, change: &Change) {
        let seen =
            |object: &Option<Value>| object.clone().filter(|object| is_wanted(&self.asked, object));
        match (seen(&change.before), seen(&change.after)) {
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
        let metadata = json!({ "resourceVersion": self.sent.to_string() });
        let object = json!({ "apiVersion": "v1", "kind": "Bookmark", "metadata": metadata });
        self.write("BOOKMARK", &object);
    }

    fn send(&self, kind: &str, object: &Value) {
        self.write(kind, &shown(&self.asked, object));
    }

    fn write(&self, kind: &str, object: &Value) {
        let line = format!("{}\n", json!({ "type": kind, "object": object }));
        // The watcher may have gone.
        drop(self.sender.send(Ok(Bytes::from(line))));
    }
}
