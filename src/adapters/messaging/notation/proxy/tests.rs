use super::*;

fn shown(text: &str) -> String {
    text.parse::<Proxy>().map_or_else(|error| error.to_string(), |proxy| proxy.to_string())
}

#[test]
fn the_scheme_and_the_port_of_a_proxy_may_be_omitted() {
    for (text, expected) in [
        ("http://proxy:3128", "http://proxy:3128"),
        ("HTTP://proxy/", "http://proxy:80"),
        ("https://proxy", "https://proxy:443"),
        ("proxy:3128", "http://proxy:3128"),
        ("10.0.0.1:3128", "http://10.0.0.1:3128"),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128"),
        (" http://proxy:3128/path ", "http://proxy:3128"),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn a_text_that_is_no_url_of_an_http_proxy_is_refused() {
    for text in ["ftp://proxy", "http://", "http://proxy:0", "http://proxy:x", "http://a b", "/x"] {
        assert_eq!(text.parse::<Proxy>(), Err(ProxyError::NotHttp), "{text}");
    }
    for text in ["socks5://proxy:1080", "socks5h://u:p@proxy", "socks4://proxy"] {
        assert_eq!(text.parse::<Proxy>(), Err(ProxyError::Socks), "{text}");
    }
}

#[test]
fn credentials_are_sent_and_never_shown() {
    let proxy: Proxy = "http://user:p%40ss@proxy:3128".parse().unwrap();

    assert_eq!(proxy.authorization.as_ref().unwrap(), "Basic dXNlcjpwQHNz");
    let all = format!("{proxy} {proxy:?} {:?}", proxy.authorization);
    for secret in ["user", "p@ss", "p%40ss", "dXNl"] {
        assert!(!all.contains(secret), "{all}");
    }
}

#[test]
fn this_machine_and_the_cluster_are_local() {
    for host in [
        "localhost",
        "a.localhost",
        "127.0.0.2",
        "::1",
        "::ffff:127.0.0.1",
        "collector",
        "collector.",
        "collector.observability.svc",
        "Collector.Observability.SVC.",
        "collector.observability.svc.cluster.local",
        "cluster.local.",
    ] {
        assert!(is_local(host), "{host}");
    }
    for host in [
        "traces.example",
        "10.0.0.1",
        "fd00::1",
        "notsvc.example",
        "a.notsvc",
        "svc.example",
        "mycluster.local",
        "localhost.example",
    ] {
        assert!(!is_local(host), "{host}");
    }
}

#[test]
fn exceptions_follow_the_usual_rules() {
    for (list, host, expected) in [
        ("*", "traces.example", true),
        ("traces.example", "traces.example", true),
        ("Traces.Example", "a.traces.example", true),
        (".example", "traces.example", true),
        ("*.example", "traces.example", true),
        ("example", "traces.example.", true),
        ("traces.example.", "traces.example", true),
        ("other.example, traces.example", "traces.example", true),
        ("other.example traces.example", "traces.example", true),
        ("other.example,,traces.example,", "traces.example", true),
        ("169.254/16,traces.example", "traces.example", true),
        ("10.0.0.0/8", "10.1.2.3", true),
        ("10.1.2.3", "10.1.2.3", true),
        ("fd00::/8", "fd00::1", true),
        ("[fd00::1]", "fd00::1", true),
        ("traces.example:4317", "traces.example", true),
        ("traces.example:443", "traces.example", false),
        ("[fd00::1]:4317", "fd00::1", true),
        ("", "traces.example", false),
        ("ces.example", "traces.example", false),
        ("10.0.0.0/8", "11.1.2.3", false),
        ("b.traces.example", "traces.example", false),
    ] {
        assert_eq!(is_excepted(list, host, 4317), expected, "{list:?} {host}");
    }
}
