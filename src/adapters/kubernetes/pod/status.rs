//! The annotation `tracebuffer.dev/status`: what was decided for a pod, as JSON.
//!
//! `{"injected":"shop/default","uid":"…","hash":"…","maxBytes":33554432}`, with `"bypassed":true` and
//! `"warnings":["…"]` where they apply, or `{"skipped":"PortClash","message":"…"}`.

use serde::{Deserialize, Serialize};

use crate::domain::operator::injection::status::{InjectedSidecar, InjectionStatus};
use crate::domain::operator::labels::is_label_value;
use crate::domain::text::truncated_bytes;

/// Maximum characters of a message that are kept.
const MAX_MESSAGE_CHARS: usize = 1024;
/// Maximum number of warnings, and maximum bytes of each.
const MAX_WARNINGS: usize = 8;
const MAX_WARNING_BYTES: usize = 512;

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StatusAnnotation {
    #[serde(rename_all = "camelCase")]
    Injected {
        injected: String,
        uid: String,
        hash: String,
        max_bytes: u64,
        #[serde(default, rename = "bypassed", skip_serializing_if = "is_false")]
        is_bypassed: bool,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
    },
    Skipped {
        skipped: String,
        message: String,
    },
}

/// Returns the annotation's value for `status`.
#[must_use]
pub fn to_annotation(status: &InjectionStatus) -> String {
    let written = match status {
        InjectionStatus::Injected(injected) => StatusAnnotation::Injected {
            injected: injected.trace_buffer.to_string(),
            uid: injected.uid.clone(),
            hash: injected.hash.clone(),
            max_bytes: injected.max_bytes,
            is_bypassed: injected.is_bypassed,
            warnings: bounded(injected.warnings.clone()),
        },
        InjectionStatus::Skipped { reason, message } => StatusAnnotation::Skipped {
            skipped: reason.as_str().to_owned(),
            message: message.clone(),
        },
    };
    // Text and numbers always serialize.
    serde_json::to_string(&written).unwrap_or_default()
}

/// Parses the annotation's value. Returns `None` for a value that the webhook never writes.
///
/// Whoever creates pods can write any value. The names are therefore checked against the rules of
/// Kubernetes, the UID and the hash are at most 63 characters, a longer message is cut after 1024, and
/// of the warnings the first eight are kept, cut after 512: the operator uses all of them as keys or
/// keeps them in memory.
#[must_use]
pub fn from_annotation(value: &str) -> Option<InjectionStatus> {
    match serde_json::from_str(value).ok()? {
        StatusAnnotation::Injected { injected, uid, hash, max_bytes, is_bypassed, warnings } => {
            let trace_buffer = injected.parse().ok()?;
            let is_valid = is_label_value(&uid) && is_label_value(&hash);
            is_valid.then_some(InjectionStatus::Injected(InjectedSidecar {
                trace_buffer,
                uid,
                hash,
                max_bytes,
                is_bypassed,
                warnings: bounded(warnings),
            }))
        }
        StatusAnnotation::Skipped { skipped, message } => {
            let message = message.chars().take(MAX_MESSAGE_CHARS).collect();
            Some(InjectionStatus::Skipped { reason: skipped.parse().ok()?, message })
        }
    }
}

/// Returns the warnings that the annotation keeps.
pub(super) fn bounded(warnings: Vec<String>) -> Vec<String> {
    let cut = |text: String| truncated_bytes(&text, MAX_WARNING_BYTES).into_owned();
    warnings.into_iter().take(MAX_WARNINGS).map(cut).collect()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::operator::injection::skip::SkipReason;
    use crate::domain::operator::object_key::ObjectKey;

    fn injected() -> InjectionStatus {
        InjectionStatus::Injected(InjectedSidecar {
            trace_buffer: ObjectKey { namespace: "shop".into(), name: "default".into() },
            uid: "u-1".into(),
            hash: "h1".into(),
            max_bytes: 33_554_432,
            is_bypassed: false,
            warnings: vec![],
        })
    }

    fn warned(warnings: Vec<String>) -> InjectionStatus {
        let InjectionStatus::Injected(injected) = injected() else { unreachable!() };
        InjectionStatus::Injected(InjectedSidecar { is_bypassed: true, warnings, ..injected })
    }

    #[test]
    fn both_forms_are_written_as_documented() {
        assert_eq!(
            to_annotation(&injected()),
            r#"{"injected":"shop/default","uid":"u-1","hash":"h1","maxBytes":33554432}"#
        );
        assert_eq!(
            to_annotation(&warned(vec!["why".into()])),
            r#"{"injected":"shop/default","uid":"u-1","hash":"h1","maxBytes":33554432,"bypassed":true,"warnings":["why"]}"#
        );
        let skipped =
            InjectionStatus::Skipped { reason: SkipReason::PortClash, message: "\"a\"".into() };
        assert_eq!(to_annotation(&skipped), r#"{"skipped":"PortClash","message":"\"a\""}"#);
    }

    #[test]
    fn a_written_status_is_read_back() {
        for status in [injected(), warned(vec!["a".into(), "b\n".into()])] {
            assert_eq!(from_annotation(&to_annotation(&status)), Some(status));
        }
        for reason in SkipReason::ALL {
            let status = InjectionStatus::Skipped { reason, message: "why\n".into() };
            assert_eq!(from_annotation(&to_annotation(&status)), Some(status));
        }
    }

    #[test]
    fn fields_of_a_later_version_are_ignored() {
        let later =
            r#"{"injected":"shop/default","uid":"u-1","hash":"h1","maxBytes":33554432,"new":1}"#;
        assert_eq!(from_annotation(later), Some(injected()));
    }

    #[test]
    fn any_other_text_is_not_a_status() {
        for value in [
            "",
            "{}",
            "null",
            "[]",
            "injected",
            r#"{"injected":"shop/default"}"#,
            r#"{"injected":"x","uid":"","hash":"","maxBytes":1}"#,
            r#"{"injected":"a/b","uid":"","hash":"","maxBytes":-1}"#,
            r#"{"skipped":"Mood","message":""}"#,
            r#"{"skipped":"PortClash"}"#,
        ] {
            assert_eq!(from_annotation(value), None, "{value}");
        }
    }

    #[test]
    fn a_status_with_fields_that_the_webhook_never_writes_is_rejected() {
        let long = "a".repeat(300);
        let (uid, hash) = ("u-1", "h1");
        for (injected, uid, hash) in [
            (format!("{long}/x").as_str(), uid, hash),
            (&format!("shop/{long}"), uid, hash),
            ("a/b/c", uid, hash),
            ("/x", uid, hash),
            ("shop/", uid, hash),
            ("Shop/x", uid, hash),
            ("shop/x y", uid, hash),
            ("shop/x", &long, hash),
            ("shop/x", uid, &long),
            ("shop/x", uid, "h\n1"),
        ] {
            let value = serde_json::json!({
                "injected": injected, "uid": uid, "hash": hash, "maxBytes": 1,
            });
            assert_eq!(from_annotation(&value.to_string()), None, "{value}");
        }
    }

    #[test]
    fn a_long_message_is_cut() {
        let value = serde_json::json!({ "skipped": "PortClash", "message": "é".repeat(100_000) });

        let status = from_annotation(&value.to_string());

        let Some(InjectionStatus::Skipped { message, .. }) = status else { panic!("{status:?}") };
        assert!(message.len() < 4000, "{}", message.len());
    }

    #[test]
    fn warnings_are_bounded_in_number_and_length() {
        let many = vec!["é".repeat(100_000); 1000];

        let written = to_annotation(&warned(many.clone()));
        let forged = serde_json::json!({
            "injected": "shop/x", "uid": "u", "hash": "h", "maxBytes": 1, "warnings": many,
        });

        assert!(written.len() < 8192, "{}", written.len());
        for status in [from_annotation(&written), from_annotation(&forged.to_string())] {
            let Some(InjectionStatus::Injected(read)) = status else { panic!("{status:?}") };
            assert_eq!(read.warnings.len(), MAX_WARNINGS);
            assert!(read.warnings.iter().all(|text| text.len() <= MAX_WARNING_BYTES));
        }
    }
}
