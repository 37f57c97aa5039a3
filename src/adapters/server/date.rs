//! The `date` header of responses (RFC 9110, 6.6.1), which hyper adds over HTTP/1.1.

use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use parking_lot::Mutex;

/// The header of the latest second.
static LATEST: Mutex<Option<(u64, HeaderValue)>> = Mutex::new(None);

/// Returns the current date.
pub(super) fn now() -> Option<HeaderValue> {
    let time = SystemTime::now();
    let second = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let mut latest = LATEST.lock();
    if let Some((of, value)) = &*latest
        && *of == second
    {
        return Some(value.clone());
    }
    let value = HeaderValue::try_from(httpdate::fmt_http_date(time)).ok()?;
    *latest = Some((second, value.clone()));
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_that_of_the_current_second() {
        let before = SystemTime::now();

        let date = httpdate::parse_http_date(now().unwrap().to_str().unwrap()).unwrap();

        let passed = before.duration_since(date).unwrap_or_default();
        assert!(passed.as_secs() <= 1, "{date:?}");
    }
}
