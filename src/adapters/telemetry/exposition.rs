//! The text exposition of metrics, gathered at each scrape.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    CounterValueEncoder, DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue,
    GaugeValueEncoder, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::process::ProcessStats;

/// Content type of the `OpenMetrics` format.
pub(super) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Content type of Prometheus's own text format.
pub(super) const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Label names and values, all from closed sets.
pub(super) type Labels = Vec<(&'static str, &'static str)>;

/// One metric family with its samples.
#[derive(Debug)]
pub(super) struct MetricFamily {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    samples: Vec<(Labels, MetricValue)>,
}

/// A sample's number: integers are written without a fraction.
#[derive(Clone, Copy, Debug)]
pub(super) enum MetricValue {
    Integer(u64),
    Float(f64),
}

#[derive(Debug)]
struct FamilyCollector(Vec<MetricFamily>);

/// All metrics of one scrape.
#[derive(Debug)]
pub(super) struct Exposition {
    histograms: Registry,
    families: Vec<MetricFamily>,
}

impl Exposition {
    /// Creates an exposition with the metrics that every process has.
    pub(super) fn new(process: &ProcessStats) -> Self {
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        let info = gauges(
            "tracebuffer_build_info",
            "The version that runs",
            vec![(version, MetricValue::Integer(1))],
        );
        let mut families = vec![info];
        families.extend(process_metrics(process));
        Self { histograms: Registry::default(), families }
    }

    /// Adds a histogram.
    pub(super) fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        histogram: &Histogram,
    ) {
        self.histograms.register(name, help, histogram.clone());
    }

    /// Adds metrics.
    pub(super) fn add(&mut self, families: Vec<MetricFamily>) {
        self.families.extend(families);
    }

    /// Returns the text in the format that a scraper accepts, and its content type.
    pub(super) fn encode_for_accept(
        self,
        accept: &str,
    ) -> Result<(&'static str, String), fmt::Error> {
        if accept.contains("application/openmetrics-text") {
            self.openmetrics().map(|text| (OPENMETRICS, text))
        } else {
            self.prometheus().map(|text| (PROMETHEUS, text))
        }
    }

    /// Returns the `OpenMetrics` text.
    pub(super) fn openmetrics(mut self) -> Result<String, fmt::Error> {
        self.histograms.register_collector(Box::new(FamilyCollector(self.families)));
        let mut text = String::new();
        encode(&mut text, &self.histograms)?;
        Ok(text)
    }

    /// Returns the text in Prometheus's older format.
    pub(super) fn prometheus(self) -> Result<String, fmt::Error> {
        self.openmetrics().map(|text| as_prometheus(&text))
    }
}

/// The metrics of a process that the kernel provides.
fn process_metrics(process: &ProcessStats) -> Vec<MetricFamily> {
    let ProcessStats {
        cpu_seconds,
        resident_bytes,
        virtual_bytes,
        open_fds,
        max_fds,
        threads,
        start_seconds,
    } = process;
    let whole = |value: &Option<u64>| value.map(MetricValue::Integer);
    let mut families = vec![];
    families.extend(cpu_seconds.map(|seconds| MetricFamily {
        kind: MetricType::Counter,
        ..gauge("process_cpu_seconds", "User and system CPU time", MetricValue::Float(seconds))
    }));
    let gauges = [
        ("process_resident_memory_bytes", "Resident memory", whole(resident_bytes)),
        ("process_virtual_memory_bytes", "Virtual memory", whole(virtual_bytes)),
        ("process_open_fds", "Open file descriptors", whole(open_fds)),
        ("process_max_fds", "Maximum number of open file descriptors", whole(max_fds)),
        ("process_threads", "Threads", whole(threads)),
        (
            "process_start_time_seconds",
            "When the process started, since the Unix epoch",
            start_seconds.map(MetricValue::Float),
        ),
    ];
    families.extend(
        gauges.into_iter().filter_map(|(name, help, value)| Some(gauge(name, help, value?))),
    );
    families
}
/// A counter; the encoder adds `_total` to its name.
pub(super) fn counter(
    name: &'static str,
    help: &'static str,
    samples: Vec<(Labels, u64)>,
) -> MetricFamily {
    let samples =
        samples.into_iter().map(|(labels, n)| (labels, MetricValue::Integer(n))).collect();
    MetricFamily { name, help, kind: MetricType::Counter, samples }
}

/// A gauge with labels.
pub(super) fn gauges(
    name: &'static str,
    help: &'static str,
    samples: Vec<(Labels, MetricValue)>,
) -> MetricFamily {
    MetricFamily { name, help, kind: MetricType::Gauge, samples }
}

/// A gauge without labels.
pub(super) fn gauge(name: &'static str, help: &'static str, value: MetricValue) -> MetricFamily {
    gauges(name, help, vec![(vec![], value)])
}

impl Collector for FamilyCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for MetricFamily { name, help, kind, samples } in &self.0 {
            let help = format!("{help}.");
            let mut family = encoder.encode_descriptor(name, &help, None, *kind)?;
            for (labels, value) in samples {
                if labels.is_empty() {
                    value.encode(&mut family, *kind)?;
                } else {
                    value.encode(&mut family.encode_family(labels)?, *kind)?;
                }
            }
        }
        Ok(())
    }
}

impl MetricValue {
    fn encode(&self, encoder: &mut MetricEncoder, kind: MetricType) -> Result<(), fmt::Error> {
        match kind {
            MetricType::Counter => encoder.encode_counter::<NoLabelSet, _, f64>(self, None),
            _ => encoder.encode_gauge(self),
        }
    }
}

impl EncodeCounterValue for MetricValue {
    fn encode(&self, encoder: &mut CounterValueEncoder) -> Result<(), fmt::Error> {
        match self {
            Self::Integer(value) => EncodeCounterValue::encode(value, encoder),
            Self::Float(value) => EncodeCounterValue::encode(value, encoder),
        }
    }
}

impl EncodeGaugeValue for MetricValue {
    fn encode(&self, encoder: &mut GaugeValueEncoder) -> Result<(), fmt::Error> {
        match self {
            Self::Integer(value) => EncodeGaugeValue::encode(value, encoder),
            Self::Float(value) => EncodeGaugeValue::encode(value, encoder),
        }
    }
}

/// Converts `OpenMetrics` into Prometheus's older text format, which names a counter's family with
/// `_total` and has no end marker.
fn as_prometheus(openmetrics: &str) -> String {
    let counters: Vec<&str> = openmetrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines().filter(|line| *line != "# EOF") {
        text.push_str(&as_prometheus_line(line, &counters));
        text.push('\n');
    }
    text
}

fn as_prometheus_line(line: &str, counters: &[&str]) -> String {
    for keyword in ["# HELP ", "# TYPE "] {
        if let Some((name, rest)) = line.strip_prefix(keyword).and_then(|l| l.split_once(' '))
            && counters.contains(&name)
        {
            return format!("{keyword}{name}_total {rest}");
        }
    }
    line.to_owned()
}
