//! What is measured at the gateway.

use std::ops::Range;
use std::time::Duration;

use crate::gateway::{Gateway, Second};

/// A gateway may be busy with the return of its clients for this long.
const SETTLING: Duration = Duration::from_mins(1);

/// Goodput is measured from the second minute after each outage until 95 % of the spans are
/// delivered: after that there are too few sidecars left to fill the gateway. All else is measured
/// from the end of the first outage on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// Spans processed, as a part of the capacity.
    pub(crate) goodput: f64,
    /// The same in the worst minute.
    pub(crate) worst_minute: f64,
    /// Attempts refused, as a part of all attempts.
    pub(crate) refused: f64,
    /// Spans offered, as a multiple of the capacity.
    pub(crate) offered: f64,
    /// Attempts a second.
    attempts: f64,
    /// When 95 % of the spans were delivered, in seconds.
    most: f64,
    /// When the last span was delivered, in seconds.
    pub(crate) last: f64,
}

impl Figures {
    pub(crate) const HEADER: &'static str =
        "goodput  worst minute  refused  offered  attempts/s  95 % after  all after";

    pub(crate) fn of(gateway: &Gateway) -> Self {
        let start = usize::try_from(gateway.outages[0].end.as_secs()).unwrap();
        let seconds = &gateway.seconds[start.min(gateway.seconds.len())..];
        let total = seconds.iter().map(|second| second.processed).sum::<f64>();
        let mut done = 0.0;
        let most = seconds.iter().take_while(|second| {
            done += second.processed;
            done < 0.95 * total
        });
        let most = most.count();
        let measured = |minute: &Range<usize>| {
            let times = minute.start + start..minute.end + start;
            minute.end <= most && times.clone().all(|time| is_settled(gateway, time))
        };
        let minutes = (0..seconds.len() / 60).map(|minute| minute * 60..(minute + 1) * 60);
        let goodput: Vec<f64> = minutes
            .filter(measured)
            .map(|minute| {
                sum(&seconds[minute], |second| second.processed) / 60.0 / gateway.capacity
            })
            .collect();
        let attempts = sum(seconds, |second| second.attempts as f64);
        let until_most = &seconds[..most];
        Self {
            goodput: goodput.iter().sum::<f64>() / goodput.len() as f64,
            worst_minute: goodput.iter().copied().fold(f64::INFINITY, f64::min),
            refused: sum(seconds, |second| second.refused as f64) / attempts,
            offered: sum(until_most, |second| second.offered as f64)
                / (most as f64 * gateway.capacity),
            attempts: sum(until_most, |second| second.attempts as f64) / most as f64,
            most: most as f64,
            last: seconds.len() as f64,
        }
    }

    /// What issue and documentation promise.
    pub(crate) fn are_good(&self) -> bool {
        self.goodput >= 0.9 && self.refused <= 0.5 && self.offered <= 3.0
    }

    /// The largest difference of goodput, refused and offered.
    pub(crate) fn difference(&self, other: &Self) -> f64 {
        let pairs = [
            (self.goodput, other.goodput),
            (self.refused, other.refused),
            (self.offered, other.offered),
        ];
        pairs.iter().map(|(one, two)| (one - two).abs()).fold(0.0, f64::max)
    }

    pub(crate) fn row(&self, name: &str) -> String {
        format!(
            "{:5.1} %       {:5.1} %  {:5.1} %   {:5.2}x  {:10.0}  {:8.0} s  {:7.0} s  {name}",
            100.0 * self.goodput,
            100.0 * self.worst_minute,
            100.0 * self.refused,
            self.offered,
            self.attempts,
            self.most,
            self.last,
        )
    }
}

/// Whether the gateway is there, and has been for a minute.
fn is_settled(gateway: &Gateway, second: usize) -> bool {
    !gateway.outages.iter().any(|outage| {
        let second = Duration::from_secs(second as u64);
        (outage.start..outage.end + SETTLING).contains(&second)
    })
}

fn sum(seconds: &[Second], value: impl Fn(&Second) -> f64) -> f64 {
    seconds.iter().map(value).sum()
}
