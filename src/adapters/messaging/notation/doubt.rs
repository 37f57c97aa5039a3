//! Doubts about endpoints that are valid but look like those of another protocol or product.

use super::endpoint::{Endpoint, Protocol};

/// Ports of other protocols and products, with their name.
const FOREIGN_PORTS: [(u16, &str); 19] = [
    (3100, "Grafana Loki"),
    (3200, "the query API of Grafana Tempo"),
    (5044, "Logstash"),
    (6831, "the Jaeger agent, which speaks no OTLP"),
    (6832, "the Jaeger agent, which speaks no OTLP"),
    (8086, "InfluxDB"),
    (8125, "StatsD"),
    (8126, "the Datadog agent's own protocol"),
    (8888, "the Collector's own metrics"),
    (9090, "Prometheus"),
    (9200, "Elasticsearch"),
    (9411, "Zipkin, which speaks no OTLP"),
    (9417, "a tracebuffer's admin port"),
    (13133, "the Collector's health check"),
    (14250, "Jaeger's own gRPC protocol"),
    (14268, "Jaeger's own HTTP protocol"),
    (14269, "Jaeger's admin port"),
    (16686, "the Jaeger UI"),
    (55678, "OpenCensus, which speaks no OTLP"),
];

/// Ends of paths of other signals, protocols and products, with their name.
const FOREIGN_PATHS: [(&str, &str); 10] = [
    ("/v1/metrics", "the path of metrics"),
    ("/v1/logs", "the path of logs"),
    ("/v1/profiles", "the path of profiles"),
    ("/v1development/profiles", "the path of profiles"),
    ("/api/v1/spans", "the path of Zipkin"),
    ("/api/v2/spans", "the path of Zipkin"),
    ("/api/traces", "the path of Jaeger's own protocol"),
    ("/loki/api/v1/push", "the path of Grafana Loki"),
    ("/api/v1/write", "the path of Prometheus remote write"),
    ("/intake/v2/events", "the path of Elastic APM's own protocol"),
];

/// Returns a doubt about `endpoint`, to follow its name; `None` if nothing speaks against it.
#[must_use]
pub fn doubt(endpoint: &Endpoint, protocol: Protocol) -> Option<String> {
    port_doubt(endpoint, protocol).or_else(|| path_doubt(endpoint))
}

fn port_doubt(endpoint: &Endpoint, protocol: Protocol) -> Option<String> {
    let port = endpoint.port;
    let other = match protocol {
        Protocol::Grpc => Protocol::Http,
        Protocol::Http => Protocol::Grpc,
    };
    if port == other.default_port() {
        let (usual, own) = (other.title(), protocol.title());
        let right = protocol.default_port();
        return Some(format!(
            "has port {port}, which is usually that of {usual}; use port {right} for {own}, or set \
             the protocol to {usual}"
        ));
    }
    if endpoint.tls && port == 80 {
        return Some("has port 80, which is usually that of http://; use port 443".to_owned());
    }
    if !endpoint.tls && port == 443 {
        return Some("has port 443, which is usually that of https://; use https://".to_owned());
    }
    let (_, product) = FOREIGN_PORTS.iter().find(|(foreign, _)| *foreign == port)?;
    let right = protocol.default_port();
    let own = protocol.title();
    Some(format!(
        "has port {port}, which is usually that of {product}; {own} is usually on {right}"
    ))
}

fn path_doubt(endpoint: &Endpoint) -> Option<String> {
    let path = endpoint.path.trim_end_matches('/').to_ascii_lowercase();
    let (_, name) = FOREIGN_PATHS.iter().find(|(foreign, _)| path.ends_with(foreign))?;
    Some(format!("ends with {name}; the path of traces usually ends with /v1/traces"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::messaging::notation::url::Url;

    fn of(url: &str, protocol: Protocol) -> String {
        let endpoint = url.parse::<Url>().unwrap().into_endpoint(protocol).unwrap();
        doubt(&endpoint, protocol).unwrap_or_default()
    }

    #[test]
    fn usual_endpoints_raise_no_doubt() {
        for url in [
            "http://collector:4317",
            "http://collector",
            "https://traces.example",
            "https://traces.example:443",
            "https://traces.example:8443",
            "http://localhost:80",
            "https://apm.example:8200",
        ] {
            assert_eq!(of(url, Protocol::Grpc), "", "{url}");
        }
        for url in [
            "http://collector:4318/v1/traces",
            "https://traces.example/otlp/v1/traces",
            "http://vm:9428/insert/opentelemetry/v1/traces",
            "https://traces.example/api/v2/otlp",
            "http://collector:4318/v1/logs-and-traces",
        ] {
            assert_eq!(of(url, Protocol::Http), "", "{url}");
        }
    }

    #[test]
    fn the_usual_port_of_the_other_transport_is_doubted() {
        let http = of("http://collector:4317", Protocol::Http);
        assert!(http.contains("that of OTLP/gRPC; use port 4318 for OTLP/HTTP"), "{http}");
        let grpc = of("https://collector:4318", Protocol::Grpc);
        assert!(grpc.contains("that of OTLP/HTTP; use port 4317 for OTLP/gRPC"), "{grpc}");
    }

    #[test]
    fn the_port_of_the_other_scheme_is_doubted() {
        assert!(of("http://traces.example:443", Protocol::Http).contains("use https://"));
        assert!(of("https://traces.example:80", Protocol::Grpc).contains("use port 443"));
    }

    #[test]
    fn the_port_of_another_product_is_doubted() {
        for (port, product) in FOREIGN_PORTS {
            for protocol in [Protocol::Grpc, Protocol::Http] {
                let doubt = of(&format!("http://collector:{port}"), protocol);
                assert!(doubt.contains(product), "{port}: {doubt}");
            }
        }
    }

    #[test]
    fn the_path_of_another_signal_or_product_is_doubted() {
        for (path, name) in FOREIGN_PATHS {
            for url in [format!("https://a{path}"), format!("http://a:4318/PREFIX{path}/")] {
                let doubt = of(&url, Protocol::Http);
                assert!(doubt.contains(name), "{url}: {doubt}");
            }
        }
    }

    #[test]
    fn a_doubt_does_not_show_the_path_which_may_hold_a_key() {
        assert!(!of("https://a/hunter2/v1/logs", Protocol::Http).contains("hunter2"));
    }
}
