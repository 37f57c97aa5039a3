//! The memory budget that all requests being read share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::adapters::messaging::request_error::RequestError;

/// Memory shared by all requests being read.
const SHARED_BYTES: usize = 1 << 20;
/// Maximum share of one request; larger requests are read one at a time, outside the shared memory.
const MAX_SHARE_BYTES: usize = SHARED_BYTES / 4;
/// Bytes that one semaphore permit represents.
const PERMIT_BYTES: usize = 1 << 10;
/// How long a request waits for memory. SDKs lose data when it is refused, but also when they wait
/// too long.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// The budget: 1 MiB of shared memory, plus one large request at a time.
///
/// A large request never waits for shared memory, so at least one request always makes progress and
/// the budget cannot deadlock.
pub(super) struct ReadBudget {
    shared: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// Acquired memory; released when dropped.
#[derive(Debug)]
pub(super) struct BudgetPermit {
    bytes: usize,
    shared: Option<OwnedSemaphorePermit>,
    large: Option<OwnedSemaphorePermit>,
}

impl ReadBudget {
    pub(super) fn new() -> Self {
        Self {
            shared: Arc::new(Semaphore::new(SHARED_BYTES / PERMIT_BYTES)),
            large: Arc::new(Semaphore::new(1)),
        }
    }

    /// Waits for `bytes`.
    pub(super) async fn acquire(&self, bytes: usize) -> Result<BudgetPermit, RequestError> {
        let mut permit = BudgetPermit { bytes, shared: None, large: None };
        if bytes > MAX_SHARE_BYTES {
            permit.large = Some(acquire_permits(&self.large, 1).await?);
        } else {
            permit.shared = Some(acquire_permits(&self.shared, permits_for(bytes)).await?);
        }
        Ok(permit)
    }

    /// Waits until `permit` covers `bytes`.
    pub(super) async fn grow(
        &self,
        permit: &mut BudgetPermit,
        bytes: usize,
    ) -> Result<(), RequestError> {
        if permit.large.is_none() && bytes > permit.bytes {
            let more = permits_for(bytes) - permits_for(permit.bytes);
            // Never waits for shared memory while it holds some: two growing requests could then
            // wait for each other.
            let shared = Arc::clone(&self.shared).try_acquire_many_owned(more).ok();
            match (&mut permit.shared, shared.filter(|_| bytes <= MAX_SHARE_BYTES)) {
                (Some(held), Some(more)) => held.merge(more),
                _ => permit.large = Some(acquire_permits(&self.large, 1).await?),
            }
        }
        permit.bytes = permit.bytes.max(bytes);
        Ok(())
    }
}

fn permits_for(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX)
}

async fn acquire_permits(
    semaphore: &Arc<Semaphore>,
    permits: u32,
) -> Result<OwnedSemaphorePermit, RequestError> {
    let acquired =
        timeout(ACQUIRE_TIMEOUT, Arc::clone(semaphore).acquire_many_owned(permits)).await;
    match acquired {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(RequestError::unavailable("too many requests are being read; try again later")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::response_status::ResponseStatus;

    #[tokio::test(start_paused = true)]
    async fn small_requests_share_the_megabyte_and_the_next_one_waits() {
        let budget = ReadBudget::new();
        let mut held = vec![];
        for _ in 0..4 {
            held.push(budget.acquire(MAX_SHARE_BYTES).await.unwrap());
        }

        let waiting = budget.acquire(1);
        tokio::pin!(waiting);
        assert!(timeout(Duration::from_secs(1), waiting.as_mut()).await.is_err());
        held.pop();

        assert!(waiting.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_waited_3_s_is_refused_as_retryable() {
        let budget = ReadBudget::new();
        let _large = budget.acquire(SHARED_BYTES).await.unwrap();

        let error = budget.acquire(SHARED_BYTES).await.unwrap_err();

        assert_eq!(error.status, ResponseStatus::Unavailable);
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_request_is_read_while_the_megabyte_is_in_use() {
        let budget = ReadBudget::new();
        let mut held = vec![];
        for _ in 0..4 {
            held.push(budget.acquire(MAX_SHARE_BYTES).await.unwrap());
        }

        assert!(budget.acquire(64 << 20).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_growing_request_becomes_the_large_one_when_the_megabyte_is_in_use() {
        let budget = ReadBudget::new();
        let mut growing = budget.acquire(STEP).await.unwrap();
        let _others = budget.shared.acquire_many(permits_for(SHARED_BYTES - STEP)).await.unwrap();

        budget.grow(&mut growing, 2 * STEP).await.unwrap();
        budget.grow(&mut growing, 64 << 20).await.unwrap();

        assert_eq!(budget.large.available_permits(), 0);
        drop(growing);
        assert_eq!(budget.large.available_permits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_of_a_request_is_released_when_it_ends() {
        let budget = ReadBudget::new();
        let mut permit = budget.acquire(STEP).await.unwrap();
        budget.grow(&mut permit, 3 * STEP).await.unwrap();
        assert_eq!(budget.shared.available_permits(), (SHARED_BYTES - 3 * STEP) / PERMIT_BYTES);

        drop(permit);

        assert_eq!(budget.shared.available_permits(), SHARED_BYTES / PERMIT_BYTES);
    }

    const STEP: usize = 64 << 10;

    impl ReadBudget {
        /// Bytes of the shared memory in use.
        pub(in crate::adapters::messaging) fn shared_bytes_taken(&self) -> usize {
            SHARED_BYTES - self.shared.available_permits() * PERMIT_BYTES
        }

        /// Whether a large request is being read.
        pub(in crate::adapters::messaging) fn large_is_taken(&self) -> bool {
            self.large.available_permits() == 0
        }
    }
}
