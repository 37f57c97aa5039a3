//! Files of this repository that are generated from code. Tests compare them with the committed files.

mod crd;
mod resource;
mod settings;
mod skip_reasons;

pub use self::crd::{crd_chart_template, crd_yaml};
pub use self::resource::resource_reference;
pub use self::settings::{env_example, settings_table};
pub use self::skip_reasons::skip_reasons_table;
