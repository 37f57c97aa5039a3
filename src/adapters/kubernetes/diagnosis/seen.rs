//! What a look at the cluster came to.

use std::fmt::Debug;

use kube::api::{ListParams, ObjectList, PartialObjectMeta};
use kube::{Api, Error};
use serde::de::DeserializeOwned;

use super::finding::{Finding, Section};

/// Objects asked for at once.
const PAGE: u32 = 500;

/// Something that was looked for.
#[derive(Clone, Debug)]
pub(super) enum Seen<T> {
    /// It is there.
    Is(T),
    /// It is not there.
    Absent,
    /// Whoever asks is not allowed to see it; the server's words.
    Hidden(String),
    /// The server gave no answer, or a strange one.
    Unknown(String),
}

impl<T> Seen<T> {
    pub(super) fn of(result: Result<T, Error>) -> Self {
        match result {
            Ok(found) => Self::Is(found),
            Err(error) => Self::not(&error),
        }
    }

    fn not(error: &Error) -> Self {
        match error {
            Error::Api(status) if status.code == 404 => Self::Absent,
            Error::Api(status) if [401, 403].contains(&status.code) => {
                Self::Hidden(status.message.clone())
            }
            Error::Api(status) => Self::Unknown(status.message.clone()),
            error => Self::Unknown(error.to_string()),
        }
    }

    /// Returns it if it is there.
    pub(super) const fn get(&self) -> Option<&T> {
        match self {
            Self::Is(found) => Some(found),
            _ => None,
        }
    }

    /// Returns why it could not be seen.
    pub(super) fn why_not(&self) -> Option<String> {
        match self {
            Self::Hidden(why) | Self::Unknown(why) => Some(why.clone()),
            Self::Is(_) | Self::Absent => None,
        }
    }

    /// Returns it if it is there, and a finding if it could not be seen.
    pub(super) fn or_finding(&self, section: Section, name: &str) -> Result<Option<&T>, Finding> {
        match self {
            Self::Is(found) => Ok(Some(found)),
            Self::Absent => Ok(None),
            Self::Hidden(why) => Err(section.skipped(name, format!("not allowed to look: {why}"))),
            Self::Unknown(why) => Err(section.failed(
                name,
                format!("cannot be read: {why}"),
                "try again; see the API server's log if it stays so",
            )),
        }
    }
}

/// Lists all objects, page by page.
pub(super) async fn list<K>(api: &Api<K>, params: &ListParams) -> Seen<Vec<K>>
where
    K: Clone + DeserializeOwned + Debug,
{
    Seen::of(pages(params, async |params| api.list(&params).await).await)
}

/// Lists the metadata of all objects, page by page.
pub(super) async fn list_metadata<K>(
    api: &Api<K>,
    params: &ListParams,
) -> Seen<Vec<PartialObjectMeta<K>>>
where
    K: Clone + DeserializeOwned + Debug,
{
    Seen::of(pages(params, async |params| api.list_metadata(&params).await).await)
}

async fn pages<K: Clone>(
    params: &ListParams,
    page: impl AsyncFn(ListParams) -> Result<ObjectList<K>, Error>,
) -> Result<Vec<K>, Error> {
    let mut params = params.clone().limit(PAGE);
    let mut found = Vec::new();
    loop {
        let mut list = page(params.clone()).await?;
        found.append(&mut list.items);
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(found),
        }
    }
}
