//! What the flags and the environment say, and what is wrong with it.

use std::ffi::{OsStr, OsString};

use clap::ArgMatches;

use super::kinds::{Kind, Refusal};
use super::mistakes::{Mistake, Mistakes};
use super::{Described, Setting, Table};

/// Looks up one environment variable.
pub(in crate::cli) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Reads settings, and remembers every mistake.
pub(in crate::cli) struct Input<'a> {
    flags: &'a ArgMatches,
    environment: Environment<'a>,
    command: &'static str,
    table: Table,
    mistakes: Vec<Mistake>,
}

/// Proof that a mistake has been noted; nothing can be built from it.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Refused(());

/// Where a value came from, and what it is.
struct Given {
    origin: String,
    value: OsString,
}

impl<'a> Input<'a> {
    /// Creates an input for `command`, whose settings are `table`, from parsed flags, which win,
    /// and an environment.
    pub(in crate::cli) const fn new(
        command: &'static str,
        table: Table,
        flags: &'a ArgMatches,
        environment: Environment<'a>,
    ) -> Self {
        Self { flags, environment, command, table, mistakes: Vec::new() }
    }

    /// Reads one setting; its default where it is unset or empty.
    pub(in crate::cli) fn read<K: Kind>(
        &mut self,
        setting: &Setting<K>,
    ) -> Result<K::Value, Refused> {
        let given = self.given(setting).map(|given| given.value);
        let refusal = match given.as_deref().map_or(Some(setting.default()), OsStr::to_str) {
            None => Refusal::Because("it is not valid UTF-8".into()),
            Some(text) => match setting.kind.parse(text.trim()) {
                Ok(value) => return Ok(value),
                Err(refusal) => refusal,
            },
        };
        Err(self.refuse(setting, refusal.complete(&setting.allowed())))
    }

    /// Returns whether a flag or variable sets `setting`, rather than its default.
    pub(in crate::cli) fn is_set(&self, setting: &dyn Described) -> bool {
        self.given(setting).is_some()
    }

    /// Notes that the value of `setting` will not do, and why.
    pub(in crate::cli) fn refuse(
        &mut self,
        setting: &dyn Described,
        why: impl Into<String>,
    ) -> Refused {
        let given = self.given(setting);
        let found = given.as_ref().map(|given| given.value.as_os_str());
        self.mistakes.push(Mistake {
            setting: setting.name(),
            origin: given.as_ref().map_or_else(|| setting.variable(), |given| given.origin.clone()),
            found: shown(setting, found),
            why: why.into(),
        });
        Refused(())
    }

    /// Returns what was built, unless a mistake was noted on the way.
    pub(in crate::cli) fn finish<T>(self, built: Result<T, Refused>) -> Result<T, Mistakes> {
        match built {
            Ok(built) if self.mistakes.is_empty() => Ok(built),
            _ => Err(Mistakes::sorted(self.command, self.table, self.mistakes)),
        }
    }

    /// Finds the flag, else the variable. An empty one means unset: Kubernetes and `.env` files
    /// produce those. An empty flag stands for the default, whatever the variable says.
    fn given(&self, setting: &dyn Described) -> Option<Given> {
        let flag = self.flags.get_one::<OsString>(setting.name());
        let given = if let Some(value) = flag {
            Given { origin: format!("--{}", setting.flag()), value: value.clone() }
        } else {
            let origin = setting.variable();
            Given { value: (self.environment)(&origin)?, origin }
        };
        let is_blank = given.value.to_str().is_some_and(|text| text.trim().is_empty());
        (!is_blank).then_some(given)
    }
}

fn shown(setting: &dyn Described, found: Option<&OsStr>) -> String {
    match found.map(OsStr::to_string_lossy) {
        None if setting.default().is_empty() => "unset".into(),
        None => format!("{:?} (default)", setting.default()),
        // A URL may hold a password.
        Some(text) if setting.is_secret() || text.contains(['@', '?']) => "(not shown)".into(),
        Some(text) => format!("{text:?}"),
    }
}
