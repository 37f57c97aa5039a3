//! Requeuing batches.

use super::*;

const THREE: [(u32, u32); 3] = [(1, 10), (2, 20), (3, 30)];

#[test]
fn a_requeued_batch_returns_to_the_head() {
    let mut fifo = holding(&THREE);
    let batch = take(&mut fifo, 2);

    let (before, evicted) = requeue(&mut fifo, &batch);

    assert_eq!((before, evicted), (0, Evicted::default()));
    assert_eq!(waiting(&fifo), [(0, 1), (1, 2), (2, 3)]);
    assert_eq!((fifo.ledger().in_flight, fifo.queued_bytes()), (0, 60));
}

#[test]
fn two_batches_requeued_in_order_return_to_their_places() {
    let mut fifo = holding(&THREE);
    let (first, second) = (take(&mut fifo, 1), take(&mut fifo, 1));

    let places = [requeue(&mut fifo, &first).0, requeue(&mut fifo, &second).0];

    assert_eq!(places, [0, 10]);
    assert_eq!(waiting(&fifo), [(0, 1), (1, 2), (2, 3)]);
}

#[test]
fn two_batches_requeued_in_reverse_return_to_their_places() {
    let mut fifo = holding(&THREE);
    let (first, second) = (take(&mut fifo, 1), take(&mut fifo, 1));

    let places = [requeue(&mut fifo, &second).0, requeue(&mut fifo, &first).0];

    assert_eq!(places, [0, 0]);
    assert_eq!(waiting(&fifo), [(0, 1), (1, 2), (2, 3)]);
}

#[test]
fn a_requeued_batch_is_evicted_first() {
    let mut fifo = of_spans(6);
    admit_each(&mut fifo, &THREE);
    let batch = take(&mut fifo, 2);
    requeue(&mut fifo, &batch);

    let cost = admit(&mut fifo, 2, 1);

    assert_eq!(cost, Ok((2, 10)));
    assert_eq!(waiting(&fifo), [(1, 1), (2, 3), (3, 2)]);
}

#[test]
fn a_batch_does_not_extend_past_one_in_flight_so_that_both_return_to_their_places() {
    let mut fifo = holding(&[(1, 10), (1, 10), (1, 10), (1, 10)]);
    let (first, second) = (take(&mut fifo, 2), take(&mut fifo, 1));
    requeue(&mut fifo, &first);

    let records = fifo.next_batch_records(&BATCH);
    let first = take(&mut fifo, records);
    requeue(&mut fifo, &second);
    requeue(&mut fifo, &first);

    assert_eq!(records, 2);
    assert_eq!(waiting(&fifo), [(0, 1), (1, 1), (2, 1), (3, 1)]);
}

#[test]
fn a_batch_extends_past_one_that_was_settled() {
    let mut fifo = holding(&[(1, 10), (1, 10), (1, 10)]);
    let (first, second) = (take(&mut fifo, 1), take(&mut fifo, 1));
    requeue(&mut fifo, &first);

    fifo.acknowledge(&second, DELIVERED);

    assert_eq!(fifo.next_batch_records(&BATCH), 2);
}

#[test]
fn an_empty_batch_changes_nothing() {
    let mut fifo = holding(&THREE);
    take(&mut fifo, 1);

    requeue(&mut fifo, &[]);

    assert_eq!((waiting(&fifo), fifo.ledger().in_flight), (vec![(1, 2), (2, 3)], 1));
}
