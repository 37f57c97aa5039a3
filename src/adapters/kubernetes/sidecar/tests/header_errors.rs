//! The errors of invalid headers.

use super::validation_errors::assert_errors;
use super::*;

#[test]
fn a_header_has_a_name_and_one_source_of_its_value() {
    let reference = json!({ "name": "token", "key": "value" });
    assert_errors(
        &json!({ "destination": { "headers": [
            { "name": "two words", "value": "x" },
            { "name": "content-type", "value": "x" },
            { "name": "x!y", "value": "x" },
            { "name": "neither" },
            { "name": "both", "value": "x", "valueFrom": { "secretKeyRef": reference } },
            { "name": "fine", "value": "x" },
            { "name": "Fine", "value": "y" },
            { "name": "empty", "value": " " },
            { "name": "umlaut", "value": "hüter" },
            { "name": "nowhere", "valueFrom": { "secretKeyRef": { "name": "Token", "key": "a/b" } } },
            { "name": "sourceless", "valueFrom": {} },
            { "name": "twice", "valueFrom": { "secretKeyRef": reference, "configMapKeyRef": reference } },
        ] } }),
        &[
            "spec.destination.headers[0].name must be a header's name of letters, digits, '-', '_' \
             and '.'; \"two words\" does not begin with an HTTP header name",
            "spec.destination.headers[1].name must be a header's name of letters, digits, '-', '_' \
             and '.'; \"content-type\" names `content-type`, which tracebuffer sets itself",
            "spec.destination.headers[2].name must be a header's name of letters, digits, '-', '_' \
             and '.'; \"x!y\" has other characters",
            "spec.destination.headers[3] must have a value, or valueFrom, the source of one",
            "spec.destination.headers[4] must have either value or valueFrom; remove one",
            "spec.destination.headers[6].name must not name \"fine\" for the second time",
            "spec.destination.headers[7].value must be printable ASCII; it has no value",
            "spec.destination.headers[8].value must be printable ASCII; \
             it has a value that is not printable ASCII",
            "spec.destination.headers[9].valueFrom.secretKeyRef.name must be a name of lower case letters, \
             digits, '-' and '.'; it is \"Token\"",
            "spec.destination.headers[9].valueFrom.secretKeyRef.key must be a name of letters, \
             digits, '-', '_' and '.'; it is \"a/b\"",
            "spec.destination.headers[10].valueFrom must have exactly one of secretKeyRef, \
             configMapKeyRef, serviceAccountToken and fieldRef",
            "spec.destination.headers[11].valueFrom must have exactly one of secretKeyRef, \
             configMapKeyRef, serviceAccountToken and fieldRef",
        ],
    );
}

#[test]
fn the_length_of_a_header_name_is_bounded_as_in_the_schema() {
    let with_name = |characters: usize| {
        let header = json!({ "name": "a".repeat(characters), "value": "x" });
        json!({ "destination": { "headers": [header] } })
    };

    built(&with_name(128));
    let shown = "a".repeat(80);
    assert_errors(
        &with_name(129),
        &[&format!(
            "spec.destination.headers[0].name must be a header's name of letters, digits, '-', '_' \
             and '.'; \"{shown}…\" has 129 characters, more than 128"
        )],
    );
}

#[test]
fn the_encoded_headers_fit_into_one_variable() {
    // Each slash takes three bytes; names, separators and the last letters take ten.
    let with_value = |value: String| {
        let half = "/".repeat(10_000);
        let headers = json!([{ "name": "ab", "value": half }, { "name": "cde", "value": value }]);
        json!({ "destination": { "headers": headers } })
    };
    let rest = "/".repeat(11_842) + "x";

    let sidecar = built(&with_value(rest.clone() + "y"));
    let variables = sidecar.container.env.unwrap();
    let headers = variables.iter().find(|variable| variable.name == "TRACEBUFFER_HEADERS").unwrap();
    assert_eq!(headers.value.as_ref().unwrap().len(), 65_536);
    assert_errors(
        &with_value(rest + "yz"),
        &["spec.destination.headers must have at most 65536 bytes, names and percent-encoded \
             values together; it has 65537: use valueFrom with a Secret or ConfigMap for large values"],
    );
}

#[test]
fn prefix_and_optional_need_a_source_and_a_token_is_never_optional() {
    let secret = json!({ "secretKeyRef": { "name": "token", "key": "t" } });
    let token = json!({ "serviceAccountToken": { "audience": "traces" } });
    assert_errors(
        &json!({ "destination": { "headers": [
            { "name": "a", "value": "x", "prefix": "Bearer " },
            { "name": "b", "value": "x", "optional": true },
            { "name": "c", "valueFrom": secret, "prefix": " x" },
            { "name": "d", "valueFrom": secret, "prefix": "é" },
            { "name": "e", "valueFrom": token, "optional": false },
        ] } }),
        &[
            "spec.destination.headers[0].prefix must be unset with value; put it into value",
            "spec.destination.headers[1].optional must be unset with value",
            "spec.destination.headers[2].prefix must be printable ASCII that does not start with a \
             space, such as \"Bearer \"",
            "spec.destination.headers[3].prefix must be printable ASCII that does not start with a \
             space, such as \"Bearer \"",
            "spec.destination.headers[4].optional must be unset with serviceAccountToken, which is \
             always required",
        ],
    );
}

#[test]
fn a_token_for_the_api_server_is_rejected() {
    let found = |audience: &str| {
        let token = json!({ "serviceAccountToken": { "audience": audience } });
        let headers = json!([{ "name": "a", "valueFrom": token }]);
        build(&object(&json!({ "destination": { "headers": headers } })), &defaults()).is_err()
    };

    for audience in [
        "",
        "two words",
        "https://kubernetes.default.svc",
        "https://kubernetes.default.svc/",
        "https://kubernetes.default.svc.cluster.local",
        "kubernetes.default.svc",
        // An audience of the operator's own token.
        "https://api.example",
    ] {
        assert!(found(audience), "{audience}");
    }
    for audience in ["traces", "https://otlp.vendor.example", "https://kubernetes.example"] {
        assert!(!found(audience), "{audience}");
    }
    let short = json!({ "serviceAccountToken": { "audience": "a", "expirationSeconds": 599 } });
    assert_errors(
        &json!({ "destination": { "headers": [{ "name": "a", "valueFrom": short }] } }),
        &[
            "spec.destination.headers[0].valueFrom.serviceAccountToken.expirationSeconds must be from \
           600 to 4294967296; it is 599",
        ],
    );
}

#[test]
fn only_fields_of_the_downward_api_can_be_a_value() {
    let found = |path: &str| {
        let from = json!({ "fieldRef": { "fieldPath": path } });
        let headers = json!([{ "name": "a", "valueFrom": from }]);
        build(&object(&json!({ "destination": { "headers": headers } })), &defaults()).is_err()
    };

    for path in [
        "",
        "metadata.labels",
        "metadata.labels['']",
        "metadata.labels['a b']",
        "metadata.labels['a/b/c']",
        "metadata.labels[\"a\"]",
        "metadata.annotations['a'] ",
        "metadata.ownerReferences",
        "status.phase",
        "status.podIPs",
        "spec.containers",
        "metadata.name\n",
    ] {
        assert!(found(path), "{path:?}");
    }
    for path in [
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "metadata.labels['example.com/Team_1']",
        "metadata.annotations['a.b']",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.podIP",
        "status.hostIP",
    ] {
        assert!(!found(path), "{path:?}");
    }
}
