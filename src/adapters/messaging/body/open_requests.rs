//! The requests being read: how many there are, what memory they hold, and which of them has to go
//! when others wait.
//!
//! Every request may hold [`OWN_BYTES`] without waiting, so small requests always pass. Beyond that it
//! reserves memory as its bytes arrive, of 1 MiB that all share, or as the one large request that may
//! use more. Nobody is cut off while nobody waits; then the slowest goes, if it is slow.

mod receive_rate;

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use self::receive_rate::ReceiveRate;
use crate::adapters::messaging::request_error::RequestError;
use crate::adapters::server::STREAM_WINDOW;

/// What a request may hold without a reservation: what its peer may send before it is let send more.
pub(super) const OWN_BYTES: usize = STREAM_WINDOW as usize;
/// What all requests may hold without a reservation.
const ALL_OWN_BYTES: usize = 2 << 20;
/// Memory of a request of which nothing has arrived: its task, its stream.
const EMPTY_REQUEST_BYTES: usize = 4 << 10;
/// Memory that all requests share.
const SHARED_BYTES: usize = 1 << 20;
/// Maximum share of one request; a larger one is read outside the shared memory, one at a time.
pub(super) const MAX_SHARE_BYTES: usize = SHARED_BYTES / 2;
/// How long a request waits for memory. SDKs lose data when it is refused, but also when they wait
/// too long.
const RESERVE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a request waits before a slow one is cut off in its favour.
const PATIENCE: Duration = Duration::from_millis(250);
/// Bytes a second below which a sender is slow.
const SLOW_RATE: usize = 16 << 10;

/// All requests being read. One per process.
#[derive(Debug, Default)]
pub(super) struct OpenRequests {
    state: Mutex<State>,
    /// Notified when memory may have become free or a request was cut off.
    changed: Notify,
}

/// A request being read, until it is dropped.
#[derive(Debug)]
pub(in crate::adapters::messaging) struct OpenRequest<'a> {
    all: &'a OpenRequests,
    id: u64,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    requests: Vec<Entry>,
    /// Memory that is held without a reservation.
    own_bytes: usize,
    shared_bytes: usize,
    /// The request that may use more than its share.
    large: Option<u64>,
    /// Requests that wait for memory, in order.
    waiting: VecDeque<u64>,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    connection: u64,
    rate: ReceiveRate,
    own_bytes: usize,
    shared_bytes: usize,
    cut: Option<Cut>,
}

/// How memory was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    AtOnce,
    /// Another request has to go.
    AfterCut,
}

/// Why a request is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// It was sent slowly while others waited.
    Slow,
    /// Its connection had the most requests when there was too little memory.
    Crowded,
}

impl OpenRequests {
    /// Begins a request of a connection. See [`OpenRequest::received`].
    pub(super) fn open(&self, connection: u64) -> Result<OpenRequest<'_>, RequestError> {
        let mut state = self.state.lock();
        let id = state.next_id;
        state.next_id += 1;
        let rate = ReceiveRate::starting(Instant::now());
        let entry = Entry { id, connection, rate, own_bytes: 0, shared_bytes: 0, cut: None };
        state.requests.push(entry);
        // Removes the entry again on an error.
        let request = OpenRequest { all: self, id };
        let held = state.hold(id, EMPTY_REQUEST_BYTES);
        drop(state);
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
    /// Reports that `bytes` arrived.
    ///
    /// If all requests together hold too much that was not reserved, the slowest has to go, if it is
    /// slow; or else the last of those that wait for more memory; or else one of the connection with
    /// the most requests. If there is none of these, it is this one.
    pub(super) fn received(&self, bytes: usize) -> Result<(), RequestError> {
        let now = Instant::now();
        let mut state = self.all.state.lock();
        if let Some(entry) = state.entry(self.id) {
            entry.rate.add(now, bytes);
        }
        let held = state.hold(self.id, bytes);
        drop(state);
        self.all.end_of_hold(held)
    }

    /// Reserves memory, so that this request holds `bytes` in all; returns whether there was enough.
    pub(super) fn try_reserve(&self, bytes: usize) -> bool {
        self.all.state.lock().try_reserve(self.id, bytes)
    }

    /// Waits for memory, so that this request holds `bytes` in all.
    pub(super) async fn reserve(&self, bytes: usize) -> Result<(), RequestError> {
        if self.try_reserve(bytes) {
            return Ok(());
        }
        let started = Instant::now();
        self.all.state.lock().waiting.push_back(self.id);
        let _waiting = Waiting(self);
        loop {
            let changed = self.all.changed.notified();
            let now = Instant::now();
            if now >= started + RESERVE_TIMEOUT {
                return Err(busy_error());
            }
            {
                let mut state = self.all.state.lock();
                state.check_not_cut(self.id)?;
                if state.try_reserve(self.id, bytes) {
                    return Ok(());
                }
                if now >= started + PATIENCE && state.cut_slowest(now, Entry::holds_memory) {
                    self.all.changed.notify_waiters();
                }
            }
            // On a timeout, a request may have become the slowest.
            let _ = timeout_at(now + PATIENCE, changed).await;
        }
    }

    /// Waits until this request is cut off.
    pub(super) async fn cut_off(&self) -> RequestError {
        loop {
            let changed = self.all.changed.notified();
            if let Err(error) = self.all.state.lock().check_not_cut(self.id) {
                return error;
            }
            changed.await;
        }
    }
}

/// A request that waits for memory, until it is dropped.
struct Waiting<'a>(&'a OpenRequest<'a>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let OpenRequest { all, id } = self.0;
        all.state.lock().waiting.retain(|each| each != id);
        // The next one in line may take what this one has not.
        all.changed.notify_waiters();
    }
}

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        let mut state = self.all.state.lock();
        if state.remove(self.id) {
            drop(state);
            self.all.changed.notify_waiters();
        }
    }
}

impl State {
    fn entry(&mut self, id: u64) -> Option<&mut Entry> {
        self.requests.iter_mut().find(|entry| entry.id == id)
    }

    /// Removes a request; returns whether it held reserved memory.
    fn remove(&mut self, id: u64) -> bool {
        let index = self.requests.iter().position(|entry| entry.id == id);
        let removed = index.map(|index| self.requests.swap_remove(index));
        let (own_bytes, shared_bytes) =
            removed.map_or((0, 0), |entry| (entry.own_bytes, entry.shared_bytes));
        self.own_bytes -= own_bytes;
        self.shared_bytes -= shared_bytes;
        let is_large = self.large.take_if(|large| *large == id).is_some();
        shared_bytes > 0 || is_large
    }

    fn try_reserve(&mut self, id: u64, bytes: usize) -> bool {
        if bytes <= OWN_BYTES || self.large == Some(id) {
            return true;
        }
        // Only the request that waits longest, so that large ones are read in order.
        let may_be_large =
            self.large.is_none() && self.waiting.front().is_none_or(|first| *first == id);
        let taken = self.shared_bytes;
        let Some(entry) = self.entry(id) else { return false };
        let (held, wanted) = (entry.shared_bytes, bytes - OWN_BYTES);
        if wanted <= held {
            return true;
        }
        if wanted <= MAX_SHARE_BYTES && taken - held + wanted <= SHARED_BYTES {
            entry.shared_bytes = wanted;
            self.shared_bytes = taken - held + wanted;
            return true;
        }
        if may_be_large {
            entry.shared_bytes = 0;
            self.shared_bytes = taken - held;
            self.large = Some(id);
            return true;
        }
        false
    }

    fn check_not_cut(&mut self, id: u64) -> Result<(), RequestError> {
        match self.entry(id).and_then(|entry| entry.cut) {
            None => Ok(()),
            Some(Cut::Slow) => Err(RequestError::unavailable(
                "the request was sent more slowly than 16 KiB/s while others waited to be read",
            )),
            Some(Cut::Crowded) => Err(busy_error()),
        }
    }

    /// Adds bytes that a request holds without a reservation, up to its own.
    fn hold(&mut self, id: u64, bytes: usize) -> Result<Held, RequestError> {
        let Some(entry) = self.entry(id) else { return Ok(Held::AtOnce) };
        let more = bytes.min((EMPTY_REQUEST_BYTES + OWN_BYTES).saturating_sub(entry.own_bytes));
        entry.own_bytes += more;
        let connection = entry.connection;
        self.own_bytes += more;
        if self.own_bytes <= ALL_OWN_BYTES {
            return Ok(Held::AtOnce);
        }
        // Those that were cut off end as soon as they run.
        let going = self.requests.iter().filter(|entry| entry.cut.is_some());
        let going: usize = going.map(|entry| entry.own_bytes).sum();
        if self.own_bytes <= ALL_OWN_BYTES + going.min(ALL_OWN_BYTES / 4) {
            return Ok(Held::AtOnce);
        }
        let now = Instant::now();
        if self.cut_slowest(now, |entry| entry.id != id)
            || self.cut_last_waiting(id)
            || self.cut_most_crowded(connection)
        {
            return Ok(Held::AfterCut);
        }
        Err(busy_error())
    }

    /// Cuts off the last other request that waits for memory: it would have to wait longest.
    fn cut_last_waiting(&mut self, id: u64) -> bool {
        let Self { requests, waiting, .. } = self;
        let mut candidates = waiting.iter().rev().filter(|waiting| **waiting != id);
        let uncut =
            |id: &u64| requests.iter().position(|each| each.id == *id && each.cut.is_none());
        let Some(index) = candidates.find_map(uncut) else { return false };
        requests.get_mut(index).is_some_and(|entry| entry.cut.replace(Cut::Crowded).is_none())
    }

    /// Cuts off the oldest request of the connection with the most requests, and of these the one that
    /// holds most, if that is more than `connection` has.
    fn cut_most_crowded(&mut self, connection: u64) -> bool {
        let mut load: HashMap<u64, (usize, usize)> = HashMap::new();
        for entry in &self.requests {
            let (requests, bytes) = load.entry(entry.connection).or_default();
            *requests += 1;
            *bytes += entry.own_bytes;
        }
        let load_of = |connection| load.get(&connection).copied().unwrap_or_default();
        let uncut = self.requests.iter().filter(|entry| entry.cut.is_none());
        let oldest = uncut
            .map(|entry| (load_of(entry.connection), Reverse(entry.id)))
            .max()
            .filter(|(load, _)| *load > load_of(connection));
        let Some((_, Reverse(id))) = oldest else { return false };
        self.entry(id).is_some_and(|entry| entry.cut.replace(Cut::Crowded).is_none())
    }

    /// Cuts off the slowest of the candidates, if it is slow; returns whether there was one. A request
    /// that itself waits for memory is not slow: its peer is held back.
    fn cut_slowest(&mut self, now: Instant, is_candidate: impl Fn(&Entry) -> bool) -> bool {
        let Self { requests, waiting, large, .. } = self;
        let slowest = requests
            .iter_mut()
            .filter(|entry| entry.cut.is_none() && !waiting.contains(&entry.id))
            .filter(|entry| *large == Some(entry.id) || is_candidate(entry))
            .filter_map(|entry| Some((entry.rate.bytes_per_second(now, PATIENCE)?, entry)))
            .min_by_key(|(rate, _)| *rate)
            .filter(|(rate, _)| *rate < SLOW_RATE);
        let Some((_, entry)) = slowest else { return false };
        entry.cut = Some(Cut::Slow);
        true
    }
}

impl Entry {
    const fn holds_memory(&self) -> bool {
        self.shared_bytes > 0
    }
}

fn busy_error() -> RequestError {
    RequestError::unavailable("too many requests are being read; try again later")
}

#[cfg(test)]
mod tests;
