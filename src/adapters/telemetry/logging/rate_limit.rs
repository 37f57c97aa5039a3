//! Limits how often a kind of line is logged, and sums up what was withheld.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber, error, info, warn};
use tracing_subscriber::layer::{Context, Layer};

use crate::domain::text::{quoted, truncated_bytes};

/// Lines of a kind that are logged at once.
const BURST: u32 = 5;
/// After the burst, one line of the kind is logged per interval, and what was withheld is summed up.
const INTERVAL: Duration = Duration::from_secs(10);
/// Maximum kinds of lines that are told apart.
const MAX_KINDS: usize = 256;
/// Maximum bytes of a field `kind`.
const MAX_KIND_BYTES: usize = 64;

/// Withholds lines that repeat. Lines are of one kind if the same place in the program logs them with
/// the same value of the field `kind`, if they have one; its values are a closed set.
///
/// Lines below INFO are never withheld: whoever asks for them wants them all.
#[derive(Clone, Debug, Default)]
pub(super) struct RateLimit(Arc<Mutex<Kinds>>);

type Kinds = HashMap<(Identifier, Option<String>), Kind>;

/// The lines of one kind since `since`.
#[derive(Debug)]
struct Kind {
    level: Level,
    /// The message of the line that created it, quoted.
    message: String,
    since: Instant,
    /// How many more lines are logged.
    allowance: u32,
    withheld: u64,
    /// The sum of their field `spans` or `rejected_spans`.
    spans: u64,
}

/// What was withheld of one kind of line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Withheld {
    level: Level,
    message: String,
    kind: Option<String>,
    lines: u64,
    spans: u64,
}

/// The fields that matter for the limit.
#[derive(Default)]
struct KnownFields {
    kind: Option<String>,
    spans: u64,
}

#[derive(Default)]
struct Message(String);

impl RateLimit {
    /// Returns when [`RateLimit::take_withheld`] has something to do; `None` if only a new line can
    /// give it something.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.0.lock().values().map(|kind| kind.since + INTERVAL).min()
    }

    /// Returns what was withheld in intervals that have passed by `now`, or in all of them if the
    /// process `is_ending`, and forgets kinds of which nothing was withheld.
    pub(super) fn take_withheld(&self, now: Instant, is_ending: bool) -> Vec<Withheld> {
        let mut withheld = Vec::new();
        self.0.lock().retain(|(_, name), kind| {
            if now < kind.since + INTERVAL && !is_ending {
                return true;
            }
            if kind.withheld == 0 {
                return is_ending;
            }
            withheld.push(kind.next_interval(name.clone(), now));
            true
        });
        withheld
    }

    fn admits(&self, event: &Event<'_>, now: Instant) -> bool {
        let metadata = event.metadata();
        let mut fields = KnownFields::default();
        event.record(&mut fields);
        let mut kinds = self.0.lock();
        let mut key = (metadata.callsite(), fields.kind);
        if kinds.len() >= MAX_KINDS && !kinds.contains_key(&key) {
            key.1 = None;
        }
        if kinds.len() >= MAX_KINDS && !kinds.contains_key(&key) {
            return true;
        }
        kinds.entry(key).or_insert_with(|| Kind::new(event, now)).admits(fields.spans)
    }
}

impl<S: Subscriber> Layer<S> for RateLimit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        *event.metadata().level() > Level::INFO || self.admits(event, Instant::now())
    }
}

impl Kind {
    fn new(event: &Event<'_>, now: Instant) -> Self {
        let mut message = Message::default();
        event.record(&mut message);
        Self {
            level: *event.metadata().level(),
            message: quoted(&message.0),
            since: now,
            allowance: BURST,
            withheld: 0,
            spans: 0,
        }
    }

    const fn admits(&mut self, spans: u64) -> bool {
        if self.allowance > 0 {
            self.allowance -= 1;
            return true;
        }
        self.withheld += 1;
        self.spans = self.spans.saturating_add(spans);
        false
    }

    fn next_interval(&mut self, kind: Option<String>, now: Instant) -> Withheld {
        self.since = now;
        self.allowance = 1;
        Withheld {
            level: self.level,
            message: self.message.clone(),
            kind,
            lines: std::mem::take(&mut self.withheld),
            spans: std::mem::take(&mut self.spans),
        }
    }
}

impl Withheld {
    /// Logs the sum, at the level of the lines.
    pub(super) fn log(&self) {
        let Self { message: like, kind, lines, spans, .. } = self;
        let kind = kind.as_deref();
        let spans = (*spans > 0).then_some(*spans);
        match self.level {
            Level::ERROR => error!(lines, %like, kind, spans, "more such lines were not logged"),
            Level::WARN => warn!(lines, %like, kind, spans, "more such lines were not logged"),
            _ => info!(lines, %like, kind, spans, "more such lines were not logged"),
        }
    }
}

impl Visit for KnownFields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if matches!(field.name(), "spans" | "rejected_spans") {
            self.spans = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "kind" {
            self.kind = Some(truncated_bytes(value, MAX_KIND_BYTES).into_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "kind" {
            self.record_str(field, &format!("{value:?}"));
        }
    }
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::registry::Registry;

    use super::*;

    /// Counts the lines that pass.
    #[derive(Clone, Default)]
    struct Passed(Arc<Mutex<u64>>);

    impl<S: Subscriber> Layer<S> for Passed {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            *self.0.lock() += 1;
        }
    }

    fn passed(limit: &RateLimit, log: impl FnOnce()) -> u64 {
        let passed = Passed::default();
        let layers = Registry::default().with(limit.clone()).with(passed.clone());
        with_default(layers, log);
        *passed.0.lock()
    }

    fn refused(kind: &str) {
        warn!(kind, spans = 3_u64, "spans refused");
    }

    #[test]
    fn the_first_lines_are_logged_and_the_rest_is_summed_up() {
        let limit = RateLimit::default();

        let logged = passed(&limit, || (0..12).for_each(|_| refused("too_large")));

        assert_eq!(logged, 5);
        assert_eq!(limit.take_withheld(Instant::now(), false), []);
        let withheld = limit.take_withheld(Instant::now() + INTERVAL, false);
        assert_eq!(
            withheld,
            [Withheld {
                level: Level::WARN,
                message: "\"spans refused\"".to_owned(),
                kind: Some("too_large".to_owned()),
                lines: 7,
                spans: 21,
            }]
        );
    }

    #[test]
    fn while_lines_are_withheld_one_is_logged_per_interval() {
        let limit = RateLimit::default();
        let burst = || (0..12).for_each(|_| refused("a"));
        passed(&limit, burst);
        limit.take_withheld(Instant::now() + INTERVAL, false);

        assert_eq!(passed(&limit, burst), 1);
    }

    #[test]
    fn after_a_quiet_interval_the_next_lines_are_logged_at_once_again() {
        let limit = RateLimit::default();
        passed(&limit, || refused("a"));
        assert!(limit.next_due().is_some());

        limit.take_withheld(Instant::now() + INTERVAL, false);

        assert_eq!(limit.next_due(), None);
        assert_eq!(passed(&limit, || (0..12).for_each(|_| refused("a"))), 5);
    }

    #[test]
    fn each_kind_and_each_place_has_its_own_limit() {
        let logged = passed(&RateLimit::default(), || {
            for _ in 0..12 {
                refused("a");
                refused("b");
                error!("elsewhere");
            }
        });

        assert_eq!(logged, 15);
    }

    #[test]
    fn lines_for_debugging_are_never_withheld() {
        let log = || {
            for _ in 0..12 {
                tracing::debug!("delivered");
            }
        };

        assert_eq!(passed(&RateLimit::default(), log), 12);
    }

    #[test]
    fn at_the_end_everything_withheld_is_summed_up_at_once() {
        let limit = RateLimit::default();
        passed(&limit, || (0..7).for_each(|_| refused("a")));

        assert_eq!(limit.take_withheld(Instant::now(), true)[0].lines, 2);
        assert_eq!(limit.take_withheld(Instant::now(), true), []);
    }

    #[test]
    fn the_kinds_are_bounded() {
        let limit = RateLimit::default();

        passed(&limit, || (0..1000).for_each(|number| refused(&number.to_string())));

        assert!(limit.0.lock().len() <= MAX_KINDS);
    }
}
