//! When authorities that somebody else makes are published, and when those of before them go.
//!
//! What was published before stays beside them for [`RETIREMENT`]: replicas serve by it until they
//! have come to the new certificate, or have gone themselves.

use std::time::Duration;

use super::rotation::{LONGEST_REST, RETIREMENT};

/// What this process has seen, measured by a clock that does not jump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The authorities given, and whatever else is published anywhere, are in every entry, and this
    /// keeper put them there.
    pub is_published: bool,
    /// Others than those given are among them.
    pub has_others: bool,
    /// How long it has been so, with the same authorities.
    pub held: Duration,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Publish what is given in front of all that is published.
    Publish,
    /// Publish what is given, and nothing else.
    ForgetOthers,
    /// Look again after this long, or when something changes.
    Rest(Duration),
}

/// Returns what to do.
#[must_use]
pub fn next(seen: &Seen) -> Next {
    if !seen.is_published {
        return Next::Publish;
    }
    if !seen.has_others {
        return Next::Rest(LONGEST_REST);
    }
    match RETIREMENT.saturating_sub(seen.held) {
        Duration::ZERO => Next::ForgetOthers,
        rest => Next::Rest(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_hours(24);

    #[test]
    fn what_is_given_is_published_whatever_else_is_there() {
        for has_others in [true, false] {
            let seen = Seen { is_published: false, has_others, held: LONG };

            assert_eq!(next(&seen), Next::Publish);
        }
    }

    #[test]
    fn others_stay_for_ten_minutes_and_then_go() {
        let mins = Duration::from_mins;
        for (held, expected) in [
            (mins(0), Next::Rest(mins(10))),
            (mins(9), Next::Rest(mins(1))),
            (mins(10), Next::ForgetOthers),
            (LONG, Next::ForgetOthers),
        ] {
            let seen = Seen { is_published: true, has_others: true, held };

            assert_eq!(next(&seen), expected, "{held:?}");
        }
    }

    #[test]
    fn it_rests_while_only_what_is_given_is_published() {
        let seen = Seen { is_published: true, has_others: false, held: LONG };

        assert_eq!(next(&seen), Next::Rest(LONGEST_REST));
    }
}
