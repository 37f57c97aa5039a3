//! Headers whose values are read from files.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use http::{HeaderName, HeaderValue};

use super::{
    HeaderError, HeaderErrorKind, Headers, add_unique, for_each_entry, validate_name,
    validate_value,
};

/// Headers with unique names, and the files with their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderFiles(Vec<(HeaderName, HeaderFile)>);

/// The file with the value of one header, and how the value is derived from its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderFile {
    path: PathBuf,
    /// Marked as sensitive, so that [`std::fmt::Debug`] does not show it.
    prefix: Option<HeaderValue>,
    is_optional: bool,
}

/// A prefix or an option was set for a header without a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no file is set for {0}")]
pub struct MissingHeaderFile(HeaderName);

impl HeaderFiles {
    /// Returns names and files in their original order.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderFile)> {
        self.0.iter().map(|(name, file)| (name, file))
    }

    /// Prepends each of `prefixes` to the value of the header of the same name.
    ///
    /// # Errors
    ///
    /// The first name that has no file.
    pub fn add_prefixes(&mut self, prefixes: &Headers) -> Result<(), MissingHeaderFile> {
        for (name, prefix) in prefixes.iter() {
            self.get_mut(name)?.prefix = Some(prefix.clone());
        }
        Ok(())
    }

    /// Marks the headers `names` as optional: they are omitted while their file is missing or empty.
    ///
    /// # Errors
    ///
    /// The first name that has no file.
    pub fn make_optional(&mut self, names: &[HeaderName]) -> Result<(), MissingHeaderFile> {
        for name in names {
            self.get_mut(name)?.is_optional = true;
        }
        Ok(())
    }

    fn get_mut(&mut self, name: &HeaderName) -> Result<&mut HeaderFile, MissingHeaderFile> {
        let found = self.0.iter_mut().find(|(known, _)| known == name);
        found.map(|(_, file)| file).ok_or_else(|| MissingHeaderFile(name.clone()))
    }
}

impl HeaderFile {
    /// Returns whether the header is omitted while the file is missing or empty.
    #[must_use]
    pub const fn is_optional(&self) -> bool {
        self.is_optional
    }

    /// Returns the header value for a file content: the prefix followed by the trimmed content.
    ///
    /// # Errors
    ///
    /// The content is blank or not printable ASCII. The message completes "it …" and contains no
    /// part of the content.
    pub fn value(&self, content: &[u8]) -> Result<HeaderValue, HeaderErrorKind> {
        let value = content.trim_ascii();
        if value.is_empty() {
            return Err(HeaderErrorKind::MissingValue);
        }
        let prefix = self.prefix.as_ref().map_or(&[][..], HeaderValue::as_bytes);
        validate_value(&[prefix, value].concat())
    }
}

impl From<PathBuf> for HeaderFile {
    /// Creates a required file without a prefix.
    fn from(path: PathBuf) -> Self {
        Self { path, prefix: None, is_optional: false }
    }
}

impl Deref for HeaderFile {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

/// Reads `name=path,name2=path2`. White space and empty entries are ignored.
///
/// # Errors
///
/// The first error, with the number of its entry.
pub fn parse_header_files(text: &str) -> Result<HeaderFiles, HeaderError> {
    let mut files = HeaderFiles::default();
    for_each_entry(text, |entry| {
        let (name, path) = entry.split_once('=').ok_or(HeaderErrorKind::MissingSeparator)?;
        let (name, path) = (validate_name(name.trim())?, path.trim());
        if path.is_empty() {
            return Err(HeaderErrorKind::MissingValue);
        }
        add_unique(&mut files.0, name, PathBuf::from(path).into())
    })?;
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::super::{parse_header_list, parse_header_names};
    use super::*;

    fn files(list: &str) -> HeaderFiles {
        parse_header_files(list).unwrap()
    }

    fn prefixed(prefix: &str) -> HeaderFile {
        let prefixes = parse_header_list(&format!("authorization={prefix}")).unwrap();
        let mut files = files("authorization=/run/token");
        files.add_prefixes(&prefixes).unwrap();
        files.iter().next().unwrap().1.clone()
    }

    #[test]
    fn files_are_listed_with_lower_case_header_names() {
        let files = files("Authorization=/etc/a=b , ,x-key = /etc/c,");

        let found: Vec<_> =
            files.iter().map(|(name, file)| (name.as_str(), file.to_str().unwrap())).collect();
        assert_eq!(found, [("authorization", "/etc/a=b"), ("x-key", "/etc/c")]);
    }

    #[test]
    fn an_error_in_a_list_of_files_names_the_entry() {
        let error = |text| parse_header_files(text).unwrap_err().to_string();

        assert_eq!(error("a=/b,c"), "entry 2 has no `=` between name and value");
        assert_eq!(error("a="), "entry 1 has no value");
        assert_eq!(error("a=/b,A=/c"), "entry 2 repeats a header name");
        assert_eq!(error("te=/b"), "entry 1 names `te`, which tracebuffer sets itself");
    }

    #[test]
    fn the_value_is_the_trimmed_content() {
        let file = HeaderFile::from(PathBuf::from("/run/key"));

        let value = file.value(b" two words\r\n").unwrap();

        assert_eq!(value, "two words");
        assert!(value.is_sensitive());
    }

    #[test]
    fn a_prefix_is_prepended_to_the_trimmed_content() {
        let value = prefixed("Bearer%20").value(b"\tabc=\n").unwrap();

        assert_eq!(value, "Bearer abc=");
        assert!(value.is_sensitive());
    }

    #[test]
    fn a_prefix_without_content_is_rejected() {
        for content in [&b""[..], b" \r\n\t"] {
            assert_eq!(prefixed("Bearer%20").value(content), Err(HeaderErrorKind::MissingValue));
        }
    }

    #[test]
    fn a_line_break_in_the_content_is_rejected() {
        assert_eq!(prefixed("Bearer%20").value(b"x\r\nb: y"), Err(HeaderErrorKind::InvalidValue));
    }

    #[test]
    fn only_named_headers_get_a_prefix_or_are_optional() {
        let mut files = files("a=/a,b=/b");

        files.add_prefixes(&parse_header_list("B=v:").unwrap()).unwrap();
        files.make_optional(&parse_header_names("A").unwrap()).unwrap();

        let found: Vec<_> =
            files.iter().map(|(_, file)| (file.is_optional(), file.value(b"1").unwrap())).collect();
        assert_eq!(found, [(true, "1".parse().unwrap()), (false, "v:1".parse().unwrap())]);
    }

    #[test]
    fn the_error_names_the_header_without_a_file() {
        let mut files = files("a=/a");

        let of_prefix = files.add_prefixes(&parse_header_list("a=x,x-key=y").unwrap());
        let of_name = files.make_optional(&parse_header_names("X-Key").unwrap());

        for error in [of_prefix.unwrap_err(), of_name.unwrap_err()] {
            assert_eq!(error.to_string(), "no file is set for x-key");
        }
    }

    #[test]
    fn debug_does_not_show_the_prefix() {
        assert!(!format!("{:?}", prefixed("hunter2")).contains("hunter2"));
    }
}
