//! The log lines that wait for the thread that writes them. Never blocks who logs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Maximum bytes that wait. Beyond it the oldest lines are lost, so that the last lines of a process,
/// which tell how it ended, are the ones that remain.
const CAPACITY: usize = 64 * 1024;

/// A queue of lines, bounded in bytes, with any number of writers and one reader.
#[derive(Clone, Debug, Default)]
pub(super) struct LineQueue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Whole lines, each with its line break, which no line contains elsewhere.
    lines: VecDeque<u8>,
    /// Lines lost since the last report.
    lost: u64,
    /// Whether the reader has taken what it has not yet written.
    busy: bool,
    /// Whether somebody waits for the queue to be written out.
    flushing: bool,
}

/// What the reader has to write.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Lines lost before `line`, and before everything that was taken earlier was written.
    pub(super) lost: u64,
    /// The oldest line, unless there is none.
    pub(super) line: Option<Vec<u8>>,
    /// Whether somebody waits for the end of the queue, and `line` is the last in it.
    pub(super) flushing: bool,
}

impl LineQueue {
    /// Adds a line that ends with a line break.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.0.state.lock();
        while state.lines.len() + line.len() > CAPACITY && !state.lines.is_empty() {
            state.pop_line();
            state.lost += 1;
        }
        state.lines.extend(line);
        drop(state);
        self.0.changed.notify_all();
    }

    /// Waits for a line, or until `deadline`, and takes the oldest. What was taken before counts as
    /// written.
    pub(super) fn take(&self, deadline: Option<Instant>) -> Taken {
        let mut state = self.0.state.lock();
        let mut timed_out = false;
        while state.lines.is_empty() && !state.flushing && !timed_out {
            if std::mem::take(&mut state.busy) {
                self.0.changed.notify_all();
            }
            match deadline {
                None => self.0.changed.wait(&mut state),
                Some(deadline) => {
                    timed_out = self.0.changed.wait_until(&mut state, deadline).timed_out();
                }
            }
        }
        state.busy = true;
        let line = (!state.lines.is_empty()).then(|| state.pop_line());
        let is_last = state.lines.is_empty();
        Taken {
            lost: std::mem::take(&mut state.lost),
            line,
            flushing: is_last && std::mem::take(&mut state.flushing),
        }
    }

    /// Puts back the number of lost lines, to be reported later.
    pub(super) fn postpone(&self, lost: u64) {
        self.0.state.lock().lost += lost;
    }

    /// Returns whether nothing waits to be taken.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.0.state.lock().lines.is_empty()
    }

    /// Waits until everything is written, at most for `max_wait`.
    pub(super) fn flush(&self, max_wait: Duration) {
        let deadline = Instant::now() + max_wait;
        let Some(mut state) = self.0.state.try_lock_until(deadline) else { return };
        state.flushing = true;
        self.0.changed.notify_all();
        while state.busy || state.flushing || !state.lines.is_empty() {
            if self.0.changed.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
    }
}

impl State {
    /// Takes the oldest line.
    fn pop_line(&mut self) -> Vec<u8> {
        let length = self.lines.iter().position(|byte| *byte == b'\n');
        let length = length.map_or(self.lines.len(), |end| end + 1);
        self.lines.drain(..length).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn line(number: usize) -> Vec<u8> {
        format!("{number:>1023}\n").into_bytes()
    }

    #[test]
    fn lines_are_taken_in_order() {
        let queue = LineQueue::default();
        queue.push(b"a\n");
        queue.push(b"bc\n");

        assert_eq!(queue.take(None).line.unwrap(), b"a\n");
        assert_eq!(queue.take(None).line.unwrap(), b"bc\n");
        assert!(queue.is_empty());
    }

    #[test]
    fn beyond_its_capacity_the_oldest_lines_are_lost_and_counted() {
        let queue = LineQueue::default();
        for number in 0..70 {
            queue.push(&line(number));
        }

        let taken = queue.take(None);

        assert_eq!(taken.lost, 6);
        assert_eq!(taken.line.unwrap(), line(6));
        assert_eq!(queue.take(None).lost, 0);
        assert!(queue.0.state.lock().lines.capacity() <= 2 * CAPACITY);
    }

    #[test]
    fn taking_ends_at_the_deadline() {
        let taken = LineQueue::default().take(Some(Instant::now() + Duration::from_millis(5)));

        assert_eq!(taken, Taken::default());
    }

    #[test]
    fn a_flush_waits_until_what_was_taken_is_written_too() {
        let queue = LineQueue::default();
        queue.push(b"a\n");
        let reader = thread::spawn({
            let queue = queue.clone();
            move || {
                queue.take(None);
                thread::sleep(Duration::from_millis(50));
                let writing_ended = Instant::now();
                queue.take(Some(Instant::now() + Duration::from_secs(5)));
                queue.take(Some(Instant::now() + Duration::from_secs(5)));
                writing_ended
            }
        });
        while !queue.is_empty() {
            thread::yield_now();
        }

        queue.flush(Duration::from_mins(1));
        let flushed = Instant::now();
        queue.push(b"end\n");

        assert!(reader.join().unwrap() <= flushed);
    }

    #[test]
    fn a_flush_that_nobody_serves_ends_in_time() {
        let queue = LineQueue::default();
        queue.push(b"a\n");
        let started = Instant::now();

        queue.flush(Duration::from_millis(20));

        assert!(started.elapsed() < Duration::from_secs(10));
    }
}
