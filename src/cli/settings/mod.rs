//! Settings as data: the flags, variables, help and documents of a subcommand all come from one table
//! of them.

pub(in crate::cli) mod errors;
pub(in crate::cli) mod kinds;
pub(in crate::cli) mod log;
pub(in crate::cli) mod reader;

use std::ffi::OsString;

use clap::{Arg, value_parser};

use self::kinds::ValueKind;

/// Every setting of one subcommand, in the order they are shown.
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

    /// Returns what the setting is about: a heading of the help.
    fn group(&self) -> &'static str;

    /// Returns the text that stands for an unset one; empty for none.
    fn default(&self) -> &'static str;

    /// Returns one line on what it does.
    fn help(&self) -> &'static str;

    /// Returns the placeholder of its value.
    fn value_name(&self) -> String;

    /// Says what is allowed, to complete "must be …".
    fn allowed(&self) -> String;

    /// Returns whether its value must never be shown.
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

/// Declares the settings of a subcommand, and `ALL`, which has those of elsewhere at its end.
macro_rules! settings {
    ($($name:ident in $group:ident: $kind:ty = $value:expr, default $default:literal,
        $help:literal;)* + $($shared:path),*) => {
        $($crate::cli::settings::setting!(
            pub(in crate::cli) $name = stringify!($name), in $group: $kind = $value, default $default, $help
        );)*

        /// All of them, in the order they are shown.
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
