//! An `AdmissionReview` of `admission.k8s.io/v1`. Its pod is not parsed here, so that its size can be
//! checked first.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use json_patch::Patch;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, json};

use super::review_error::ReviewError;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// The request of a review.
#[derive(Debug)]
pub(super) struct AdmissionRequest<'a> {
    /// The UID, which the response repeats.
    pub(super) uid: String,
    /// The new pod; `None` if the request is about anything else.
    pub(super) pod: Option<NewPod<'a>>,
}

/// A pod that is about to be created.
#[derive(Debug)]
pub(super) struct NewPod<'a> {
    /// The namespace of the pod.
    pub(super) namespace: String,
    /// The pod as JSON; well-formed.
    pub(super) object: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an AdmissionReview")]
struct RawReview<'a> {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(borrow)]
    request: Option<RawRequest<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "the request of a review")]
struct RawRequest<'a> {
    uid: String,
    kind: GroupVersionKind,
    #[serde(default)]
    sub_resource: Option<String>,
    operation: String,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(borrow, default)]
    object: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(expecting = "the group, version and kind of an object")]
struct GroupVersionKind {
    #[serde(default)]
    group: String,
    version: String,
    kind: String,
}

impl<'a> AdmissionRequest<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, ReviewError> {
        let review: RawReview<'a> = serde_json::from_slice(body)
            .map_err(|error| ReviewError::Malformed(error.to_string()))?;
        if review.api_version != API_VERSION || review.kind != KIND {
            return Err(malformed(format!(
                "its kind is {:?} of {:?}, not {KIND} of {API_VERSION}",
                review.kind, review.api_version
            )));
        }
        let request = review.request.ok_or_else(|| malformed("request is missing"))?;
        let is_about_a_new_pod = request.is_pod_creation();
        let RawRequest { uid, namespace, object, .. } = request;
        if !is_about_a_new_pod {
            return Ok(Self { uid, pod: None });
        }
        let namespace = namespace
            .filter(|namespace| !namespace.is_empty())
            .ok_or_else(|| malformed("request.namespace is missing"))?;
        let object = object.ok_or_else(|| malformed("request.object is missing"))?;
        Ok(Self { uid, pod: Some(NewPod { namespace, object }) })
    }
}

impl RawRequest<'_> {
    fn is_pod_creation(&self) -> bool {
        let GroupVersionKind { group, version, kind } = &self.kind;
        let is_pod = (group.as_str(), version.as_str(), kind.as_str()) == ("", "v1", "Pod");
        is_pod
            && self.operation == "CREATE"
            && self.sub_resource.as_deref().is_none_or(str::is_empty)
    }
}

fn malformed(message: impl Into<String>) -> ReviewError {
    ReviewError::Malformed(message.into())
}

/// Returns the response to the review `uid` as JSON: the pod is allowed, with `patch`.
pub(super) fn review_response(uid: &str, patch: &Patch, warnings: &[String]) -> Bytes {
    let mut response = Map::new();
    response.insert("uid".into(), uid.into());
    response.insert("allowed".into(), true.into());
    if !warnings.is_empty() {
        response.insert("warnings".into(), warnings.into());
    }
    if !patch.is_empty() {
        response.insert("patchType".into(), "JSONPatch".into());
        response.insert("patch".into(), BASE64_STANDARD.encode(patch.to_string()).into());
    }
    let review = json!({"apiVersion": API_VERSION, "kind": KIND, "response": response});
    review.to_string().into()
}
