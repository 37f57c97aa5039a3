//! What the flags and the environment say, and what is wrong with it.

use std::ffi::{OsStr, OsString};

use clap::ArgMatches;

use super::errors::{SettingError, SettingErrors};
use super::kinds::{ValueError, ValueKind};
use super::{AnySetting, Setting, SettingTable};

/// Looks up one environment variable.
pub(in crate::cli) type EnvLookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Reads settings, and remembers every mistake.
pub(in crate::cli) struct SettingsReader<'a> {
    flags: &'a ArgMatches,
    environment: EnvLookup<'a>,
    command: &'static str,
    table: SettingTable,
    errors: Vec<SettingError>,
}

/// Proof that a mistake has been noted; nothing can be built from it.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct ErrorReported(());

/// Where a value came from, and what it is.
struct RawValue {
    origin: String,
    value: OsString,
}

impl<'a> SettingsReader<'a> {
    /// Creates an input for `command`, whose settings are `table`, from parsed flags, which win,
    /// and an environment.
    pub(in crate::cli) const fn new(
        command: &'static str,
        table: SettingTable,
        flags: &'a ArgMatches,
        environment: EnvLookup<'a>,
    ) -> Self {
        Self { flags, environment, command, table, errors: Vec::new() }
    }

    /// Reads one setting; its default where it is unset or empty.
    pub(in crate::cli) fn read<K: ValueKind>(
        &mut self,
        setting: &Setting<K>,
    ) -> Result<K::Value, ErrorReported> {
        let given = self.raw_value(setting).map(|given| given.value);
        let refusal = match given.as_deref().map_or(Some(setting.default()), OsStr::to_str) {
            None => ValueError::Other("it is not valid UTF-8".into()),
            Some(text) => match setting.kind.parse(text.trim()) {
                Ok(value) => return Ok(value),
                Err(refusal) => refusal,
            },
        };
        Err(self.add_error(setting, refusal.message(&setting.allowed())))
    }

    /// Returns whether a flag or variable sets `setting`, rather than its default.
    pub(in crate::cli) fn is_set(&self, setting: &dyn AnySetting) -> bool {
        self.raw_value(setting).is_some()
    }

    /// Notes that the value of `setting` will not do, and why.
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

    /// Returns what was built, unless a mistake was noted on the way.
    pub(in crate::cli) fn finish<T>(
        self,
        built: Result<T, ErrorReported>,
    ) -> Result<T, SettingErrors> {
        match built {
            Ok(built) if self.errors.is_empty() => Ok(built),
            _ => Err(SettingErrors::sorted(self.command, self.table, self.errors)),
        }
    }

    /// Finds the flag, else the variable. An empty one means unset: Kubernetes and `.env` files
    /// produce those. An empty flag stands for the default, whatever the variable says.
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
        // A URL may hold a password.
        Some(text) if setting.is_secret() || text.contains(['@', '?']) => "(not shown)".into(),
        Some(text) => format!("{text:?}"),
    }
}
