use tokio::time::{advance, timeout};

use super::memory::{ALL_OWN_BYTES, KEPT_OWN_BYTES, OwnBytes, STRANGER_HANDICAP};
use super::*;
use crate::adapters::messaging::testing::peer;
use crate::domain::response_status::ResponseStatus;

const KI: usize = 1 << 10;
/// What requests of connections that have not proven themselves may hold without a reservation.
const STRANGERS_BYTES: usize = ALL_OWN_BYTES - KEPT_OWN_BYTES;

async fn is_cut(request: &OpenRequest<'_>) -> bool {
    timeout(Duration::ZERO, request.cut_off()).await.is_ok()
}

/// Opens requests that together hold all memory that needs no reservation, each of a connection of its
/// own.
fn open_all(all: &OpenRequests) -> Vec<OpenRequest<'_>> {
    let each = EMPTY_REQUEST_BYTES + OWN_BYTES;
    let mut requests: Vec<_> = (0..(STRANGERS_BYTES / each) as u64)
        .map(|connection| {
            let request = all.open(peer(connection)).unwrap();
            request.received(OWN_BYTES, OWN_BYTES).unwrap();
            request
        })
        .collect();
    let rest = STRANGERS_BYTES % each - EMPTY_REQUEST_BYTES;
    let last = all.open(peer(999)).unwrap();
    last.received(rest, rest).unwrap();
    requests.push(last);
    requests
}

#[tokio::test(start_paused = true)]
async fn hundreds_of_requests_of_which_nothing_has_arrived_are_open_at_once() {
    let all = OpenRequests::default();

    let open: Vec<_> = (0..500).map(|connection| all.open(peer(connection)).unwrap()).collect();

    assert!(open.iter().all(|request| request.try_reserve(OWN_BYTES)));
}

#[tokio::test(start_paused = true)]
async fn requests_share_a_megabyte_beside_one_large_request() {
    let all = OpenRequests::default();
    let requests: Vec<_> = (0..64).map(|connection| all.open(peer(connection)).unwrap()).collect();
    let share = WHOLE_SHARE_BYTES;

    let reserved = requests.iter().filter(|request| request.try_reserve(share)).count();

    assert_eq!(reserved, SHARED_BYTES / MAX_SHARE_BYTES + 1);
}

#[tokio::test(start_paused = true)]
async fn memory_is_free_again_when_its_request_ends() {
    let all = OpenRequests::default();
    let large = all.open(peer(0)).unwrap();
    assert!(large.try_reserve(4 << 20));
    let next = all.open(peer(1)).unwrap();
    assert!(!next.try_reserve(4 << 20));

    let (reserved, ()) = tokio::join!(next.reserve(4 << 20), async { drop(large) });

    assert!(reserved.is_ok());
}

/// Whoever was let send nothing for seconds is not slow because of it.
#[tokio::test(start_paused = true)]
async fn a_request_that_has_waited_is_not_slow_once_it_has_memory() {
    let all = OpenRequests::default();
    let large = all.open(peer(0)).unwrap();
    assert!(large.try_reserve(4 << 20));
    let (second, third) = (all.open(peer(1)).unwrap(), all.open(peer(2)).unwrap());
    second.received(14 * KI, 14 * KI).unwrap();
    let feeding = async {
        for _ in 0..8 {
            large.received(64 * KI, OWN_BYTES).unwrap();
            advance(Duration::from_millis(250)).await;
        }
        drop(large);
    };

    let third = timeout(Duration::from_millis(2_200), third.reserve(4 << 20));
    let (reserved, third, ()) = tokio::join!(second.reserve(4 << 20), third, feeding);

    assert!(reserved.is_ok());
    assert!(third.is_err(), "{third:?}");
    assert!(!is_cut(&second).await);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_becomes_the_large_one_gives_back_its_share() {
    let all = OpenRequests::default();
    let growing = all.open(peer(0)).unwrap();
    assert!(growing.try_reserve(300 * KI));

    assert!(growing.try_reserve(4 << 20));

    assert_eq!(all.memory.lock().shared_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn large_requests_are_read_in_the_order_of_their_arrival() {
    let all = OpenRequests::default();
    let [first, second, third] = [0, 1, 2].map(|connection| all.open(peer(connection)).unwrap());
    assert!(first.try_reserve(4 << 20));
    let order = Mutex::new(vec![]);

    tokio::join!(
        async {
            second.reserve(4 << 20).await.unwrap();
            order.lock().push(2);
            drop(second);
        },
        async {
            third.reserve(4 << 20).await.unwrap();
            order.lock().push(3);
        },
        async {
            drop(first);
            assert!(
                !all.open(peer(3)).unwrap().try_reserve(4 << 20),
                "it would overtake the others"
            );
        },
    );

    assert_eq!(*order.lock(), [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn the_connection_with_the_most_requests_gives_up_its_oldest() {
    let all = OpenRequests::default();
    let hog: Vec<_> = (0..STRANGERS_BYTES / EMPTY_REQUEST_BYTES - 1)
        .map(|_| all.open(peer(7)).unwrap())
        .collect();
    let other = all.open(peer(8)).unwrap();

    let newcomer = all.open(peer(9)).unwrap();

    assert!(is_cut(&hog[0]).await);
    assert!(!is_cut(&hog[1]).await && !is_cut(&other).await && !is_cut(&newcomer).await);
    let error = all.open(peer(7)).unwrap_err();
    assert_eq!(error.status, ResponseStatus::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_slow_request_goes_when_no_connection_holds_more_than_the_new_one() {
    let all = OpenRequests::default();
    let open: Vec<_> = (0..STRANGERS_BYTES / EMPTY_REQUEST_BYTES)
        .map(|connection| all.open(peer(connection as u64)).unwrap())
        .collect();
    let refused = all.open(peer(5_000));
    assert!(refused.is_err(), "nobody is slow yet");
    advance(Duration::from_secs(2)).await;

    let newcomer = all.open(peer(5_000));

    assert!(newcomer.is_ok());
    let mut cut = 0;
    for request in &open {
        cut += usize::from(is_cut(request).await);
    }
    assert_eq!(cut, 1);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_arrive_beyond_the_memory_of_all_cost_a_request() {
    let all = OpenRequests::default();
    let open = open_all(&all);

    let received = open[3].received(1, OWN_BYTES + 1);
    let (last, full) = open.split_last().unwrap();
    let more = last.received(1, OWN_BYTES / 8 * 7);

    assert!(received.is_ok(), "it holds no more than its own");
    assert!(more.is_ok());
    assert!(is_cut(&full[0]).await);
}

#[tokio::test(start_paused = true)]
async fn the_last_request_that_waits_for_memory_goes_before_one_that_arrives() {
    let all = OpenRequests::default();
    let large = all.open(peer(0)).unwrap();
    assert!(large.try_reserve(4 << 20));
    let [first, last] = [1, 2].map(|connection| all.open(peer(connection)).unwrap());
    let mut waiting =
        std::pin::pin!(async { tokio::join!(first.reserve(4 << 20), last.reserve(4 << 20)) });
    assert!(timeout(Duration::from_millis(1), waiting.as_mut()).await.is_err());
    let rest = STRANGERS_BYTES / EMPTY_REQUEST_BYTES - 3;
    let _open: Vec<_> = (0..rest).map(|_| all.open(peer(9)).unwrap()).collect();

    assert!(all.open(peer(10)).is_ok());

    assert!(is_cut(&last).await);
    assert!(!is_cut(&first).await);
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_holds_nothing() {
    let all = OpenRequests::default();
    let open: Vec<_> = (0..STRANGERS_BYTES / EMPTY_REQUEST_BYTES)
        .map(|connection| all.open(peer(connection as u64)).unwrap())
        .collect();

    assert!(all.open(peer(5_000)).is_err());
    drop(open);

    assert_eq!(all.memory.lock().own_bytes, OwnBytes::default());
}

#[tokio::test(start_paused = true)]
async fn the_slowest_of_those_with_memory_goes_and_only_if_it_is_slow() {
    let all = OpenRequests::default();
    let [idle, slow, slower, waiting] = [0, 1, 2, 3].map(|id| all.open(peer(id)).unwrap());
    for (request, bytes) in [(&slow, 500 * KI), (&slower, 550 * KI)] {
        assert!(request.try_reserve(bytes));
    }
    let large = all.open(peer(4)).unwrap();
    assert!(large.try_reserve(4 << 20));
    for _ in 0..8 {
        advance(PATIENCE).await;
        for (request, bytes) in [(&slow, 3 * KI), (&slower, 2 * KI), (&large, 5 * KI)] {
            request.received(bytes, bytes).unwrap();
        }
    }

    // Only the large place helps the one that waits, but the rule is simple: the slowest goes.
    let waited = timeout(Duration::from_millis(300), waiting.reserve(4 << 20)).await;

    assert!(waited.is_err());
    assert!(is_cut(&slower).await);
    assert!(!is_cut(&idle).await && !is_cut(&large).await);
}

#[tokio::test(start_paused = true)]
async fn of_those_that_wait_the_one_that_wants_most_goes_before_one_that_arrives() {
    let all = OpenRequests::default();
    let [large, huge, small] = [0, 1, 2].map(|connection| all.open(peer(connection)).unwrap());
    assert!(large.try_reserve(4 << 20));
    let _sharing = [3, 4].map(|connection| {
        let request = all.open(peer(connection)).unwrap();
        assert!(request.try_reserve(WHOLE_SHARE_BYTES));
        request
    });
    let mut waiting =
        std::pin::pin!(async { tokio::join!(huge.reserve(4 << 20), small.reserve(400 * KI)) });
    assert!(timeout(Duration::from_millis(1), waiting.as_mut()).await.is_err());
    let rest = STRANGERS_BYTES / EMPTY_REQUEST_BYTES - 5;
    let _open: Vec<_> = (0..rest).map(|_| all.open(peer(9)).unwrap()).collect();

    assert!(all.open(peer(10)).is_ok());

    assert!(is_cut(&huge).await);
    assert!(!is_cut(&small).await);
}

#[tokio::test(start_paused = true)]
async fn a_request_with_shared_memory_that_waits_for_more_goes_when_a_smaller_one_waits() {
    let all = OpenRequests::default();
    let [large, first, second, small] = [0, 1, 2, 3].map(|id| all.open(peer(id)).unwrap());
    assert!(large.try_reserve(4 << 20));
    for growing in [&first, &second] {
        assert!(growing.try_reserve(WHOLE_SHARE_BYTES));
    }
    // Not slow, so that nothing else helps.
    large.received(1 << 20, 1 << 20).unwrap();
    let refused = async move {
        let refused = second.reserve(1 << 20).await;
        drop(second);
        refused
    };

    let patience = PATIENCE + Duration::from_millis(10);
    let served = async {
        let served = timeout(patience, small.reserve(400 * KI)).await;
        drop(large);
        served
    };
    let (first, second, served) = tokio::join!(first.reserve(1 << 20), refused, served);

    assert!(served.is_ok_and(|reserved| reserved.is_ok()));
    assert_eq!(first, Ok(()));
    assert_eq!(second.unwrap_err().status, ResponseStatus::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn memory_that_is_given_back_is_free_for_others() {
    let all = OpenRequests::default();
    let [first, second, third] = [0, 1, 2].map(|id| all.open(peer(id)).unwrap());
    for request in [&first, &second] {
        assert!(request.try_reserve(WHOLE_SHARE_BYTES));
    }
    let large = all.open(peer(3)).unwrap();
    assert!(large.try_reserve(4 << 20));
    assert!(!third.try_reserve(400 * KI));

    first.reduce_to(100 * KI);

    assert!(third.try_reserve(400 * KI));
    assert_eq!(all.memory.lock().shared_bytes, MAX_SHARE_BYTES + (100 + 400) * KI - 2 * OWN_BYTES);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_proven_itself_never_gives_way_to_those_that_have_not() {
    let all = OpenRequests::default();
    let proven = |connection| Peer { has_succeeded: true, ..peer(connection) };
    let busy: Vec<_> = (0..100).map(|_| all.open(proven(7)).unwrap()).collect();
    let large = all.open(proven(8)).unwrap();
    assert!(large.try_reserve(4 << 20));
    let waiting = all.open(proven(8)).unwrap();
    let mut wait = std::pin::pin!(waiting.reserve(4 << 20));
    assert!(timeout(Duration::from_millis(1), wait.as_mut()).await.is_err());
    let rest = STRANGERS_BYTES / EMPTY_REQUEST_BYTES - 102;
    let strangers: Vec<_> =
        (0..rest as u64).map(|number| all.open(peer(1_000 + number % 50)).unwrap()).collect();
    advance(PATIENCE).await;

    let reserve = KEPT_OWN_BYTES / EMPTY_REQUEST_BYTES;
    let _more: Vec<_> = (0..reserve + 100).map(|_| all.open(proven(7)).unwrap()).collect();

    let mut cut = 0;
    for stranger in &strangers {
        cut += usize::from(is_cut(stranger).await);
    }
    assert_eq!(cut, 100);
    assert!(!is_cut(&waiting).await && !is_cut(&busy[0]).await);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_cut_off_takes_nothing_more() {
    let all = OpenRequests::default();
    let open = open_all(&all);
    let (last, full) = open.split_last().unwrap();

    last.received(1, OWN_BYTES / 8 * 7).unwrap();

    let error = full[0].received(1, OWN_BYTES + 1).unwrap_err();
    assert_eq!(error.status, ResponseStatus::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_proven_request_overtakes_a_stranger_that_came_shortly_before() {
    let all = OpenRequests::default();
    let large = all.open(peer(0)).unwrap();
    assert!(large.try_reserve(4 << 20));
    let proven = |connection| Peer { has_succeeded: true, ..peer(connection) };
    let [stranger, first, second] = [peer(1), proven(2), proven(3)].map(|p| all.open(p).unwrap());
    large.received(1 << 20, OWN_BYTES).unwrap();

    let mut waits = [&stranger, &first, &second].map(|each| Box::pin(each.reserve(4 << 20)));
    for wait in &mut waits {
        assert!(timeout(STRANGER_HANDICAP * 2 / 3, wait).await.is_err());
    }

    let order: Vec<_> = all.memory.lock().waiting.iter().map(|waiter| waiter.id).collect();
    assert_eq!(order, [first.id, stranger.id, second.id]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_share_is_not_overtaken() {
    let all = OpenRequests::default();
    let [large, first, second, waiting, later] =
        [0, 1, 2, 3, 4].map(|id| all.open(peer(id)).unwrap());
    assert!(large.try_reserve(4 << 20));
    assert!(first.try_reserve(WHOLE_SHARE_BYTES) && second.try_reserve(WHOLE_SHARE_BYTES));
    let mut wait = std::pin::pin!(waiting.reserve(400 * KI));
    assert!(timeout(Duration::from_millis(1), wait.as_mut()).await.is_err());

    first.reduce_to(300 * KI);

    assert!(!later.try_reserve(100 * KI));
    drop(second);
    assert_eq!(wait.await, Ok(()));
    assert!(later.try_reserve(100 * KI));
}

#[tokio::test(start_paused = true)]
async fn a_proven_request_that_waits_does_not_go_in_favour_of_a_stranger() {
    let all = OpenRequests::default();
    let large = all.open(peer(0)).unwrap();
    assert!(large.try_reserve(4 << 20));
    let [proven, stranger] = [true, false].map(|has_succeeded| {
        all.open(Peer { has_succeeded, ..peer(1 + u64::from(has_succeeded)) }).unwrap()
    });
    let mut waiting =
        std::pin::pin!(async { tokio::join!(proven.reserve(4 << 20), stranger.reserve(1 << 20)) });
    assert!(timeout(Duration::from_millis(1), waiting.as_mut()).await.is_err());
    let rest = STRANGERS_BYTES / EMPTY_REQUEST_BYTES - 2;
    let _open: Vec<_> = (0..rest).map(|_| all.open(peer(9)).unwrap()).collect();

    assert!(all.open(peer(10)).is_ok() && all.open(peer(11)).is_ok());

    assert!(is_cut(&stranger).await);
    assert!(!is_cut(&proven).await);
}

#[tokio::test(start_paused = true)]
async fn busy_connections_that_have_proven_themselves_leave_memory_to_new_ones() {
    let all = OpenRequests::default();
    let proven = |connection| Peer { has_succeeded: true, ..peer(connection) };
    let mut busy: Vec<_> = (0..).map_while(|number| all.open(proven(number)).ok()).collect();
    busy.truncate(STRANGERS_BYTES / EMPTY_REQUEST_BYTES);

    let new = (0..).map_while(|number| all.open(peer(10_000 + number)).ok());

    let new: Vec<_> = new.take(200).collect();
    assert_eq!(new.len(), KEPT_OWN_BYTES / EMPTY_REQUEST_BYTES);
}
