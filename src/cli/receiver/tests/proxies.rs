//! Which proxy, and which age of connections, a destination gets.

use super::*;

const ENDPOINT: (&str, &str) = ("TRACEBUFFER_ENDPOINT", "https://traces.example");
const HTTPS_PROXY: (&str, &str) = ("HTTPS_PROXY", "http://user:hunter2@corp:3128");

fn proxy(variables: &[(&str, &str)]) -> Option<String> {
    let destination = settings(&[], variables).destination.unwrap();
    destination.proxy.map(|proxy| proxy.to_string())
}

#[test]
fn the_environment_sets_the_proxy_unless_the_setting_does() {
    let own = |url| ("TRACEBUFFER_PROXY", url);
    let corp = Some("http://corp:3128".to_owned());

    assert_eq!(proxy(&[ENDPOINT]), None);
    assert_eq!(proxy(&[ENDPOINT, HTTPS_PROXY]), corp);
    assert_eq!(proxy(&[ENDPOINT, HTTPS_PROXY, ("no_proxy", ".example")]), None);
    assert_eq!(proxy(&[ENDPOINT, HTTPS_PROXY, own("direct")]), None);
    let other = proxy(&[ENDPOINT, HTTPS_PROXY, ("NO_PROXY", "*"), own("https://own")]);
    assert_eq!(other, Some("https://own:443".to_owned()));
}

#[test]
fn names_of_the_cluster_are_reached_directly_unless_the_setting_says_otherwise() {
    let cluster = ("TRACEBUFFER_ENDPOINT", "https://collector.observability.svc:4317");

    assert_eq!(proxy(&[cluster, HTTPS_PROXY]), None);
    let own = ("TRACEBUFFER_PROXY", "corp:3128");
    assert_eq!(proxy(&[cluster, HTTPS_PROXY, own]), Some("http://corp:3128".to_owned()));
}

#[test]
fn a_proxy_that_cannot_be_used_is_an_error_that_does_not_show_it() {
    let socks = "socks5://user:hunter2@corp";

    let of_environment = errors(&[], &[ENDPOINT, ("https_proxy", socks)]);
    let of_setting = errors(&[], &[ENDPOINT, ("TRACEBUFFER_PROXY", socks)]);

    assert_eq!(
        of_environment,
        [
            "https_proxy (not shown) must be the URL of an HTTP proxy; SOCKS proxies are not supported"
        ]
    );
    assert_eq!(
        of_setting,
        ["TRACEBUFFER_PROXY (not shown) must be direct, or the URL of an HTTP proxy, such as \
          http://proxy:3128; SOCKS proxies are not supported"]
    );
}

#[test]
fn a_password_of_a_proxy_is_not_shown_by_debug() {
    let settings = settings(&[], &[ENDPOINT, HTTPS_PROXY]);

    let shown = format!("{settings:?}");
    for secret in ["hunter2", "dXNlcjpodW50ZXIy"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn an_age_of_zero_keeps_connections() {
    let age = |text| {
        let variables = [ENDPOINT, ("TRACEBUFFER_CONNECTION_MAX_AGE", text)];
        settings(&[], &variables).destination.unwrap().connection_max_age
    };

    assert_eq!(age(""), Some(Duration::from_mins(5)));
    assert_eq!(age("90s"), Some(Duration::from_secs(90)));
    assert_eq!(age("0s"), None);
}
