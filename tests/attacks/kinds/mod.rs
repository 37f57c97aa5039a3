//! The table of attacks, a file for each kind.

mod admin;
mod bodies;
mod compressed;
mod floods;
mod heads;
mod mixed;
mod nothing;
mod oversize;
mod places;
mod slow;
mod well_formed;

use crate::trial::Attack;

/// All attacks.
pub(crate) fn all() -> Vec<Attack> {
    [single(), mixed::attacks()].into_iter().flatten().collect()
}

/// All but the mixed ones.
fn single() -> Vec<Attack> {
    let kinds = [
        nothing::attacks(),
        heads::attacks(),
        bodies::attacks(),
        admin::attacks(),
        well_formed::attacks(),
        compressed::attacks(),
        floods::attacks(),
        places::attacks(),
        slow::attacks(),
        oversize::attacks(),
    ];
    kinds.into_iter().flatten().collect()
}
