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

/// The most telling ones of each kind.
pub(crate) const QUICK: [&str; 17] = [
    "nothing",
    "heads-tiny-http/256",
    "heads-table/256",
    "trailers/256",
    "frames-260/256",
    "admin-window-0/64",
    "admin-unread/64",
    "admin-idle/300",
    "mixed-http/4",
    "mixed-grpc/64",
    "zstd-paused/64",
    "flood-settings/8",
    "idle-http2/258",
    "unanswered/120",
    "slow-http/5",
    "oversize-chunked/64",
    "spans-invalid/4",
];

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
