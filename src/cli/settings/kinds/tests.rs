//! Parsing of single values by their kinds.

use super::*;

const COUNT: IntegerRange = IntegerRange(Bounds { min: 1, max: 64 });
const SIZE: SizeRange = SizeRange(Bounds { min: 1 << 10, max: 64 << 20 });
const TIME: DurationRange = DurationRange(Bounds { min: 100, max: 300_000 });
const CHOICE: Choice<u8> = Choice(&[("one", 1), ("two", 2), ("deux", 2)]);

fn reason<T: std::fmt::Debug>(result: Result<T, ValueError>) -> String {
    match result.unwrap_err() {
        ValueError::Other(reason) => reason,
        ValueError::NotAllowed => "not allowed".into(),
    }
}

#[test]
fn a_count_is_accepted_only_within_its_bounds() {
    assert_eq!(COUNT.parse("1").unwrap().get(), 1);
    assert_eq!(COUNT.parse("64").unwrap().get(), 64);
    for text in ["0", "65", "-1", "1.5", "4294967296", "one", "1 0"] {
        assert_eq!(COUNT.parse(text), Err(ValueError::NotAllowed), "{text}");
    }
    assert_eq!(COUNT.allowed(), "a whole number from 1 to 64");
}

#[test]
fn a_size_is_accepted_only_within_its_bounds() {
    assert_eq!(SIZE.parse("1Ki").unwrap().get(), 1024);
    assert_eq!(SIZE.parse("64Mi").unwrap().get(), 64 << 20);
    assert_eq!(reason(SIZE.parse("1023")), "not allowed");
    assert_eq!(reason(SIZE.parse("65Mi")), "not allowed");
    assert_eq!(
        reason(SIZE.parse("1mib")),
        "there is no unit \"mib\" (Ki, Mi, Gi, k, M or G, with or without B)"
    );
    assert_eq!(SIZE.allowed(), "a size from 1Ki to 64Mi, such as 32Mi, 64MB or 1048576");
}

#[test]
fn a_size_of_zero_is_refused_even_if_the_bounds_include_it() {
    assert_eq!(SizeRange(Bounds { min: 0, max: 1 }).parse("0"), Err(ValueError::NotAllowed));
}

#[test]
fn a_duration_is_accepted_only_within_its_bounds() {
    assert_eq!(TIME.parse("100ms"), Ok(Duration::from_millis(100)));
    assert_eq!(TIME.parse("5m"), Ok(Duration::from_mins(5)));
    assert_eq!(reason(TIME.parse("99ms")), "not allowed");
    assert_eq!(reason(TIME.parse("5m1s")), "not allowed");
    assert_eq!(reason(TIME.parse("10")), "its unit is missing (h, m, s or ms)");
    assert_eq!(TIME.allowed(), "a duration from 100ms to 5m");
}

#[test]
fn a_choice_accepts_exactly_its_words() {
    assert_eq!(CHOICE.parse("two"), Ok(2));
    assert_eq!(CHOICE.parse("deux"), Ok(2));
    assert_eq!(CHOICE.parse("Two"), Err(ValueError::NotAllowed));
    assert_eq!(CHOICE.allowed(), "one, two or deux");
    assert_eq!(CHOICE.value_name(), "one|two|deux");
}

#[test]
fn an_empty_optional_value_is_absent_and_any_other_is_validated() {
    assert_eq!(Optional(TIME).parse(""), Ok(None));
    assert_eq!(Optional(TIME).parse("1s"), Ok(Some(Duration::from_secs(1))));
    assert_eq!(reason(Optional(TIME).parse("soon")), "a number is missing");
}

#[test]
fn addresses_of_both_families_are_read_in_order() {
    let addresses = SocketAddresses.parse("127.0.0.1:4317, [::1]:4317").unwrap();

    let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["127.0.0.1:4317", "[::1]:4317"]);
}

#[test]
fn an_address_that_is_not_an_ip_address_with_a_port_is_named() {
    for bad in ["localhost:4317", "127.0.0.1", "::1:4317", "[::1]", ":4317", "1.2.3.4:99999", ""] {
        let text = format!("127.0.0.1:4317,{bad}");
        let expected = format!("{bad:?} is not an IP address with a port");
        assert_eq!(reason(SocketAddresses.parse(&text)), expected);
    }
}

#[test]
fn more_addresses_than_allowed_are_refused() {
    let sixteen = vec!["127.0.0.1:1"; 16].join(",");

    assert!(SocketAddresses.parse(&sixteen).is_ok());
    assert_eq!(
        SocketAddresses.parse(&format!("{sixteen},127.0.0.1:1")),
        Err(ValueError::NotAllowed)
    );
}

#[test]
fn errors_in_headers_do_not_quote_them() {
    assert_eq!(reason(HeaderList.parse("hunter2")), "entry 1 has no `=` between name and value");
}
