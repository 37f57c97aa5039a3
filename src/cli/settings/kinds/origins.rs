//! Origins of web pages.

use super::{ValueError, ValueKind};
use crate::adapters::messaging::cors::AllowedOrigins;
use crate::domain::text::quoted;

/// Maximum number of origins in one setting.
const MAX_ORIGINS: usize = 64;

/// Origins, at least one, or `*` for all.
pub(in crate::cli) struct OriginList;

impl ValueKind for OriginList {
    type Value = AllowedOrigins;

    fn value_name(&self) -> String {
        "ORIGIN,…".into()
    }

    fn allowed(&self) -> String {
        format!(
            "* or 1 to {MAX_ORIGINS} origins, such as https://shop.example,http://localhost:3000"
        )
    }

    fn parse(&self, text: &str) -> Result<AllowedOrigins, ValueError> {
        if text == "*" {
            return Ok(AllowedOrigins::Any);
        }
        let origins = text.split(',').map(|part| {
            let part = part.trim();
            part.parse()
                .map_err(|why| ValueError::other(format!("the origin {} {why}", quoted(part))))
        });
        let origins = origins.collect::<Result<Vec<_>, _>>()?;
        if origins.len() > MAX_ORIGINS {
            return Err(ValueError::NotAllowed);
        }
        Ok(AllowedOrigins::Listed(origins))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_means_every_origin() {
        assert_eq!(OriginList.parse("*"), Ok(AllowedOrigins::Any));
    }

    #[test]
    fn origins_are_separated_by_commas_and_spaces() {
        let listed = AllowedOrigins::Listed(vec![
            "https://shop.example".parse().unwrap(),
            "http://localhost:3000".parse().unwrap(),
        ]);

        assert_eq!(OriginList.parse("https://shop.example, http://localhost:3000"), Ok(listed));
    }

    #[test]
    fn a_text_that_is_not_an_origin_is_named_with_the_reason() {
        let error = OriginList.parse("https://shop.example,https://b/").unwrap_err();

        assert_eq!(
            error.message(&OriginList.allowed()),
            "must be * or 1 to 64 origins, such as https://shop.example,http://localhost:3000; the \
             origin \"https://b/\" must end after the host and port, without a slash"
        );
        for text in ["https://a,*", ",", "https://a,"] {
            assert!(OriginList.parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn more_than_64_origins_are_refused() {
        let list = |count| vec!["https://a"; count].join(",");

        assert!(OriginList.parse(&list(64)).is_ok());
        assert_eq!(OriginList.parse(&list(65)), Err(ValueError::NotAllowed));
    }
}
