//! Reading protobuf's primitives from a slice.

use super::malformed::Problem;

/// The most bytes a varint has: ten times seven bits hold 64.
const VARINT_BYTES: usize = 10;
/// What the tenth byte of a varint may hold: the 64th bit.
const LAST_BYTE_MAX: u8 = 1;
/// The largest field number, 29 bits long.
const FIELD_NUMBER_MAX: u32 = (1 << 29) - 1;

/// A place in a message: what has not been read yet.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    left: &'a [u8],
}

/// What introduces a field.
#[derive(Clone, Copy)]
pub(super) struct Key {
    /// From 1 to 2^29 - 1.
    pub(super) number: u32,
    pub(super) wire: Wire,
}

/// How a field's value is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Delimited = 2,
    StartGroup = 3,
    EndGroup = 4,
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
        match self.left.split_first() {
            Some((&byte, left)) if byte < 0x80 => {
                self.left = left;
                Some(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for (index, &byte) in self.left.iter().take(VARINT_BYTES).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.left = self.left.get(index + 1..)?;
                return (index + 1 < VARINT_BYTES || byte <= LAST_BYTE_MAX).then_some(value);
            }
        }
        None
    }

    /// Reads `count` bytes, or returns `None` where fewer are left.
    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.left.split_at_checked(count)?;
        self.left = left;
        Some(taken)
    }

    /// Reads a length and as many bytes, or returns `None` where one of them is not all there.
    #[inline]
    pub(super) fn delimited(&mut self) -> Option<&'a [u8]> {
        let length = self.varint()?;
        self.take(usize::try_from(length).ok()?)
    }

    /// Reads a key.
    pub(super) fn key(&mut self) -> Result<Key, Problem> {
        let start = *self;
        let key = self.varint().ok_or_else(|| start.bad_varint())?;
        Key::new(key)
    }

    /// Skips the value that follows `key`, of a field the schema does not know.
    ///
    /// `levels` more may be nested in the message around it. As in `prost`, an unknown field takes
    /// one, whatever it is, and each group around it another.
    pub(super) fn skip(&mut self, key: Key, levels: u32) -> Result<(), Problem> {
        let inner_levels = levels.checked_sub(1).ok_or(Problem::TooDeep)?;
        let start = *self;
        match key.wire {
            Wire::StartGroup => self.skip_group(key.number, inner_levels),
            Wire::EndGroup => Err(Problem::GroupNotOpen),
            wire => self.value(wire).map(drop).ok_or_else(|| start.bad_value(wire)),
        }
    }

    fn skip_group(&mut self, number: u32, levels: u32) -> Result<(), Problem> {
        loop {
            if self.left.is_empty() {
                return Err(Problem::GroupNotClosed);
            }
            match self.key()? {
                Key { wire: Wire::EndGroup, number: closed } if closed == number => return Ok(()),
                Key { wire: Wire::EndGroup, number: closed } => {
                    return Err(Problem::GroupMismatch { closed });
                }
                key => self.skip(key, levels)?,
            }
        }
    }

    /// Reads one value, and returns its bytes where they have a fixed or a given length; `None`
    /// where it is not all there, or no single value.
    #[inline]
    pub(super) fn value(&mut self, wire: Wire) -> Option<&'a [u8]> {
        match wire {
            Wire::Varint => self.varint().map(|_| [].as_slice()),
            Wire::Fixed64 => self.take(8),
            Wire::Delimited => self.delimited(),
            Wire::Fixed32 => self.take(4),
            Wire::StartGroup | Wire::EndGroup => None,
        }
    }

    /// Says why no value of this layout could be read from here.
    #[cold]
    pub(super) fn bad_value(mut self, wire: Wire) -> Problem {
        match wire {
            Wire::Delimited => {
                let start = self;
                match self.varint() {
                    Some(needed) => Problem::Ends { needed, left: self.left.len() },
                    None => start.bad_varint(),
                }
            }
            Wire::Fixed64 => Problem::Ends { needed: 8, left: self.left.len() },
            Wire::Fixed32 => Problem::Ends { needed: 4, left: self.left.len() },
            Wire::Varint | Wire::StartGroup | Wire::EndGroup => self.bad_varint(),
        }
    }

    /// Says why no varint could be read from here.
    #[cold]
    pub(super) fn bad_varint(self) -> Problem {
        if self.left.len() < VARINT_BYTES { Problem::VarintEnds } else { Problem::VarintTooLong }
    }
}

impl Key {
    pub(super) fn new(key: u64) -> Result<Self, Problem> {
        match u32::try_from(key >> 3) {
            Ok(number @ 1..=FIELD_NUMBER_MAX) => Ok(Self { number, wire: Wire::of(key)? }),
            _ => Err(Problem::FieldNumber(key >> 3)),
        }
    }
}

impl Wire {
    fn of(key: u64) -> Result<Self, Problem> {
        match key & 7 {
            0 => Ok(Self::Varint),
            1 => Ok(Self::Fixed64),
            2 => Ok(Self::Delimited),
            3 => Ok(Self::StartGroup),
            4 => Ok(Self::EndGroup),
            5 => Ok(Self::Fixed32),
            other => Err(Problem::NoSuchWireType(other)),
        }
    }
}
