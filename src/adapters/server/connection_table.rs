//! The open connections of a port, and which of them has to go when there are too many.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Response;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tonic::Status;

use super::Peer;
use super::width::Width;

/// How often a full table is searched for a connection that has been useless long enough.
const SEARCH_INTERVAL: Duration = Duration::from_millis(25);
/// How long a success speaks for its connection.
const SUCCESS_COUNTS_FOR: Duration = Duration::from_secs(10);
/// Connections of a table that may have many concurrent streams: pods with more are rare, and each of
/// these may take several times the memory of the others.
const WIDE_CONNECTIONS: usize = 4;

/// A table with a fixed number of places.
///
/// A place is for connections that are used. What a peer sends says nothing about that, so only requests
/// that succeed count.
#[derive(Debug)]
pub(super) struct ConnectionTable {
    places: usize,
    /// How long a connection must have been useless to be closed in favour of a new one.
    min_idle: Duration,
    entries: Mutex<Vec<Arc<Entry>>>,
    /// Since when every new connection has had to wait.
    full_since: Mutex<Option<Instant>>,
    freed: Notify,
}

#[derive(Debug)]
struct Entry {
    is_wide: bool,
    usefulness: Mutex<Usefulness>,
    is_evicted: AtomicBool,
    evicted: Notify,
}

#[derive(Clone, Copy, Debug)]
struct Usefulness {
    has_succeeded: bool,
    /// When the last request succeeded; before the first one, when the connection was opened.
    last_success: Instant,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    table: Arc<ConnectionTable>,
    entry: Arc<Entry>,
}

impl ConnectionTable {
    pub(super) fn new(places: usize, min_idle: Duration) -> Arc<Self> {
        let (entries, full_since, freed) = (Mutex::default(), Mutex::default(), Notify::new());
        Arc::new(Self { places, min_idle, entries, full_since, freed })
    }

    /// Waits for a place. In a full table, the connection whose last success is longest ago has to go,
    /// if that is long enough.
    pub(super) async fn acquire(self: &Arc<Self>) -> Place {
        if let Some(place) = self.try_acquire() {
            *self.full_since.lock() = None;
            return place;
        }
        self.full_since.lock().get_or_insert_with(Instant::now);
        loop {
            let freed = self.freed.notified();
            if let Some(place) = self.try_acquire() {
                return place;
            }
            self.evict();
            // On a timeout, another connection may have been useless long enough.
            let _ = timeout(SEARCH_INTERVAL, freed).await;
        }
    }

    fn try_acquire(self: &Arc<Self>) -> Option<Place> {
        let mut entries = self.entries.lock();
        if entries.len() >= self.places {
            return None;
        }
        let wide = entries.iter().filter(|entry| entry.is_wide).count();
        let entry = Arc::new(Entry {
            is_wide: wide < WIDE_CONNECTIONS,
            usefulness: Mutex::new(Usefulness {
                has_succeeded: false,
                last_success: Instant::now(),
            }),
            is_evicted: AtomicBool::new(false),
            evicted: Notify::new(),
        });
        entries.push(Arc::clone(&entry));
        Some(Place { table: Arc::clone(self), entry })
    }

    /// Twice as long at first: when many connect at once, the first ones have not had the time to send
    /// that the others have while they wait.
    fn min_idle(&self) -> Duration {
        let full_for = self.full_since.lock().map_or(Duration::ZERO, |since| since.elapsed());
        if full_for < 3 * self.min_idle { 2 * self.min_idle } else { self.min_idle }
    }

    fn evict(&self) {
        let entries = self.entries.lock();
        let staying = entries.iter().filter(|entry| !entry.is_evicted.load(Ordering::Relaxed));
        let last_successes = staying.map(|entry| (entry.usefulness.lock().last_success, entry));
        let oldest = last_successes.min_by_key(|(last_success, _)| *last_success);
        let min_idle = self.min_idle();
        if let Some((_, entry)) = oldest.filter(|(since, _)| since.elapsed() >= min_idle) {
            entry.is_evicted.store(true, Ordering::Relaxed);
            entry.evicted.notify_one();
        }
    }
}

impl Place {
    /// What the connection may use.
    pub(super) fn width(&self) -> &'static Width {
        if self.entry.is_wide { &Width::WIDE } else { &Width::NARROW }
    }

    /// Returns what is known of the peer now.
    pub(super) fn assess(&self, peer: Peer) -> Peer {
        let Usefulness { has_succeeded, last_success } = *self.entry.usefulness.lock();
        Peer { has_succeeded: has_succeeded && last_success.elapsed() < SUCCESS_COUNTS_FOR, ..peer }
    }

    /// Notes whether a request has succeeded. A failure over gRPC has its status beside HTTP's 200.
    pub(super) fn note<B>(&self, response: &Response<B>) {
        if response.status().is_success() && !response.headers().contains_key(Status::GRPC_STATUS) {
            *self.entry.usefulness.lock() =
                Usefulness { has_succeeded: true, last_success: Instant::now() };
        }
    }

    /// Waits until the connection has to go.
    pub(super) async fn evicted(&self) {
        self.entry.evicted.notified().await;
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

    use http::StatusCode;
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

    fn refused(status: StatusCode) -> Response<()> {
        Response::builder().status(status).header(Status::GRPC_STATUS, "14").body(()).unwrap()
    }

    async fn is_evicted(place: &Place) -> bool {
        timeout(Duration::ZERO, place.evicted()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_useless_longest_gives_its_place_to_a_new_one() {
        let (table, first, second) = full_table().await;
        let mut newcomer = pin!(table.acquire());

        assert!(timeout(Duration::from_millis(9_500), newcomer.as_mut()).await.is_err());
        assert!(is_evicted(&first).await);
        drop(first);

        newcomer.await;
        assert!(!is_evicted(&second).await);
    }

    #[tokio::test(start_paused = true)]
    async fn no_connection_goes_before_it_was_useless_long_enough() {
        let (table, first, second) = full_table().await;

        assert!(timeout(Duration::from_millis(8_900), table.acquire()).await.is_err());

        assert!(!is_evicted(&first).await && !is_evicted(&second).await);
    }

    #[tokio::test(start_paused = true)]
    async fn while_new_connections_always_wait_the_others_go_sooner() {
        let table = ConnectionTable::new(1, MIN_IDLE);
        let mut place = table.acquire().await;
        let mut waited = Vec::new();
        for _ in 0..3 {
            let started = Instant::now();
            let (next, ()) = tokio::join!(table.acquire(), async {
                place.evicted().await;
                drop(place);
            });
            place = next;
            waited.push(started.elapsed().as_secs());
        }

        assert_eq!(waited, [10, 5, 5]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_succeeds_keeps_its_connection() {
        let (table, first, second) = full_table().await;
        advance(Duration::from_mins(1)).await;
        first.note(&Response::new(()));
        second.note(&refused(StatusCode::SERVICE_UNAVAILABLE));
        second.note(&refused(StatusCode::OK));

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

    #[tokio::test(start_paused = true)]
    async fn a_success_speaks_for_its_connection_for_ten_seconds() {
        let place = ConnectionTable::new(1, MIN_IDLE).acquire().await;
        let peer = Peer { ip: [127, 0, 0, 1].into(), connection: 7, has_succeeded: false };
        assert_eq!(place.assess(peer), peer);

        place.note(&Response::new(()));

        assert_eq!(place.assess(peer), Peer { has_succeeded: true, ..peer });
        advance(SUCCESS_COUNTS_FOR).await;
        assert_eq!(place.assess(peer), peer);
    }

    #[tokio::test]
    async fn only_a_few_connections_are_wide_at_a_time() {
        let table = ConnectionTable::new(10, MIN_IDLE);
        let mut places = Vec::new();
        for _ in 0..10 {
            places.push(table.acquire().await);
        }

        assert_eq!(places.iter().filter(|place| place.entry.is_wide).count(), WIDE_CONNECTIONS);

        drop(places.remove(0));
        assert!(table.acquire().await.entry.is_wide);
    }
}
