//! Reading the fields of one message, each checked against the schema.

use super::attribute;
use super::cursor::{Cursor, Key};
use super::malformed::{Checked, FieldLabel, Flaw, Problem};
use super::schema::{KEY_VALUE, Kind, Known, Schema, UNKNOWN};

/// Messages that may be nested below the request, as in `prost` and the C++, Java and Python
/// libraries: what is deeper does not decode there.
pub(super) const LEVELS: u32 = 100;

/// The fields of one message, in the order they lie.
pub(super) struct Fields<'a> {
    cursor: Cursor<'a>,
    schema: &'static Schema,
    /// Messages that may be nested in this one, each in the other.
    levels: u32,
}

/// One field that is well formed; a message in it has yet to be checked.
pub(super) struct Field<'a> {
    /// 0 where the schema does not know it.
    pub(super) number: u64,
    pub(super) known: &'static Known,
    /// The bytes of a string, bytes or message field.
    pub(super) payload: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) const fn new(bytes: &'a [u8], schema: &'static Schema, levels: u32) -> Self {
        Self { cursor: Cursor::new(bytes), schema, levels }
    }

    /// Returns what lies behind the field last read.
    #[inline]
    pub(super) const fn left(&self) -> &'a [u8] {
        self.cursor.left()
    }

    /// Reads the next field; `None` at the end of the message.
    #[inline]
    pub(super) fn next(&mut self) -> Checked<Option<Field<'a>>> {
        let start = self.cursor;
        if start.left().is_empty() {
            return Ok(None);
        }
        let Some(key) = self.cursor.varint() else {
            return Err(flaw(start, FieldLabel::None, start.bad_varint()));
        };
        let number = key >> 3;
        let known = self.schema.field(number);
        let Some(wire) = known.kind.wire() else {
            self.skip_unknown(start, key)?;
            return Ok(Some(Field { number: 0, known: &UNKNOWN, payload: &[] }));
        };
        let label = FieldLabel::Known(number, known.name);
        if key & 7 != wire as u64 {
            let problem = Problem::WireType { found: key & 7, needed: wire as u8 };
            return Err(flaw(start, label, problem));
        }
        let before = self.cursor;
        let Some(payload) = self.cursor.value(wire) else {
            return Err(flaw(start, label, before.bad_value(wire)));
        };
        if matches!(known.kind, Kind::Text) && !payload.is_ascii() {
            self.check_utf8(payload, label)?;
        }
        Ok(Some(Field { number, known, payload }))
    }

    /// Checks the message in `field`, if there is one, and all that is nested in it.
    #[inline]
    pub(super) fn check_nested(&self, field: &Field<'a>) -> Checked<()> {
        match field.known.kind {
            // An attribute and its value take two levels.
            Kind::Attribute if self.levels >= 2 && attribute::is_plain(field.payload) => Ok(()),
            Kind::Attribute => self.nested(field, &KEY_VALUE, Self::check),
            Kind::Message(schema) => self.nested(field, schema, Self::check),
            _ => Ok(()),
        }
    }

    /// Reads the message in `field` with `read`, and says where in this message a flaw in it lies.
    #[inline]
    pub(super) fn nested<T>(
        &self,
        field: &Field<'a>,
        schema: &'static Schema,
        read: impl FnOnce(Fields<'a>) -> Checked<T>,
    ) -> Checked<T> {
        let after = self.left().len();
        let Some(levels) = self.levels.checked_sub(1) else {
            let label = FieldLabel::Known(field.number, field.known.name);
            return Err(Flaw::new(field.payload.len() + after, label, Problem::TooDeep));
        };
        read(Fields::new(field.payload, schema, levels))
            .map_err(|flaw| flaw.within(field.known.name, after))
    }

    /// Checks a message nested to any depth.
    fn check(mut self) -> Checked<()> {
        while let Some(field) = self.next()? {
            self.check_nested(&field)?;
        }
        Ok(())
    }

    #[cold]
    fn skip_unknown(&mut self, start: Cursor<'a>, key: u64) -> Checked<()> {
        let key = Key::new(key).map_err(|problem| flaw(start, FieldLabel::None, problem))?;
        let label = FieldLabel::Unknown(key.number);
        self.cursor.skip(key, self.levels).map_err(|problem| flaw(start, label, problem))
    }

    #[cold]
    fn check_utf8(&self, text: &[u8], label: FieldLabel) -> Checked<()> {
        let Err(error) = std::str::from_utf8(text) else { return Ok(()) };
        let before_end = text.len() - error.valid_up_to() + self.left().len();
        Err(Flaw::new(before_end, label, Problem::NotUtf8))
    }
}

#[cold]
fn flaw(start: Cursor<'_>, field: FieldLabel, problem: Problem) -> Flaw {
    Flaw::new(start.left().len(), field, problem)
}
