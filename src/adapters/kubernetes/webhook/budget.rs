//! Bounds the memory that all reviews use together.
//!
//! Anybody who can connect to the port can send a review, and JSON grows when it is parsed: `{"a":0}`
//! takes eighty times its size. So bytes are reserved before they are read, and values before they are
//! parsed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::bounds::{MAX_BODY_BYTES, MAX_VALUES};
use super::limited_json::{self, LimitedJsonError};
use super::review_error::ReviewError;

/// Maximum values of all pods that are processed at the same time.
const MAX_TOTAL_VALUES: usize = 2 * MAX_VALUES as usize;

const KIB: usize = 1 << 10;
/// Maximum bytes of all reviews that are read at the same time.
const MAX_TOTAL_BYTES: usize = 2 * MAX_BODY_BYTES;
/// Minimum bytes that a review reserves, which bounds the number of concurrent reviews.
const MIN_REVIEW_BYTES: usize = 64 * KIB;

/// How long a review waits for memory before it is rejected.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);

/// The memory that is not reserved yet.
#[derive(Clone, Debug)]
pub(super) struct MemoryBudget {
    kibibytes: Arc<Semaphore>,
    values: Arc<Semaphore>,
}

/// A pod in memory, with its reservation.
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

    /// Waits until a review of `bytes` may be read; an unknown size reserves [`MAX_BODY_BYTES`].
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

    /// Waits until `json` may be parsed, and parses it.
    pub(super) async fn read_pod(&self, json: &str) -> Result<BudgetedPod, ReviewError> {
        // The shortest value and its comma take two bytes.
        let limit =
            u32::try_from(json.len() / 2 + 1).map_or(MAX_VALUES, |limit| limit.min(MAX_VALUES));
        let mut permit = acquire(&self.values, limit).await?;
        let (json, values) = limited_json::parse(json, limit).map_err(|error| match error {
            LimitedJsonError::TooManyValues => ReviewError::TooManyValues,
            LimitedJsonError::Malformed(error) => {
                ReviewError::Malformed(format!("in request.object: {error}"))
            }
        })?;
        let unused = permit.split((limit - values) as usize);
        drop(unused);
        Ok(BudgetedPod { json, _permit: permit })
    }
}

async fn acquire(
    semaphore: &Arc<Semaphore>,
    permits: u32,
) -> Result<OwnedSemaphorePermit, ReviewError> {
    match timeout(ACQUIRE_TIMEOUT, Arc::clone(semaphore).acquire_many_owned(permits)).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => Err(ReviewError::Overloaded),
    }
}
