//! The table of attacks, a file for each kind.

mod admin;
mod bodies;
mod heads;
mod nothing;

use crate::trial::Attack;

/// All attacks.
pub(crate) fn all() -> Vec<Attack> {
    [nothing::attacks(), heads::attacks(), bodies::attacks(), admin::attacks()]
        .into_iter()
        .flatten()
        .collect()
}
