//! The requests being read: how many there are, what memory they hold, and which of them has to go
//! when others wait.
//!
//! Every request may hold [`OWN_BYTES`] without waiting, so small requests always pass. Beyond that it
//! reserves memory once some of it has arrived, of 1 MiB that all share, or as the one large request
//! that may use more. Nobody is cut off while nobody waits; then the slowest goes, if it is slow.

mod memory;
mod receive_rate;

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use self::memory::{EMPTY_REQUEST_BYTES, Held, Memory, busy_error};
use crate::adapters::messaging::request_error::RequestError;
use crate::adapters::server::{Peer, STREAM_WINDOW};

/// What a request may hold without a reservation: what its peer may send before it is let send more.
pub(super) const OWN_BYTES: usize = STREAM_WINDOW as usize;
/// Memory that all requests share.
const SHARED_BYTES: usize = 1 << 20;
/// Maximum share of one request; a larger one is read outside the shared memory, one at a time.
const MAX_SHARE_BYTES: usize = SHARED_BYTES / 2;
/// What a request may hold at most without being the large one.
pub(super) const WHOLE_SHARE_BYTES: usize = OWN_BYTES + MAX_SHARE_BYTES;
/// How long a request waits for memory. SDKs lose data when it is refused, but also when they wait
/// too long.
const RESERVE_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a request that waits looks for another one that has to go.
const SEARCH_INTERVAL: Duration = Duration::from_millis(50);
/// How long a request waits before a slow one is cut off in its favour.
const PATIENCE: Duration = Duration::from_millis(250);

/// All requests being read. One per process.
#[derive(Debug, Default)]
pub(super) struct OpenRequests {
    memory: Mutex<Memory>,
    /// Notified when memory may have become free or a request was cut off.
    changed: Notify,
}

/// A request being read, until it is dropped.
#[derive(Debug)]
pub(in crate::adapters::messaging) struct OpenRequest<'a> {
    all: &'a OpenRequests,
    id: u64,
}

impl OpenRequests {
    /// Begins a request. See [`OpenRequest::received`].
    pub(super) fn open(&self, peer: Peer) -> Result<OpenRequest<'_>, RequestError> {
        let mut memory = self.memory.lock();
        let id = memory.add(peer, Instant::now());
        // Removes the entry again on an error.
        let request = OpenRequest { all: self, id };
        let held = memory.hold(id, EMPTY_REQUEST_BYTES);
        drop(memory);
        self.end_of_hold(held).map(|()| request)
    }

    fn end_of_hold(&self, held: Result<Held, RequestError>) -> Result<(), RequestError> {
        if held? == Held::AfterCut {
            self.changed.notify_waiters();
        }
        Ok(())
    }
}

impl OpenRequest<'_> {
    /// Reports that `bytes` arrived, and that they and those before take `capacity` now. Fails if the
    /// request was cut off.
    ///
    /// If all requests together hold too much that was not reserved, the slowest has to go, if it is
    /// slow; or else one of a stranger, if this is none; or else the one that waits for the most memory;
    /// or else one of the connection with the most requests. If there is none of these, it is this one.
    pub(super) fn received(&self, bytes: usize, capacity: usize) -> Result<(), RequestError> {
        let now = Instant::now();
        let mut memory = self.all.memory.lock();
        memory.check_not_cut(self.id)?;
        memory.note_arrival(self.id, bytes, now);
        let held = memory.hold(self.id, EMPTY_REQUEST_BYTES + capacity.min(OWN_BYTES));
        drop(memory);
        self.all.end_of_hold(held)
    }

    /// Reserves memory, so that this request holds `bytes` in all; returns whether there was enough.
    pub(super) fn try_reserve(&self, bytes: usize) -> bool {
        self.all.memory.lock().try_reserve(self.id, bytes)
    }

    /// Gives back shared memory, so that this request holds `bytes` in all.
    pub(super) fn reduce_to(&self, bytes: usize) {
        if self.all.memory.lock().reduce_to(self.id, bytes) {
            self.all.changed.notify_waiters();
        }
    }

    /// Waits for memory, so that this request holds `bytes` in all.
    ///
    /// One that holds shared memory while it waits for more than this one has to go soon; and after
    /// [`PATIENCE`] the slowest of those that hold memory, if it is slow, and the longer this one waits,
    /// the faster others must be. Meanwhile this one's sender must be held back.
    pub(super) async fn reserve(&self, bytes: usize) -> Result<(), RequestError> {
        if self.try_reserve(bytes) {
            return Ok(());
        }
        let started = Instant::now();
        self.all.memory.lock().enqueue(self.id, bytes, started);
        let _waiting = Waiting(self);
        loop {
            let changed = self.all.changed.notified();
            let now = Instant::now();
            if now >= started + RESERVE_TIMEOUT {
                return Err(busy_error());
            }
            {
                let mut memory = self.all.memory.lock();
                memory.check_not_cut(self.id)?;
                if memory.try_reserve(self.id, bytes) {
                    return Ok(());
                }
                if memory.cut_in_favour_of(bytes, now - started, now) {
                    self.all.changed.notify_waiters();
                }
            }
            // On a timeout, a request may have become the slowest.
            let _ = timeout_at(now + SEARCH_INTERVAL, changed).await;
        }
    }

    /// Waits until this request is cut off.
    pub(super) async fn cut_off(&self) -> RequestError {
        loop {
            let changed = self.all.changed.notified();
            if let Err(error) = self.all.memory.lock().check_not_cut(self.id) {
                return error;
            }
            changed.await;
        }
    }
}

/// Keeps a request among those that wait, until it is dropped.
struct Waiting<'a>(&'a OpenRequest<'a>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let OpenRequest { all, id } = self.0;
        all.memory.lock().dequeue(*id, Instant::now());
        // The next one in line may take what this one has not.
        all.changed.notify_waiters();
    }
}

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        let mut memory = self.all.memory.lock();
        if memory.remove(self.id) {
            drop(memory);
            self.all.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests;
