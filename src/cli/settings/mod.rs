//! Settings as data: the flags, variables, help and documents of a subcommand are generated from one
//! table.

pub(in crate::cli) mod errors;
pub(in crate::cli) mod kinds;
pub(in crate::cli) mod log;
pub(in crate::cli) mod proxy;
pub(in crate::cli) mod reader;

use std::ffi::OsString;

use clap::{Arg, value_parser};

use self::kinds::ValueKind;

/// Every setting of one subcommand, in the order of the help.
pub(in crate::cli) type SettingTable = &'static [&'static dyn AnySetting];

/// One setting.
pub(in crate::cli) struct Setting<K> {
    pub(in crate::cli) name: &'static str,
    pub(in crate::cli) group: &'static str,
    pub(in crate::cli) default: &'static str,
    pub(in crate::cli) help: &'static str,
    pub(in crate::cli) kind: K,
}

/// A setting, whatever its kind.
pub(in crate::cli) trait AnySetting: Sync {
    /// Returns the name without a prefix, such as `MAX_SPANS`.
    fn name(&self) -> &'static str;

    /// Returns the heading of the help that the setting belongs to.
    fn group(&self) -> &'static str;

    /// Returns the default as text; empty if there is none.
    fn default(&self) -> &'static str;

    /// Returns a description in one line.
    fn help(&self) -> &'static str;

    /// Returns the placeholder of its value.
    fn value_name(&self) -> String;

    /// Describes the allowed values, to complete "must be …".
    fn allowed(&self) -> String;

    /// Returns whether the value must never be shown.
    fn is_secret(&self) -> bool;

    /// Returns the environment variable.
    fn env_var(&self) -> String {
        format!("TRACEBUFFER_{}", self.name())
    }

    /// Returns the flag without its dashes.
    fn flag(&self) -> String {
        self.name().to_ascii_lowercase().replace('_', "-")
    }
}

/// Declares the settings of a subcommand, and `ALL`, which ends with the shared ones.
macro_rules! settings {
    ($($name:ident in $group:ident: $kind:ty = $value:expr, default $default:literal,
        $help:literal;)* + $($shared:path),*) => {
        $($crate::cli::settings::setting!(
            pub(in crate::cli) $name = stringify!($name), in $group: $kind = $value, default $default, $help
        );)*

        /// All settings, in the order of the help.
        pub(in crate::cli) static ALL: $crate::cli::settings::SettingTable =
            &[$(&$name,)* $(&$shared),*];
    };
}

/// Declares one setting.
macro_rules! setting {
    ($sight:vis $static:ident = $name:expr, in $group:ident: $kind:ty = $value:expr,
        default $default:literal, $help:literal) => {
        $sight static $static: $crate::cli::settings::Setting<$kind> =
            $crate::cli::settings::Setting {
                name: $name,
                group: stringify!($group),
                default: $default,
                help: $help,
                kind: $value,
            };
    };
}

pub(in crate::cli) use setting;
pub(in crate::cli) use settings;

impl<K: ValueKind> AnySetting for Setting<K> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn group(&self) -> &'static str {
        self.group
    }

    fn default(&self) -> &'static str {
        self.default
    }

    fn help(&self) -> &'static str {
        self.help
    }

    fn value_name(&self) -> String {
        self.kind.value_name()
    }

    fn allowed(&self) -> String {
        self.kind.allowed()
    }

    fn is_secret(&self) -> bool {
        K::IS_SECRET
    }
}

/// Describes the flag of `setting`.
pub(in crate::cli) fn flag(setting: &dyn AnySetting) -> Arg {
    let default = match setting.default() {
        "" => String::new(),
        default => format!(" [default: {default}]"),
    };
    Arg::new(setting.name())
        .long(setting.flag())
        .value_name(setting.value_name())
        .value_parser(value_parser!(OsString))
        .allow_negative_numbers(true)
        .help_heading(setting.group())
        .help(format!("{}\n[env: {}]{default}", setting.help(), setting.env_var()))
}
