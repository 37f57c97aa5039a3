//! Writing the protobuf wire format at the end of a buffer.

/// The encoding of a field's value.
#[derive(Clone, Copy)]
pub(super) enum WireType {
    Varint = 0,
    Fixed64 = 1,
    LengthDelimited = 2,
    Fixed32 = 5,
}

/// Writes the tag of field `number`.
pub(super) fn put_tag(out: &mut Vec<u8>, number: u32, wire_type: WireType) {
    put_varint(out, u64::from(number) << 3 | wire_type as u64);
}

/// Writes `value` in its shortest form, seven bits per byte.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Begins a length-delimited field whose length is not known yet; returns where its body begins.
pub(super) fn begin_field(out: &mut Vec<u8>, number: u32) -> usize {
    put_tag(out, number, WireType::LengthDelimited);
    out.len()
}

/// Ends the field whose body begins at `body`: inserts its length before it.
pub(super) fn end_field(out: &mut Vec<u8>, body: usize) {
    let end = out.len();
    put_varint(out, (end - body) as u64);
    let prefix = out.len() - end;
    out.split_at_mut(body).1.rotate_right(prefix);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, value);
        out
    }

    #[test]
    fn a_varint_has_seven_bits_per_byte_lowest_first() {
        assert_eq!(varint(0), [0]);
        assert_eq!(varint(127), [0x7f]);
        assert_eq!(varint(128), [0x80, 1]);
        assert_eq!(varint(u64::MAX), [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    }

    #[test]
    fn a_tag_above_fifteen_takes_two_bytes() {
        let mut out = Vec::new();

        put_tag(&mut out, 16, WireType::Fixed32);

        assert_eq!(out, [0x85, 1]);
    }

    #[test]
    fn the_length_of_a_body_is_put_in_front_of_it() {
        let mut out = vec![9];

        let body = begin_field(&mut out, 1);
        out.extend([5; 200]);
        end_field(&mut out, body);

        assert_eq!(out[..4], [9, 10, 200, 1]);
        assert_eq!(out[4..], [5; 200]);
    }
}
