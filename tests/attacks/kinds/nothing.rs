//! No attack, and nothing beside it: what the others are compared with.

use crate::target::Attackers;
use crate::trial::Attack;

const SECONDS: u64 = 5;

pub(super) fn attacks() -> Vec<Attack> {
    vec![Attack::busy("nothing", "polite clients alone", SECONDS, |_| Attackers::new())]
}
