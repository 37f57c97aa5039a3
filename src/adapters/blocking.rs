//! System calls that may block for ever: a pipe without a reader, a mount that hangs.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Calls that may block and concern one thing, such as a file. A call that blocks for ever costs one
/// thread, however many others wait for it.
#[derive(Clone, Debug, Default)]
pub struct BlockingCalls(Arc<Mutex<()>>);

impl BlockingCalls {
    /// Runs `call` on a thread of the runtime for such calls, once earlier ones have ended; `None` if
    /// that takes longer than `max_wait`. A call that has begun runs to its end even so.
    pub async fn run<T: Send + 'static>(
        &self,
        max_wait: Duration,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let run = async {
            let turn = Arc::clone(&self.0).lock_owned().await;
            let call = move || {
                let result = call();
                drop(turn);
                result
            };
            spawn_blocking(call).await.ok()
        };
        timeout(max_wait, run).await.ok().flatten()
    }
}

/// Runs `work` on a thread of its own and returns its result; `None` if it takes longer than
/// `max_wait`, or if the system denies the thread. The thread is then left to itself.
pub fn run_within<T: Send + 'static>(
    max_wait: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, result) = mpsc::sync_channel(1);
    // Fails if nobody waits any more.
    let run = move || drop(sender.send(work()));
    thread::Builder::new().spawn(run).ok()?;
    result.recv_timeout(max_wait).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn while_a_call_is_stuck_later_ones_neither_run_nor_hang() {
        let calls = BlockingCalls::default();
        let (release, stuck) = mpsc::channel::<()>();
        let brief = Duration::from_millis(5);
        assert_eq!(calls.run(brief, move || stuck.recv()).await, None);

        let never = calls.run(brief, || panic!("two calls at a time")).await;
        assert_eq!(never, None::<()>);
        drop(release);

        assert_eq!(calls.run(Duration::from_mins(1), || 7).await, Some(7));
    }

    #[test]
    fn the_result_of_work_that_ends_is_returned() {
        assert_eq!(run_within(Duration::from_mins(1), || 7), Some(7));
    }

    #[test]
    fn work_that_blocks_is_left_to_itself() {
        let (_never, waited_for) = mpsc::channel::<()>();

        let result = run_within(Duration::from_millis(5), move || waited_for.recv().is_ok());

        assert_eq!(result, None);
    }
}
