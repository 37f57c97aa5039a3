//! The simple receiver's buffer: decoded requests in a locked queue, the oldest dropped when full.

#![expect(clippy::disallowed_types, reason = "what a simple receiver would use")]

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message;

#[derive(Default)]
struct Queue {
    requests: VecDeque<(u32, Vec<ResourceSpans>)>,
    spans: u64,
}

pub(crate) struct ProstQueue {
    max_spans: u64,
    queue: Mutex<Queue>,
}

impl ProstQueue {
    pub(crate) fn new(max_spans: u64) -> Self {
        Self { max_spans, queue: Mutex::default() }
    }

    /// A queue filled with `request`, so that every append drops one.
    pub(crate) fn full(request: &Bytes, spans: u32, max_spans: u64) -> Self {
        let full = Self::new(max_spans);
        for _ in 0..max_spans / u64::from(spans) {
            full.append(request, spans);
        }
        full
    }

    pub(crate) fn append(&self, payload: &Bytes, spans: u32) {
        let decoded = ExportTraceServiceRequest::decode(payload.clone()).unwrap();
        let mut dropped = Vec::new();
        let mut queue = self.queue.lock().unwrap();
        queue.spans += u64::from(spans);
        queue.requests.push_back((spans, decoded.resource_spans));
        while queue.spans > self.max_spans
            && let Some((spans, oldest)) = queue.requests.pop_front()
        {
            queue.spans -= u64::from(spans);
            dropped.push(oldest);
        }
    }

    pub(crate) fn take_encoded(&self, requests: usize) -> Vec<u8> {
        let mut queue = self.queue.lock().unwrap();
        let requests = requests.min(queue.requests.len());
        let taken: Vec<_> = queue.requests.drain(..requests).collect();
        queue.spans -= taken.iter().map(|(spans, _)| u64::from(*spans)).sum::<u64>();
        drop(queue);
        let resource_spans = taken.into_iter().flat_map(|(_, spans)| spans).collect();
        ExportTraceServiceRequest { resource_spans }.encode_to_vec()
    }
}
