//! What memory the requests being read hold, and which of them has to go.
//!
//! A connection has proven itself if a request on it succeeded lately; those of the others are
//! strangers. Attackers are strangers, and so is every new client: strangers give way, but never all.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::receive_rate::ReceiveRate;
use super::{OWN_BYTES, PATIENCE, SEARCH_INTERVAL, SHARED_BYTES, WHOLE_SHARE_BYTES};
use crate::adapters::messaging::request_error::RequestError;
use crate::adapters::server::Peer;

/// What all requests may hold without a reservation.
pub(super) const ALL_OWN_BYTES: usize = 3 << 20;
/// What of it is kept for strangers, and as much for the others.
pub(super) const KEPT_OWN_BYTES: usize = 512 << 10;
/// Memory of a request of which nothing has arrived: its task, its stream.
pub(super) const EMPTY_REQUEST_BYTES: usize = 4 << 10;
/// How long a request of a stranger is safe from others' while there is too little memory.
const STRANGER_PATIENCE: Duration = Duration::from_millis(100);
/// How much later a request may come and still overtake that of a stranger.
pub(super) const STRANGER_HANDICAP: Duration = Duration::from_millis(200);
/// Bytes a second below which a sender is slow; twice as many for each [`SEARCH_INTERVAL`] that others
/// wait beyond [`PATIENCE`].
const SLOW_RATE: usize = 16 << 10;
/// How often it doubles at most: up to 256 KiB/s.
const MAX_DOUBLINGS: u128 = 4;

/// All requests being read, and what they hold.
#[derive(Debug, Default)]
pub(super) struct Memory {
    next_id: u64,
    requests: Vec<Entry>,
    pub(super) own_bytes: OwnBytes,
    pub(super) shared_bytes: usize,
    /// The request that may use more than its share.
    large: Option<u64>,
    /// Requests that wait for memory, in the order in which they get it.
    pub(super) waiting: VecDeque<Waiter>,
}

/// A request that waits for memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    pub(super) id: u64,
    /// What the request wants to hold in all.
    bytes: usize,
    /// The earlier one gets memory first.
    rank: Instant,
}

/// Memory that is held without a reservation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct OwnBytes {
    of_proven: usize,
    of_strangers: usize,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    peer: Peer,
    opened: Instant,
    rate: ReceiveRate,
    own_bytes: usize,
    shared_bytes: usize,
    cut: Option<Cut>,
}

/// What the requests of one connection hold. The greater one has to give way: a connection without a
/// recent success, then that with more requests, then that with more bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Load {
    is_unproven: bool,
    requests: usize,
    bytes: usize,
}

/// How memory was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    AtOnce,
    /// Another request has to go.
    AfterCut,
}

/// Why a request is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// It was sent slowly, at this rate in KiB/s, while others waited.
    Slow(usize),
    /// There was too little memory for all.
    Crowded,
}

impl Memory {
    /// Adds a request that holds nothing yet; returns its id.
    pub(super) fn add(&mut self, peer: Peer, now: Instant) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let rate = ReceiveRate::starting(now);
        let entry = Entry { id, peer, opened: now, rate, own_bytes: 0, shared_bytes: 0, cut: None };
        self.requests.push(entry);
        id
    }

    /// Notes that bytes of a request arrived.
    pub(super) fn note_arrival(&mut self, id: u64, bytes: usize, now: Instant) {
        if let Some(entry) = self.entry(id) {
            entry.rate.add(now, bytes);
        }
    }

    fn entry(&mut self, id: u64) -> Option<&mut Entry> {
        self.requests.iter_mut().find(|entry| entry.id == id)
    }

    /// Removes a request; returns whether it held reserved memory.
    pub(super) fn remove(&mut self, id: u64) -> bool {
        let Some(index) = self.requests.iter().position(|entry| entry.id == id) else {
            return false;
        };
        let Entry { peer, own_bytes, shared_bytes, .. } = self.requests.swap_remove(index);
        *self.own_bytes.of(peer) -= own_bytes;
        self.shared_bytes -= shared_bytes;
        let is_large = self.large.take_if(|large| *large == id).is_some();
        shared_bytes > 0 || is_large
    }

    /// Reserves memory, so that a request holds `bytes` in all; returns whether there was enough.
    pub(super) fn try_reserve(&mut self, id: u64, bytes: usize) -> bool {
        if bytes <= OWN_BYTES || self.large == Some(id) {
            return true;
        }
        // In order: smaller ones that come later would otherwise take what a larger one waits for.
        let mut earlier = self.waiting.iter().take_while(|waiter| waiter.id != id);
        let may_share = earlier.all(|waiter| waiter.bytes > WHOLE_SHARE_BYTES);
        let may_be_large =
            self.large.is_none() && self.waiting.front().is_none_or(|first| first.id == id);
        let taken = self.shared_bytes;
        let Some(entry) = self.entry(id) else { return false };
        let (held, wanted) = (entry.shared_bytes, bytes - OWN_BYTES);
        if wanted <= held {
            return true;
        }
        if may_share && bytes <= WHOLE_SHARE_BYTES && taken - held + wanted <= SHARED_BYTES {
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

    /// Adds a request to those that wait, and whose senders are held back. That of a stranger lets
    /// others overtake it that come somewhat later.
    pub(super) fn enqueue(&mut self, id: u64, bytes: usize, now: Instant) {
        let Some(entry) = self.entry(id) else { return };
        entry.rate.hold_back(now);
        let is_proven = entry.peer.has_succeeded;
        let rank = if is_proven { now } else { now + STRANGER_HANDICAP };
        let position = self.waiting.partition_point(|waiter| waiter.rank <= rank);
        self.waiting.insert(position, Waiter { id, bytes, rank });
    }

    /// Removes a request from those that wait.
    pub(super) fn dequeue(&mut self, id: u64, now: Instant) {
        if let Some(entry) = self.entry(id) {
            entry.rate.let_send(now);
        }
        self.waiting.retain(|waiter| waiter.id != id);
    }

    /// Gives back what a request holds beyond `bytes`; returns whether memory became free.
    pub(super) fn reduce_to(&mut self, id: u64, bytes: usize) -> bool {
        let Some(entry) = self.entry(id) else { return false };
        let unused = entry.shared_bytes.saturating_sub(bytes.saturating_sub(OWN_BYTES));
        entry.shared_bytes -= unused;
        self.shared_bytes -= unused;
        unused > 0
    }

    /// Fails if a request was cut off.
    pub(super) fn check_not_cut(&mut self, id: u64) -> Result<(), RequestError> {
        match self.entry(id).and_then(|entry| entry.cut) {
            None => Ok(()),
            Some(Cut::Slow(rate)) => Err(RequestError::unavailable(format!(
                "the request was sent at {rate} KiB/s while others waited to be read"
            ))),
            Some(Cut::Crowded) => Err(busy_error()),
        }
    }

    /// Sets what a request holds without a reservation, if that is more than before.
    pub(super) fn hold(&mut self, id: u64, own_bytes: usize) -> Result<Held, RequestError> {
        let Some(entry) = self.entry(id) else { return Ok(Held::AtOnce) };
        let more = own_bytes.saturating_sub(entry.own_bytes);
        entry.own_bytes += more;
        let peer = entry.peer;
        *self.own_bytes.of(peer) += more;
        let excess = self.own_bytes.excess(peer);
        if excess == 0 {
            return Ok(Held::AtOnce);
        }
        // Those that were cut off end as soon as they run.
        let going = self.requests.iter().filter(|entry| entry.cut.is_some());
        let going: usize = going.map(|entry| entry.own_bytes).sum();
        if excess <= going.min(ALL_OWN_BYTES / 4) {
            return Ok(Held::AtOnce);
        }
        let now = Instant::now();
        if self.cut_slowest(now, (SLOW_RATE, SLOW_RATE), |entry| entry.id != id)
            || (peer.has_succeeded && self.cut_most_crowded(peer, |entry| entry.is_stranger(now)))
            || self.cut_largest_waiter(id, peer)
            || self.cut_most_crowded(peer, |_| true)
        {
            return Ok(Held::AfterCut);
        }
        Err(busy_error())
    }

    /// Cuts off one request in favour of one that has waited for `bytes`, unless one that was cut off
    /// before is about to end; returns whether it did.
    pub(super) fn cut_in_favour_of(
        &mut self,
        bytes: usize,
        waited: Duration,
        now: Instant,
    ) -> bool {
        let holds_memory = |entry: &Entry| entry.holds_memory() || self.large == Some(entry.id);
        let is_ending =
            self.requests.iter().any(|entry| entry.cut.is_some() && holds_memory(entry));
        let doublings = waited.saturating_sub(PATIENCE).as_millis() / SEARCH_INTERVAL.as_millis();
        let raised = SLOW_RATE << doublings.min(MAX_DOUBLINGS);
        // What a large request waits for is not what others share.
        let (of_large, of_others) =
            if bytes > WHOLE_SHARE_BYTES { (raised, SLOW_RATE) } else { (SLOW_RATE, raised) };
        !is_ending
            && ((waited >= PATIENCE
                && self.cut_slowest(now, (of_large, of_others), Entry::holds_memory))
                || (waited >= SEARCH_INTERVAL && self.cut_holding_waiter(bytes)))
    }

    /// Cuts off that other request which waits for the most memory: the others are read sooner. One of a
    /// connection that has proven itself does not go in favour of one that has not.
    fn cut_largest_waiter(&mut self, id: u64, peer: Peer) -> bool {
        let may_go = |entry: &Entry| peer.has_succeeded || !entry.peer.has_succeeded;
        self.cut_waiter(|waiter, entry| waiter.id != id && may_go(entry))
    }

    /// Cuts off a request that holds shared memory and waits for more than `bytes`: it keeps smaller ones
    /// waiting for as long as larger ones are read before it.
    fn cut_holding_waiter(&mut self, bytes: usize) -> bool {
        self.cut_waiter(|waiter, entry| waiter.bytes > bytes && entry.shared_bytes > 0)
    }

    /// Cuts off the candidate that waits for the most memory, and of these the last one.
    fn cut_waiter(&mut self, is_candidate: impl Fn(&Waiter, &Entry) -> bool) -> bool {
        let Self { requests, waiting, .. } = self;
        let candidates = requests.iter_mut().filter(|entry| entry.cut.is_none());
        let candidates = candidates.filter_map(|entry| {
            let position = waiting.iter().position(|waiter| waiter.id == entry.id)?;
            let waiter = waiting.get(position).filter(|waiter| is_candidate(waiter, entry))?;
            Some(((waiter.bytes, position), entry))
        });
        let Some((_, entry)) = candidates.max_by_key(|(rank, _)| *rank) else { return false };
        entry.cut = Some(Cut::Crowded);
        true
    }

    /// Of those that may go, cuts off the oldest request of the connection with the greatest load, if that
    /// is more than the load of `peer`.
    fn cut_most_crowded(&mut self, peer: Peer, may_go: impl Fn(&Entry) -> bool) -> bool {
        let mut loads: HashMap<u64, Load> = HashMap::new();
        for entry in &self.requests {
            let load = loads.entry(entry.peer.connection).or_default();
            load.is_unproven = !entry.peer.has_succeeded;
            load.requests += 1;
            load.bytes += entry.own_bytes;
        }
        let load_of = |peer: Peer| loads.get(&peer.connection).copied().unwrap_or_default();
        let uncut = self.requests.iter().filter(|entry| entry.cut.is_none() && may_go(entry));
        let oldest = uncut
            .map(|entry| (load_of(entry.peer), Reverse(entry.id)))
            .max()
            .filter(|(load, _)| *load > load_of(peer));
        let Some((_, Reverse(id))) = oldest else { return false };
        self.entry(id).is_some_and(|entry| entry.cut.replace(Cut::Crowded).is_none())
    }

    /// Cuts off the slowest of the candidates, if it is slower than `of_large`, for the large request, or
    /// `of_others`, and one of a connection that has not proven itself before any other; returns whether
    /// there was one. A request that itself waits for memory is not slow: its peer is held back.
    fn cut_slowest(
        &mut self,
        now: Instant,
        (of_large, of_others): (usize, usize),
        is_candidate: impl Fn(&Entry) -> bool,
    ) -> bool {
        let Self { requests, waiting, large, .. } = self;
        let slowest = requests
            .iter_mut()
            .filter(|entry| {
                entry.cut.is_none() && waiting.iter().all(|waiter| waiter.id != entry.id)
            })
            .filter(|entry| *large == Some(entry.id) || is_candidate(entry))
            .filter_map(|entry| Some((entry.rate.bytes_per_second(now, PATIENCE)?, entry)))
            .filter(|(rate, entry)| {
                *rate < if *large == Some(entry.id) { of_large } else { of_others }
            })
            .min_by_key(|(rate, entry)| (entry.peer.has_succeeded, *rate));
        let Some((rate, entry)) = slowest else { return false };
        entry.cut = Some(Cut::Slow(rate >> 10));
        true
    }
}

impl OwnBytes {
    const fn of(&mut self, peer: Peer) -> &mut usize {
        if peer.has_succeeded { &mut self.of_proven } else { &mut self.of_strangers }
    }

    /// Returns how much too much there is, if requests such as that of `peer` have to give way.
    fn excess(&self, peer: Peer) -> usize {
        let Self { of_proven, of_strangers } = *self;
        let (own, others) =
            if peer.has_succeeded { (of_proven, of_strangers) } else { (of_strangers, of_proven) };
        let total = own + others.max(KEPT_OWN_BYTES);
        if own <= KEPT_OWN_BYTES { 0 } else { total.saturating_sub(ALL_OWN_BYTES) }
    }
}

impl Entry {
    const fn holds_memory(&self) -> bool {
        self.shared_bytes > 0
    }

    /// Whether it is that of a stranger who had some time.
    fn is_stranger(&self, now: Instant) -> bool {
        !self.peer.has_succeeded && now - self.opened >= STRANGER_PATIENCE
    }
}

pub(super) fn busy_error() -> RequestError {
    RequestError::unavailable("too many requests are being read; try again later")
}
