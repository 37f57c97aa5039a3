//! The signals that are not received here, as misdirected requests show them.

use std::fmt::{self, Display};

pub(super) use super::wire::OtherSignal;

/// What the paths of all gRPC services of OTLP begin with.
pub(super) const SERVICES: &str = "/opentelemetry.proto.collector.";

impl OtherSignal {
    const ALL: [Self; 3] = [Self::Logs, Self::Metrics, Self::Profiles];

    /// Returns the signal whose default OTLP/HTTP path this is.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        match path {
            "/v1/logs" => Some(Self::Logs),
            "/v1/metrics" => Some(Self::Metrics),
            "/v1development/profiles" | "/v1/profiles" => Some(Self::Profiles),
            _ => None,
        }
    }

    /// Returns the signal to whose service the path of a gRPC method belongs.
    pub(super) fn of_method(path: &str) -> Option<Self> {
        let package = path.strip_prefix(SERVICES)?;
        Self::ALL.into_iter().find(|signal| {
            package.strip_prefix(signal.name()).is_some_and(|rest| rest.starts_with('.'))
        })
    }

    /// Returns the signal whose requests have this key in JSON.
    pub(super) fn of_key(key: &str) -> Option<Self> {
        match key {
            "resourceLogs" | "resource_logs" | "scopeLogs" | "scope_logs" => Some(Self::Logs),
            "resourceMetrics" | "resource_metrics" | "scopeMetrics" | "scope_metrics" => {
                Some(Self::Metrics)
            }
            "resourceProfiles" | "resource_profiles" | "scopeProfiles" | "scope_profiles" => {
                Some(Self::Profiles)
            }
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Metrics => "metrics",
            Self::Profiles => "profiles",
        }
    }
}

/// Says that the signal is not received, and how to stop an SDK from sending it.
impl Display for OtherSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this receiver takes only traces, no {}: ", self.name())?;
        f.write_str(match self {
            Self::Logs => "set OTEL_LOGS_EXPORTER=none in the application",
            Self::Metrics => "set OTEL_METRICS_EXPORTER=none in the application",
            Self::Profiles => "send profiles elsewhere",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_recognised_by_its_path_and_its_service() {
        for (path, expected) in [
            ("/v1/logs", Some(OtherSignal::Logs)),
            ("/v1/metrics", Some(OtherSignal::Metrics)),
            ("/v1development/profiles", Some(OtherSignal::Profiles)),
            ("/v1/traces", None),
            ("/v1/logs/", None),
        ] {
            assert_eq!(OtherSignal::of_path(path), expected, "{path}");
        }
        for (path, expected) in [
            ("logs.v1.LogsService/Export", Some(OtherSignal::Logs)),
            ("metrics.v1.MetricsService/Export", Some(OtherSignal::Metrics)),
            ("profiles.v1development.ProfilesService/Export", Some(OtherSignal::Profiles)),
            ("trace.v1.TraceService/Export", None),
            ("logsx.v1.LogsService/Export", None),
        ] {
            let path = format!("/opentelemetry.proto.collector.{path}");
            assert_eq!(OtherSignal::of_method(&path), expected, "{path}");
        }
    }

    #[test]
    fn a_refused_signal_names_the_variable_that_silences_it() {
        assert_eq!(
            OtherSignal::Logs.to_string(),
            "this receiver takes only traces, no logs: set OTEL_LOGS_EXPORTER=none in the application"
        );
        assert!(OtherSignal::Metrics.to_string().contains("OTEL_METRICS_EXPORTER=none"));
    }
}
