//! No attack: what the others are compared with.

use std::time::Duration;

use crate::target::Attackers;
use crate::trial::Attack;

pub(super) fn attacks() -> Vec<Attack> {
    vec![Attack {
        name: "nothing",
        what: "polite clients alone",
        duration: Duration::from_secs(5),
        is_calm: true,
        start: |_| Attackers::new(),
    }]
}
