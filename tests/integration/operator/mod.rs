//! The operator.

mod api_server;
mod certificates;
mod controller_process;
mod crd;
mod diagnosis;
mod diagnosis_process;
mod diagnosis_proxy;
mod injection;
mod leading;
mod reconciling;
mod watching;
