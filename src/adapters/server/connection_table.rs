//! The open connections of a port, and which of them has to go when there are too many.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// How often a full table is searched for a peer that has been silent long enough.
const SEARCH_INTERVAL: Duration = Duration::from_millis(50);
/// How long a new peer may wait with its first request.
const FIRST_REQUEST_GRACE: Duration = Duration::from_millis(400);

/// A table with a fixed number of places.
#[derive(Debug)]
pub(super) struct ConnectionTable {
    places: usize,
    /// How long a peer must have been silent for its connection to be closed in favour of a new one.
    min_silence: Duration,
    entries: Mutex<Vec<Arc<Entry>>>,
    freed: Notify,
}

#[derive(Debug)]
struct Entry {
    activity: Mutex<Activity>,
    evicted: Notify,
}

#[derive(Debug)]
struct Activity {
    /// When the peer last sent something, or its last request ended.
    silent_since: Instant,
    /// Whether the peer has ever sent a request.
    has_requested: bool,
    evicted: bool,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    table: Arc<ConnectionTable>,
    entry: Arc<Entry>,
}

/// Notes that the peer of a connection has sent something.
#[derive(Clone, Debug)]
pub(super) struct PeerActivity(Arc<Entry>);

/// A request that is being answered, until it is dropped.
#[derive(Debug)]
pub(super) struct OpenRequest<'a>(&'a Place);

impl ConnectionTable {
    pub(super) fn new(places: usize, min_silence: Duration) -> Arc<Self> {
        Arc::new(Self { places, min_silence, entries: Mutex::default(), freed: Notify::new() })
    }

    /// Waits for a place. In a full table, the connection whose peer has been silent longest has to
    /// go, if that is long enough or the peer has never sent a request.
    pub(super) async fn acquire(self: &Arc<Self>) -> Place {
        loop {
            let freed = self.freed.notified();
            if let Some(place) = self.try_acquire() {
                return place;
            }
            self.evict();
            // On a timeout, another peer may have been silent long enough.
            let _ = timeout(SEARCH_INTERVAL, freed).await;
        }
    }

    fn try_acquire(self: &Arc<Self>) -> Option<Place> {
        let mut entries = self.entries.lock();
        if entries.len() >= self.places {
            return None;
        }
        let silent_since = Instant::now();
        let activity = Activity { silent_since, has_requested: false, evicted: false };
        let entry = Arc::new(Entry { activity: Mutex::new(activity), evicted: Notify::new() });
        entries.push(Arc::clone(&entry));
        Some(Place { table: Arc::clone(self), entry })
    }

    fn evict(&self) {
        let entries = self.entries.lock();
        let candidates =
            entries.iter().filter_map(|entry| Some((entry.silent_since(self.min_silence)?, entry)));
        if let Some((_, entry)) = candidates.min_by_key(|(since, _)| *since) {
            entry.activity.lock().evicted = true;
            entry.evicted.notify_one();
        }
    }
}

impl Entry {
    /// Returns since when the peer has been silent; `None` if the connection may stay, or has already
    /// been asked to close.
    fn silent_since(&self, min_silence: Duration) -> Option<Instant> {
        let activity = self.activity.lock();
        let grace =
            if activity.has_requested { min_silence } else { min_silence.min(FIRST_REQUEST_GRACE) };
        let may_go = activity.silent_since.elapsed() >= grace;
        (may_go && !activity.evicted).then_some(activity.silent_since)
    }
}

impl PeerActivity {
    pub(super) fn note(&self) {
        self.0.activity.lock().silent_since = Instant::now();
    }
}

impl Place {
    pub(super) fn activity(&self) -> PeerActivity {
        PeerActivity(Arc::clone(&self.entry))
    }

    /// Begins a request.
    pub(super) fn open_request(&self) -> OpenRequest<'_> {
        self.entry.activity.lock().has_requested = true;
        OpenRequest(self)
    }

    /// Waits until the connection has to go.
    pub(super) async fn evicted(&self) {
        self.entry.evicted.notified().await;
    }
}

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        self.0.entry.activity.lock().silent_since = Instant::now();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.entries.lock().retain(|entry| !Arc::ptr_eq(entry, &self.entry));
        self.table.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::time::advance;

    use super::*;

    const MIN_SILENCE: Duration = Duration::from_secs(5);

    /// A table of two places, both taken, the first one earlier, by peers that have sent a request.
    async fn full_table() -> (Arc<ConnectionTable>, Place, Place) {
        let table = ConnectionTable::new(2, MIN_SILENCE);
        let first = table.acquire().await;
        drop(first.open_request());
        advance(Duration::from_secs(1)).await;
        let second = table.acquire().await;
        drop(second.open_request());
        (table, first, second)
    }

    async fn is_evicted(place: &Place) -> bool {
        timeout(Duration::ZERO, place.evicted()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_silent_longest_gives_its_place_to_a_new_one() {
        let (table, first, second) = full_table().await;
        let mut newcomer = pin!(table.acquire());

        assert!(timeout(Duration::from_millis(4_500), newcomer.as_mut()).await.is_err());
        assert!(is_evicted(&first).await);
        drop(first);

        newcomer.await;
        assert!(!is_evicted(&second).await);
    }

    #[tokio::test(start_paused = true)]
    async fn no_connection_that_was_used_goes_before_it_was_silent_long_enough() {
        let (table, first, second) = full_table().await;

        assert!(timeout(Duration::from_millis(3_700), table.acquire()).await.is_err());

        assert!(!is_evicted(&first).await && !is_evicted(&second).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_never_used_goes_soon() {
        let table = ConnectionTable::new(2, MIN_SILENCE);
        let used = table.acquire().await;
        let _open = used.open_request();
        let unused = table.acquire().await;

        assert!(timeout(Duration::from_millis(399), table.acquire()).await.is_err());
        assert!(!is_evicted(&unused).await);
        assert!(timeout(Duration::from_millis(60), table.acquire()).await.is_err());

        assert!(is_evicted(&unused).await);
        assert!(!is_evicted(&used).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_request_does_not_come_is_silent() {
        let (table, first, second) = full_table().await;
        let _request = first.open_request();
        advance(Duration::from_mins(1)).await;
        second.activity().note();

        assert!(timeout(Duration::from_secs(1), table.acquire()).await.is_err());

        assert!(is_evicted(&first).await);
        assert!(!is_evicted(&second).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_silent_since_the_end_of_its_last_request() {
        let (table, first, second) = full_table().await;
        advance(Duration::from_mins(1)).await;
        drop(first.open_request());

        assert!(timeout(Duration::from_secs(1), table.acquire()).await.is_err());

        assert!(is_evicted(&second).await);
        assert!(!is_evicted(&first).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_becomes_free_is_taken_without_an_eviction() {
        let (table, first, second) = full_table().await;
        let (_, second) = tokio::join!(table.acquire(), async {
            drop(first);
            second
        });

        assert!(!is_evicted(&second).await);
    }
}
