//! The memory all requests that are being read may use together.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::adapters::messaging::refused::Refused;

/// Memory shared by all requests being read.
const SHARED_BYTES: usize = 1 << 20;
/// A request may take at most this much of it; larger ones are read one at a time beside it.
const LARGEST_SHARE_BYTES: usize = SHARED_BYTES / 4;
/// What one permit of the semaphore stands for.
const UNIT_BYTES: usize = 1 << 10;
/// How long a request waits for its turn. A refusal loses data in real SDKs, a long wait too.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// Memory for reading: a shared megabyte, and room for one large request at a time.
///
/// The large one never waits for the shared part, so there is always a request that can be read to
/// its end, and with it the others.
pub(super) struct ReadBudget {
    shared: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// Memory taken; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    bytes: usize,
    shared: Option<OwnedSemaphorePermit>,
    large: Option<OwnedSemaphorePermit>,
}

impl ReadBudget {
    pub(super) fn new() -> Self {
        Self {
            shared: Arc::new(Semaphore::new(SHARED_BYTES / UNIT_BYTES)),
            large: Arc::new(Semaphore::new(1)),
        }
    }

    /// Waits for `bytes`.
    pub(super) async fn admit(&self, bytes: usize) -> Result<Permit, Refused> {
        let mut permit = Permit { bytes, shared: None, large: None };
        if bytes > LARGEST_SHARE_BYTES {
            permit.large = Some(wait(&self.large, 1).await?);
        } else {
            permit.shared = Some(wait(&self.shared, units(bytes)).await?);
        }
        Ok(permit)
    }

    /// Waits until `permit` stands for `bytes`.
    pub(super) async fn grow(&self, permit: &mut Permit, bytes: usize) -> Result<(), Refused> {
        if permit.large.is_none() && bytes > permit.bytes {
            let more = units(bytes) - units(permit.bytes);
            let shared = Arc::clone(&self.shared).try_acquire_many_owned(more).ok();
            match (&mut permit.shared, shared.filter(|_| bytes <= LARGEST_SHARE_BYTES)) {
                (Some(held), Some(more)) => held.merge(more),
                _ => permit.large = Some(wait(&self.large, 1).await?),
            }
        }
        permit.bytes = permit.bytes.max(bytes);
        Ok(())
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

async fn wait(semaphore: &Arc<Semaphore>, permits: u32) -> Result<OwnedSemaphorePermit, Refused> {
    let acquired = timeout(LONGEST_WAIT, Arc::clone(semaphore).acquire_many_owned(permits)).await;
    match acquired {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(Refused::unavailable("too many requests are being read; try again later")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::answer::Answer;

    #[tokio::test(start_paused = true)]
    async fn small_requests_share_the_megabyte_and_the_next_one_waits_its_turn() {
        let budget = ReadBudget::new();
        let mut held = vec![];
        for _ in 0..4 {
            held.push(budget.admit(LARGEST_SHARE_BYTES).await.unwrap());
        }

        let waiting = budget.admit(1);
        tokio::pin!(waiting);
        assert!(timeout(Duration::from_secs(1), waiting.as_mut()).await.is_err());
        held.pop();

        assert!(waiting.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_waited_3_s_is_refused_and_may_try_again() {
        let budget = ReadBudget::new();
        let _large = budget.admit(SHARED_BYTES).await.unwrap();

        let refused = budget.admit(SHARED_BYTES).await.unwrap_err();

        assert_eq!(refused.answer, Answer::Unavailable);
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_request_is_read_beside_a_spent_megabyte() {
        let budget = ReadBudget::new();
        let mut held = vec![];
        for _ in 0..4 {
            held.push(budget.admit(LARGEST_SHARE_BYTES).await.unwrap());
        }

        assert!(budget.admit(64 << 20).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_growing_request_becomes_the_large_one_when_the_megabyte_is_spent() {
        let budget = ReadBudget::new();
        let mut growing = budget.admit(STEP).await.unwrap();
        let _others = budget.shared.acquire_many(units(SHARED_BYTES - STEP)).await.unwrap();

        budget.grow(&mut growing, 2 * STEP).await.unwrap();
        budget.grow(&mut growing, 64 << 20).await.unwrap();

        assert_eq!(budget.large.available_permits(), 0);
        drop(growing);
        assert_eq!(budget.large.available_permits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_request_took_is_given_back_when_it_ends() {
        let budget = ReadBudget::new();
        let mut permit = budget.admit(STEP).await.unwrap();
        budget.grow(&mut permit, 3 * STEP).await.unwrap();
        assert_eq!(budget.shared.available_permits(), (SHARED_BYTES - 3 * STEP) / UNIT_BYTES);

        drop(permit);

        assert_eq!(budget.shared.available_permits(), SHARED_BYTES / UNIT_BYTES);
    }

    const STEP: usize = 64 << 10;

    impl ReadBudget {
        /// Bytes of the shared megabyte that are taken.
        pub(in crate::adapters::messaging) fn shared_bytes_taken(&self) -> usize {
            SHARED_BYTES - self.shared.available_permits() * UNIT_BYTES
        }

        /// Whether a large request is being read.
        pub(in crate::adapters::messaging) fn large_is_taken(&self) -> bool {
            self.large.available_permits() == 0
        }
    }
}
