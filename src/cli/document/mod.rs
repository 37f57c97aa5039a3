//! Files of this repository that are made from code, so that they cannot say otherwise.

mod crd;
mod resource;
mod settings;
mod skips;

pub use self::crd::{chart_crd, crd_manifest};
pub use self::resource::resource_reference;
pub use self::settings::{env_example, settings_table};
pub use self::skips::skip_reasons_table;
