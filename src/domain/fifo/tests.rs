use std::num::NonZeroU64;

use super::*;

const PLENTY: u64 = 1 << 40;
const START: Duration = Duration::from_secs(1_000);

fn limits(max_spans: u64, max_bytes: u64) -> BufferLimits {
    BufferLimits {
        max_spans: NonZeroU64::new(max_spans).unwrap(),
        max_bytes: NonZeroU64::new(max_bytes).unwrap(),
        max_age: None,
    }
}

fn of_spans(max_spans: u64) -> Fifo {
    Fifo::new(limits(max_spans, PLENTY), OverflowPolicy::DropOldest)
}

fn of_bytes(max_bytes: u64) -> Fifo {
    Fifo::new(limits(PLENTY, max_bytes), OverflowPolicy::DropOldest)
}

/// Adds a record; returns the evicted spans, its own included, and the bytes to discard.
fn admit_at(
    fifo: &mut Fifo,
    spans: u32,
    bytes: u32,
    now: Duration,
) -> Result<(u64, u64), CapacityError> {
    let before = fifo.ledger().dropped(DropReason::Overflow);
    let evicted = fifo.evict_for(spans, bytes.into())?;
    let skipped = fifo.push(spans, bytes.into(), now);
    assert_sound(fifo);
    assert_eq!(fifo.ledger().dropped(DropReason::Overflow) - before, evicted.spans + skipped);
    Ok((evicted.spans + skipped, evicted.bytes))
}

fn admit(fifo: &mut Fifo, spans: u32, bytes: u32) -> Result<(u64, u64), CapacityError> {
    admit_at(fifo, spans, bytes, START)
}

fn admit_each(fifo: &mut Fifo, records: &[(u32, u32)]) {
    for (spans, bytes) in records {
        admit(fifo, *spans, *bytes).unwrap();
    }
}

fn take(fifo: &mut Fifo, records: usize) -> Vec<BufferedRecord> {
    let mut batch = Vec::new();
    let bytes = fifo.take(records, &mut batch);
    assert_eq!(bytes, batch.iter().map(|entry| u64::from(entry.bytes)).sum::<u64>());
    assert_sound(fifo);
    batch
}

fn requeue(fifo: &mut Fifo, batch: &[BufferedRecord]) -> (u64, Evicted) {
    let before = fifo.requeue(batch);
    let evicted = fifo.enforce_limits();
    assert_sound(fifo);
    (before, evicted)
}

fn assert_sound(fifo: &Fifo) {
    assert!(fifo.ledger().is_balanced(), "{:?}", fifo.ledger());
    let fits = fifo.held_spans() <= fifo.limits().max_spans.get()
        && fifo.charged_bytes() <= fifo.limits().max_bytes.get();
    assert!(fits || fifo.queue.is_empty(), "{fifo:?}");
    assert!(fifo.queue.iter().is_sorted_by(|a, b| a.sequence < b.sequence), "{fifo:?}");
}

/// The queued records, as (sequence, unsettled spans).
fn waiting(fifo: &Fifo) -> Vec<(u64, u64)> {
    fifo.queue.iter().map(|entry| (entry.sequence, entry.unsettled_spans())).collect()
}

mod admission {
    use super::*;

    #[test]
    fn records_that_fit_exactly_evict_nothing() {
        let mut fifo = Fifo::new(limits(5, 364), OverflowPolicy::DropOldest);

        let costs = [admit(&mut fifo, 2, 100), admit(&mut fifo, 3, 136)];

        assert_eq!(costs, [Ok((0, 0)), Ok((0, 0))]);
        assert_eq!((fifo.ledger().buffered, fifo.charged_bytes()), (5, 364));
        assert_eq!(fifo.queued_bytes(), 236);
    }

    #[test]
    fn a_span_too_many_evicts_one_span_and_keeps_the_record_and_its_bytes() {
        let mut fifo = of_spans(5);
        admit(&mut fifo, 5, 100).unwrap();

        let cost = admit(&mut fifo, 1, 10);

        assert_eq!(cost, Ok((1, 0)));
        assert_eq!(waiting(&fifo), [(0, 4), (1, 1)]);
        assert_eq!(fifo.queued_bytes(), 110);
    }

    #[test]
    fn a_record_is_removed_with_its_last_span() {
        let mut fifo = of_spans(5);
        admit_each(&mut fifo, &[(2, 100), (3, 200), (1, 1)]);

        let cost = admit(&mut fifo, 2, 1);

        assert_eq!(cost, Ok((2, 100)));
        assert_eq!(waiting(&fifo), [(1, 2), (2, 1), (3, 2)]);
    }

    #[test]
    fn a_byte_too_many_evicts_a_whole_record() {
        let mut fifo = of_bytes(300);
        admit_each(&mut fifo, &[(7, 86), (1, 86)]);

        let cost = admit(&mut fifo, 1, 1);

        assert_eq!(cost, Ok((7, 86)));
        assert_eq!(waiting(&fifo), [(1, 1), (2, 1)]);
    }

    #[test]
    fn eviction_for_bytes_counts_only_the_spans_not_evicted_before() {
        let mut fifo = Fifo::new(limits(5, 300), OverflowPolicy::DropOldest);
        admit_each(&mut fifo, &[(5, 86), (2, 86)]);

        let cost = admit(&mut fifo, 1, 86);

        assert_eq!(cost, Ok((3, 86)));
        assert_eq!(fifo.ledger().dropped(DropReason::Overflow), 5);
    }

    #[test]
    fn a_record_with_more_spans_than_the_limit_keeps_its_newest() {
        let mut fifo = of_spans(5);
        admit(&mut fifo, 4, 100).unwrap();

        let cost = admit(&mut fifo, 8, 200);

        assert_eq!(cost, Ok((7, 100)));
        assert_eq!(waiting(&fifo), [(1, 5)]);
        assert_eq!(fifo.queue[0].settled_prefix, 3);
    }

    #[test]
    fn a_record_larger_than_the_byte_limit_is_refused_and_changes_nothing() {
        let mut fifo = of_bytes(300);
        admit(&mut fifo, 2, 100).unwrap();
        let before = *fifo.ledger();

        let refused = admit(&mut fifo, 1, 237);

        assert_eq!(refused, Err(CapacityError::TooManyBytes { charge: 301, max_bytes: 300 }));
        assert_eq!((*fifo.ledger(), waiting(&fifo)), (before, vec![(0, 2)]));
    }

    #[test]
    fn a_record_too_long_for_an_index_entry_is_refused_in_any_buffer() {
        let mut fifo = of_bytes(u64::MAX);
        let longest = u64::from(u32::MAX);
        assert_eq!(fifo.evict_for(1, longest), Ok(Evicted::default()));

        let refused = fifo.evict_for(1, longest + 1);

        let (charge, max_bytes) = (longest + 65, longest + 64);
        assert_eq!(refused, Err(CapacityError::TooManyBytes { charge, max_bytes }));
    }

    #[test]
    fn a_record_as_large_as_the_byte_limit_is_admitted() {
        let mut fifo = of_bytes(300);

        assert_eq!(admit(&mut fifo, 1, 236), Ok((0, 0)));
        assert_eq!(fifo.charged_bytes(), 300);
    }

    #[test]
    fn a_record_with_no_bytes_is_charged_its_overhead() {
        let mut fifo = of_bytes(64);

        assert_eq!(admit(&mut fifo, 1, 0), Ok((0, 0)));
        assert_eq!((fifo.charged_bytes(), fifo.queued_bytes()), (64, 0));
    }
}

mod rejecting {
    use super::*;

    fn rejecting(max_spans: u64, max_bytes: u64) -> Fifo {
        Fifo::new(limits(max_spans, max_bytes), OverflowPolicy::Reject)
    }

    #[test]
    fn a_full_buffer_refuses_for_now_and_keeps_its_records() {
        for mut fifo in [rejecting(3, PLENTY), rejecting(PLENTY, 300)] {
            admit(&mut fifo, 3, 100).unwrap();

            let refused = admit(&mut fifo, 1, 100);

            assert_eq!(refused, Err(CapacityError::Full));
            assert_eq!(waiting(&fifo), [(0, 3)]);
        }
    }

    #[test]
    fn a_record_with_more_spans_than_the_limit_is_refused_permanently() {
        let mut fifo = rejecting(3, PLENTY);

        let refused = admit(&mut fifo, 4, 1);

        assert_eq!(refused, Err(CapacityError::TooManySpans { spans: 4, max_spans: 3 }));
    }

    #[test]
    fn there_is_room_again_after_a_delivery() {
        let mut fifo = rejecting(3, PLENTY);
        admit(&mut fifo, 3, 1).unwrap();
        let batch = take(&mut fifo, 1);
        assert_eq!(admit(&mut fifo, 1, 1), Err(CapacityError::Full));

        fifo.acknowledge(&batch, BatchOutcome::Delivered { rejected_spans: 0 });

        assert_eq!(admit(&mut fifo, 1, 1), Ok((0, 0)));
    }
}

mod limit_changes {
    use super::*;

    #[test]
    fn lower_limits_evict_at_once_and_span_exactly() {
        let mut fifo = of_spans(10);
        admit_each(&mut fifo, &[(4, 10), (4, 10)]);

        let evicted = fifo.set_limits(limits(5, PLENTY));

        assert_eq!(evicted, Evicted { spans: 3, bytes: 0 });
        assert_eq!(waiting(&fifo), [(0, 1), (1, 4)]);
        assert_sound(&fifo);
    }

    #[test]
    fn higher_limits_apply_from_the_next_record() {
        let mut fifo = of_spans(2);
        admit(&mut fifo, 2, 10).unwrap();

        let evicted = fifo.set_limits(limits(4, PLENTY));

        assert_eq!(evicted, Evicted::default());
        assert_eq!(admit(&mut fifo, 2, 10), Ok((0, 0)));
    }

    #[test]
    fn limits_below_the_pinned_records_evict_all_others_until_those_are_settled() {
        let mut fifo = of_spans(10);
        admit_each(&mut fifo, &[(6, 10), (4, 20)]);
        let batch = take(&mut fifo, 1);

        let evicted = fifo.set_limits(limits(5, PLENTY));

        assert_eq!(evicted, Evicted { spans: 4, bytes: 20 });
        assert_eq!(admit(&mut fifo, 1, 1), Err(CapacityError::Full));
        assert_eq!(fifo.ledger().in_flight, 6);
        fifo.acknowledge(&batch, BatchOutcome::Delivered { rejected_spans: 0 });
        assert_eq!(admit(&mut fifo, 5, 1), Ok((0, 0)));
    }

    #[test]
    fn a_batch_requeued_under_lower_limits_loses_its_oldest_spans() {
        let mut fifo = of_spans(10);
        admit_each(&mut fifo, &[(2, 10), (6, 20)]);
        let batch = take(&mut fifo, 2);
        fifo.set_limits(limits(5, PLENTY));

        let (_, evicted) = requeue(&mut fifo, &batch);

        assert_eq!(evicted, Evicted { spans: 3, bytes: 10 });
        assert_eq!(waiting(&fifo), [(1, 5)]);
    }
}

mod age {
    use super::*;

    fn aged() -> Fifo {
        let limits = BufferLimits { max_age: Some(Duration::from_secs(10)), ..limits(100, PLENTY) };
        Fifo::new(limits, OverflowPolicy::DropOldest)
    }

    const LATER: Duration = START.saturating_add(Duration::from_secs(5));

    #[test]
    fn a_record_is_kept_at_the_maximum_age_and_dropped_beyond_it() {
        let mut fifo = aged();
        admit_at(&mut fifo, 2, 30, START).unwrap();
        admit_at(&mut fifo, 1, 40, LATER).unwrap();

        let at_age = fifo.expire(START + Duration::from_secs(10));
        let past_it = fifo.expire(START + Duration::from_nanos(10_000_000_001));

        assert_eq!((at_age, past_it), (Evicted::default(), Evicted { spans: 2, bytes: 30 }));
        assert_eq!(fifo.ledger().dropped(DropReason::Expired), 2);
        assert_eq!(waiting(&fifo), [(1, 1)]);
        assert_sound(&fifo);
    }

    #[test]
    fn without_a_maximum_age_nothing_expires() {
        let mut fifo = of_spans(5);
        admit_at(&mut fifo, 1, 1, Duration::ZERO).unwrap();

        assert_eq!(fifo.expire(Duration::MAX), Evicted::default());
    }

    #[test]
    fn nothing_expires_before_the_clock_has_run_for_the_maximum_age() {
        let mut fifo = aged();
        admit_at(&mut fifo, 1, 1, Duration::ZERO).unwrap();

        assert_eq!(fifo.expire(Duration::from_secs(3)), Evicted::default());
    }

    #[test]
    fn a_batch_in_flight_does_not_expire_until_it_is_requeued() {
        let mut fifo = aged();
        admit(&mut fifo, 3, 30).unwrap();
        let batch = take(&mut fifo, 1);
        let late = START + Duration::from_mins(1);

        assert_eq!(fifo.expire(late), Evicted::default());
        requeue(&mut fifo, &batch);

        assert_eq!(fifo.expire(late), Evicted { spans: 3, bytes: 30 });
    }

    #[test]
    fn the_oldest_age_includes_batches_in_flight() {
        let mut fifo = aged();
        assert_eq!(fifo.oldest_age(LATER), None);
        admit_at(&mut fifo, 1, 1, START).unwrap();
        admit_at(&mut fifo, 1, 1, LATER).unwrap();
        let batch = take(&mut fifo, 1);

        let on_the_wire = fifo.oldest_age(LATER);
        fifo.acknowledge(&batch, BatchOutcome::Delivered { rejected_spans: 0 });
        let settled = fifo.oldest_age(LATER);

        assert_eq!((on_the_wire, settled), (Some(Duration::from_secs(5)), Some(Duration::ZERO)));
    }
}

mod dropping {
    use super::*;

    #[test]
    fn drop_all_drops_queued_records_and_keeps_batches_in_flight() {
        let mut fifo = of_spans(10);
        admit_each(&mut fifo, &[(1, 10), (2, 20), (3, 30)]);
        take(&mut fifo, 1);

        let dropped = fifo.drop_all(DropReason::Shutdown);

        assert_eq!(dropped, Evicted { spans: 5, bytes: 50 });
        assert_eq!(fifo.ledger().dropped(DropReason::Shutdown), 5);
        assert_eq!((fifo.ledger().buffered, fifo.ledger().in_flight), (0, 1));
        assert_sound(&fifo);
    }
}

mod batches;
