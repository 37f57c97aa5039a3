//! What is done with a request.

use std::future::pending;
use std::sync::Arc;

use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::answer::{Chunks, broken, refused, whole};
use super::merge::patched;
use super::request::{Asked, Verb};
use super::script::Fault;
use super::selector::selects;
use super::store::Place;
use super::watching::{self, Command};
use super::{ApiServer, Inner};

type Handled = Result<Response<Chunks>, std::io::Error>;

pub(crate) async fn handle(inner: Arc<Inner>, request: Request<Body>) -> Handled {
    let Some(asked) = Asked::of(&request) else {
        return Ok(refused(404, &format!("no such path: {}", request.uri())));
    };
    let body = request.into_body().collect_bytes().await.unwrap_or_default();
    let server = ApiServer { inner };
    let fault = server.inner.script.lock().decide(&asked);
    match fault {
        Fault::Nothing => Ok(server.carry_out(&asked, &body)),
        Fault::Refuse(code) => Ok(refused(code, &format!("the script answers {code}"))),
        Fault::Answer(code, answer) => Ok(whole(code, &answer)),
        Fault::Drop => Err(broken()),
        Fault::DropAnswer => {
            drop(server.carry_out(&asked, &body));
            Err(broken())
        }
        Fault::Stall => pending().await,
        Fault::Delay(time) => {
            sleep(time).await;
            Ok(server.carry_out(&asked, &body))
        }
        Fault::DelayAnswer(time) => {
            let answer = server.carry_out(&asked, &body);
            sleep(time).await;
            Ok(answer)
        }
    }
}

/// A refusal: its HTTP status and message.
type Refusal = (u16, String);

impl ApiServer {
    fn carry_out(&self, asked: &Asked, body: &[u8]) -> Response<Chunks> {
        if asked.verb == Verb::Watch {
            return watching::start(&self.inner, asked.clone());
        }
        let done = match asked.verb {
            Verb::List => self.list(asked),
            Verb::Create => self.create(asked, body),
            Verb::Replace => self.replace(asked, body),
            Verb::Patch => self.patch(asked, body),
            Verb::Delete => self.delete(asked, body),
            Verb::Get | Verb::Watch => self.read(asked),
        };
        match done {
            Ok(answer) => {
                let code = if asked.verb == Verb::Create { 201 } else { 200 };
                whole(code, &shown(asked, &answer))
            }
            Err((code, message)) => refused(code, &message),
        }
    }

    fn read(&self, asked: &Asked) -> Result<Value, Refusal> {
        let store = self.inner.store.lock();
        if asked.resource == "version" {
            let (major, minor) = &store.server_version;
            return Ok(json!({
                "major": major, "minor": minor, "gitVersion": format!("v{major}.{minor}.0"),
                "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "",
                "compiler": "", "platform": "",
            }));
        }
        store.get(&place(asked)).cloned().ok_or_else(|| absent(asked))
    }

    fn list(&self, asked: &Asked) -> Result<Value, Refusal> {
        let mut store = self.inner.store.lock();
        let token = asked.value("continue");
        let (version, items) = if token.is_empty() {
            let items = store.all(&asked.resource).filter(|object| is_wanted(asked, object));
            (store.version, items.cloned().collect())
        } else {
            let gone = (410, "the continue token is too old".to_owned());
            store.rest_of(token).map_err(|_| gone)?
        };
        let limit = asked.value("limit").parse().unwrap_or(0);
        let (items, token) = store.page(items, version, limit);
        let items: Vec<_> = items.iter().map(|item| shown(asked, item)).collect();
        Ok(json!({
            "apiVersion": "v1", "kind": "List", "items": items,
            "metadata": { "resourceVersion": version.to_string(), "continue": token },
        }))
    }

    fn create(&self, asked: &Asked, body: &[u8]) -> Result<Value, Refusal> {
        let mut object = parsed(body)?;
        let mut store = self.inner.store.lock();
        let metadata = &object["metadata"];
        let name = match (metadata["name"].as_str(), metadata["generateName"].as_str()) {
            (Some(name), _) => name.to_owned(),
            (None, prefix) => format!("{}{}", prefix.unwrap_or_default(), store.version),
        };
        let place = Place::new(&asked.resource, &asked.namespace, &name);
        if store.get(&place).is_some() {
            return Err((409, format!("{} \"{name}\" already exists", asked.resource)));
        }
        object["metadata"]["name"] = json!(name);
        if asked.is("dryRun") {
            return Ok(object);
        }
        store.put(&place, object);
        let made = store.get(&place).cloned().ok_or_else(|| absent(asked));
        drop(store);
        self.tell(Command::Changed);
        made
    }

    fn replace(&self, asked: &Asked, body: &[u8]) -> Result<Value, Refusal> {
        let object = parsed(body)?;
        self.change(asked, |_| Ok(object))
    }

    fn patch(&self, asked: &Asked, body: &[u8]) -> Result<Value, Refusal> {
        let is_apply = asked.content_type.starts_with("application/apply-patch");
        let exists = self.inner.store.lock().get(&place(asked)).is_some();
        if is_apply && !exists && asked.subresource.is_empty() {
            return self.create(asked, body);
        }
        self.change(asked, |before| {
            // A version that the patch names is one it insists on; none is none.
            let mut patched = patched(before, body, &asked.content_type).map_err(|e| (422, e))?;
            let named = serde_json::from_slice::<Value>(body).ok();
            let named = named.and_then(|patch| patch["metadata"].get("resourceVersion").cloned());
            let insists = asked.content_type != "application/json-patch+json";
            if insists && let Some(metadata) = patched["metadata"].as_object_mut() {
                metadata.insert("resourceVersion".into(), named.unwrap_or(Value::Null));
            }
            Ok(patched)
        })
    }

    /// Puts what `make` makes of an object in its place, unless the version or UID that it names is
    /// another.
    fn change(
        &self,
        asked: &Asked,
        make: impl FnOnce(&Value) -> Result<Value, Refusal>,
    ) -> Result<Value, Refusal> {
        let mut store = self.inner.store.lock();
        let place = place(asked);
        let before = store.get(&place).cloned().ok_or_else(|| absent(asked))?;
        let named = make(&before)?;
        for key in ["resourceVersion", "uid"] {
            let wanted = named["metadata"][key].as_str().unwrap_or_default();
            if !wanted.is_empty() && before["metadata"][key] != *wanted {
                return Err((409, format!("{}: the object has been modified", place.name)));
            }
        }
        let after = merged_parts(&before, named, &asked.subresource);
        if after == before || asked.is("dryRun") {
            return Ok(after);
        }
        store.put(&place, after);
        let after = store.get(&place).cloned().ok_or_else(|| absent(asked));
        drop(store);
        self.tell(Command::Changed);
        after
    }

    fn delete(&self, asked: &Asked, body: &[u8]) -> Result<Value, Refusal> {
        let wanted = serde_json::from_slice::<Value>(body).unwrap_or_default();
        let mut store = self.inner.store.lock();
        let place = place(asked);
        let before = store.get(&place).ok_or_else(|| absent(asked))?;
        for key in ["resourceVersion", "uid"] {
            let wanted = wanted["preconditions"][key].as_str();
            if wanted.is_some_and(|wanted| before["metadata"][key] != *wanted) {
                return Err((409, format!("{}: precondition failed", place.name)));
            }
        }
        store.remove(&place);
        drop(store);
        self.tell(Command::Changed);
        Ok(json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" }))
    }
}

/// Through `status` only the status changes; otherwise all but it, and what the server gives.
fn merged_parts(before: &Value, named: Value, subresource: &str) -> Value {
    if subresource == "status" {
        let mut after = before.clone();
        after["status"] = named["status"].clone();
        return after;
    }
    let mut after = named;
    if let Some(status) = before.get("status") {
        after["status"] = status.clone();
    }
    for key in ["uid", "resourceVersion", "creationTimestamp", "generation", "namespace"] {
        if let Some(kept) = before["metadata"].get(key) {
            after["metadata"][key] = kept.clone();
        }
    }
    after
}

fn place(asked: &Asked) -> Place {
    Place::new(&asked.resource, &asked.namespace, &asked.name)
}

fn absent(asked: &Asked) -> Refusal {
    (404, format!("{} \"{}\" not found", asked.resource, asked.name))
}

fn parsed(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body).map_err(|error| (400, error.to_string()))
}

/// Whether a list or watch is about this object.
pub(crate) fn is_wanted(asked: &Asked, object: &Value) -> bool {
    let is_there =
        asked.namespace.is_empty() || object["metadata"]["namespace"] == *asked.namespace;
    is_there && selects(asked.value("labelSelector"), asked.value("fieldSelector"), object)
}

/// An object as it was asked for: whole, or only its metadata.
pub(crate) fn shown(asked: &Asked, object: &Value) -> Value {
    if !asked.is_metadata_only || object.get("items").is_some() || object["kind"] == "Status" {
        return object.clone();
    }
    json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": object["metadata"],
    })
}
