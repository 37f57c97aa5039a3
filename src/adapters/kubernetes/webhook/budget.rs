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
use super::limited_json::{self, LimitedJsonError};
use super::review_error::ReviewError;

/// Most values of one pod: objects, lists, texts, numbers and the rest. A pod of 50 containers with
/// 100 variables each has about 15,000.
pub(super) const MAX_VALUES: u32 = 100_000;
/// Most values of all pods that are looked at together.
const MAX_TOTAL_VALUES: usize = 2 * MAX_VALUES as usize;

const KIB: usize = 1 << 10;
/// Bytes of all reviews that are read together.
const MAX_TOTAL_BYTES: usize = 2 * MAX_BODY_BYTES;
/// What a review counts at least, so that there are not too many at once.
const MIN_REVIEW_BYTES: usize = 64 * KIB;

/// How long a review waits for its turn.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);

/// What is left for others.
#[derive(Clone, Debug)]
pub(super) struct MemoryBudget {
    kibibytes: Arc<Semaphore>,
    values: Arc<Semaphore>,
}

/// A pod in memory.
#[derive(Debug)]
pub(super) struct BudgetedPod {
    pub(super) json: Value,
    _permit: OwnedSemaphorePermit,
}

impl MemoryBudget {
    pub(super) fn new() -> Self {
        Self {
            kibibytes: Arc::new(Semaphore::new(MAX_TOTAL_BYTES / KIB)),
            values: Arc::new(Semaphore::new(MAX_TOTAL_VALUES)),
        }
    }

    /// Waits until a review of `bytes` may be read; at most [`MAX_BODY_BYTES`] of an unknown number.
    pub(super) async fn reserve_bytes(
        &self,
        bytes: Option<u64>,
    ) -> Result<OwnedSemaphorePermit, ReviewError> {
        let bytes = match bytes.map(usize::try_from) {
            None => MAX_BODY_BYTES,
            Some(Ok(bytes)) if bytes <= MAX_BODY_BYTES => bytes.max(MIN_REVIEW_BYTES),
            Some(_) => return Err(ReviewError::TooLarge),
        };
        let kibibytes = u32::try_from(bytes.div_ceil(KIB)).map_err(|_| ReviewError::TooLarge)?;
        acquire(&self.kibibytes, kibibytes).await
    }

    /// Waits until `json` may be read, and reads it.
    pub(super) async fn read_pod(&self, json: &str) -> Result<BudgetedPod, ReviewError> {
        // The shortest value with its comma has two bytes.
        let most =
            u32::try_from(json.len() / 2 + 1).map_or(MAX_VALUES, |most| most.min(MAX_VALUES));
        let mut share = acquire(&self.values, most).await?;
        let (json, values) = limited_json::parse(json, most).map_err(|error| match error {
            LimitedJsonError::TooManyValues => ReviewError::TooManyValues,
            LimitedJsonError::Malformed(error) => {
                ReviewError::Malformed(format!("in request.object: {error}"))
            }
        })?;
        let unused = share.split((most - values) as usize);
        drop(unused);
        Ok(BudgetedPod { json, _permit: share })
    }
}

async fn acquire(
    semaphore: &Arc<Semaphore>,
    part: u32,
) -> Result<OwnedSemaphorePermit, ReviewError> {
    match timeout(ACQUIRE_TIMEOUT, Arc::clone(semaphore).acquire_many_owned(part)).await {
        Ok(Ok(share)) => Ok(share),
        Ok(Err(_)) | Err(_) => Err(ReviewError::Overloaded),
    }
}
