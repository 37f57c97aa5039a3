//! Reading protobuf's primitives from a slice.

use super::malformed::Problem;

/// The most bytes a varint has: ten times seven bits hold 64.
const VARINT_BYTES: usize = 10;
/// What the tenth byte of a varint may hold: the 64th bit.
const LAST_BYTE_MAX: u8 = 1;
/// The largest field number, 29 bits long.
const FIELD_NUMBER_MAX: u32 = (1 << 29) - 1;

/// A place in a message.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    left: &'a [u8],
}

/// What introduces a field.
#[derive(Clone, Copy)]
struct Key {
    number: u32,
    wire: Wire,
}

/// A wire type.
#[derive(Clone, Copy)]
enum Wire {
    Value(Layout),
    StartGroup,
    EndGroup,
}

/// How one value is laid out: the wire types but for groups.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Layout {
    Varint = 0,
    Fixed64 = 1,
    Delimited = 2,
    Fixed32 = 5,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// Returns what has not been read yet.
    #[inline]
    pub(super) const fn left(&self) -> &'a [u8] {
        self.left
    }

    /// Reads a varint, or returns `None` where none ends within ten bytes and 64 bits.
    #[inline]
    pub(super) fn varint(&mut self) -> Option<u64> {
        let (value, left) = match self.left.split_first() {
            Some((byte, left)) if *byte < 0x80 => (u64::from(*byte), left),
            _ => long_varint(self.left)?,
        };
        self.left = left;
        Some(value)
    }

    /// Reads one value, and returns its bytes but for a varint's; `None` where it is not all there,
    /// or no varint.
    #[inline]
    pub(super) fn value(&mut self, layout: Layout) -> Option<&'a [u8]> {
        match layout {
            Layout::Delimited => {
                let length = self.varint()?;
                self.take(usize::try_from(length).ok()?)
            }
            Layout::Fixed64 => self.take(8),
            Layout::Fixed32 => self.take(4),
            Layout::Varint => self.varint().map(|_| [].as_slice()),
        }
    }

    #[inline]
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.left.split_at_checked(count)?;
        self.left = left;
        Some(taken)
    }

    /// Skips the value behind `key`, the key of a field the schema does not know.
    ///
    /// `levels` more may be nested in the message around it: as in `prost`, any unknown field takes
    /// one, and a group one more for what is in it.
    pub(super) fn skip(&mut self, key: u64, levels: u32) -> Result<(), Problem> {
        self.skip_value(Key::new(key)?, levels)
    }

    fn skip_value(&mut self, key: Key, levels: u32) -> Result<(), Problem> {
        let inner_levels = levels.checked_sub(1).ok_or(Problem::TooDeep)?;
        match key.wire {
            Wire::StartGroup => self.skip_group(key.number, inner_levels),
            Wire::EndGroup => Err(Problem::GroupNotStarted),
            Wire::Value(layout) => {
                let start = *self;
                self.value(layout).map(drop).ok_or_else(|| start.bad_value(layout))
            }
        }
    }

    fn skip_group(&mut self, number: u32, levels: u32) -> Result<(), Problem> {
        while !self.left.is_empty() {
            let start = *self;
            let key = Key::new(self.varint().ok_or_else(|| start.bad_varint())?)?;
            match key.wire {
                Wire::EndGroup if key.number == number => return Ok(()),
                Wire::EndGroup => return Err(Problem::OtherGroupEnds(key.number)),
                _ => self.skip_value(key, levels)?,
            }
        }
        Err(Problem::GroupNotEnded)
    }

    /// Says why no value of this layout could be read from here.
    #[cold]
    pub(super) fn bad_value(self, layout: Layout) -> Problem {
        let mut behind_length = self;
        match layout {
            Layout::Fixed64 => Problem::Ends { needed: 8, left: self.left.len() },
            Layout::Fixed32 => Problem::Ends { needed: 4, left: self.left.len() },
            Layout::Varint => self.bad_varint(),
            Layout::Delimited => match behind_length.varint() {
                Some(needed) => Problem::Ends { needed, left: behind_length.left.len() },
                None => self.bad_varint(),
            },
        }
    }

    /// Says why no varint could be read from here.
    #[cold]
    pub(super) fn bad_varint(self) -> Problem {
        if self.left.len() < VARINT_BYTES { Problem::VarintEnds } else { Problem::VarintTooLong }
    }
}

impl Key {
    fn new(key: u64) -> Result<Self, Problem> {
        match u32::try_from(key >> 3) {
            Ok(number @ 1..=FIELD_NUMBER_MAX) => Ok(Self { number, wire: Wire::new(key & 7)? }),
            _ => Err(Problem::FieldNumber),
        }
    }
}

impl Wire {
    fn new(wire: u64) -> Result<Self, Problem> {
        match wire {
            0 => Ok(Self::Value(Layout::Varint)),
            1 => Ok(Self::Value(Layout::Fixed64)),
            2 => Ok(Self::Value(Layout::Delimited)),
            3 => Ok(Self::StartGroup),
            4 => Ok(Self::EndGroup),
            5 => Ok(Self::Value(Layout::Fixed32)),
            _ => Err(Problem::NoSuchWireType(wire)),
        }
    }
}

/// Reads a varint of two bytes or more.
#[inline(never)]
fn long_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    if let [first, second @ 0..0x80, left @ ..] = bytes {
        return Some((u64::from(*first & 0x7f) | u64::from(*second) << 7, left));
    }
    let mut value = 0;
    for (index, byte) in bytes.iter().take(VARINT_BYTES).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            let fits = index + 1 < VARINT_BYTES || *byte <= LAST_BYTE_MAX;
            return bytes.get(index + 1..).filter(|_| fits).map(|left| (value, left));
        }
    }
    None
}
