//! Reading the fields of one message, each checked against the schema.

use super::ascii::is_ascii;
use super::attribute;
use super::cursor::{Cursor, WireType};
use super::malformed::{FieldProblem, ScanError, ScanResult};
use super::schema::{FieldKind, FieldSchema, KEY_VALUE, MessageSchema, UNKNOWN_FIELD};

/// Levels that may be nested below the request, as in `prost` and in the C++, Java and Python
/// libraries: they cannot decode what is deeper.
pub(super) const MAX_DEPTH: u32 = 100;

/// The fields of one message, in the order they lie.
pub(super) struct FieldReader<'a> {
    cursor: Cursor<'a>,
    schema: &'static MessageSchema,
    /// Levels that may be nested in this message.
    depth_left: u32,
}

/// One field, well formed but for the message in it, if there is one.
pub(super) struct Field<'a> {
    /// 0 where the schema does not know the field.
    pub(super) number: u64,
    /// The bytes of a string, bytes or message field.
    pub(super) payload: &'a [u8],
    schema: &'static FieldSchema,
}

impl<'a> FieldReader<'a> {
    pub(super) const fn new(bytes: &'a [u8], schema: &'static MessageSchema, levels: u32) -> Self {
        Self { cursor: Cursor::new(bytes), schema, depth_left: levels }
    }

    /// Returns what lies behind the field last read.
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
        let known = self.schema.field(key >> 3);
        let layout = match known.wire_type {
            Some(layout) if layout as u64 == key & 7 => layout,
            _ => {
                self.cursor = skip_unknown(start, self.cursor, key, known, self.depth_left)?;
                return Ok(Some(Field { number: 0, payload: &[], schema: &UNKNOWN_FIELD }));
            }
        };
        let before = self.cursor;
        let Some(payload) = self.cursor.value(layout) else {
            return Err(bad_value(start, before, key, known, layout));
        };
        let field = Field { number: key >> 3, payload, schema: known };
        if matches!(known.kind, FieldKind::Text) && !is_ascii(payload) {
            check_utf8(payload, self.remaining(), key, known)?;
        }
        Ok(Some(field))
    }

    /// Checks the message in `field`, if there is one, and all that is nested in it; and if it is a
    /// plain attribute, all plain attributes that follow, because they come in runs.
    #[expect(clippy::inline_always, reason = "measured, as `next`")]
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

    /// Reads the message in `field` with `read`, and says where in this message a flaw in it lies.
    ///
    /// `read` is told the levels that may be nested in it.
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
        read(field.payload, levels).map_err(|flaw| flaw.in_field(name, after))
    }
}

/// Checks a message and all that is nested in it.
fn check(bytes: &[u8], schema: &'static MessageSchema, levels: u32) -> ScanResult<()> {
    let mut fields = FieldReader::new(bytes, schema, levels);
    while let Some(field) = fields.next()? {
        fields.check_nested(&field)?;
    }
    Ok(())
}

/// Skips a field that is not as the schema has it: one it does not know, or else a flaw.
#[cold]
fn skip_unknown<'a>(
    start: Cursor<'a>,
    mut behind_key: Cursor<'a>,
    key: u64,
    known: &'static FieldSchema,
    levels: u32,
) -> ScanResult<Cursor<'a>> {
    let skipped = match known.wire_type {
        Some(layout) => Err(FieldProblem::WrongWireType { found: key & 7, needed: layout as u8 }),
        None => behind_key.skip(key, levels),
    };
    match skipped {
        Ok(()) => Ok(behind_key),
        Err(problem) => {
            Err(ScanError::new(start.remaining().len(), Some((key >> 3, known.name)), problem))
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
    behind_key: Cursor<'_>,
    key: u64,
    known: &'static FieldSchema,
    layout: WireType,
) -> ScanError {
    let problem = behind_key.bad_value(layout);
    ScanError::new(start.remaining().len(), Some((key >> 3, known.name)), problem)
}

#[cold]
fn check_utf8(text: &[u8], after: &[u8], key: u64, known: &'static FieldSchema) -> ScanResult<()> {
    let Err(error) = std::str::from_utf8(text) else { return Ok(()) };
    let before_end = text.len() - error.valid_up_to() + after.len();
    Err(ScanError::new(before_end, Some((key >> 3, known.name)), FieldProblem::InvalidUtf8))
}
