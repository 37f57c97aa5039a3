//! Counts the spans of a gRPC `ExportTraceServiceRequest` while it arrives, keeping none of it.

/// The generator writes a sequence number into each span id; the scanner reads it back.
///
/// Only the path request → resource spans → scope spans → span → span id is walked, everything else
/// is skipped, so that the sink costs little compared with the program that it measures.
#[derive(Debug)]
pub(crate) struct Scanner {
    state: ScanState,
    offset: u64,
    /// Where the open messages end: request, resource spans, scope spans, span.
    ends: [u64; 4],
    depth: usize,
    varint: Varint,
    id: u64,
}

/// The body is not an uncompressed gRPC message with well-formed protobuf on the path to its spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

#[derive(Debug, Clone, Copy)]
enum ScanState {
    Prefix { left: u8, length: u32 },
    Key,
    Length { field: u64 },
    Value,
    Skip { left: u64 },
    SpanId { left: u8 },
    Done,
}

#[derive(Debug, Default)]
struct Varint {
    value: u64,
    shift: u32,
}

/// The field that leads one level deeper, by depth: `resource_spans`, `scope_spans`, `spans`.
const DESCENT: [u64; 3] = [1, 2, 2];
const SPAN_DEPTH: usize = DESCENT.len();
const SPAN_ID_FIELD: u64 = 2;

impl Scanner {
    pub(crate) fn new() -> Self {
        Self {
            state: ScanState::Prefix { left: 5, length: 0 },
            offset: 0,
            ends: [0; 4],
            depth: 0,
            varint: Varint::default(),
            id: 0,
        }
    }

    /// Whether exactly one whole message was read.
    pub(crate) fn finished(&self) -> bool {
        matches!(self.state, ScanState::Done)
    }

    /// Reads the next piece and calls `found` with each span id that ends in it.
    pub(crate) fn feed(
        &mut self,
        piece: &[u8],
        mut found: impl FnMut(u64),
    ) -> Result<(), Malformed> {
        let mut rest = piece;
        while let Some((&byte, tail)) = rest.split_first() {
            if let ScanState::Skip { left } = self.state {
                let here = left.min(rest.len() as u64);
                rest = rest.split_at(usize::try_from(here).map_err(|_| Malformed)?).1;
                self.offset += here;
                self.skip(left - here);
                continue;
            }
            rest = tail;
            self.offset += 1;
            self.byte(byte, &mut found)?;
        }
        Ok(())
    }

    fn byte(&mut self, byte: u8, found: &mut impl FnMut(u64)) -> Result<(), Malformed> {
        match self.state {
            ScanState::Prefix { left, length } => self.prefix(left, length, byte)?,
            ScanState::Key => {
                if let Some(key) = self.varint.push(byte)? {
                    self.key(key)?;
                }
            }
            ScanState::Length { field } => {
                if let Some(length) = self.varint.push(byte)? {
                    self.field(field, length)?;
                }
            }
            ScanState::Value => {
                if self.varint.push(byte)?.is_some() {
                    self.next_key();
                }
            }
            ScanState::SpanId { left } => {
                self.id = (self.id << 8) | u64::from(byte);
                self.state = ScanState::SpanId { left: left - 1 };
                if left == 1 {
                    found(self.id);
                    self.skip_rest_of_span();
                }
            }
            ScanState::Skip { .. } | ScanState::Done => return Err(Malformed),
        }
        Ok(())
    }

    fn prefix(&mut self, left: u8, length: u32, byte: u8) -> Result<(), Malformed> {
        const COMPRESSION_FLAG: u8 = 5;
        if left == COMPRESSION_FLAG && byte != 0 {
            return Err(Malformed);
        }
        let length = if left == COMPRESSION_FLAG { 0 } else { (length << 8) | u32::from(byte) };
        self.state = ScanState::Prefix { left: left - 1, length };
        if left == 1 {
            self.open(u64::from(length));
        }
        Ok(())
    }

    fn key(&mut self, key: u64) -> Result<(), Malformed> {
        match key & 7 {
            0 => self.state = ScanState::Value,
            1 => self.skip(8),
            2 => self.state = ScanState::Length { field: key >> 3 },
            5 => self.skip(4),
            _ => return Err(Malformed),
        }
        Ok(())
    }

    fn field(&mut self, field: u64, length: u64) -> Result<(), Malformed> {
        let end = self.ends.get(self.depth).copied().ok_or(Malformed)?;
        if self.offset.checked_add(length).is_none_or(|field_end| field_end > end) {
            return Err(Malformed);
        }
        if DESCENT.get(self.depth) == Some(&field) {
            self.depth += 1;
            self.open(length);
        } else if self.depth == SPAN_DEPTH && field == SPAN_ID_FIELD {
            if length != 8 {
                return Err(Malformed);
            }
            self.id = 0;
            self.state = ScanState::SpanId { left: 8 };
        } else {
            self.skip(length);
        }
        Ok(())
    }

    fn open(&mut self, length: u64) {
        if let Some(end) = self.ends.get_mut(self.depth) {
            *end = self.offset + length;
        }
        self.next_key();
    }

    fn skip(&mut self, left: u64) {
        if left == 0 {
            self.next_key();
        } else {
            self.state = ScanState::Skip { left };
        }
    }

    fn skip_rest_of_span(&mut self) {
        let end = self.ends.get(self.depth).copied().unwrap_or(self.offset);
        self.skip(end.saturating_sub(self.offset));
    }

    /// Leaves the messages that end here, and reads on in the one around them.
    fn next_key(&mut self) {
        self.state = ScanState::Key;
        while self.ends.get(self.depth).is_some_and(|end| self.offset >= *end) {
            if self.depth == 0 {
                self.state = ScanState::Done;
                return;
            }
            self.depth -= 1;
        }
    }
}

impl Varint {
    fn push(&mut self, byte: u8) -> Result<Option<u64>, Malformed> {
        if self.shift > 63 {
            return Err(Malformed);
        }
        self.value |= u64::from(byte & 0x7f) << self.shift;
        self.shift += 7;
        if byte & 0x80 != 0 {
            return Ok(None);
        }
        let value = self.value;
        *self = Self::default();
        Ok(Some(value))
    }
}
