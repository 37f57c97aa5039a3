//! Taking, pinning, acknowledging and requeuing batches.

use super::*;

mod requeueing;

const BATCH: BatchLimits = BatchLimits {
    max_spans: 100,
    max_bytes: 1_000,
    max_records: usize::MAX,
    linger: Duration::from_millis(200),
};

const DELIVERED: BatchOutcome = BatchOutcome::Delivered { rejected_spans: 0 };

fn holding(records: &[(u32, u32)]) -> Fifo {
    let mut fifo = of_spans(1_000);
    admit_each(&mut fifo, records);
    fifo
}

/// Spans sent, rejected and in flight.
fn outcome(fifo: &Fifo) -> [u64; 3] {
    assert_sound(fifo);
    let ledger = fifo.ledger();
    [ledger.sent, ledger.rejected, ledger.in_flight]
}

mod cutting {
    use super::*;

    #[test]
    fn an_empty_buffer_has_no_batch() {
        assert_eq!(holding(&[]).next_batch_records(&BATCH), 0);
    }

    #[test]
    fn a_batch_holds_the_records_that_fit_into_its_spans() {
        let fifo = holding(&[(60, 1), (40, 1), (1, 1)]);

        assert_eq!(fifo.next_batch_records(&BATCH), 2);
    }

    #[test]
    fn a_batch_holds_the_records_that_fit_into_its_bytes() {
        let fifo = holding(&[(1, 600), (1, 400), (1, 1)]);

        assert_eq!(fifo.next_batch_records(&BATCH), 2);
    }

    #[test]
    fn a_batch_holds_at_most_its_number_of_records() {
        let fifo = holding(&[(1, 1); 5]);

        assert_eq!(fifo.next_batch_records(&BatchLimits { max_records: 3, ..BATCH }), 3);
    }

    #[test]
    fn a_record_larger_than_a_batch_gets_its_own_batch() {
        for record in [(101, 1), (1, 1_001)] {
            let fifo = holding(&[record, (1, 1)]);

            assert_eq!(fifo.next_batch_records(&BATCH), 1);
        }
    }

    #[test]
    fn evicted_spans_do_not_count_in_a_batch() {
        let mut fifo = of_spans(400);
        admit_each(&mut fifo, &[(60, 1), (50, 1), (300, 1)]);

        assert_eq!(fifo.next_batch_records(&BATCH), 2);
    }

    #[test]
    fn a_batch_has_at_most_a_quarter_of_the_spans_the_buffer_may_hold() {
        let mut fifo = of_spans(40);
        admit_each(&mut fifo, &[(4, 1), (6, 1), (1, 1)]);

        assert_eq!(fifo.next_batch_records(&BATCH), 2);
    }

    #[test]
    fn a_batch_is_charged_at_most_a_quarter_of_the_bytes_the_buffer_may_hold() {
        let mut fifo = of_bytes(4 * 300);
        admit_each(&mut fifo, &[(1, 36), (1, 136), (1, 0)]);

        assert_eq!(fifo.next_batch_records(&BATCH), 2);
    }

    #[test]
    fn a_record_larger_than_a_quarter_of_the_buffer_gets_its_own_batch() {
        for mut fifo in [of_spans(40), of_bytes(4 * 100)] {
            admit_each(&mut fifo, &[(11, 37), (1, 1)]);

            assert_eq!(fifo.next_batch_records(&BATCH), 1);
        }
    }

    fn with_takers(takers: usize, mut fifo: Fifo) -> Fifo {
        fifo.set_takers(NonZeroUsize::new(takers).unwrap());
        fifo
    }

    #[test]
    fn the_batches_of_all_takers_together_pin_at_most_half_of_each_limit() {
        for (takers, records) in [(1, 4), (2, 4), (4, 2), (8, 1)] {
            for fifo in [of_spans(16), of_bytes(16 * 65)] {
                let mut fifo = with_takers(takers, fifo);
                admit_each(&mut fifo, &[(1, 1); 16]);

                assert_eq!(fifo.next_batch_records(&BATCH), records, "{takers} takers");
            }
        }
    }

    #[test]
    fn the_share_of_a_taker_follows_the_limits() {
        let mut fifo = with_takers(4, of_spans(800));
        admit_each(&mut fifo, &[(1, 1); 16]);
        assert_eq!(fifo.next_batch_records(&BATCH), 16);

        fifo.set_limits(limits(16, PLENTY));

        assert_eq!(fifo.next_batch_records(&BATCH), 2);
    }

    #[test]
    fn tiny_records_count_in_the_share_with_their_charge() {
        let mut fifo = with_takers(8, of_bytes(16 * 1_000));
        admit_each(&mut fifo, &[(1, 36); 100]);

        assert_eq!(fifo.next_batch_records(&BATCH), 10);
    }

    #[test]
    fn a_partly_evicted_record_behind_a_batch_starts_a_new_batch() {
        let mut fifo = of_spans(400);
        admit_each(&mut fifo, &[(2, 10), (3, 10), (395, 10)]);
        let batch = take(&mut fifo, 1);
        admit(&mut fifo, 1, 10).unwrap();

        requeue(&mut fifo, &batch);

        assert_eq!(waiting(&fifo), [(0, 2), (1, 2), (2, 395), (3, 1)]);
        assert_eq!(fifo.next_batch_records(&BATCH), 1);
        take(&mut fifo, 1);
        assert_eq!(fifo.next_batch_records(&BATCH), 1);
    }

    #[test]
    fn a_batch_is_taken_oldest_first() {
        let mut fifo = holding(&[(1, 10), (2, 20), (3, 30)]);

        let batch = take(&mut fifo, 2);

        let taken: Vec<_> = batch.iter().map(|entry| (entry.sequence, entry.bytes)).collect();
        assert_eq!(taken, [(0, 10), (1, 20)]);
        assert_eq!(waiting(&fifo), [(2, 3)]);
    }
}

mod readiness {
    use super::*;

    const LATER: Duration = START.saturating_add(BATCH.linger);
    const RECENT: Duration = START.saturating_add(Duration::from_millis(50));

    #[test]
    fn an_empty_buffer_is_not_ready() {
        assert_eq!(holding(&[]).batch_readiness(&BATCH, START), BatchReadiness::Empty);
    }

    #[test]
    fn a_single_record_waits_for_the_rest_of_the_linger() {
        let fifo = holding(&[(1, 1)]);

        let rest = Duration::from_millis(150);
        assert_eq!(fifo.batch_readiness(&BATCH, RECENT), BatchReadiness::Wait(rest));
    }

    #[test]
    fn a_record_that_lingered_is_ready() {
        let fifo = holding(&[(1, 1)]);

        assert_eq!(fifo.batch_readiness(&BATCH, START + BATCH.linger), BatchReadiness::Ready);
    }

    #[test]
    fn a_record_is_ready_at_once_without_a_linger() {
        let fifo = holding(&[(1, 1)]);

        let batch = BatchLimits { linger: Duration::ZERO, ..BATCH };
        assert_eq!(fifo.batch_readiness(&batch, START), BatchReadiness::Ready);
    }

    #[test]
    fn a_full_batch_does_not_wait() {
        let three = BatchLimits { max_records: 3, ..BATCH };
        let cases: [(&[(u32, u32)], _); 3] =
            [(&[(100, 1)], BATCH), (&[(1, 1_000)], BATCH), (&[(1, 1); 3], three)];
        for (records, batch) in cases {
            assert_eq!(
                holding(records).batch_readiness(&batch, START),
                BatchReadiness::Ready,
                "{records:?}"
            );
        }
    }

    #[test]
    fn a_quarter_of_the_buffer_does_not_wait() {
        for mut fifo in [of_spans(40), of_bytes(4 * 100)] {
            admit(&mut fifo, 10, 36).unwrap();

            assert_eq!(fifo.batch_readiness(&BATCH, START), BatchReadiness::Ready);
        }
    }

    #[test]
    fn a_batch_just_short_of_full_waits() {
        let three = BatchLimits { max_records: 3, ..BATCH };
        let cases: [(&[(u32, u32)], _); 3] =
            [(&[(99, 1)], BATCH), (&[(1, 999)], BATCH), (&[(1, 1); 2], three)];
        for (records, batch) in cases {
            let ready = holding(records).batch_readiness(&batch, START);
            assert_eq!(ready, BatchReadiness::Wait(BATCH.linger), "{records:?}");
        }
    }

    #[test]
    fn a_record_that_would_pin_more_than_half_is_blocked_by_batches_in_flight() {
        for mut fifo in [of_spans(10), of_bytes(10 * 100)] {
            admit_each(&mut fifo, &[(3, 236), (3, 236), (2, 136)]);
            let batch = take(&mut fifo, 1);

            assert_eq!(fifo.batch_readiness(&BATCH, LATER), BatchReadiness::Blocked);

            fifo.acknowledge(&batch, DELIVERED);
            assert_eq!(fifo.batch_readiness(&BATCH, LATER), BatchReadiness::Ready);
        }
    }

    #[test]
    fn a_record_that_pins_at_most_half_with_the_batches_in_flight_is_ready() {
        for mut fifo in [of_spans(10), of_bytes(10 * 100)] {
            admit_each(&mut fifo, &[(3, 236), (1, 36), (1, 36), (1, 36)]);
            take(&mut fifo, 1);

            assert_eq!(fifo.batch_readiness(&BATCH, LATER), BatchReadiness::Ready);
            assert_eq!(fifo.next_batch_records(&BATCH), 2);
        }
    }

    #[test]
    fn a_record_larger_than_half_the_buffer_is_ready_when_nothing_is_in_flight() {
        for mut fifo in [of_spans(10), of_bytes(10 * 100)] {
            admit_each(&mut fifo, &[(10, 936)]);

            assert_eq!(fifo.batch_readiness(&BATCH, LATER), BatchReadiness::Ready);
            assert_eq!(fifo.next_batch_records(&BATCH), 1);
        }
    }

    #[test]
    fn with_a_clock_behind_the_arrival_a_record_waits_the_whole_linger() {
        let fifo = holding(&[(1, 1)]);

        assert_eq!(
            fifo.batch_readiness(&BATCH, Duration::ZERO),
            BatchReadiness::Wait(BATCH.linger)
        );
    }
}

mod pinning {
    use super::*;

    #[test]
    fn a_batch_in_flight_stays_charged() {
        let mut fifo = holding(&[(3, 36)]);

        take(&mut fifo, 1);

        assert_eq!((fifo.charged_bytes(), fifo.queued_bytes()), (100, 0));
        assert_eq!((fifo.ledger().buffered, fifo.ledger().in_flight), (0, 3));
    }

    #[test]
    fn eviction_takes_the_oldest_record_behind_the_batch() {
        for mut fifo in [of_spans(3), of_bytes(3 * 100)] {
            admit_each(&mut fifo, &[(1, 36), (1, 36), (1, 36)]);
            take(&mut fifo, 1);

            let cost = admit(&mut fifo, 1, 36);

            assert_eq!(cost, Ok((1, 36)));
            assert_eq!(waiting(&fifo), [(2, 1), (3, 1)]);
            assert_eq!(fifo.ledger().in_flight, 1);
        }
    }

    #[test]
    fn a_record_that_just_fits_beside_the_batch_evicts_all_others() {
        for mut fifo in [of_spans(2), of_bytes(2 * 100)] {
            admit_each(&mut fifo, &[(1, 36), (1, 36)]);
            take(&mut fifo, 1);

            assert_eq!(admit(&mut fifo, 1, 36), Ok((1, 36)));
        }
    }

    #[test]
    fn a_record_that_needs_pinned_room_is_refused_for_now() {
        for mut fifo in [of_spans(3), of_bytes(100)] {
            admit(&mut fifo, 3, 36).unwrap();
            take(&mut fifo, 1);

            assert_eq!(admit(&mut fifo, 1, 36), Err(CapacityError::Full));
        }
    }

    #[test]
    fn a_record_with_more_spans_than_the_batch_leaves_keeps_its_newest() {
        let mut fifo = of_spans(5);
        admit_each(&mut fifo, &[(3, 10), (2, 20)]);
        take(&mut fifo, 1);

        let cost = admit(&mut fifo, 4, 30);

        assert_eq!(cost, Ok((2 + 2, 20)));
        assert_eq!(waiting(&fifo), [(2, 2)]);
    }
}

mod settling {
    use super::*;

    #[test]
    fn a_delivered_batch_is_sent_and_no_longer_charged() {
        let mut fifo = holding(&[(3, 10), (2, 10)]);
        let batch = take(&mut fifo, 2);

        let evicted = fifo.acknowledge(&batch, DELIVERED);

        assert_eq!((outcome(&fifo), fifo.charged_bytes()), ([5, 0, 0], 0));
        assert_eq!((evicted, fifo.oldest_age(START)), (Evicted::default(), None));
    }

    #[test]
    fn rejected_spans_are_not_sent() {
        let mut fifo = holding(&[(5, 10)]);
        let batch = take(&mut fifo, 1);

        fifo.acknowledge(&batch, BatchOutcome::Delivered { rejected_spans: 2 });

        assert_eq!(outcome(&fifo), [3, 2, 0]);
    }

    #[test]
    fn more_rejected_spans_than_were_sent_count_as_all_of_them() {
        let mut fifo = holding(&[(5, 10)]);
        let batch = take(&mut fifo, 1);

        fifo.acknowledge(&batch, BatchOutcome::Delivered { rejected_spans: u64::MAX });

        assert_eq!(outcome(&fifo), [0, 5, 0]);
    }

    #[test]
    fn a_lost_batch_is_dropped_for_its_reason() {
        let mut fifo = holding(&[(5, 10)]);
        let batch = take(&mut fifo, 1);

        fifo.acknowledge(&batch, BatchOutcome::Dropped(DropReason::Permanent));

        assert_eq!(fifo.ledger().dropped(DropReason::Permanent), 5);
        assert_sound(&fifo);
    }

    #[test]
    fn a_settled_part_leaves_the_rest_in_flight() {
        let mut fifo = holding(&[(10, 10)]);
        let mut batch = take(&mut fifo, 1);

        fifo.acknowledge_part(&mut batch[0], 4, BatchOutcome::Delivered { rejected_spans: 1 });

        assert_eq!((outcome(&fifo), batch[0].unsettled_spans()), ([3, 1, 6], 6));
        assert_eq!(fifo.charged_bytes(), 74);
        fifo.acknowledge(&batch, DELIVERED);
        assert_eq!((fifo.ledger().sent, fifo.charged_bytes()), (9, 0));
    }

    #[test]
    fn a_part_larger_than_the_rest_settles_the_rest() {
        let mut fifo = holding(&[(10, 10)]);
        let mut batch = take(&mut fifo, 1);

        fifo.acknowledge_part(&mut batch[0], 11, BatchOutcome::Delivered { rejected_spans: 99 });

        assert_eq!((outcome(&fifo), batch[0].unsettled_spans()), ([0, 10, 0], 0));
    }

    #[test]
    fn a_batch_requeued_after_a_settled_part_has_only_the_rest() {
        let mut fifo = holding(&[(10, 10)]);
        let mut batch = take(&mut fifo, 1);
        fifo.acknowledge_part(&mut batch[0], 4, BatchOutcome::Delivered { rejected_spans: 0 });

        requeue(&mut fifo, &batch);

        assert_eq!(waiting(&fifo), [(0, 6)]);
    }
}
