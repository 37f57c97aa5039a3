//! Any request gets a valid review or a clear error.

use proptest::prelude::*;

use super::*;
use crate::adapters::kubernetes::webhook::bounds::PATHS;

async fn refused(body: impl Into<Bytes>) -> String {
    let fixture = Harness::new();
    let (status, text) = fixture.post(INJECT_PATH, body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
    assert_eq!(fixture.outcome(), AdmissionOutcome::Failed(AdmissionFailure::Malformed));
    text
}

/// Returns the error for the pod's review with `value` at `pointer`.
async fn refused_with(pointer: &str, value: Value) -> String {
    let mut review = pod_review();
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    review.pointer_mut(parent).unwrap()[member] = value;
    refused(review.to_string()).await
}

#[tokio::test]
async fn a_malformed_review_is_rejected_with_the_error_and_its_place() {
    let message = "the body is not an AdmissionReview of a new pod: ";
    for (body, wrong) in [
        (&b""[..], "EOF while parsing a value at line 1 column 0"),
        (b"{", "EOF while parsing an object at line 1 column 1"),
        (b"[]", "expected an AdmissionReview at line 1 column 2"),
        (b"null", "invalid type: null, expected an AdmissionReview at line 1 column 4"),
        (b"{}", "its kind is \"\" of \"\", not AdmissionReview of admission.k8s.io/v1"),
        (b"{\"kind\": 3}", "invalid type: integer `3`, expected a string at line 1 column 10"),
        (b"{\"kind\": \"\xff\"}", "invalid unicode code point at line 1 column 11"),
        (b"{} {}", "trailing characters at line 1 column 4"),
    ] {
        let text = refused(body).await;

        assert!(text.starts_with(message) && text.contains(wrong), "{text} for {wrong}");
    }
}

#[tokio::test]
async fn a_review_of_another_version_is_rejected() {
    let text = refused_with("/apiVersion", "admission.k8s.io/v1beta1".into()).await;

    assert!(
        text.contains("its kind is \"AdmissionReview\" of \"admission.k8s.io/v1beta1\""),
        "{text}"
    );
}

#[tokio::test]
async fn a_missing_field_is_named() {
    for (pointer, wrong) in [
        ("/request", "request is missing"),
        ("/request/uid", "expected a string"),
        ("/request/namespace", "request.namespace is missing"),
        ("/request/object", "request.object is missing"),
    ] {
        let text = refused_with(pointer, Value::Null).await;

        assert!(text.contains(wrong), "{pointer}: {text}");
    }
}

#[tokio::test]
async fn a_field_of_the_wrong_type_is_rejected() {
    for (pointer, value) in [
        ("/request", json!([])),
        ("/request/uid", json!(7)),
        ("/request/kind", json!("Pod")),
        ("/request/operation", json!({})),
        ("/request/object", json!("pod")),
        ("/request/object/spec", json!([])),
        ("/request/object/metadata", json!(1)),
        ("/request/object/metadata/annotations", json!([1])),
    ] {
        refused_with(pointer, value).await;
    }
}

#[tokio::test]
async fn deep_nesting_is_rejected() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    refused(deep.clone()).await;
    let in_pod = POD.replace("\"status\": {}", &format!("\"status\": {deep}"));
    assert_ne!(in_pod, POD);

    let text = refused(in_pod).await;

    assert!(text.contains("in request.object: recursion limit exceeded"), "{text}");
}

#[tokio::test]
async fn a_pod_that_is_not_utf_8_is_rejected() {
    let mut review = POD.as_bytes().to_vec();
    let at = POD.find("shop/cart:4").unwrap();
    review[at] = 0xff;

    assert!(refused(review).await.contains("invalid unicode code point"));
}

#[tokio::test]
async fn a_duplicate_field_of_the_review_is_rejected() {
    let twice = POD.replacen("\"uid\":", "\"uid\": \"other\", \"uid\":", 1);
    assert_ne!(twice, POD);

    assert!(refused(twice).await.contains("duplicate field `uid`"));
}

/// Any JSON, which may resemble a review.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(&[
        "apiVersion",
        "kind",
        "request",
        "uid",
        "operation",
        "namespace",
        "object",
        "metadata",
        "annotations",
        "spec",
        "containers",
        "initContainers",
        "name",
        "env",
        "ports",
        "volumes",
        "tracebuffer.dev/inject",
        "tracebuffer.dev/status",
        "tracebuffer",
        "true",
        "CREATE",
        "Pod",
        "v1",
        "AdmissionReview",
        "admission.k8s.io/v1",
        "shop",
        "default",
        "hostNetwork",
        "containerPort",
        "resources",
        "restartPolicy",
        "securityContext",
        "~/",
        "",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(word.clone(), inner, 0..6)
                .prop_map(|map| map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

/// The pod's review with one part replaced by any JSON.
fn distorted_review() -> impl Strategy<Value = Value> {
    (any::<prop::sample::Index>(), any_json()).prop_map(|(index, value)| {
        let mut review = pod_review();
        let pointers = pointers(&review, "");
        *review.pointer_mut(&pointers[index.index(pointers.len())]).unwrap() = value;
        review
    })
}

/// Returns the JSON pointers of all values of a document.
fn pointers(value: &Value, here: &str) -> Vec<String> {
    let mut all = vec![here.to_owned()];
    let inside: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
        _ => vec![],
    };
    for (name, value) in inside {
        let name = name.replace('~', "~0").replace('/', "~1");
        all.extend(pointers(value, &format!("{here}/{name}")));
    }
    all
}

fn assert_answered(path: &str, body: String) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (status, text) = runtime.block_on(Harness::new().post(path, body));
    if status == StatusCode::OK {
        for operation in patch_of(&response_of(&text)) {
            prop_assert_eq!(&operation["op"], "add");
        }
    } else {
        prop_assert_eq!(status, StatusCode::BAD_REQUEST, "{}", text);
        prop_assert!(text.starts_with("the body is not an AdmissionReview of a new pod: "));
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_json_gets_a_review_or_a_clear_error(json in any_json()) {
        assert_answered(INJECT_PATH, json.to_string())?;
    }

    #[test]
    fn a_review_with_an_arbitrary_value_gets_a_review_or_a_clear_error(
        review in distorted_review(),
        path in prop::sample::select(&PATHS),
    ) {
        assert_answered(path, review.to_string())?;
    }

    #[test]
    fn any_bytes_get_a_clear_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (status, _) = runtime.block_on(Harness::new().post(INJECT_PATH, bytes));
        prop_assert_eq!(status, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_truncated_review_gets_a_clear_error(at in any::<prop::sample::Index>()) {
        let cut = &POD[..at.index(POD.trim_end().len())];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (status, _) = runtime.block_on(Harness::new().post(INJECT_PATH, cut));
        prop_assert_eq!(status, StatusCode::BAD_REQUEST);
    }
}
