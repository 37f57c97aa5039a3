//! The mutating webhook, which API servers call for new pods.
//!
//! The response to a review is `allowed: true` and a patch, whatever the decision. If no decision can
//! be made, the response is an HTTP error, so that the API server applies the `failurePolicy`.

mod bounds;
mod budget;
mod limited_json;
mod review;
mod review_error;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use json_patch::Patch;
use tokio::time::{Instant, timeout};
use tracing::debug;

use bounds::{INJECT_NAMESPACE_PATH, INJECT_PATH, MAX_BODY_BYTES};
use budget::{BudgetedPod, MemoryBudget};
use review::{AdmissionRequest, NewPod};
use review_error::ReviewError;

use super::pod::{self, Admission, InjectionOutcome};
use super::sidecar::Sidecar;
use crate::adapters::server::{HttpService, Peer, RequestBody};
use crate::application::operator::admit_pod::admit;
use crate::domain::operator::injection::facts::ClusterFacts;
use crate::ports::operator::admission::{AdmissionMonitor, AdmissionOutcome};
use crate::ports::operator::catalog::{Catalog, UnknownNamespace};

/// Timeout for reading the body of a review.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// Timeout for the whole response; API servers wait 5 s.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(4);

/// Responds to admission reviews.
pub struct WebhookService<C> {
    webhook: Arc<Webhook<C>>,
}

struct Webhook<C> {
    catalog: Arc<C>,
    cluster: ClusterFacts,
    monitor: Arc<dyn AdmissionMonitor>,
    budget: MemoryBudget,
}

type ReviewResult = Result<(AdmissionOutcome, Bytes), ReviewError>;

impl<C> WebhookService<C> {
    /// Creates a service that decides by the `TraceBuffer`s and namespaces of `catalog` and by
    /// `cluster`, and reports each response to `monitor`.
    #[must_use]
    pub fn new(catalog: Arc<C>, cluster: ClusterFacts, monitor: Arc<dyn AdmissionMonitor>) -> Self {
        let budget = MemoryBudget::new();
        Self { webhook: Arc::new(Webhook { catalog, cluster, monitor, budget }) }
    }
}

impl<C> Clone for WebhookService<C> {
    fn clone(&self) -> Self {
        Self { webhook: Arc::clone(&self.webhook) }
    }
}

impl<C: Catalog<Sidecar = Sidecar>> HttpService for WebhookService<C> {
    type Body = Full<Bytes>;

    async fn handle(&self, peer: Peer, request: Request<RequestBody>) -> Response<Full<Bytes>> {
        self.webhook.respond(peer.ip, request).await
    }
}

impl<C: Catalog<Sidecar = Sidecar>> Webhook<C> {
    async fn respond<B>(&self, peer: IpAddr, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send,
    {
        let started = Instant::now();
        let result = timeout(RESPONSE_TIMEOUT, self.review(request)).await;
        let (outcome, response) =
            match result.unwrap_or(Err(ReviewError::Timeout(RESPONSE_TIMEOUT))) {
                Ok((outcome, review)) => (outcome, json_response(review)),
                Err(error) => {
                    debug!(%peer, ?error, "the webhook responded to a request with an error");
                    (AdmissionOutcome::Failed(error.admission_failure()), error.response())
                }
            };
        self.monitor.answered(outcome, started.elapsed());
        response
    }

    async fn review<B>(&self, request: Request<B>) -> ReviewResult
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send,
    {
        let namespace_opted_in =
            check_request(request.method(), request.uri().path(), request.headers())?;
        let (uid, pod) = self.read_review(request.into_body()).await?;
        let Some((namespace, pod)) = pod else {
            let review = review::review_response(&uid, &Patch::default(), &[]);
            return Ok((AdmissionOutcome::NotANewPod, review));
        };
        let facts = pod::pod_facts(&pod.json)
            .map_err(|invalid| ReviewError::Malformed(format!("in request.object: {invalid}")))?;
        let namespace = (namespace.as_str(), namespace_opted_in);
        let decision = admit(&*self.catalog, &facts, namespace, &self.cluster).await;
        let decision =
            decision.map_err(|UnknownNamespace(why)| ReviewError::UnknownNamespace(why))?;
        let Admission { patch, warnings, outcome } = pod::apply_decision(&pod.json, &decision);
        Ok((outcome_of(&outcome), review::review_response(&uid, &patch, &warnings)))
    }

    /// Returns the UID of the review, and the new pod with its namespace; no pod if the review is about
    /// anything else.
    async fn read_review<B>(
        &self,
        body: B,
    ) -> Result<(String, Option<(String, BudgetedPod)>), ReviewError>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send,
    {
        let _permit = self.budget.reserve_bytes(body.size_hint().exact()).await?;
        let body = timeout(READ_TIMEOUT, Limited::new(body, MAX_BODY_BYTES).collect()).await;
        let body = body.map_err(|_| ReviewError::Timeout(READ_TIMEOUT))?.map_err(|error| {
            if error.is::<LengthLimitError>() {
                ReviewError::TooLarge
            } else {
                ReviewError::IncompleteBody
            }
        })?;
        let body = body.to_bytes();
        let AdmissionRequest { uid, pod } = AdmissionRequest::parse(&body)?;
        let Some(NewPod { namespace, object }) = pod else { return Ok((uid, None)) };
        let pod = self.budget.read_pod(object.get()).await?;
        Ok((uid, Some((namespace, pod))))
    }
}

/// Checks that a request is for a review, and returns whether the pod's namespace opts in by label.
fn check_request(method: &Method, path: &str, headers: &HeaderMap) -> Result<bool, ReviewError> {
    let namespace_opted_in = match path {
        INJECT_PATH => false,
        INJECT_NAMESPACE_PATH => true,
        _ => return Err(ReviewError::NotFound),
    };
    if method != Method::POST {
        return Err(ReviewError::MethodNotAllowed);
    }
    if !is_json(headers.get(CONTENT_TYPE)) || headers.contains_key(CONTENT_ENCODING) {
        return Err(ReviewError::UnsupportedMediaType);
    }
    Ok(namespace_opted_in)
}

/// Returns whether a content type is JSON, with any parameters.
fn is_json(kind: Option<&HeaderValue>) -> bool {
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let (kind, _) = kind.split_once(';').unwrap_or((kind, ""));
    kind.trim().eq_ignore_ascii_case("application/json")
}

const fn outcome_of(outcome: &InjectionOutcome) -> AdmissionOutcome {
    match outcome {
        InjectionOutcome::Injected(_) => AdmissionOutcome::Injected,
        InjectionOutcome::Skipped(reason) => AdmissionOutcome::Skipped(*reason),
    }
}

fn json_response(review: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(review));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests;
