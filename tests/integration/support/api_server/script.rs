//! The faults of requests.

use std::time::Duration;

use serde_json::Value;

use super::request::{ApiRequest, Verb};

/// What happens to a request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// It is refused with this HTTP status and a corresponding `Status`.
    Refuse(u16),
    /// It gets exactly this response.
    Respond(u16, Value),
    /// The connection breaks before it arrives.
    Drop,
    /// It is executed, but the connection breaks before the response arrives.
    DropResponse,
    /// It never arrives and gets no response.
    Stall,
    /// It arrives only after this time.
    Delay(Duration),
    /// It is executed at once, and the response arrives after this time.
    DelayResponse(Duration),
    /// It is executed normally; an exception to an older rule.
    PassThrough,
}

/// Selects the requests that a rule applies to.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestMatcher {
    verb: Option<Verb>,
    resource: Option<String>,
    name: Option<String>,
    times: Option<usize>,
}

impl RequestMatcher {
    /// Matches every request.
    pub(crate) fn any() -> Self {
        Self::default()
    }

    /// Matches requests with this verb on a resource.
    pub(crate) fn to(verb: Verb, resource: &str) -> Self {
        Self { verb: Some(verb), resource: Some(resource.to_owned()), ..Self::default() }
    }

    /// Matches all requests on a resource.
    pub(crate) fn about(resource: &str) -> Self {
        Self { resource: Some(resource.to_owned()), ..Self::default() }
    }

    /// Limits the rule to the next `times` matching requests.
    #[must_use]
    pub(crate) fn times(self, times: usize) -> Self {
        Self { times: Some(times), ..self }
    }

    fn matches(&self, request: &ApiRequest) -> bool {
        self.verb.is_none_or(|verb| verb == request.verb)
            && self.resource.as_ref().is_none_or(|resource| *resource == request.resource)
            && self.name.as_ref().is_none_or(|name| *name == request.name)
            && self.times != Some(0)
    }
}

/// Identifies a rule, to lift it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RuleId(usize);

#[derive(Default)]
pub(crate) struct Script {
    rules: Vec<(RuleId, RequestMatcher, Fault)>,
    next: usize,
    requests: Vec<(Verb, String)>,
}

impl Script {
    pub(crate) fn add(&mut self, calls: RequestMatcher, fault: Fault) -> RuleId {
        let id = RuleId(self.next);
        self.next += 1;
        self.rules.push((id, calls, fault));
        id
    }

    pub(crate) fn remove_rule(&mut self, rule: RuleId) {
        self.rules.retain(|(id, ..)| *id != rule);
    }

    pub(crate) fn request_count(&self, verb: Verb, resource: &str) -> usize {
        self.requests.iter().filter(|(v, r)| *v == verb && r == resource).count()
    }

    /// Records the request and returns what happens to it.
    pub(crate) fn next_fault(&mut self, request: &ApiRequest) -> Fault {
        self.requests.push((request.verb, request.resource.clone()));
        let Some((_, calls, fault)) =
            self.rules.iter_mut().rev().find(|(_, calls, _)| calls.matches(request))
        else {
            return Fault::PassThrough;
        };
        calls.times = calls.times.map(|times| times - 1);
        fault.clone()
    }
}
