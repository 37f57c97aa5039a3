//! Reads the fields of one message and checks each against the schema.

use super::ascii::is_ascii;
use super::attribute;
use super::cursor::{Cursor, WireType};
use super::malformed::{FieldProblem, ScanError, ScanResult};
use super::schema::{FieldKind, FieldSchema, KEY_VALUE, MessageSchema, UNKNOWN_FIELD};

/// Levels that may be nested below the request: the limit of `prost` and of the C++, Java and
/// Python libraries, which cannot decode deeper messages.
pub(super) const MAX_DEPTH: u32 = 100;

/// The fields of one message, in encoding order.
pub(super) struct FieldReader<'a> {
    cursor: Cursor<'a>,
    schema: &'static MessageSchema,
    /// Levels that may be nested in this message.
    depth_left: u32,
}

/// One well-formed field; a message in it has not been checked yet.
pub(super) struct Field<'a> {
    /// 0 if the field is not in the schema.
    pub(super) number: u64,
    /// The bytes of a string, bytes or message field.
    pub(super) payload: &'a [u8],
    schema: &'static FieldSchema,
}

impl<'a> FieldReader<'a> {
    pub(super) const fn new(bytes: &'a [u8], schema: &'static MessageSchema, levels: u32) -> Self {
        Self { cursor: Cursor::new(bytes), schema, depth_left: levels }
    }

    /// Returns the bytes after the field last read.
    #[inline]
    pub(super) const fn remaining(&self) -> &'a [u8] {
        self.cursor.remaining()
    }

    /// Reads the next field; `None` at the end of the message.
    #[expect(
        clippy::inline_always,
        reason = "measured: nearly twice as fast with the schema known"
    )]
    #[inline(always)]
    pub(super) fn next(&mut self) -> ScanResult<Option<Field<'a>>> {
        let start = self.cursor;
        if start.remaining().is_empty() {
            return Ok(None);
        }
        let Some(key) = self.cursor.varint() else { return Err(bad_key(start)) };
        let schema = self.schema.field(key >> 3);
        let wire_type = match schema.wire_type {
            Some(wire_type) if wire_type as u64 == key & 7 => wire_type,
            _ => {
                self.cursor = skip_unknown(start, self.cursor, key, schema, self.depth_left)?;
                return Ok(Some(Field { number: 0, payload: &[], schema: &UNKNOWN_FIELD }));
            }
        };
        let after_key = self.cursor;
        let Some(payload) = self.cursor.value(wire_type) else {
            return Err(bad_value(start, after_key, key, schema, wire_type));
        };
        let field = Field { number: key >> 3, payload, schema };
        if matches!(schema.kind, FieldKind::Text) && !is_ascii(payload) {
            check_utf8(payload, self.remaining(), key, schema)?;
        }
        Ok(Some(field))
    }

    /// Checks the message in `field`, if there is one, and everything nested in it. After a plain
    /// attribute it also skips the plain attributes that follow, because they come in runs.
    #[expect(clippy::inline_always, reason = "measured, like `next`")]
    #[inline(always)]
    pub(super) fn check_nested(&mut self, field: &Field<'a>) -> ScanResult<()> {
        match field.schema.kind {
            // An attribute takes one level, and its value another.
            FieldKind::Attribute if self.depth_left >= 2 && attribute::is_plain(field.payload) => {
                let key = field.number << 3 | WireType::LengthDelimited as u64;
                self.cursor = Cursor::new(attribute::skip_plain(self.remaining(), key));
                Ok(())
            }
            FieldKind::Attribute => {
                self.nested(field, |bytes, levels| check(bytes, &KEY_VALUE, levels))
            }
            FieldKind::Message(schema) => {
                self.nested(field, |bytes, levels| check(bytes, schema, levels))
            }
            _ => Ok(()),
        }
    }

    /// Reads the message in `field` with `read`, and adds the field to the path of an error in it.
    ///
    /// `read` gets the message's bytes and the levels that may be nested in it.
    #[inline]
    pub(super) fn nested<T>(
        &self,
        field: &Field<'a>,
        read: impl FnOnce(&'a [u8], u32) -> ScanResult<T>,
    ) -> ScanResult<T> {
        let (name, after) = (field.schema.name, self.remaining().len());
        let Some(levels) = self.depth_left.checked_sub(1) else {
            let before_end = field.payload.len() + after;
            return Err(ScanError::new(
                before_end,
                Some((field.number, name)),
                FieldProblem::TooDeep,
            ));
        };
        read(field.payload, levels).map_err(|error| error.in_field(name, after))
    }
}

/// Checks a message and everything nested in it.
fn check(bytes: &[u8], schema: &'static MessageSchema, levels: u32) -> ScanResult<()> {
    let mut fields = FieldReader::new(bytes, schema, levels);
    while let Some(field) = fields.next()? {
        fields.check_nested(&field)?;
    }
    Ok(())
}

/// Skips a field that is not in the schema; returns an error for a wrong wire type.
#[cold]
fn skip_unknown<'a>(
    start: Cursor<'a>,
    mut after_key: Cursor<'a>,
    key: u64,
    schema: &'static FieldSchema,
    levels: u32,
) -> ScanResult<Cursor<'a>> {
    let skipped = match schema.wire_type {
        Some(wire_type) => {
            Err(FieldProblem::WrongWireType { found: key & 7, needed: wire_type as u8 })
        }
        None => after_key.skip(key, levels),
    };
    match skipped {
        Ok(()) => Ok(after_key),
        Err(problem) => {
            Err(ScanError::new(start.remaining().len(), Some((key >> 3, schema.name)), problem))
        }
    }
}

#[cold]
fn bad_key(start: Cursor<'_>) -> ScanError {
    ScanError::new(start.remaining().len(), None, start.bad_varint())
}

#[cold]
fn bad_value(
    start: Cursor<'_>,
    after_key: Cursor<'_>,
    key: u64,
    schema: &'static FieldSchema,
    wire_type: WireType,
) -> ScanError {
    let problem = after_key.bad_value(wire_type);
    ScanError::new(start.remaining().len(), Some((key >> 3, schema.name)), problem)
}

#[cold]
fn check_utf8(text: &[u8], after: &[u8], key: u64, schema: &'static FieldSchema) -> ScanResult<()> {
    let Err(error) = std::str::from_utf8(text) else { return Ok(()) };
    let before_end = text.len() - error.valid_up_to() + after.len();
    Err(ScanError::new(before_end, Some((key >> 3, schema.name)), FieldProblem::InvalidUtf8))
}
