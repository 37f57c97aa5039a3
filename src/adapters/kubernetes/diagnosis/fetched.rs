//! Objects fetched from the cluster, which may not exist or not be readable.

use std::fmt::Debug;

use kube::api::{ListParams, ObjectList, PartialObjectMeta};
use kube::{Api, Error};
use serde::de::DeserializeOwned;

use super::finding::{Finding, Section};

/// Maximum objects in one page of a list.
const PAGE_SIZE: u32 = 500;

/// The result of a request for an object.
#[derive(Clone, Debug)]
pub(super) enum Fetched<T> {
    /// The object.
    Found(T),
    /// The object does not exist.
    NotFound,
    /// The user may not read the object, with the server's message.
    Forbidden(String),
    /// The request failed, with the error.
    Failed(String),
}

impl<T> Fetched<T> {
    pub(super) fn from_result(result: Result<T, Error>) -> Self {
        match result {
            Ok(found) => Self::Found(found),
            Err(error) => Self::from_error(&error),
        }
    }

    fn from_error(error: &Error) -> Self {
        match error {
            Error::Api(status) if status.code == 404 => Self::NotFound,
            Error::Api(status) if [401, 403].contains(&status.code) => {
                Self::Forbidden(status.message.clone())
            }
            Error::Api(status) => Self::Failed(status.message.clone()),
            error => Self::Failed(error.to_string()),
        }
    }

    /// Returns the object if it was found.
    pub(super) const fn get(&self) -> Option<&T> {
        match self {
            Self::Found(found) => Some(found),
            _ => None,
        }
    }

    /// Returns the first object that is wanted.
    pub(super) fn find<K>(self, is_wanted: impl Fn(&K) -> bool) -> Fetched<K>
    where
        T: IntoIterator<Item = K>,
    {
        match self {
            Self::Found(all) => {
                all.into_iter().find(is_wanted).map_or(Fetched::NotFound, Fetched::Found)
            }
            Self::NotFound => Fetched::NotFound,
            Self::Forbidden(why) => Fetched::Forbidden(why),
            Self::Failed(why) => Fetched::Failed(why),
        }
    }

    /// Returns why the object could not be read; `None` if it was found or does not exist.
    pub(super) fn error_message(&self) -> Option<String> {
        match self {
            Self::Forbidden(why) | Self::Failed(why) => Some(why.clone()),
            Self::Found(_) | Self::NotFound => None,
        }
    }

    /// Returns the object if it was found, and a finding if it could not be read.
    pub(super) fn or_finding(&self, section: Section, name: &str) -> Result<Option<&T>, Finding> {
        match self {
            Self::Found(found) => Ok(Some(found)),
            Self::NotFound => Ok(None),
            Self::Forbidden(why) => {
                Err(section.skipped(name, format!("not allowed to read: {why}")))
            }
            Self::Failed(why) => Err(section.failed(
                name,
                format!("cannot be read: {why}"),
                "try again; if the error persists, see the API server's log",
            )),
        }
    }
}

/// Lists all objects, page by page.
pub(super) async fn list<K>(api: &Api<K>, params: &ListParams) -> Fetched<Vec<K>>
where
    K: Clone + DeserializeOwned + Debug,
{
    Fetched::from_result(collect_pages(params, async |params| api.list(&params).await).await)
}

/// Lists the metadata of all objects, page by page.
pub(super) async fn list_metadata<K>(
    api: &Api<K>,
    params: &ListParams,
) -> Fetched<Vec<PartialObjectMeta<K>>>
where
    K: Clone + DeserializeOwned + Debug,
{
    Fetched::from_result(
        collect_pages(params, async |params| api.list_metadata(&params).await).await,
    )
}

async fn collect_pages<K: Clone>(
    params: &ListParams,
    page: impl AsyncFn(ListParams) -> Result<ObjectList<K>, Error>,
) -> Result<Vec<K>, Error> {
    let mut params = params.clone().limit(PAGE_SIZE);
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
