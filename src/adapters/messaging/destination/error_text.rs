//! What a body that is not OTLP says, for people: the message of an error, the title of a page.

use std::str::from_utf8;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use prost::Message;
use serde_json::Value;
use tonic_types::pb;

/// The members of a JSON error that explain it, in the order in which they are shown.
const JSON_MEMBERS: [&str; 11] = [
    "error",
    "errors",
    "title",
    "message",
    "detail",
    "error_description",
    "errorMessage",
    "description",
    "reason",
    "msg",
    "text",
];
/// Maximum nesting of a JSON error, and maximum texts taken from a list of them.
const MAX_JSON_DEPTH: usize = 4;
const MAX_JSON_ITEMS: usize = 3;
/// HTML elements whose content is no text.
const HIDDEN_ELEMENTS: [&str; 3] = ["script", "style", "head"];
/// Maximum bytes of a page that are searched for its title or text.
const MAX_PAGE_BYTES: usize = 16 << 10;
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The format of a body, by its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFormat {
    Protobuf,
    Json,
    Html,
    Other,
}

impl BodyFormat {
    pub(super) fn from_headers(headers: &HeaderMap) -> Self {
        let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = value.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "application/x-protobuf" | "application/protobuf" => Self::Protobuf,
            "application/json" => Self::Json,
            "text/html" | "application/xhtml+xml" => Self::Html,
            _ => Self::Other,
        }
    }
}

/// Returns whether a body begins as an HTML page does, whatever its content type. No OTLP response
/// begins like that in either encoding.
pub(super) fn is_html_page(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body.get(..256).unwrap_or(body)).to_ascii_lowercase();
    let text = text.trim_start_matches(BYTE_ORDER_MARK).trim_start();
    ["<!doctype html", "<html", "<head", "<body"].iter().any(|start| text.starts_with(start))
}

/// Returns what a body says; empty if it is no text. The result is as long as the body, and not
/// sanitized.
pub(super) fn error_text(format: BodyFormat, body: &[u8]) -> String {
    if format == BodyFormat::Protobuf
        && let Ok(status) = pb::Status::decode(body)
    {
        return status.message;
    }
    if format == BodyFormat::Html || is_html_page(body) {
        let beginning = body.get(..MAX_PAGE_BYTES).unwrap_or(body);
        return html_text(&String::from_utf8_lossy(beginning));
    }
    if let Ok(json) = serde_json::from_slice::<Value>(body) {
        return json_text(&json);
    }
    plain_text(body).to_owned()
}

/// Returns the text before the first byte that is not UTF-8, unless it is binary data.
fn plain_text(body: &[u8]) -> &str {
    let valid = match from_utf8(body) {
        Ok(text) => text,
        Err(error) => {
            body.get(..error.valid_up_to()).and_then(|text| from_utf8(text).ok()).unwrap_or("")
        }
    };
    if valid.contains('\0') { "" } else { valid.trim() }
}

/// Returns the message of a JSON error in one of the many forms that vendors use, or else the JSON
/// itself.
fn json_text(json: &Value) -> String {
    let message = json_message(json, MAX_JSON_DEPTH);
    let is_empty = matches!(json, Value::Null)
        || json.as_object().is_some_and(serde_json::Map::is_empty)
        || json.as_array().is_some_and(Vec::is_empty);
    if message.is_empty() && !is_empty { json.to_string() } else { message }
}

fn json_message(json: &Value, depth: usize) -> String {
    let Some(deeper) = depth.checked_sub(1) else { return String::new() };
    let mut found: Vec<String> = Vec::new();
    let parts: Vec<&Value> = match json {
        Value::String(text) => return text.trim().to_owned(),
        Value::Array(items) => items.iter().take(MAX_JSON_ITEMS).collect(),
        Value::Object(members) => {
            JSON_MEMBERS.iter().filter_map(|name| members.get(*name)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => return String::new(),
    };
    for part in parts {
        let text = json_message(part, deeper);
        if !text.is_empty() && !found.iter().any(|shown| shown.contains(&text)) {
            found.push(text);
        }
    }
    found.join(if json.is_array() { "; " } else { ": " })
}

/// Returns the title of a page, or else its text.
fn html_text(page: &str) -> String {
    let lower = page.to_ascii_lowercase();
    let title = element_content(page, &lower, "title").map(visible_text).unwrap_or_default();
    if title.is_empty() { visible_text(page) } else { title }
}

/// Returns what is between the tags of the first element `name`; `lower` is `page` in lower case.
fn element_content<'a>(page: &'a str, lower: &str, name: &str) -> Option<&'a str> {
    let tag = lower.find(&format!("<{name}"))?;
    let start = tag + lower.get(tag..)?.find('>')? + 1;
    let end = lower.get(start..)?.find(&format!("</{name}")).map_or(lower.len(), |at| start + at);
    page.get(start..end)
}

/// Returns the text outside of tags, with single spaces.
fn visible_text(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some(tag) = rest.find('<') {
        text.push_str(rest.get(..tag).unwrap_or_default());
        text.push(' ');
        rest = behind_tag(rest.get(tag..).unwrap_or_default());
    }
    text.push_str(rest);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns what follows the tag, comment, or hidden element at the start of `rest`.
fn behind_tag(rest: &str) -> &str {
    let end = |mark: &str| rest.find(mark).and_then(|at| rest.get(at + mark.len()..)).unwrap_or("");
    if rest.starts_with("<!--") {
        return end("-->");
    }
    let name = rest.trim_start_matches('<').split(|c: char| !c.is_ascii_alphabetic()).next();
    let name = name.unwrap_or_default().to_ascii_lowercase();
    if HIDDEN_ELEMENTS.contains(&name.as_str()) {
        let closing = rest.to_ascii_lowercase().find(&format!("</{name}"));
        return behind_tag_end(closing.and_then(|at| rest.get(at..)).unwrap_or(""));
    }
    behind_tag_end(rest)
}

fn behind_tag_end(rest: &str) -> &str {
    rest.split_once('>').map_or("", |(_, behind)| behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &str) -> String {
        error_text(BodyFormat::Other, body.as_bytes())
    }

    #[test]
    fn the_message_of_a_json_error_is_found_in_every_common_form() {
        let bodies = [
            (r#"{"error":"unknown API key"}"#, "unknown API key"),
            (r#"{"error":{"code":403,"message":"no access","status":"X"}}"#, "no access"),
            (r#"{"code":8,"message":"no room"}"#, "no room"),
            (r#"{"errors":["Forbidden"]}"#, "Forbidden"),
            (r#"{"errors":[{"message":"a"},{"detail":"b"},"c","d"]}"#, "a; b; c"),
            (r#"{"detail":"Invalid token."}"#, "Invalid token."),
            (
                r#"{"type":"x","title":"Too big","status":413,"detail":"by 3 KB"}"#,
                "Too big: by 3 KB",
            ),
            (
                r#"{"error":"invalid_token","error_description":"expired"}"#,
                "invalid_token: expired",
            ),
            (r#"{"text":"Invalid token","code":4}"#, "Invalid token"),
            (r#"{"error":{"reason":"bulk","caused_by":{}},"status":400}"#, "bulk"),
            (r#""quota exceeded""#, "quota exceeded"),
            (r#"["a","b"]"#, "a; b"),
        ];
        for (body, expected) in bodies {
            assert_eq!(text(body), expected, "{body}");
        }
    }

    #[test]
    fn json_without_a_message_is_shown_itself() {
        for body in [r#"{"status":"nope"}"#, "false", "[1,2]"] {
            assert_eq!(text(body), body);
        }
        for body in ["{}", "null", "[]"] {
            assert_eq!(text(body), "", "{body}");
        }
    }

    #[test]
    fn a_message_repeated_in_a_json_error_is_shown_once() {
        assert_eq!(text(r#"{"error":"expired","message":"expired"}"#), "expired");
    }

    #[test]
    fn deeply_nested_json_ends_the_search() {
        let body = format!("{}1{}", r#"{"error":"#.repeat(100), "}".repeat(100));

        assert_eq!(text(&body), body);
    }

    #[test]
    fn of_a_page_the_title_is_shown() {
        let page = "<!DOCTYPE html><HTML><head><Title lang=en>\n 502  Bad\tGateway </title></head>";
        assert_eq!(text(page), "502 Bad Gateway");
    }

    #[test]
    fn of_a_page_without_a_title_the_text_is_shown() {
        let page = "<html><head><style>a{}</style></head><!-- <p> --><script>if(a<b){}</script>\
                    <h1>Sign in</h1><p>to <b>Corp";
        assert_eq!(text(page), "Sign in to Corp");
        assert_eq!(error_text(BodyFormat::Html, b"Please wait"), "Please wait");
    }

    #[test]
    fn a_page_that_breaks_off_anywhere_is_read_without_a_panic() {
        let page = "<html><title>é</title><script>x</script><!-- é --><p>é</p>";
        for end in 0..page.len() {
            let _ = error_text(BodyFormat::Html, page.get(..end).unwrap_or("é<").as_bytes());
        }
    }

    #[test]
    fn a_page_is_recognized_by_its_beginning() {
        for page in ["<!DOCTYPE HTML PUBLIC>", "\u{feff} \r\n<html lang=en>", "<HEAD>", "<body>"] {
            assert!(is_html_page(page.as_bytes()), "{page}");
        }
        for other in ["", "ok", "{}", "<?xml version='1.0'?><ok/>", "<ok>", "see <html>"] {
            assert!(!is_html_page(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn plain_text_is_shown_without_the_space_around_it() {
        assert_eq!(text(" no room \n"), "no room");
    }

    #[test]
    fn binary_data_is_not_shown() {
        assert_eq!(error_text(BodyFormat::Other, b"a\0b"), "");
        assert_eq!(error_text(BodyFormat::Other, b"no room \xff\xfe"), "no room");
    }

    #[test]
    fn a_protobuf_status_is_read() {
        let status = pb::Status { message: "no room".to_owned(), ..pb::Status::default() };

        assert_eq!(error_text(BodyFormat::Protobuf, &status.encode_to_vec()), "no room");
        assert_eq!(error_text(BodyFormat::Protobuf, b"upstream down"), "upstream down");
    }
}
