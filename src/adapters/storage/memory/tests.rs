use super::*;

const BLOCK: usize = MemoryStore::BLOCK_BYTES;

/// `length` bytes whose values depend on their position.
fn payload(start: u8, length: usize) -> Vec<u8> {
    (0..length).map(|n| start.wrapping_add(u8::try_from(n % 251).unwrap())).collect()
}

fn append(store: &mut MemoryStore, payload: &[u8]) {
    let mut spare_blocks = vec![];
    spare_blocks.resize_with(store.blocks_wanted(payload.len()), || BytesMut::with_capacity(BLOCK));
    store.append(payload, &mut spare_blocks).unwrap();
    assert!(spare_blocks.is_empty());
}

fn store_of(payloads: &[&[u8]]) -> MemoryStore {
    let mut store = MemoryStore::new();
    for payload in payloads {
        append(&mut store, payload);
    }
    store
}

fn take(store: &mut MemoryStore, bytes: usize) -> Vec<Bytes> {
    let mut pieces = vec![];
    store.take_front(bytes as u64, &mut pieces).unwrap();
    pieces
}

fn discard(store: &mut MemoryStore, bytes: usize) -> Vec<Bytes> {
    let mut freed = vec![];
    store.discard_front(bytes as u64, &mut freed);
    freed
}

#[test]
fn an_empty_store_requests_as_many_blocks_as_a_payload_fills() {
    let store = MemoryStore::new();

    assert_eq!(store.blocks_wanted(1), 1);
    assert_eq!(store.blocks_wanted(BLOCK), 1);
    assert_eq!(store.blocks_wanted(BLOCK + 1), 2);
}

#[test]
fn a_payload_that_fits_into_the_open_block_requests_none() {
    let store = store_of(&[&[1; 100]]);

    assert_eq!(store.blocks_wanted(BLOCK - 100), 0);
    assert_eq!(store.blocks_wanted(BLOCK - 99), 1);
}

#[test]
fn payloads_in_one_block_are_taken_as_one_piece() {
    let mut store = store_of(&[b"abc", b"de", b"f"]);

    assert_eq!(take(&mut store, 6), [&b"abcdef"[..]]);
}

#[test]
fn a_payload_in_several_blocks_is_taken_unchanged() {
    let large = payload(7, 3 * BLOCK);
    let mut store = store_of(&[b"small", &large]);

    let pieces = take(&mut store, 5 + large.len());

    assert_eq!(pieces.len(), 4);
    assert_eq!(pieces.concat(), [b"small", large.as_slice()].concat());
}

#[test]
fn a_part_can_be_taken_and_then_the_rest() {
    let mut store = store_of(&[b"abc", b"defg"]);

    assert_eq!(take(&mut store, 3), [&b"abc"[..]]);
    append(&mut store, b"hi");
    assert_eq!(take(&mut store, 6), [&b"defghi"[..]]);
}

#[test]
fn taking_copies_nothing() {
    let mut store = store_of(&[&payload(0, BLOCK), b"x"]);
    let lies_at = store.full.front().unwrap().as_ptr();

    assert_eq!(take(&mut store, BLOCK)[0].as_ptr(), lies_at);
}

#[test]
fn taking_more_than_is_stored_is_an_error() {
    let mut store = store_of(&[b"abc"]);

    let error = store.take_front(5, &mut vec![]).unwrap_err();

    assert_eq!(error.message, "the store lacks 2 bytes of the records indexed");
}

#[test]
fn a_record_without_reserved_blocks_is_refused_and_changes_nothing() {
    let mut store = store_of(&[b"abc"]);

    assert!(store.append(&[0; BLOCK], &mut vec![]).is_err());

    assert_eq!(take(&mut store, 3), [&b"abc"[..]]);
}

#[test]
fn discarding_removes_bytes_and_returns_whole_blocks_to_free() {
    let large = payload(3, 2 * BLOCK);
    let mut store = store_of(&[&large, b"rest"]);

    let freed = discard(&mut store, BLOCK + 10);

    assert_eq!(freed.len(), 1);
    assert_eq!(take(&mut store, BLOCK - 6).concat(), [&large[BLOCK + 10..], b"rest"].concat());
}

#[test]
fn a_discard_may_end_inside_the_open_block() {
    let mut store = store_of(&[b"abcdef"]);

    assert!(discard(&mut store, 2).is_empty());

    assert_eq!(take(&mut store, 4), [&b"cdef"[..]]);
}

#[test]
fn an_open_block_that_was_used_up_and_discarded_is_not_kept() {
    let mut store = store_of(&[&[1; BLOCK]]);
    discard(&mut store, BLOCK);

    append(&mut store, b"next");

    assert!(store.full.is_empty());
    assert_eq!(take(&mut store, 4), [&b"next"[..]]);
}

#[test]
fn pieces_put_back_at_the_front_are_taken_first_again() {
    let mut store = store_of(&[b"abc", b"def"]);
    let taken = take(&mut store, 3);

    store.put_back(0, &taken);

    assert_eq!(take(&mut store, 6).concat(), b"abcdef");
}

#[test]
fn pieces_put_back_in_the_middle_are_taken_in_order() {
    let large = payload(9, BLOCK + 5);
    let mut store = store_of(&[b"ab", &large, b"yz"]);
    let first = take(&mut store, 2);
    let second = take(&mut store, large.len());
    store.put_back(0, &first);

    store.put_back(2, &second);

    let all = take(&mut store, 4 + large.len()).concat();
    assert_eq!(all, [b"ab", large.as_slice(), b"yz"].concat());
}

#[test]
fn a_series_of_payloads_uses_no_more_blocks_than_their_bytes_fill() {
    let mut store = MemoryStore::new();

    for length in [700, 20_000, 1, 300_000, 5_000, 16_384] {
        append(&mut store, &payload(1, length));
    }

    let bytes: usize = 700 + 20_000 + 1 + 300_000 + 5_000 + 16_384;
    assert_eq!(store.full.len() + 1, bytes.div_ceil(BLOCK));
}
