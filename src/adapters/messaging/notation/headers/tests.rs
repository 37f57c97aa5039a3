use super::*;

fn pairs(headers: &Headers) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
}

fn list_error(text: &str) -> String {
    parse_header_list(text).unwrap_err().to_string()
}

#[test]
fn a_list_is_read_in_order() {
    let headers = parse_header_list("api-key=abc,x-tenant=blue").unwrap();

    assert_eq!(pairs(&headers), [("api-key", "abc"), ("x-tenant", "blue")]);
}

#[test]
fn a_value_in_a_list_is_percent_decoded() {
    let headers = parse_header_list("authorization=Basic%20a%2Cb%3D%3d").unwrap();

    assert_eq!(pairs(&headers), [("authorization", "Basic a,b==")]);
}

#[test]
fn a_value_in_a_list_may_contain_equals_signs() {
    let headers = parse_header_list("authorization=Basic YTpi==").unwrap();

    assert_eq!(pairs(&headers), [("authorization", "Basic YTpi==")]);
}

#[test]
fn white_space_and_empty_entries_of_a_list_are_ignored() {
    let headers = parse_header_list(" a = 1 , ,b=2,").unwrap();

    assert_eq!(pairs(&headers), [("a", "1"), ("b", "2")]);
}

#[test]
fn a_name_is_converted_to_lower_case() {
    let headers = parse_header_list("Authorization=x").unwrap();

    assert_eq!(pairs(&headers), [("authorization", "x")]);
}

#[test]
fn an_invalid_escape_is_rejected() {
    for text in ["a=1,b=%", "a=1,b=%4", "a=1,b=x%zz", "a=1,b=%+1", "a=1,b=%é"] {
        assert!(list_error(text).starts_with("entry 2 has a `%` without"), "{text}");
    }
}

#[test]
fn an_entry_without_a_separator_a_name_or_a_value_is_rejected() {
    assert_eq!(list_error("secret"), "entry 1 has no `=` between name and value");
    assert_eq!(list_error("=x"), "entry 1 does not begin with an HTTP header name");
    assert_eq!(list_error("two words=x"), "entry 1 does not begin with an HTTP header name");
    assert_eq!(list_error("a="), "entry 1 has no value");
}

#[test]
fn a_value_that_is_not_printable_ascii_is_rejected() {
    for text in ["a=x%0D%0Ab: y", "a=x%00", "a=%C3%A9", "a=%FF"] {
        assert_eq!(list_error(text), "entry 1 has a value that is not printable ASCII");
    }
}

#[test]
fn a_reserved_header_is_rejected() {
    assert_eq!(
        list_error("a=1,Content-Type=text/plain"),
        "entry 2 names `content-type`, which tracebuffer sets itself"
    );
    assert_eq!(
        list_error("grpc-timeout=1S"),
        "entry 1 names `grpc-*`, which tracebuffer sets itself"
    );
}

#[test]
fn a_repeated_name_is_rejected_ignoring_case() {
    assert_eq!(list_error("a=1,A=2"), "entry 2 repeats a header name");
}

#[test]
fn lines_may_use_either_separator_and_contain_comments() {
    let text = "# keys\r\nauthorization: Bearer a=b\n\n  x-tenant=blue:green \n#end";

    let headers = parse_header_lines(text).unwrap();

    assert_eq!(pairs(&headers), [("authorization", "Bearer a=b"), ("x-tenant", "blue:green")]);
}

#[test]
fn a_value_in_a_line_is_literal() {
    let headers = parse_header_lines("a: 100%25,b=c").unwrap();

    assert_eq!(pairs(&headers), [("a", "100%25,b=c")]);
}

#[test]
fn an_error_in_a_line_shows_the_number_of_the_line_and_not_its_text() {
    let error = parse_header_lines("# one\n\nhunter2").unwrap_err();

    assert_eq!(error.to_string(), "line 3 has no `=` between name and value");
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[test]
fn a_list_of_names_is_read_in_order_and_converted_to_lower_case() {
    let names = parse_header_names(" Authorization, ,x-key,").unwrap();

    assert_eq!(names, ["authorization", "x-key"]);
}

#[test]
fn an_error_in_a_list_of_names_shows_the_number_of_the_entry() {
    let error = |text| parse_header_names(text).unwrap_err().to_string();

    assert_eq!(error("a,b=c"), "entry 2 is not an HTTP header name");
    assert_eq!(error("a,,A"), "entry 3 repeats a header name");
    assert_eq!(error("te"), "entry 1 names `te`, which tracebuffer sets itself");
}

#[test]
fn debug_shows_names_but_not_values() {
    let headers = parse_header_list("authorization=hunter2").unwrap();

    assert_eq!(format!("{headers:?}"), r#"["authorization"]"#);
}

#[test]
fn values_are_marked_as_sensitive() {
    let headers = parse_header_list("authorization=hunter2").unwrap();

    assert!(headers.iter().all(|(_, value)| value.is_sensitive()));
}
