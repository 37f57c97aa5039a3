//! The latency of an append to a full buffer at a steady pace, however long the previous one took.

use std::hint::{black_box, spin_loop};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tracebuffer::ports::buffer::TraceBufferPort;

use crate::{Buffer, full_buffer, request, take_now};

const DURATION: Duration = Duration::from_secs(5);
const TARGET_P999: Duration = Duration::from_micros(50);
const TARGET_MAX: Duration = Duration::from_millis(5);
/// How often a batch is taken and requeued while the destination is unavailable: at most as long as
/// the first wait of the forwarder's backoff, which then grows a hundredfold.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Prints a table: one row per pace and setting.
pub(crate) fn measure() {
    println!("\nlatency of an append of one span to a full buffer");
    println!("{:<44} {:>9} {:>9} {:>9} {:>9}", "", "p50", "p99", "p99.9", "max");
    for per_second in [1_000, 30_000] {
        print("nothing (the machine's own noise)", per_second, &paced(per_second, || {}));
        print("append", per_second, &append(per_second, |_| {}));
        print("append, batches failing beside it", per_second, &append(per_second, fail_batches));
    }
    println!("targets: p99.9 <= {TARGET_P999:?}, max < {TARGET_MAX:?}");
}

fn append(per_second: u32, beside: impl Fn(&Buffer) + Sync) -> Histogram<u64> {
    let request = request(1);
    let buffer = full_buffer(&request, 1);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                beside(&buffer);
                thread::sleep(RETRY_INTERVAL);
            }
        });
        let histogram = paced(per_second, || {
            buffer.append_now(black_box(&request), NonZeroU32::MIN).unwrap();
        });
        done.store(true, Ordering::Relaxed);
        histogram
    })
}

fn fail_batches(buffer: &Buffer) {
    if let Some(batch) = take_now(buffer) {
        buffer.requeue(batch);
    }
}

/// Times `action`, started at equal intervals.
fn paced(per_second: u32, mut action: impl FnMut()) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).unwrap();
    let interval = Duration::from_secs(1) / per_second;
    let begin = Instant::now();
    let mut due = begin;
    while due < begin + DURATION {
        while Instant::now() < due {
            spin_loop();
        }
        let start = Instant::now();
        action();
        histogram.record(u64::try_from(start.elapsed().as_nanos()).unwrap()).unwrap();
        due += interval;
    }
    histogram
}

fn print(name: &str, per_second: u32, histogram: &Histogram<u64>) {
    let at = |quantile| Duration::from_nanos(histogram.value_at_quantile(quantile));
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(at);
    let max = Duration::from_nanos(histogram.max());
    let name = format!("{name}, {per_second}/s");
    println!("{name:<44} {p50:>9.1?} {p99:>9.1?} {p999:>9.1?} {max:>9.1?}");
}
