//! Handles a request.

use std::future::pending;
use std::sync::Arc;

use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::patch::apply_patch;
use super::request::{ApiRequest, Verb};
use super::response::{ChunkedBody, connection_reset, error_response, json_response};
use super::script::Fault;
use super::store::ResourceKey;
use super::view::{as_requested, is_selected};
use super::watching::{self, WatchCommand};
use super::{ApiServer, Inner};

type HandlerResult = Result<Response<ChunkedBody>, std::io::Error>;

pub(crate) async fn handle(inner: Arc<Inner>, request: Request<Body>) -> HandlerResult {
    let Some(api_request) = ApiRequest::parse(&request) else {
        return Ok(error_response(404, &format!("no such path: {}", request.uri())));
    };
    let body = request.into_body().collect_bytes().await.unwrap_or_default();
    let server = ApiServer { inner };
    let fault = server.inner.script.lock().next_fault(&api_request);
    match fault {
        Fault::PassThrough => Ok(server.execute(&api_request, &body)),
        Fault::Refuse(code) => Ok(error_response(code, &format!("the script answers {code}"))),
        Fault::Respond(code, answer) => Ok(json_response(code, &answer)),
        Fault::Drop => Err(connection_reset()),
        Fault::DropResponse => {
            drop(server.execute(&api_request, &body));
            Err(connection_reset())
        }
        Fault::Stall => pending().await,
        Fault::Delay(time) => {
            sleep(time).await;
            Ok(server.execute(&api_request, &body))
        }
        Fault::DelayResponse(time) => {
            let answer = server.execute(&api_request, &body);
            sleep(time).await;
            Ok(answer)
        }
    }
}

/// A refusal: its HTTP status and message.
type ApiError = (u16, String);

impl ApiServer {
    fn execute(&self, request: &ApiRequest, body: &[u8]) -> Response<ChunkedBody> {
        if request.verb == Verb::Watch {
            return watching::start(&self.inner, request.clone());
        }
        let done = match request.verb {
            Verb::List => self.list(request),
            Verb::Create => self.create(request, body),
            Verb::Replace => self.replace(request, body),
            Verb::Patch => self.patch(request, body),
            Verb::Delete => self.delete(request, body),
            Verb::Get | Verb::Watch => self.read(request),
        };
        match done {
            Ok(answer) => {
                let code = if request.verb == Verb::Create { 201 } else { 200 };
                json_response(code, &as_requested(request, &answer))
            }
            Err((code, message)) => error_response(code, &message),
        }
    }

    fn read(&self, request: &ApiRequest) -> Result<Value, ApiError> {
        let store = self.inner.store.lock();
        if request.resource == "version" {
            let (major, minor) = &store.server_version;
            return Ok(json!({
                "major": major, "minor": minor, "gitVersion": format!("v{major}.{minor}.0"),
                "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "",
                "compiler": "", "platform": "",
            }));
        }
        store.get(&resource_key(request)).cloned().ok_or_else(|| not_found(request))
    }

    fn list(&self, request: &ApiRequest) -> Result<Value, ApiError> {
        let mut store = self.inner.store.lock();
        let token = request.parameter("continue");
        let (version, items) = if token.is_empty() {
            let items = store.all(&request.resource).filter(|object| is_selected(request, object));
            (store.version, items.cloned().collect())
        } else {
            let gone = (410, "the continue token is too old".to_owned());
            store.next_page(token).map_err(|_| gone)?
        };
        let limit = request.parameter("limit").parse().unwrap_or(0);
        let (items, token) = store.page(items, version, limit);
        let items: Vec<_> = items.iter().map(|item| as_requested(request, item)).collect();
        Ok(json!({
            "apiVersion": "v1", "kind": "List", "items": items,
            "metadata": { "resourceVersion": version.to_string(), "continue": token },
        }))
    }

    fn create(&self, request: &ApiRequest, body: &[u8]) -> Result<Value, ApiError> {
        let mut object = parsed(body)?;
        let mut store = self.inner.store.lock();
        let metadata = &object["metadata"];
        let name = match (metadata["name"].as_str(), metadata["generateName"].as_str()) {
            (Some(name), _) => name.to_owned(),
            (None, prefix) => format!("{}{}", prefix.unwrap_or_default(), store.version),
        };
        let place = ResourceKey::new(&request.resource, &request.namespace, &name);
        if store.get(&place).is_some() {
            return Err((409, format!("{} \"{name}\" already exists", request.resource)));
        }
        object["metadata"]["name"] = json!(name);
        if request.is_true("dryRun") {
            return Ok(object);
        }
        store.put(&place, object);
        let created = store.get(&place).cloned().ok_or_else(|| not_found(request));
        drop(store);
        self.send_command(WatchCommand::Changed);
        created
    }

    fn replace(&self, request: &ApiRequest, body: &[u8]) -> Result<Value, ApiError> {
        let object = parsed(body)?;
        self.change(request, |_| Ok(object))
    }

    fn patch(&self, request: &ApiRequest, body: &[u8]) -> Result<Value, ApiError> {
        let is_apply = request.content_type.starts_with("application/apply-patch");
        let exists = self.inner.store.lock().get(&resource_key(request)).is_some();
        if is_apply && !exists && request.subresource.is_empty() {
            return self.create(request, body);
        }
        self.change(request, |before| {
            // A resource version in the patch is a precondition.
            let mut patched =
                apply_patch(before, body, &request.content_type).map_err(|e| (422, e))?;
            let named = serde_json::from_slice::<Value>(body).ok();
            let named = named.and_then(|patch| patch["metadata"].get("resourceVersion").cloned());
            let insists = request.content_type != "application/json-patch+json";
            if insists && let Some(metadata) = patched["metadata"].as_object_mut() {
                metadata.insert("resourceVersion".into(), named.unwrap_or(Value::Null));
            }
            Ok(patched)
        })
    }

    /// Replaces an object with what `make` returns for it, unless that names another version or
    /// UID.
    fn change(
        &self,
        request: &ApiRequest,
        make: impl FnOnce(&Value) -> Result<Value, ApiError>,
    ) -> Result<Value, ApiError> {
        let mut store = self.inner.store.lock();
        let place = resource_key(request);
        let before = store.get(&place).cloned().ok_or_else(|| not_found(request))?;
        let named = make(&before)?;
        for key in ["resourceVersion", "uid"] {
            let wanted = named["metadata"][key].as_str().unwrap_or_default();
            if !wanted.is_empty() && before["metadata"][key] != *wanted {
                return Err((409, format!("{}: the object has been modified", place.name)));
            }
        }
        let after = merge_parts(&before, named, &request.subresource);
        if after == before || request.is_true("dryRun") {
            return Ok(after);
        }
        store.put(&place, after);
        let after = store.get(&place).cloned().ok_or_else(|| not_found(request));
        drop(store);
        self.send_command(WatchCommand::Changed);
        after
    }

    fn delete(&self, request: &ApiRequest, body: &[u8]) -> Result<Value, ApiError> {
        let wanted = serde_json::from_slice::<Value>(body).unwrap_or_default();
        let mut store = self.inner.store.lock();
        let place = resource_key(request);
        let before = store.get(&place).ok_or_else(|| not_found(request))?;
        for key in ["resourceVersion", "uid"] {
            let wanted = wanted["preconditions"][key].as_str();
            if wanted.is_some_and(|wanted| before["metadata"][key] != *wanted) {
                return Err((409, format!("{}: precondition failed", place.name)));
            }
        }
        store.remove(&place);
        drop(store);
        self.send_command(WatchCommand::Changed);
        Ok(json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" }))
    }
}

/// The `status` subresource changes only the status; other requests change everything but the
/// status and the fields that the server sets.
fn merge_parts(before: &Value, named: Value, subresource: &str) -> Value {
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

fn resource_key(request: &ApiRequest) -> ResourceKey {
    ResourceKey::new(&request.resource, &request.namespace, &request.name)
}

fn not_found(request: &ApiRequest) -> ApiError {
    (404, format!("{} \"{}\" not found", request.resource, request.name))
}

fn parsed(body: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(body).map_err(|error| (400, error.to_string()))
}
