//! Ten thousand sidecars with full buffers after an outage, against a gateway that needs 20 minutes
//! to take it all and refuses what exceeds its capacity.
//!
//! `model` simulates the sidecars as events in virtual time, with the policies of the domain. `code`
//! runs fewer of them as they are in production, on paused time, to show that the model is right.
//!
//! `cargo test` runs fewer sidecars at a gateway that is smaller in proportion. The full size, whose
//! figures are in `docs/reliability.md`:
//!
//! ```text
//! SIDECARS=10000 SEEDS=3 cargo test --locked --test recovery gateway_is -- --nocapture
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "helpers of tests are tests, and counts are small"
)]

mod code;
mod figures;
mod gateway;
mod model;
mod scenario;

use std::env;
use std::time::Duration;

use figures::Figures;
use scenario::{Policy, Scenario};

/// The size, unless the environment sets another.
const SIDECARS: usize = 250;
const SEEDS: usize = 1;
const FULL_SIZE: usize = 10_000;

#[test]
fn a_gateway_is_kept_busy_and_refuses_less_than_half() {
    println!("{}", Figures::HEADER);
    let mut missed = vec![];
    for scenario in scenario::required(sidecars()) {
        for seed in 0..seeds() {
            let figures = Figures::of(&model::simulate(&scenario, seed));
            println!("{}", figures.row(&scenario.name));
            // Fewer sidecars do not fill each minute evenly.
            let every_minute = sidecars() < FULL_SIZE || figures.worst_minute >= 0.9;
            if !figures.are_good() || !every_minute {
                missed.push(scenario.name.clone());
            }
        }
    }

    assert!(missed.is_empty(), "{missed:#?}");
}

/// What the figures would be without a pace: the test above can fail.
#[test]
fn without_a_pace_most_attempts_are_refused() {
    println!("{}", Figures::HEADER);
    for scenario in scenario::required(SIDECARS).into_iter().step_by(6) {
        let scenario = Scenario { policy: Policy::BackoffOnly, ..scenario };

        let figures = Figures::of(&model::simulate(&scenario, 0));

        println!("{}", figures.row(&scenario.name));
        assert!(figures.refused > 0.5, "{}", scenario.name);
    }
}

/// Gateways and fleets for which not every figure can be, or is, reached; every span is delivered.
#[test]
fn beyond_what_is_required_every_span_is_delivered_too() {
    println!("{}", Figures::HEADER);
    for scenario in scenario::beyond(sidecars()) {
        for seed in 0..seeds() {
            let gateway = model::simulate(&scenario, seed);

            println!("{}", Figures::of(&gateway).row(&scenario.name));
            assert_eq!(gateway.processed(), scenario.spans(), "{}", scenario.name);
        }
    }
}

#[test]
fn a_sidecar_alone_needs_only_seconds_more_than_without_a_pace() {
    let drained = |policy, seed| {
        let scenario = Scenario { policy, ..Scenario::alone() };
        Figures::of(&model::simulate(&scenario, seed)).last
    };
    let mut extra: Vec<f64> = (0..100)
        .map(|seed| drained(Policy::Pace, seed) - drained(Policy::BackoffOnly, seed))
        .collect();
    extra.sort_by(f64::total_cmp);
    let (median, worst) = (extra[50], extra[99]);

    println!("alone: {median:.1} s more (median), {worst:.1} s (worst of 100)");
    assert!(median < 4.0 && worst < 15.0, "{extra:.1?}");
}

#[test]
fn the_model_and_the_code_agree() {
    println!("{}", Figures::HEADER);
    for scenario in scenario::to_compare() {
        let of_model = Figures::of(&model::simulate(&scenario, 1));
        let of_code = Figures::of(&code::run(&scenario, 1));

        println!("{}", of_model.row(&format!("model: {}", scenario.name)));
        println!("{}", of_code.row(&format!("code: {}", scenario.name)));
        let difference = of_model.difference(&of_code);
        assert!(difference < 0.1, "{difference:.2}: {}", scenario.name);
    }
}

fn sidecars() -> usize {
    setting("SIDECARS", SIDECARS)
}

fn seeds() -> u64 {
    setting("SEEDS", SEEDS) as u64
}

fn setting(name: &str, default: usize) -> usize {
    env::var(name).map_or(default, |value| value.parse().unwrap())
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
