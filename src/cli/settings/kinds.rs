//! The kinds of values a setting can have: how each is read, and what it allows.

mod headers;
mod kubernetes;
mod origins;

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

pub(in crate::cli) use self::headers::{
    HeaderFileList, HeaderList, HeaderNameList, HeaderPrefixList,
};
pub(in crate::cli) use self::kubernetes::{
    HostName, Image, NamespaceList, NamespaceName, ObjectName, ObjectReference,
};
pub(in crate::cli) use self::origins::OriginList;
use crate::adapters::messaging::destination::config::ServerName;
use crate::adapters::messaging::notation::proxy::{Proxy, ProxyError};
use crate::adapters::messaging::notation::url::{Url, UrlError};
use crate::domain::bounds::{Bounds, BoundsError};
use crate::domain::text::quoted;

/// Maximum number of addresses in one setting.
const MAX_ADDRESSES: usize = 16;

/// One kind of value.
pub(in crate::cli) trait ValueKind: Sync {
    /// The type of the parsed value.
    type Value;

    /// Whether the text is a secret, which is never shown.
    const IS_SECRET: bool = false;

    /// Names the value in a synopsis.
    fn value_name(&self) -> String;

    /// Describes the allowed values, to complete "must be …".
    fn allowed(&self) -> String;

    /// Parses a trimmed text.
    fn parse(&self, text: &str) -> Result<Self::Value, ValueError>;
}

/// Why a text is not a valid value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum ValueError {
    /// The text is not an allowed value.
    NotAllowed,
    /// The same, with the reason, which contains no part of a secret.
    Other(String),
}

/// An optional value; an empty text means none.
pub(in crate::cli) struct Optional<K>(pub(in crate::cli) K);

/// A whole number.
pub(in crate::cli) struct IntegerRange(pub(in crate::cli) Bounds);

/// A number of bytes, never 0.
pub(in crate::cli) struct SizeRange(pub(in crate::cli) Bounds);

/// A length of time, bounded in milliseconds.
pub(in crate::cli) struct DurationRange(pub(in crate::cli) Bounds);

/// One of a fixed set of words.
pub(in crate::cli) struct Choice<T: 'static>(pub(in crate::cli) &'static [(&'static str, T)]);

/// A path, which is not accessed when it is parsed.
pub(in crate::cli) struct FilePath;

/// Socket addresses, at least one.
pub(in crate::cli) struct SocketAddresses;

/// The URL of a server.
pub(in crate::cli) struct ServerUrl;

/// The URL of an HTTP proxy, or no proxy.
pub(in crate::cli) struct ProxyUrl;

/// Whether a proxy is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum ProxyChoice {
    /// No proxy, whatever the environment says.
    Direct,
    /// This one.
    Through(Proxy),
}

/// A name that a certificate can be valid for.
pub(in crate::cli) struct TlsServerName;

/// The words of a boolean.
pub(in crate::cli) const BOOLEAN: Choice<bool> = Choice(&[("true", true), ("false", false)]);

impl ValueError {
    /// Returns an error with `reason`, which must contain no part of a secret.
    pub(in crate::cli) fn other(reason: impl Into<String>) -> Self {
        Self::Other(reason.into())
    }

    /// Returns the message: what is `allowed`, and why the text is not.
    pub(in crate::cli) fn message(&self, allowed: &str) -> String {
        match self {
            Self::NotAllowed => format!("must be {allowed}"),
            Self::Other(reason) => format!("must be {allowed}; {reason}"),
        }
    }
}

impl From<BoundsError> for ValueError {
    fn from(error: BoundsError) -> Self {
        match error {
            BoundsError::NotAllowed => Self::NotAllowed,
            BoundsError::Unit(reason) => Self::Other(reason.to_string()),
        }
    }
}

impl From<UrlError> for ValueError {
    fn from(error: UrlError) -> Self {
        match error {
            UrlError::NotHttp => Self::NotAllowed,
            UrlError::Credentials => {
                Self::other("a user and password are not allowed in the URL; set them in HEADERS")
            }
            UrlError::Other(reason) => Self::Other(reason),
        }
    }
}

impl<K: ValueKind> ValueKind for Optional<K> {
    type Value = Option<K::Value>;

    const IS_SECRET: bool = K::IS_SECRET;

    fn value_name(&self) -> String {
        self.0.value_name()
    }

    fn allowed(&self) -> String {
        self.0.allowed()
    }

    fn parse(&self, text: &str) -> Result<Self::Value, ValueError> {
        if text.is_empty() { Ok(None) } else { self.0.parse(text).map(Some) }
    }
}

impl ValueKind for IntegerRange {
    type Value = NonZeroU32;

    fn value_name(&self) -> String {
        "NUMBER".into()
    }

    fn allowed(&self) -> String {
        self.0.describe_integer()
    }

    fn parse(&self, text: &str) -> Result<NonZeroU32, ValueError> {
        self.0.parse_integer(text)?.try_into().map_err(|_| ValueError::NotAllowed)
    }
}

impl ValueKind for SizeRange {
    type Value = NonZeroU64;

    fn value_name(&self) -> String {
        "SIZE".into()
    }

    fn allowed(&self) -> String {
        self.0.describe_size()
    }

    fn parse(&self, text: &str) -> Result<NonZeroU64, ValueError> {
        Ok(self.0.parse_size(text)?)
    }
}

impl ValueKind for DurationRange {
    type Value = Duration;

    fn value_name(&self) -> String {
        "DURATION".into()
    }

    fn allowed(&self) -> String {
        self.0.describe_duration()
    }

    fn parse(&self, text: &str) -> Result<Duration, ValueError> {
        Ok(self.0.parse_duration(text)?)
    }
}

impl<T: Copy + Sync> ValueKind for Choice<T> {
    type Value = T;

    fn value_name(&self) -> String {
        self.choices().join("|")
    }

    fn allowed(&self) -> String {
        match self.choices().split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => String::new(),
        }
    }

    fn parse(&self, text: &str) -> Result<T, ValueError> {
        let known = self.0.iter().find(|(word, _)| *word == text);
        known.map(|(_, value)| *value).ok_or(ValueError::NotAllowed)
    }
}

impl<T> Choice<T> {
    fn choices(&self) -> Vec<&'static str> {
        self.0.iter().map(|(word, _)| *word).collect()
    }
}

impl ValueKind for FilePath {
    type Value = PathBuf;

    fn value_name(&self) -> String {
        "PATH".into()
    }

    fn allowed(&self) -> String {
        "a path".into()
    }

    fn parse(&self, text: &str) -> Result<PathBuf, ValueError> {
        Ok(text.into())
    }
}

impl ValueKind for SocketAddresses {
    type Value = Vec<SocketAddr>;

    fn value_name(&self) -> String {
        "ADDRESS,…".into()
    }

    fn allowed(&self) -> String {
        format!("1 to {MAX_ADDRESSES} IP addresses with ports, such as 127.0.0.1:4317,[::1]:4317")
    }

    fn parse(&self, text: &str) -> Result<Vec<SocketAddr>, ValueError> {
        let addresses =
            text.split(',').map(|part| address(part.trim())).collect::<Result<Vec<_>, _>>()?;
        if addresses.len() > MAX_ADDRESSES { Err(ValueError::NotAllowed) } else { Ok(addresses) }
    }
}

impl ValueKind for ServerUrl {
    type Value = Url;

    fn value_name(&self) -> String {
        "URL".into()
    }

    fn allowed(&self) -> String {
        "an http:// or https:// URL, such as http://collector:4317".into()
    }

    fn parse(&self, text: &str) -> Result<Url, ValueError> {
        Ok(text.parse()?)
    }
}

impl ValueKind for ProxyUrl {
    type Value = ProxyChoice;

    const IS_SECRET: bool = true;

    fn value_name(&self) -> String {
        "URL|direct".into()
    }

    fn allowed(&self) -> String {
        "direct, or the URL of an HTTP proxy, such as http://proxy:3128".into()
    }

    fn parse(&self, text: &str) -> Result<ProxyChoice, ValueError> {
        if text == "direct" {
            return Ok(ProxyChoice::Direct);
        }
        text.parse().map(ProxyChoice::Through).map_err(|error| match error {
            ProxyError::NotHttp => ValueError::NotAllowed,
            ProxyError::Socks => ValueError::other("SOCKS proxies are not supported"),
        })
    }
}

impl ValueKind for TlsServerName {
    type Value = ServerName<'static>;

    fn value_name(&self) -> String {
        "NAME".into()
    }

    fn allowed(&self) -> String {
        "a DNS name or an IP address, such as collector.example".into()
    }

    fn parse(&self, text: &str) -> Result<ServerName<'static>, ValueError> {
        ServerName::try_from(text.to_owned()).map_err(|_| ValueError::NotAllowed)
    }
}

fn address(text: &str) -> Result<SocketAddr, ValueError> {
    text.parse().map_err(|_| {
        ValueError::other(format!("{} is not an IP address with a port", quoted(text)))
    })
}

#[cfg(test)]
mod tests;
