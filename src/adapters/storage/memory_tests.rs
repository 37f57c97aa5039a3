use super::*;

/// Smallest segments.
const SMALL_STORE: u64 = 1;
const SEGMENT: usize = SMALLEST_SEGMENT;
const LARGEST_SMALL: usize = SEGMENT / LARGE_SHARE;

fn store() -> MemoryStore {
    MemoryStore::new(SMALL_STORE)
}

/// Appends as the buffer does: room first where the store wants some.
fn append(store: &mut MemoryStore, payload: &Bytes) {
    let mut room = store.room_wanted(payload.len()).map(BytesMut::with_capacity);
    store.append(payload, &mut room).unwrap();
}

fn append_text(store: &mut MemoryStore, payloads: &[&'static str]) {
    for payload in payloads {
        append(store, &Bytes::from_static(payload.as_bytes()));
    }
}

fn filled(length: usize, with: u8) -> Bytes {
    Bytes::from(vec![with; length])
}

fn take(store: &mut MemoryStore, bytes: usize) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    store.take_front(bytes as u64, &mut pieces).unwrap();
    pieces
}

fn text(pieces: &[Bytes]) -> String {
    String::from_utf8(pieces.concat()).unwrap()
}

fn discard(store: &mut MemoryStore, bytes: usize) -> Vec<Bytes> {
    let mut rubbish = Vec::new();
    store.discard_front(bytes as u64, &mut rubbish);
    rubbish
}

mod appending {
    use super::*;

    #[test]
    fn segments_grow_with_the_byte_limit_within_bounds() {
        let sizes = [0, 2 << 20, 32 << 20, u64::MAX].map(|max_bytes| {
            let store = MemoryStore::new(max_bytes);
            store.room_wanted(1)
        });

        assert_eq!(sizes, [Some(16 << 10), Some(32 << 10), Some(256 << 10), Some(256 << 10)]);
    }

    #[test]
    fn a_payload_that_fits_the_open_segment_needs_no_room() {
        let mut store = store();
        append_text(&mut store, &["one"]);

        assert_eq!(store.room_wanted(LARGEST_SMALL), None);
    }

    #[test]
    fn a_payload_with_no_bytes_needs_no_room_and_is_kept() {
        let mut store = store();
        assert_eq!(store.room_wanted(0), None);

        append_text(&mut store, &["", "one", ""]);

        assert_eq!(text(&take(&mut store, 3)), "one");
    }

    #[test]
    fn small_payloads_across_records_are_one_contiguous_piece() {
        let mut store = store();
        append_text(&mut store, &["one ", "two ", "three"]);

        let pieces = take(&mut store, 13);

        assert_eq!(pieces, ["one two three"]);
    }

    #[test]
    fn a_large_payload_is_kept_without_copying_it() {
        let mut store = store();
        let large = filled(LARGEST_SMALL + 1, b'l');
        assert_eq!(store.room_wanted(large.len()), None);

        append(&mut store, &large);

        let pieces = take(&mut store, large.len());
        assert_eq!(pieces[0].as_ptr(), large.as_ptr());
    }

    #[test]
    fn a_payload_just_not_large_is_copied_so_that_it_pins_nothing() {
        let mut store = store();
        let small = filled(LARGEST_SMALL, b's');

        append(&mut store, &small);

        let pieces = take(&mut store, small.len());
        assert_eq!(pieces[0], small);
        assert_ne!(pieces[0].as_ptr(), small.as_ptr());
        assert!(small.is_unique());
    }

    #[test]
    fn small_payloads_around_a_large_one_keep_order_and_share_a_segment() {
        let mut store = store();
        let large = filled(LARGEST_SMALL + 1, b'l');
        append_text(&mut store, &["before"]);

        append(&mut store, &large);
        assert_eq!(store.room_wanted(5), None);
        append_text(&mut store, &["after"]);

        let pieces = take(&mut store, 6 + large.len() + 5);
        assert_eq!(pieces, [Bytes::from_static(b"before"), large, Bytes::from_static(b"after")]);
        assert_eq!(pieces[0].as_ptr().wrapping_add(6), pieces[2].as_ptr());
    }

    #[test]
    fn a_payload_never_lies_in_two_segments() {
        let mut store = store();
        let payload = filled(LARGEST_SMALL - 1, b's');
        let fit = SEGMENT / payload.len();
        for _ in 0..fit {
            append(&mut store, &payload);
        }
        assert_eq!(store.room_wanted(payload.len()), Some(SEGMENT));

        append(&mut store, &payload);

        let lengths: Vec<_> =
            take(&mut store, (fit + 1) * payload.len()).iter().map(Bytes::len).collect();
        assert_eq!(lengths, [fit * payload.len(), payload.len()]);
    }
}

mod memory {
    use super::*;

    #[test]
    fn at_most_a_sixteenth_of_a_segment_stays_unused_whatever_the_size() {
        for length in (64..=SEGMENT).step_by(31) {
            let mut store = store();
            let payload = filled(length, b'p');
            let mut segments = 0;
            let payloads = 64 * SEGMENT / length;
            for _ in 0..payloads {
                segments += usize::from(store.room_wanted(length).is_some());
                append(&mut store, &payload);
            }

            let used = payloads * length;
            let sealed = segments.saturating_sub(1) * SEGMENT;
            assert!(sealed - sealed / 16 <= used, "{length}: {sealed} bytes for {used}");
        }
    }

    #[test]
    fn the_open_segment_goes_with_its_last_piece_once_another_is_open() {
        let mut store = store();
        let payload = filled(LARGEST_SMALL, b's');
        for _ in 0..=LARGE_SHARE {
            append(&mut store, &payload);
        }

        let first = take(&mut store, SEGMENT / 2);
        let second = take(&mut store, SEGMENT / 2);

        assert!(!second[0].is_unique());
        drop(first);
        assert!(second[0].is_unique());
    }

    #[test]
    fn what_is_discarded_is_handed_out_to_be_freed_elsewhere() {
        let mut store = store();
        let large = filled(LARGEST_SMALL + 1, b'l');
        append_text(&mut store, &["one"]);
        append(&mut store, &large);

        let rubbish = discard(&mut store, 3 + large.len());

        assert_eq!(rubbish, [Bytes::from_static(b"one"), large]);
    }

    #[test]
    fn a_segment_that_is_used_up_is_handed_out_to_be_freed_elsewhere() {
        let mut store = store();
        let payload = filled(LARGEST_SMALL, b's');
        for _ in 0..LARGE_SHARE {
            append(&mut store, &payload);
        }
        let last = take(&mut store, SEGMENT);
        let mut room = Some(BytesMut::with_capacity(SEGMENT));

        store.append(&payload, &mut room).unwrap();

        assert!(!last[0].is_unique());
        assert_eq!(room.as_ref().map(BytesMut::capacity), Some(0));
        drop(room);
        assert!(last[0].is_unique());
    }

    #[test]
    fn room_that_is_not_needed_any_more_is_left_to_the_caller() {
        let mut store = store();
        append_text(&mut store, &["one"]);
        let mut room = Some(BytesMut::with_capacity(SEGMENT));

        store.append(&Bytes::from_static(b"two"), &mut room).unwrap();

        assert_eq!(room.map(|room| room.capacity()), Some(SEGMENT));
        assert_eq!(take(&mut store, 6), ["onetwo"]);
    }
}

mod taking {
    use super::*;

    #[test]
    fn taking_splits_a_piece_without_copying_it() {
        let mut store = store();
        append_text(&mut store, &["one", "two"]);

        let (first, second) = (take(&mut store, 3), take(&mut store, 3));

        assert_eq!((text(&first).as_str(), text(&second).as_str()), ("one", "two"));
        assert_eq!(first[0].as_ptr().wrapping_add(3), second[0].as_ptr());
    }

    #[test]
    fn the_segment_stays_open_behind_what_was_taken() {
        let mut store = store();
        append_text(&mut store, &["one"]);
        let taken = take(&mut store, 3);

        append_text(&mut store, &["two"]);

        let later = take(&mut store, 3);
        assert_eq!(text(&later), "two");
        assert_eq!(taken[0].as_ptr().wrapping_add(3), later[0].as_ptr());
    }

    #[test]
    fn no_bytes_are_no_pieces() {
        let mut store = store();
        append_text(&mut store, &["one"]);

        assert!(take(&mut store, 0).is_empty());
        assert_eq!(text(&take(&mut store, 3)), "one");
    }

    #[test]
    fn more_bytes_than_there_are_is_an_error() {
        let mut store = store();
        append_text(&mut store, &["one"]);

        let error = store.take_front(5, &mut Vec::new()).unwrap_err();

        assert_eq!(error.message, "the store lacks 2 bytes of the records indexed");
    }
}

mod discarding {
    use super::*;

    #[test]
    fn discarding_stops_inside_the_open_segment() {
        let mut store = store();
        append_text(&mut store, &["one", "two"]);

        let rubbish = discard(&mut store, 3);

        assert!(rubbish.is_empty());
        assert_eq!(text(&take(&mut store, 3)), "two");
    }

    #[test]
    fn discarding_stops_inside_a_sealed_piece() {
        let mut store = store();
        append_text(&mut store, &["one", "two"]);
        let large = filled(LARGEST_SMALL + 1, b'l');
        append(&mut store, &large);

        let rubbish = discard(&mut store, 3);

        assert!(rubbish.is_empty());
        assert_eq!(take(&mut store, 3 + large.len()), [Bytes::from_static(b"two"), large]);
    }

    #[test]
    fn discarding_crosses_pieces() {
        let mut store = store();
        append(&mut store, &filled(LARGEST_SMALL + 1, b'a'));
        append_text(&mut store, &["one", "two"]);

        discard(&mut store, LARGEST_SMALL + 1 + 3);

        assert_eq!(text(&take(&mut store, 3)), "two");
    }

    #[test]
    fn discarding_everything_leaves_an_empty_store() {
        let mut store = store();
        append_text(&mut store, &["one"]);

        discard(&mut store, 3);
        append_text(&mut store, &["two"]);

        assert_eq!(text(&take(&mut store, 3)), "two");
        assert!(store.take_front(1, &mut Vec::new()).is_err());
    }
}

mod putting_back {
    use super::*;

    #[test]
    fn pieces_return_to_the_front_of_the_open_segment() {
        let mut store = store();
        append_text(&mut store, &["one ", "two"]);
        let pieces = take(&mut store, 4);

        store.put_back(0, &pieces);
        append_text(&mut store, &[" three"]);

        assert_eq!(text(&take(&mut store, 13)), "one two three");
    }

    #[test]
    fn several_pieces_keep_their_order() {
        let mut store = store();
        let large = filled(LARGEST_SMALL + 1, b'l');
        append_text(&mut store, &["one"]);
        append(&mut store, &large);
        append_text(&mut store, &["two"]);
        let pieces = take(&mut store, 3 + large.len());

        store.put_back(0, &pieces);

        let all = take(&mut store, 6 + large.len());
        assert_eq!(all, [Bytes::from_static(b"one"), large, Bytes::from_static(b"two")]);
    }

    #[test]
    fn pieces_return_to_the_middle_of_a_piece() {
        let mut store = store();
        append_text(&mut store, &["one ", "two ", "three ", "four"]);
        let (first, second) = (take(&mut store, 4), take(&mut store, 4));
        store.put_back(0, &first);

        store.put_back(4, &second);

        assert_eq!(text(&take(&mut store, 18)), "one two three four");
    }

    #[test]
    fn pieces_return_behind_part_of_a_piece() {
        let mut store = store();
        append_text(&mut store, &["one ", "two ", "three ", "four"]);
        let first = take(&mut store, 8);
        let second = take(&mut store, 6);
        store.put_back(0, &first);
        discard(&mut store, 4);

        store.put_back(4, &second);

        assert_eq!(text(&take(&mut store, 14)), "two three four");
    }

    #[test]
    fn pieces_return_behind_all_others() {
        let mut store = store();
        append_text(&mut store, &["one ", "two "]);
        let first = take(&mut store, 4);
        let second = take(&mut store, 4);
        store.put_back(0, &first);

        store.put_back(4, &second);
        append_text(&mut store, &["three"]);

        assert_eq!(text(&take(&mut store, 13)), "one two three");
    }
}
