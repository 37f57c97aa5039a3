//! When a connection is replaced.

use std::time::Duration;

use tokio::time::Instant;

/// The time at which a connection has reached its maximum age.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionAge(Option<Instant>);

impl ConnectionAge {
    /// The age of a connection that is never replaced.
    pub(super) const UNLIMITED: Self = Self(None);

    /// Returns an age that is reached after `max_age`, up to a fifth earlier or later, so that the
    /// connections of many senders are not replaced at once.
    pub(super) fn until(max_age: Duration) -> Self {
        let factor = 0.8 + 0.4 * fastrand::f64();
        Self(Some(Instant::now() + max_age.mul_f64(factor)))
    }

    pub(super) fn is_reached(self) -> bool {
        self.0.is_some_and(|at| at <= Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_age_is_reached_within_a_fifth_of_the_maximum() {
        for _ in 0..100 {
            let age = ConnectionAge::until(Duration::from_secs(100));
            advance(Duration::from_millis(79_900)).await;
            assert!(!age.is_reached());
            advance(Duration::from_millis(40_200)).await;
            assert!(age.is_reached());
        }
        assert!(!ConnectionAge::UNLIMITED.is_reached());
    }
}
