//! The real binary, as a child process on ports of its own.

use std::net::SocketAddr;
use std::ops::Deref;
use std::process::Command;

use serde_json::Value;

use super::process::{BINARY, free_addresses};
pub(crate) use super::process::{Metrics, Process, ProcessExit};

/// How often other ports are tried if another process takes one first.
const MAX_PORT_ATTEMPTS: usize = 10;

/// A running receiver. Killed when dropped.
pub(crate) struct ReceiverProcess {
    process: Process,
    grpc: SocketAddr,
    http: SocketAddr,
    admin: SocketAddr,
}

impl Deref for ReceiverProcess {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl ReceiverProcess {
    /// Starts a receiver and waits until it listens.
    ///
    /// `settings` are variables without `TRACEBUFFER_` and come on top of free ports on 127.0.0.1
    /// for `GRPC_ADDR`, `HTTP_ADDR` and `ADMIN_ADDR`. Without `ENDPOINT` it prints its batches,
    /// which are discarded. A `LOG_LEVEL` must include INFO.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_command(settings, || {
            let mut command = Command::new(BINARY);
            command.arg("receiver");
            command
        })
        .await
    }

    /// Starts a receiver that may have `limit` files and sockets open at once.
    pub(crate) async fn start_with_open_files(limit: u32, settings: &[(&str, &str)]) -> Self {
        Self::start_command(settings, move || {
            let mut command = Command::new("sh");
            command.arg("-c").arg(format!("ulimit -n {limit} && exec \"$0\" receiver"));
            command.arg(BINARY);
            command
        })
        .await
    }

    /// Starts a receiver as `nohup` does.
    pub(crate) async fn start_ignoring_hang_up(settings: &[(&str, &str)]) -> Self {
        Self::start_command(settings, || {
            let mut command = Command::new("sh");
            command.arg("-c").arg("trap '' HUP; exec \"$0\" receiver").arg(BINARY);
            command
        })
        .await
    }

    async fn start_command(settings: &[(&str, &str)], command: impl Fn() -> Command) -> Self {
        for _ in 0..MAX_PORT_ATTEMPTS {
            let mut receiver = Self::spawn(command(), settings);
            if receiver.process.wait_until_listening().await {
                return receiver;
            }
            let log = receiver.log();
            assert!(log.contains("the port is taken"), "the receiver did not start:\n{log}");
        }
        panic!("no free ports were found in {MAX_PORT_ATTEMPTS} attempts");
    }

    fn spawn(mut command: Command, settings: &[(&str, &str)]) -> Self {
        let [grpc, http, admin] = free_addresses();
        command
            .env("TRACEBUFFER_GRPC_ADDR", grpc.to_string())
            .env("TRACEBUFFER_HTTP_ADDR", http.to_string())
            .env("TRACEBUFFER_ADMIN_ADDR", admin.to_string())
            .envs(settings.iter().map(|(name, value)| (format!("TRACEBUFFER_{name}"), value)));
        Self { process: Process::spawn(command, admin), grpc, http, admin }
    }

    /// The address of the port meant for gRPC.
    pub(crate) const fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// The address of the port meant for HTTP.
    pub(crate) const fn http(&self) -> SocketAddr {
        self.http
    }

    /// The address of the port for health and metrics.
    pub(crate) const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Reads `/debug/buffer`.
    pub(crate) async fn debug(&self) -> Value {
        serde_json::from_str(&self.get_admin("/debug/buffer").await.1).expect("it is JSON")
    }

    /// Waits until it has ended.
    pub(crate) async fn wait_for_exit(self) -> ProcessExit {
        self.process.wait_for_exit().await
    }
}
