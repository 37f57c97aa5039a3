//! Recognises what a request without valid spans holds instead.

use super::cursor::{Cursor, WireType};
use super::nesting::{IN_REQUEST, NestingLevel};
use super::schema::{SPAN, number};

/// Maximum unknown fields named.
const MAX_FIELDS: usize = 3;
/// Where the requests of logs, metrics and profiles have their records, as that of traces has spans.
const PATH_TO_RECORDS: [u64; 3] = [number::RESOURCE_SPANS, number::SCOPE_SPANS, number::SPANS];
/// `ExportProfilesServiceRequest.dictionary`; no other request has this field.
const PROFILES_DICTIONARY: u64 = 2;
/// `ResourceSpans.instrumentation_library_spans`, which OTLP removed before 1.0.
const LIBRARY_SPANS: u64 = 1000;

/// The fields of a `LogRecord`, with their wire types.
const LOG_RECORD: [(u64, WireType); 11] = [
    (1, WireType::Fixed64),
    (11, WireType::Fixed64),
    (2, WireType::Varint),
    (3, WireType::LengthDelimited),
    (5, WireType::LengthDelimited),
    (6, WireType::LengthDelimited),
    (7, WireType::Varint),
    (8, WireType::Fixed32),
    (9, WireType::LengthDelimited),
    (10, WireType::LengthDelimited),
    (12, WireType::LengthDelimited),
];
/// The fields of a `Metric`, which are all length-delimited: first those that hold its data points.
const METRIC_DATA: [u64; 5] = [5, 7, 9, 10, 11];
const METRIC_TEXT: [u64; 4] = [1, 2, 3, 12];
/// The data points of each kind of metric, and the time of each kind of data point.
const DATA_POINTS: u64 = 1;
const POINT_TIME: (u64, Option<WireType>) = (3, Some(WireType::Fixed64));

/// A signal of OTLP other than traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::adapters::messaging) enum OtherSignal {
    Logs,
    Metrics,
    Profiles,
}

/// One field, whatever its message is.
struct RawField<'a> {
    number: u64,
    /// `None` for a group.
    wire_type: Option<WireType>,
    payload: &'a [u8],
}

/// The well-formed fields that a message begins with.
struct RawFields<'a>(Cursor<'a>);

/// Returns the signal whose export request this is, if it cannot be one of traces.
///
/// The requests differ only in their records. The first that is one of another signal decides.
pub(in crate::adapters::messaging) fn other_signal(request: &[u8]) -> Option<OtherSignal> {
    let mut signal = None;
    for_each_at(request, &PATH_TO_RECORDS, &mut |record| {
        signal = signal.or_else(|| signal_of_record(record));
    });
    let is_dictionary = |field: RawField<'_>| {
        field.number == PROFILES_DICTIONARY && field.wire_type == Some(WireType::LengthDelimited)
    };
    signal.or_else(|| RawFields::new(request).any(is_dictionary).then_some(OtherSignal::Profiles))
}

/// Returns the first few unknown fields of the envelopes of a request that
/// [`scan`](super::scan()) accepts.
pub(in crate::adapters::messaging) fn unknown_fields(request: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    find_unknown(request, &IN_REQUEST, &mut found);
    found
}

fn find_unknown(message: &[u8], level: &NestingLevel, found: &mut Vec<String>) {
    for field in RawFields::new(message) {
        if level.schema.field(field.number).wire_type.is_none() {
            let name = unknown_field_name(level.name, field.number);
            if found.len() < MAX_FIELDS && !found.contains(&name) {
                found.push(name);
            }
        } else if field.number == level.child_field
            && let Some(below) = level.child_level
        {
            find_unknown(field.payload, below, found);
        }
    }
}

fn unknown_field_name(message: &str, number: u64) -> String {
    let known_as = if number == LIBRARY_SPANS && message == "ResourceSpans" {
        " (instrumentation_library_spans, which OTLP 0.15 replaced by scope_spans)"
    } else {
        ""
    };
    format!("field {number} of {message}{known_as}")
}

fn for_each_at(message: &[u8], path: &[u64], visit: &mut impl FnMut(&[u8])) {
    let [number, below @ ..] = path else { return visit(message) };
    let is_next = |field: &RawField<'_>| {
        field.number == *number && field.wire_type == Some(WireType::LengthDelimited)
    };
    for field in RawFields::new(message).filter(is_next) {
        for_each_at(field.payload, below, visit);
    }
}

fn signal_of_record(record: &[u8]) -> Option<OtherSignal> {
    let fields = || RawFields::new(record);
    let is_span = fields().all(|field| {
        let wire_type = SPAN.field(field.number).wire_type;
        wire_type.is_none() || wire_type == field.wire_type
    });
    let is_log = fields().all(|field| {
        LOG_RECORD.iter().any(|(number, wire_type)| {
            field.number == *number && field.wire_type == Some(*wire_type)
        })
    });
    if is_log && !is_span {
        return Some(OtherSignal::Logs);
    }
    let is_metric = fields().all(|field| {
        field.wire_type == Some(WireType::LengthDelimited)
            && (METRIC_TEXT.contains(&field.number) || METRIC_DATA.contains(&field.number))
    });
    // A span's name and a gauge have the same number, so what the field holds decides.
    let mut has_points = false;
    for data in fields().filter(|field| METRIC_DATA.contains(&field.number)) {
        for_each_at(data.payload, &[DATA_POINTS], &mut |point| {
            has_points |=
                RawFields::new(point).any(|field| (field.number, field.wire_type) == POINT_TIME);
        });
    }
    (is_metric && has_points).then_some(OtherSignal::Metrics)
}

impl<'a> RawFields<'a> {
    const fn new(message: &'a [u8]) -> Self {
        Self(Cursor::new(message))
    }
}

impl<'a> Iterator for RawFields<'a> {
    type Item = RawField<'a>;

    fn next(&mut self) -> Option<RawField<'a>> {
        let key = self.0.varint()?;
        let wire_type = match key & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::LengthDelimited,
            5 => WireType::Fixed32,
            _ => {
                // The schema of no message here has a group.
                self.0.skip(key, super::fields::MAX_DEPTH).ok()?;
                return Some(RawField { number: key >> 3, wire_type: None, payload: &[] });
            }
        };
        let payload = self.0.value(wire_type)?;
        Some(RawField { number: key >> 3, wire_type: Some(wire_type), payload })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{
        bytes, fixed64, message, resource, scope, span, span_fields, varint,
    };
    use super::*;

    fn in_scope(record: &[Vec<u8>]) -> Vec<u8> {
        resource(&[message(1, &[]), scope(&[message(1, &[]), message(2, record)])])
    }

    /// The data of a metric with one point.
    fn data(number: u8) -> Vec<u8> {
        message(number, &[message(1, &[fixed64(2), fixed64(3), fixed64(4)])])
    }

    fn ascii_ids() -> Vec<u8> {
        [bytes(1, &[b'a'; 32]), bytes(2, &[b'b'; 16])].concat()
    }

    #[test]
    fn a_request_of_logs_is_recognised_by_its_records() {
        let body = message(5, &[bytes(1, b"text")]);
        let attribute = message(6, &[bytes(1, b"key")]);
        let records = [
            vec![fixed64(1), varint(2, 9), bytes(3, b"INFO"), body.clone(), fixed64(11)],
            vec![fixed64(11), body.clone()],
            vec![varint(2, 9)],
            vec![body, attribute],
        ];
        for record in records {
            assert_eq!(other_signal(&in_scope(&record)), Some(OtherSignal::Logs), "{record:02x?}");
        }
    }

    #[test]
    fn a_request_of_metrics_is_recognised_by_the_data_of_each_kind() {
        let texts = [bytes(1, b"requests"), bytes(2, b"how many"), bytes(3, b"1")].concat();
        for kind in [5, 7, 9, 10, 11] {
            let request = in_scope(&[texts.clone(), data(kind)]);

            assert_eq!(other_signal(&request), Some(OtherSignal::Metrics), "{kind}");
        }
    }

    #[test]
    fn a_request_of_profiles_is_recognised_by_its_dictionary() {
        let profile = in_scope(&[message(1, &[varint(1, 1)]), fixed64(3), varint(4, 1)]);

        let request = [profile, message(2, &[bytes(5, b"main")])].concat();

        assert_eq!(other_signal(&request), Some(OtherSignal::Profiles));
    }

    #[test]
    fn spans_are_not_taken_for_another_signal_valid_or_not() {
        let requests = [
            vec![],
            resource(&[]),
            resource(&[scope(&[span(1)])]),
            in_scope(&[]),
            in_scope(&[bytes(5, b"name")]),
            in_scope(&[ascii_ids(), bytes(5, b"GET /"), fixed64(7)]),
            in_scope(&[ascii_ids(), bytes(5, b"\n\x00\x00")]),
            in_scope(&[ascii_ids(), message(9, &[bytes(1, b"key")])]),
            in_scope(&[ascii_ids(), message(9, &[bytes(1, b"key")]), bytes(5, b"name")]),
            in_scope(&[span_fields(1), message(11, &[fixed64(1)]), message(15, &[varint(3, 1)])]),
        ];
        for request in requests {
            assert_eq!(other_signal(&request), None, "{request:02x?}");
        }
    }

    #[test]
    fn unknown_fields_of_the_envelopes_are_named_each_once_and_three_at_most() {
        let legacy = vec![0xc2, 0x3e, 0x00];
        let group = vec![14 << 3 | 3, 14 << 3 | 4];
        let request = [
            varint(9, 1),
            resource(&[legacy.clone(), legacy, scope(&[group, varint(13, 1)])]),
            varint(9, 1),
        ];

        assert_eq!(
            unknown_fields(&request.concat()),
            [
                "field 9 of ExportTraceServiceRequest",
                "field 1000 of ResourceSpans (instrumentation_library_spans, which OTLP 0.15 \
                 replaced by scope_spans)",
                "field 14 of ScopeSpans",
            ]
        );
    }

    #[test]
    fn an_empty_envelope_has_no_unknown_fields() {
        let about = message(1, &[message(1, &[bytes(1, b"key")])]);
        let request =
            resource(&[about.clone(), bytes(3, b"url"), scope(&[about, bytes(3, b"url")])]);

        assert_eq!(unknown_fields(&request), Vec::<String>::new());
    }
}
