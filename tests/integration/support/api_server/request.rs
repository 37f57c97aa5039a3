//! Parsed API requests.

use std::collections::BTreeMap;

use http::Method;
use percent_encoding::percent_decode_str;

/// The verb of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Replace,
    Patch,
    Delete,
}

/// A parsed request.
#[derive(Clone, Debug)]
pub(crate) struct ApiRequest {
    pub verb: Verb,
    /// Such as `pods`, or `version` for `/version`.
    pub resource: String,
    /// Empty for all namespaces, and for cluster-scoped objects.
    pub namespace: String,
    /// Empty for a collection.
    pub name: String,
    /// Empty for the object itself.
    pub subresource: String,
    pub query: BTreeMap<String, String>,
    pub content_type: String,
    /// Whether only metadata is requested.
    pub is_metadata_only: bool,
}

impl ApiRequest {
    pub(crate) fn parse<B>(request: &http::Request<B>) -> Option<Self> {
        let header = |name: &str| {
            request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let query = parse_query(request.uri().query().unwrap_or_default());
        let path = request.uri().path().trim_matches('/').split('/').map(decoded).collect();
        let (resource, namespace, name, subresource) = parse_path(path)?;
        let verb = parse_verb(request.method(), &name, &query)?;
        Some(Self {
            verb,
            resource,
            namespace,
            name,
            subresource,
            query,
            content_type: header("content-type").to_owned(),
            is_metadata_only: header("accept").contains("as=PartialObjectMetadata"),
        })
    }

    pub(crate) fn is_true(&self, key: &str) -> bool {
        self.query.get(key).is_some_and(|value| value == "true" || value == "All")
    }

    pub(crate) fn parameter(&self, key: &str) -> &str {
        self.query.get(key).map_or("", String::as_str)
    }
}

fn parse_verb(method: &Method, name: &str, query: &BTreeMap<String, String>) -> Option<Verb> {
    let is_watch = query.get("watch").is_some_and(|value| value == "true");
    Some(match *method {
        Method::GET if is_watch => Verb::Watch,
        Method::GET if name.is_empty() => Verb::List,
        Method::GET => Verb::Get,
        Method::POST => Verb::Create,
        Method::PUT => Verb::Replace,
        Method::PATCH => Verb::Patch,
        Method::DELETE => Verb::Delete,
        _ => return None,
    })
}

fn parse_path(mut path: Vec<String>) -> Option<(String, String, String, String)> {
    path.reverse();
    let group = match path.pop()?.as_str() {
        "version" => return Some(("version".into(), String::new(), "v".into(), String::new())),
        "api" => String::new(),
        "apis" => path.pop()?,
        _ => return None,
    };
    let _version = path.pop()?;
    let mut namespace = String::new();
    if path.len() > 2 && path.last().is_some_and(|part| part == "namespaces") {
        path.pop();
        namespace = path.pop()?;
    }
    let plural = path.pop()?;
    let resource = if group.is_empty() { plural } else { format!("{plural}.{group}") };
    let name = path.pop().unwrap_or_default();
    Some((resource, namespace, name, path.pop().unwrap_or_default()))
}

fn parse_query(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decoded(key), decoded(&value.replace('+', " "))))
        .collect()
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
