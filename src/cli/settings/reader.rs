//! Reads settings from flags and the environment, and collects the errors.

use std::ffi::{OsStr, OsString};

use clap::ArgMatches;

use super::errors::{SettingError, SettingErrors};
use super::kinds::{ValueError, ValueKind};
use super::{AnySetting, Setting, SettingTable};

/// Shown in place of a value that may be secret.
const NOT_SHOWN: &str = "(not shown)";

/// Looks up one environment variable.
pub(in crate::cli) type EnvLookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Reads settings and collects every error.
pub(in crate::cli) struct SettingsReader<'a> {
    flags: &'a ArgMatches,
    environment: EnvLookup<'a>,
    command: &'static str,
    table: SettingTable,
    errors: Vec<SettingError>,
}

/// Proof that an error has been recorded.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct ErrorReported(());

/// A value and its origin.
struct RawValue {
    origin: String,
    value: OsString,
}

impl<'a> SettingsReader<'a> {
    /// Creates a reader for `command`, whose settings are `table`. Flags take precedence over the
    /// environment.
    pub(in crate::cli) const fn new(
        command: &'static str,
        table: SettingTable,
        flags: &'a ArgMatches,
        environment: EnvLookup<'a>,
    ) -> Self {
        Self { flags, environment, command, table, errors: Vec::new() }
    }

    /// Reads one setting, or its default if it is unset or empty.
    pub(in crate::cli) fn read<K: ValueKind>(
        &mut self,
        setting: &Setting<K>,
    ) -> Result<K::Value, ErrorReported> {
        let given = self.raw_value(setting).map(|given| given.value);
        let error = match given.as_deref().map_or(Some(setting.default()), OsStr::to_str) {
            None => ValueError::Other("it is not valid UTF-8".into()),
            Some(text) => match setting.kind.parse(text.trim()) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            },
        };
        Err(self.add_error(setting, error.message(&setting.allowed())))
    }

    /// Returns whether a flag or a variable sets `setting`.
    pub(in crate::cli) fn is_set(&self, setting: &dyn AnySetting) -> bool {
        self.raw_value(setting).is_some()
    }

    /// Records that the value of `setting` is invalid, and why.
    pub(in crate::cli) fn add_error(
        &mut self,
        setting: &dyn AnySetting,
        why: impl Into<String>,
    ) -> ErrorReported {
        let given = self.raw_value(setting);
        let found = given.as_ref().map(|given| given.value.as_os_str());
        self.errors.push(SettingError {
            setting: setting.name(),
            origin: given.as_ref().map_or_else(|| setting.env_var(), |given| given.origin.clone()),
            found: displayed_value(setting, found),
            message: why.into(),
        });
        ErrorReported(())
    }

    /// Records that a variable that programs have in common is invalid, and why. Its value may be
    /// secret.
    pub(in crate::cli) fn add_variable_error(
        &mut self,
        variable: &'static str,
        why: impl Into<String>,
    ) -> ErrorReported {
        self.errors.push(SettingError {
            setting: variable,
            origin: variable.to_owned(),
            found: NOT_SHOWN.to_owned(),
            message: why.into(),
        });
        ErrorReported(())
    }

    /// Returns the environment, for variables that programs have in common.
    pub(in crate::cli) const fn environment(&self) -> EnvLookup<'a> {
        self.environment
    }

    /// Returns what was built, unless an error was recorded.
    pub(in crate::cli) fn finish<T>(
        self,
        built: Result<T, ErrorReported>,
    ) -> Result<T, SettingErrors> {
        match built {
            Ok(built) if self.errors.is_empty() => Ok(built),
            _ => Err(SettingErrors::sorted(self.command, self.table, self.errors)),
        }
    }

    /// Returns the value of the flag, or else of the variable. An empty value means unset, since
    /// Kubernetes and `.env` files produce those. An empty flag selects the default even if the variable
    /// is set.
    fn raw_value(&self, setting: &dyn AnySetting) -> Option<RawValue> {
        let flag = self.flags.get_one::<OsString>(setting.name());
        let given = if let Some(value) = flag {
            RawValue { origin: format!("--{}", setting.flag()), value: value.clone() }
        } else {
            let origin = setting.env_var();
            RawValue { value: (self.environment)(&origin)?, origin }
        };
        let is_blank = given.value.to_str().is_some_and(|text| text.trim().is_empty());
        (!is_blank).then_some(given)
    }
}

fn displayed_value(setting: &dyn AnySetting, found: Option<&OsStr>) -> String {
    match found.map(OsStr::to_string_lossy) {
        None if setting.default().is_empty() => "unset".into(),
        None => format!("{:?} (default)", setting.default()),
        // A URL may contain a password.
        Some(text) if setting.is_secret() || text.contains(['@', '?']) => NOT_SHOWN.into(),
        Some(text) => format!("{text:?}"),
    }
}
