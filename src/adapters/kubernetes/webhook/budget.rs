//! How much memory reviews may use together.
//!
//! Whoever reaches the port can send one, and JSON grows when it is read: `{"a":0}` becomes eighty
//! times as large. So bytes are counted before they are read, and values before they are made.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::MAX_BODY_BYTES;
use super::refusal::Refusal;
use super::values::{self, Unread};

/// Most values of one pod: objects, lists, texts, numbers and the rest. A pod of 50 containers with
/// 100 variables each has about 15,000.
pub(super) const MAX_VALUES: u32 = 100_000;
/// Most values of all pods that are looked at together.
const ALL_VALUES: usize = 2 * MAX_VALUES as usize;

const KIB: usize = 1 << 10;
/// Bytes of all reviews that are read together.
const ALL_BYTES: usize = 2 * MAX_BODY_BYTES;
/// What a review counts at least, so that there are not too many at once.
const LEAST_BYTES: usize = 64 * KIB;

/// How long a review waits for its turn.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is left for others.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    kibibytes: Arc<Semaphore>,
    values: Arc<Semaphore>,
}

/// A pod in memory.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) json: Value,
    _share: OwnedSemaphorePermit,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self {
            kibibytes: Arc::new(Semaphore::new(ALL_BYTES / KIB)),
            values: Arc::new(Semaphore::new(ALL_VALUES)),
        }
    }

    /// Waits until a review of `bytes` may be read; at most [`MAX_BODY_BYTES`] of an unknown number.
    pub(super) async fn bytes(&self, bytes: Option<u64>) -> Result<OwnedSemaphorePermit, Refusal> {
        let bytes = match bytes.map(usize::try_from) {
            None => MAX_BODY_BYTES,
            Some(Ok(bytes)) if bytes <= MAX_BODY_BYTES => bytes.max(LEAST_BYTES),
            Some(_) => return Err(Refusal::TooLarge),
        };
        let kibibytes = u32::try_from(bytes.div_ceil(KIB)).map_err(|_| Refusal::TooLarge)?;
        turn(&self.kibibytes, kibibytes).await
    }

    /// Waits until `json` may be read, and reads it.
    pub(super) async fn pod(&self, json: &str) -> Result<Pod, Refusal> {
        // The shortest value with its comma has two bytes.
        let most =
            u32::try_from(json.len() / 2 + 1).map_or(MAX_VALUES, |most| most.min(MAX_VALUES));
        let mut share = turn(&self.values, most).await?;
        let (json, values) = values::read(json, most).map_err(|error| match error {
            Unread::TooManyValues => Refusal::TooManyValues,
            Unread::Malformed(error) => Refusal::Malformed(format!("in request.object: {error}")),
        })?;
        let unused = share.split((most - values) as usize);
        drop(unused);
        Ok(Pod { json, _share: share })
    }
}

async fn turn(semaphore: &Arc<Semaphore>, part: u32) -> Result<OwnedSemaphorePermit, Refusal> {
    match timeout(PATIENCE, Arc::clone(semaphore).acquire_many_owned(part)).await {
        Ok(Ok(share)) => Ok(share),
        Ok(Err(_)) | Err(_) => Err(Refusal::Overloaded),
    }
}
