//! Lists of HTTP headers.

use http::HeaderName;

use super::{ValueError, ValueKind};
use crate::adapters::messaging::notation::headers::{
    HeaderError, HeaderFiles, Headers, parse_header_files, parse_header_list, parse_header_names,
};

/// HTTP headers, perhaps none.
pub(in crate::cli) struct HeaderList;

/// HTTP headers whose values are in files, perhaps none.
pub(in crate::cli) struct HeaderFileList;

/// What is put before the values of HTTP headers, perhaps nothing.
pub(in crate::cli) struct HeaderPrefixList;

/// Names of HTTP headers, perhaps none.
pub(in crate::cli) struct HeaderNameList;

impl From<HeaderError> for ValueError {
    fn from(error: HeaderError) -> Self {
        Self::Other(error.to_string())
    }
}

impl ValueKind for HeaderList {
    type Value = Headers;

    const IS_SECRET: bool = true;

    fn value_name(&self) -> String {
        "NAME=VALUE,…".into()
    }

    fn allowed(&self) -> String {
        "HTTP headers as name=value,name2=value2, values percent-encoded".into()
    }

    fn parse(&self, text: &str) -> Result<Headers, ValueError> {
        Ok(parse_header_list(text)?)
    }
}

impl ValueKind for HeaderFileList {
    type Value = HeaderFiles;

    fn value_name(&self) -> String {
        "NAME=PATH,…".into()
    }

    fn allowed(&self) -> String {
        "HTTP headers and files as name=path,name2=path2".into()
    }

    fn parse(&self, text: &str) -> Result<HeaderFiles, ValueError> {
        Ok(parse_header_files(text)?)
    }
}

impl ValueKind for HeaderPrefixList {
    type Value = Headers;

    // Part of a value, which is secret as a whole.
    const IS_SECRET: bool = true;

    fn value_name(&self) -> String {
        "NAME=PREFIX,…".into()
    }

    fn allowed(&self) -> String {
        "HTTP headers and prefixes as name=prefix,name2=prefix2, prefixes percent-encoded".into()
    }

    fn parse(&self, text: &str) -> Result<Headers, ValueError> {
        Ok(parse_header_list(text)?)
    }
}

impl ValueKind for HeaderNameList {
    type Value = Vec<HeaderName>;

    fn value_name(&self) -> String {
        "NAME,…".into()
    }

    fn allowed(&self) -> String {
        "names of HTTP headers as name,name2".into()
    }

    fn parse(&self, text: &str) -> Result<Vec<HeaderName>, ValueError> {
        Ok(parse_header_names(text)?)
    }
}
