//! The mutating webhook: API servers ask it what a new pod gets.
//!
//! A review is answered with `allowed: true` and a patch, whatever was decided. A pod that could not
//! be looked at is an HTTP error instead, so that the `failurePolicy` says what becomes of it.

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
use hyper::body::Incoming;
use json_patch::Patch;
use tokio::time::{Instant, timeout};
use tracing::debug;

use budget::{BudgetedPod, MemoryBudget};
use review::{AdmissionRequest, NewPod};
use review_error::ReviewError;

use super::pod::{self, Admission, InjectionOutcome};
use super::sidecar::Sidecar;
use crate::adapters::server::HttpService;
use crate::application::operator::admit_pod::admit;
use crate::domain::operator::injection::facts::ClusterFacts;
use crate::ports::operator::admission::{AdmissionMonitor, AdmissionOutcome};
use crate::ports::operator::catalog::{Catalog, UnknownNamespace};

/// Most bytes of a review. API servers take requests of 3 MiB, and a review holds a pod once.
const MAX_BODY_BYTES: usize = 8 << 20;
/// How long a review may take to arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer may take; API servers wait 5 s.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(4);

/// Where pods are reviewed that ask by an annotation.
const INJECT_PATH: &str = "/inject";
/// Where pods are reviewed whose namespace asks by its label.
const INJECT_NAMESPACE_PATH: &str = "/inject-namespace";
const PATHS: [&str; 2] = [INJECT_PATH, INJECT_NAMESPACE_PATH];

/// Answers reviews.
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
    /// Decides by the `TraceBuffer`s and namespaces of `catalog` and by `cluster`, and tells `monitor`
    /// what was answered.
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

    async fn handle(&self, peer: IpAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.webhook.respond(peer, request).await
    }
}

impl<C: Catalog<Sidecar = Sidecar>> Webhook<C> {
    async fn respond<B>(&self, peer: IpAddr, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send,
    {
        let started = Instant::now();
        let answered = timeout(RESPONSE_TIMEOUT, self.review(request)).await;
        let (outcome, response) = match answered
            .unwrap_or(Err(ReviewError::Timeout(RESPONSE_TIMEOUT)))
        {
            Ok((outcome, review)) => (outcome, json_response(review)),
            Err(refusal) => {
                debug!(%peer, ?refusal, "a request to the webhook was not answered with a review");
                (AdmissionOutcome::Failed(refusal.admission_failure()), refusal.response())
            }
        };
        self.monitor.answered(outcome, started.elapsed());
        response
    }

    async fn review<B>(&self, request: Request<B>) -> ReviewResult
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send,
    {
        let namespace_asks =
            check_request(request.method(), request.uri().path(), request.headers())?;
        let (uid, pod) = self.read_review(request.into_body()).await?;
        let Some((namespace, pod)) = pod else {
            let review = review::review_response(&uid, &Patch::default(), &[]);
            return Ok((AdmissionOutcome::NotANewPod, review));
        };
        let facts = pod::pod_facts(&pod.json).map_err(|wrong| {
            ReviewError::Malformed(format!("in request.object: {} {}", wrong.field, wrong.message))
        })?;
        let namespace = (namespace.as_str(), namespace_asks);
        let decision = admit(&*self.catalog, &facts, namespace, &self.cluster).await;
        let decision =
            decision.map_err(|UnknownNamespace(why)| ReviewError::UnknownNamespace(why))?;
        let Admission { patch, warnings, outcome } = pod::apply_decision(&pod.json, &decision);
        Ok((outcome_of(&outcome), review::review_response(&uid, &patch, &warnings)))
    }

    /// Returns the review's uid and what it is about: a pod and its namespace.
    async fn read_review<B>(
        &self,
        body: B,
    ) -> Result<(String, Option<(String, BudgetedPod)>), ReviewError>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send,
    {
        let _share = self.budget.reserve_bytes(body.size_hint().exact()).await?;
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

/// Returns whether the pod's namespace asks for a sidecar, if the request is one for a review.
fn check_request(method: &Method, path: &str, headers: &HeaderMap) -> Result<bool, ReviewError> {
    let namespace_asks = match path {
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
    Ok(namespace_asks)
}

/// Whether a content type is that of JSON, whatever its parameters.
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
