//! A bit of everything at once.

use crate::target::{Attackers, Target};
use crate::trial::Attack;

const SECONDS: u64 = 10;
/// One attack of each kind; together they open more connections than the receiver has places.
const PARTS: [&str; 9] = [
    "heads-tiny-http/64",
    "trailers/64",
    "frames-260/64",
    "admin-window-0/64",
    "mixed-http/4",
    "zstd-paused/64",
    "flood-ping/8",
    "unanswered/120",
    "slow-http/5",
];

pub(super) fn attacks() -> Vec<Attack> {
    vec![Attack::busy("everything", "nine of the attacks above at once", SECONDS, start)]
}

fn start(target: &Target) -> Attackers {
    let mut all = Attackers::new();
    let others = super::single();
    for name in PARTS {
        let part = others.iter().find(|attack| attack.name == name).expect("it is in the table");
        let mut attackers = (part.start)(target);
        all.spawn(async move { while attackers.join_next().await.is_some() {} });
    }
    all
}
