//! The open connections of a port, and which of them has to go when there are too many.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// How often a full table is searched for a connection that has become idle long enough.
const SEARCH_INTERVAL: Duration = Duration::from_millis(250);

/// A table with a fixed number of places.
#[derive(Debug)]
pub(super) struct ConnectionTable {
    places: usize,
    /// How long a connection must have been idle to be closed in favour of a new one.
    min_idle: Duration,
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
    open_requests: usize,
    idle_since: Instant,
    evicted: bool,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    table: Arc<ConnectionTable>,
    entry: Arc<Entry>,
}

/// A request that is being answered, until it is dropped; meanwhile its connection is not idle.
#[derive(Debug)]
pub(super) struct OpenRequest<'a>(&'a Place);

impl ConnectionTable {
    pub(super) fn new(places: usize, min_idle: Duration) -> Arc<Self> {
        Arc::new(Self { places, min_idle, entries: Mutex::default(), freed: Notify::new() })
    }

    /// Waits for a place. In a full table, the connection that has been idle longest is asked to
    /// close, if it has been idle long enough.
    pub(super) async fn acquire(self: &Arc<Self>) -> Place {
        loop {
            let freed = self.freed.notified();
            if let Some(place) = self.try_acquire() {
                return place;
            }
            self.evict_idle();
            // On a timeout, another connection may have become idle long enough.
            let _ = timeout(SEARCH_INTERVAL, freed).await;
        }
    }

    fn try_acquire(self: &Arc<Self>) -> Option<Place> {
        let mut entries = self.entries.lock();
        if entries.len() >= self.places {
            return None;
        }
        let activity = Activity { open_requests: 0, idle_since: Instant::now(), evicted: false };
        let entry = Arc::new(Entry { activity: Mutex::new(activity), evicted: Notify::new() });
        entries.push(Arc::clone(&entry));
        Some(Place { table: Arc::clone(self), entry })
    }

    fn evict_idle(&self) {
        let entries = self.entries.lock();
        let idle = entries.iter().filter_map(|entry| Some((entry.idle_since()?, entry)));
        let longest = idle.min_by_key(|(since, _)| *since);
        if let Some((_, entry)) = longest.filter(|(since, _)| since.elapsed() >= self.min_idle) {
            entry.activity.lock().evicted = true;
            entry.evicted.notify_one();
        }
    }
}

impl Entry {
    /// Returns since when the connection has had no open request; `None` if it has one, or has
    /// already been asked to close.
    fn idle_since(&self) -> Option<Instant> {
        let activity = self.activity.lock();
        (activity.open_requests == 0 && !activity.evicted).then_some(activity.idle_since)
    }
}

impl Place {
    /// Marks the connection as busy.
    pub(super) fn open_request(&self) -> OpenRequest<'_> {
        self.entry.activity.lock().open_requests += 1;
        OpenRequest(self)
    }

    /// Waits until the connection has to go.
    pub(super) async fn evicted(&self) {
        self.entry.evicted.notified().await;
    }
}

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        let mut activity = self.0.entry.activity.lock();
        activity.open_requests -= 1;
        activity.idle_since = Instant::now();
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

    const MIN_IDLE: Duration = Duration::from_secs(5);

    /// A table of two places, both taken, the first one earlier.
    async fn full_table() -> (Arc<ConnectionTable>, Place, Place) {
        let table = ConnectionTable::new(2, MIN_IDLE);
        let first = table.acquire().await;
        advance(Duration::from_secs(1)).await;
        let second = table.acquire().await;
        (table, first, second)
    }

    async fn is_evicted(place: &Place) -> bool {
        timeout(Duration::ZERO, place.evicted()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_idle_longest_gives_its_place_to_a_new_one() {
        let (table, first, second) = full_table().await;
        let mut newcomer = pin!(table.acquire());

        assert!(timeout(Duration::from_millis(4_500), newcomer.as_mut()).await.is_err());
        assert!(is_evicted(&first).await);
        drop(first);

        newcomer.await;
        assert!(!is_evicted(&second).await);
    }

    #[tokio::test(start_paused = true)]
    async fn no_connection_goes_before_it_was_idle_long_enough() {
        let (table, first, second) = full_table().await;

        assert!(timeout(Duration::from_millis(3_700), table.acquire()).await.is_err());

        assert!(!is_evicted(&first).await && !is_evicted(&second).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_with_an_open_request_stays() {
        let (table, first, second) = full_table().await;
        let _request = first.open_request();
        advance(Duration::from_mins(1)).await;

        assert!(timeout(Duration::from_secs(1), table.acquire()).await.is_err());

        assert!(!is_evicted(&first).await);
        assert!(is_evicted(&second).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_since_the_end_of_its_last_request() {
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
