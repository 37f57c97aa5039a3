//! `tracebuffer flush`: the preStop hook of a container.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgMatches, Command};
use tokio::runtime::Builder;

use super::misspelt;
use super::receiver::table::ADMIN_ADDR;
use super::settings::errors::SettingErrors;
use super::settings::reader::{EnvLookup, SettingsReader};
use super::settings::{SettingTable, flag};
use crate::adapters::telemetry::receiver::admin_client;

/// The name of the subcommand.
pub(super) const NAME: &str = "flush";

static TABLE: SettingTable = &[&ADMIN_ADDR];

/// Timeout of the request: the kubelet waits for this process before it stops the container.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(800);

const AFTER_HELP: &str = "Intended for the preStop hook of a container: returns within a second, always with exit code 0, even if no receiver responds.";

/// Describes the subcommand.
pub(super) fn command() -> Command {
    Command::new(NAME)
        .about("Asks the receiver on this machine to send its buffered spans immediately")
        .after_help(AFTER_HELP)
        .next_line_help(true)
        .arg(flag(&ADMIN_ADDR))
}

/// Reads the receiver's admin addresses from the setting that the receiver itself uses.
///
/// # Errors
///
/// The setting is invalid.
pub(super) fn addresses(
    flags: &ArgMatches,
    environment: EnvLookup<'_>,
) -> Result<Vec<SocketAddr>, SettingErrors> {
    let mut reader = SettingsReader::new(NAME, TABLE, flags, environment);
    let addresses = reader.read(&ADMIN_ADDR);
    reader.finish(addresses)
}

/// Sends the request and prints the result.
pub(super) fn run(addresses: &[SocketAddr]) -> ExitCode {
    misspelt::print();
    let result = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(admin_client::flush(addresses, RESPONSE_TIMEOUT)));
    // A closed output is no reason to fail the hook.
    let _ = match result {
        Ok(message) => writeln!(io::stdout(), "{message}"),
        Err(why) => writeln!(io::stderr(), "no receiver could be flushed: {why}"),
    };
    ExitCode::SUCCESS
}
