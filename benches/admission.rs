//! Latency of the webhook over TLS and HTTP/2, as API servers call it: 100 pods per second on one
//! connection, with a client in the same process.
//!
//! `cargo bench --locked --bench admission [SECONDS]`

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey as Issued, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_rustls::TlsConnector;
use tracebuffer::adapters::kubernetes::resource::TraceBuffer;
use tracebuffer::adapters::kubernetes::sidecar::{self, Sidecar, SidecarDefaults};
use tracebuffer::adapters::kubernetes::webhook::WebhookService;
use tracebuffer::adapters::server::{HttpServer, PortLimits, Tls};
use tracebuffer::adapters::telemetry::operator::metrics::ControllerMetrics;
use tracebuffer::domain::operator::injection::facts::{ClusterFacts, NamespaceFacts};
use tracebuffer::domain::operator::injection::trace_buffer_view::{
    TraceBufferLister, TraceBufferView,
};
use tracebuffer::domain::operator::object_key::ObjectKey;
use tracebuffer::ports::operator::catalog::{Catalog, UnknownNamespace};

/// Pods created per second.
const REVIEWS_PER_SECOND: u32 = 100;
/// The size of the review, which is that of a typical pod.
const REVIEW_BYTES: usize = 10 << 10;
const DEFAULT_SECONDS: u64 = 10;

type BenchError = Box<dyn Error + Send + Sync>;
type Client = http2::SendRequest<Full<Bytes>>;

/// Two hundred `TraceBuffer`s, one per namespace.
struct StaticCatalog(BTreeMap<ObjectKey, Arc<TraceBufferView<Sidecar>>>);

impl TraceBufferLister for StaticCatalog {
    type Sidecar = Sidecar;

    fn get(&self, key: &ObjectKey) -> Option<Arc<TraceBufferView<Sidecar>>> {
        self.0.get(key).cloned()
    }

    fn names_in(&self, namespace: &str) -> Vec<String> {
        let here = self.0.keys().filter(|key| key.namespace == namespace);
        here.map(|key| key.name.clone()).collect()
    }
}

impl Catalog for StaticCatalog {
    async fn refresh(&self, _: &str) -> Result<(), UnknownNamespace> {
        Ok(())
    }

    async fn namespace(&self, name: &str) -> Result<Arc<NamespaceFacts>, UnknownNamespace> {
        Ok(Arc::new(NamespaceFacts::unknown(name)))
    }
}

#[derive(Debug)]
struct FixedCertificate(Arc<CertifiedKey>);

impl ResolvesServerCert for FixedCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn main() -> Result<(), BenchError> {
    // Cargo adds `--bench`.
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(seconds.unwrap_or(DEFAULT_SECONDS)))
}

async fn measure(seconds: u64) -> Result<(), BenchError> {
    let (address, trusted) = serve().await?;
    let client = connect(address, trusted).await?;
    let review = Bytes::from(review()?);
    let reviews = seconds * u64::from(REVIEWS_PER_SECOND);
    let mut ticks = interval(Duration::from_secs(1) / REVIEWS_PER_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut asking = JoinSet::new();
    for _ in 0..reviews {
        asking.spawn(send_review(client.clone(), review.clone(), ticks.tick().await));
    }
    report("100 a second", &review, asking).await?;

    // One after the other, for the cost of a single one.
    let mut histogram = Histogram::<u64>::new(3)?;
    for _ in 0..reviews {
        let took = send_review(client.clone(), review.clone(), Instant::now()).await?;
        histogram.record(u64::try_from(took.as_micros())?)?;
    }
    print("one by one", &review, &histogram);
    Ok(())
}

async fn report(
    name: &str,
    review: &Bytes,
    mut asking: JoinSet<Result<Duration, BenchError>>,
) -> Result<(), BenchError> {
    let mut histogram = Histogram::<u64>::new(3)?;
    while let Some(took) = asking.join_next().await {
        histogram.record(u64::try_from(took??.as_micros())?)?;
    }
    print(name, review, &histogram);
    Ok(())
}

fn print(name: &str, review: &Bytes, histogram: &Histogram<u64>) {
    println!(
        "{name}: {} reviews of {} bytes: p50 {} us, p99 {} us, max {} us",
        histogram.len(),
        review.len(),
        histogram.value_at_quantile(0.5),
        histogram.value_at_quantile(0.99),
        histogram.max(),
    );
}

/// Sends one review and returns the time since `due`, when it should have been sent.
async fn send_review(
    mut client: Client,
    review: Bytes,
    due: Instant,
) -> Result<Duration, BenchError> {
    client.ready().await?;
    let request = Request::post("https://localhost/inject")
        .header("content-type", "application/json")
        .body(Full::new(review))?;
    let answer = client.send_request(request).await?.into_body().collect().await?.to_bytes();
    let took = due.elapsed();
    let answer: Value = serde_json::from_slice(&answer)?;
    if answer.pointer("/response/patch").is_none() {
        return Err(format!("nothing was injected: {answer}").into());
    }
    Ok(took)
}

async fn serve() -> Result<(SocketAddr, CertificateDer<'static>), BenchError> {
    let Issued { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivateKeyDer::try_from(signing_key.serialize_der())?;
    let provider = rustls::crypto::ring::default_provider();
    let key = CertifiedKey::from_der(vec![cert.der().clone()], key, &provider)?;
    let tls = Tls::new(Arc::new(FixedCertificate(Arc::new(key))))?;
    let cluster =
        ClusterFacts { operator_namespace: "tracebuffer".into(), ..ClusterFacts::default() };
    let service = WebhookService::new(
        Arc::new(static_catalog()?),
        cluster,
        Arc::new(ControllerMetrics::new()),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        HttpServer::new().serve_tls(PortLimits::WEBHOOK, vec![listener], tls, service).await;
    });
    Ok((address, cert.der().clone()))
}

async fn connect(
    address: SocketAddr,
    trusted: CertificateDer<'static>,
) -> Result<Client, BenchError> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost")?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let (client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn static_catalog() -> Result<StaticCatalog, BenchError> {
    let defaults = SidecarDefaults { image: "tracebuffer:1".into(), ..SidecarDefaults::unknown() };
    let mut known = BTreeMap::new();
    for number in 0..200 {
        let object: TraceBuffer = serde_json::from_value(json!({
            "apiVersion": "tracebuffer.dev/v1alpha1",
            "kind": "TraceBuffer",
            "metadata": {"name": "default", "namespace": format!("shop-{number}"), "uid": "u"},
            "spec": {"destination": {"endpoint": "http://collector.observability:4317"}},
        }))?;
        let view = sidecar::trace_buffer_view(&object, &defaults);
        known.insert(view.key.clone(), Arc::new(view));
    }
    Ok(StaticCatalog(known))
}

/// Returns a review of a pod with three containers and as many variables as [`REVIEW_BYTES`] needs.
fn review() -> Result<Vec<u8>, BenchError> {
    let mut variables = 0;
    loop {
        let env: Vec<Value> = (0..variables)
            .map(|number| json!({"name": format!("VARIABLE_{number}"), "value": "a usual value"}))
            .collect();
        let containers: Vec<Value> = ["web", "cache", "worker"]
            .map(|name| json!({"name": name, "image": "shop:1", "env": env}))
            .into();
        let review = serde_json::to_vec(&json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "operation": "CREATE",
                "namespace": "shop-77",
                "object": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {
                        "generateName": "web-7c5ddbdf54-",
                        "annotations": {"tracebuffer.dev/inject": "true"},
                    },
                    "spec": {"containers": containers},
                },
            },
        }))?;
        if review.len() >= REVIEW_BYTES {
            return Ok(review);
        }
        variables += 1;
    }
}
