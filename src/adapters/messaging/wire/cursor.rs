//! Reads protobuf's primitives from a slice.

use super::malformed::FieldProblem;

/// Maximum bytes of a varint: ten times seven bits hold 64 bits.
const MAX_VARINT_BYTES: usize = 10;
/// Maximum value of a varint's tenth byte, which holds only the 64th bit.
const MAX_LAST_VARINT_BYTE: u8 = 1;
/// The largest field number, which has 29 bits.
const MAX_FIELD_NUMBER: u32 = (1 << 29) - 1;

/// A position in a message.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    remaining: &'a [u8],
}

/// The key (tag) of a field.
#[derive(Clone, Copy)]
struct Key {
    number: u32,
    kind: KeyKind,
}

/// Any wire type, groups included.
#[derive(Clone, Copy)]
enum KeyKind {
    Value(WireType),
    StartGroup,
    EndGroup,
}

/// The wire types of single values, that is all but groups.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum WireType {
    Varint = 0,
    Fixed64 = 1,
    LengthDelimited = 2,
    Fixed32 = 5,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { remaining: bytes }
    }

    /// Returns what has not been read yet.
    #[inline]
    pub(super) const fn remaining(&self) -> &'a [u8] {
        self.remaining
    }

    /// Reads a varint; `None` if none ends within ten bytes and 64 bits.
    #[inline]
    pub(super) fn varint(&mut self) -> Option<u64> {
        let (value, left) = match self.remaining.split_first() {
            Some((byte, left)) if *byte < 0x80 => (u64::from(*byte), left),
            _ => long_varint(self.remaining)?,
        };
        self.remaining = left;
        Some(value)
    }

    /// Reads one value and returns its bytes, which are empty for a varint; `None` if the value is
    /// truncated or not a valid varint.
    #[inline]
    pub(super) fn value(&mut self, wire_type: WireType) -> Option<&'a [u8]> {
        match wire_type {
            WireType::LengthDelimited => {
                let length = self.varint()?;
                self.take(usize::try_from(length).ok()?)
            }
            WireType::Fixed64 => self.take(8),
            WireType::Fixed32 => self.take(4),
            WireType::Varint => self.varint().map(|_| [].as_slice()),
        }
    }

    #[inline]
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.remaining.split_at_checked(count)?;
        self.remaining = left;
        Some(taken)
    }

    /// Skips the value after `key`, the key of a field that is not in the schema.
    ///
    /// `levels` more may be nested in the enclosing message: as in `prost`, any unknown field takes
    /// one, and a group one more for its content.
    pub(super) fn skip(&mut self, key: u64, levels: u32) -> Result<(), FieldProblem> {
        self.skip_value(Key::new(key)?, levels)
    }

    fn skip_value(&mut self, key: Key, levels: u32) -> Result<(), FieldProblem> {
        let inner_levels = levels.checked_sub(1).ok_or(FieldProblem::TooDeep)?;
        match key.kind {
            KeyKind::StartGroup => self.skip_group(key.number, inner_levels),
            KeyKind::EndGroup => Err(FieldProblem::UnexpectedEndGroup),
            KeyKind::Value(wire_type) => {
                let start = *self;
                self.value(wire_type).map(drop).ok_or_else(|| start.bad_value(wire_type))
            }
        }
    }

    fn skip_group(&mut self, number: u32, levels: u32) -> Result<(), FieldProblem> {
        while !self.remaining.is_empty() {
            let start = *self;
            let key = Key::new(self.varint().ok_or_else(|| start.bad_varint())?)?;
            match key.kind {
                KeyKind::EndGroup if key.number == number => return Ok(()),
                KeyKind::EndGroup => return Err(FieldProblem::MismatchedEndGroup(key.number)),
                _ => self.skip_value(key, levels)?,
            }
        }
        Err(FieldProblem::UnclosedGroup)
    }

    /// Returns why no value of this wire type could be read from here.
    #[cold]
    pub(super) fn bad_value(self, wire_type: WireType) -> FieldProblem {
        let mut after_length = self;
        match wire_type {
            WireType::Fixed64 => FieldProblem::Truncated { needed: 8, left: self.remaining.len() },
            WireType::Fixed32 => FieldProblem::Truncated { needed: 4, left: self.remaining.len() },
            WireType::Varint => self.bad_varint(),
            WireType::LengthDelimited => match after_length.varint() {
                Some(needed) => {
                    FieldProblem::Truncated { needed, left: after_length.remaining.len() }
                }
                None => self.bad_varint(),
            },
        }
    }

    /// Returns why no varint could be read from here.
    #[cold]
    pub(super) fn bad_varint(self) -> FieldProblem {
        if self.remaining.len() < MAX_VARINT_BYTES {
            FieldProblem::TruncatedVarint
        } else {
            FieldProblem::VarintOverflow
        }
    }
}

impl Key {
    fn new(key: u64) -> Result<Self, FieldProblem> {
        match u32::try_from(key >> 3) {
            Ok(number @ 1..=MAX_FIELD_NUMBER) => Ok(Self { number, kind: KeyKind::new(key & 7)? }),
            _ => Err(FieldProblem::InvalidFieldNumber),
        }
    }
}

impl KeyKind {
    fn new(wire: u64) -> Result<Self, FieldProblem> {
        match wire {
            0 => Ok(Self::Value(WireType::Varint)),
            1 => Ok(Self::Value(WireType::Fixed64)),
            2 => Ok(Self::Value(WireType::LengthDelimited)),
            3 => Ok(Self::StartGroup),
            4 => Ok(Self::EndGroup),
            5 => Ok(Self::Value(WireType::Fixed32)),
            _ => Err(FieldProblem::UnknownWireType(wire)),
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
    for (index, byte) in bytes.iter().take(MAX_VARINT_BYTES).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            let fits = index + 1 < MAX_VARINT_BYTES || *byte <= MAX_LAST_VARINT_BYTE;
            return bytes.get(index + 1..).filter(|_| fits).map(|left| (value, left));
        }
    }
    None
}
