//! One server and its runners under every fault we could think of, in virtual time, the same for the same seed.
//!
//! `cargo test -p sync --test simulation` runs 10,000 seeds, `SEEDS=100` so many, `FIRST=10000` others than those, `SEED=17` one,
//! with all that happens in it.

mod acts;
mod chance;
mod quiet;
mod spy;
mod truth;
mod world;

use std::ops::Range;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use world::{Faults, World};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// The story of one seed: what kind it is, chaos, and quiet. Returns how many edits and steps there were.
fn story(seed: u64, trace: bool) -> (usize, u64) {
    let mut world = World::new(seed, trace);
    let crowd = seed % 1000 == 999;
    let runners = match seed % 10 {
        _ if crowd => 2000,
        0..6 => 1 + world.chance.below(3),
        6..9 => 2 + world.chance.below(4),
        _ => 2 + world.chance.below(18),
    };
    for number in 0..runners {
        world.add_runner(number as usize);
    }
    let chance = &mut world.chance;
    world.faults = Faults {
        lose: [0, 20, 200][chance.below(3) as usize],
        double: [0, 50, 200][chance.below(3) as usize],
        delay: [100, 5_000, world::SLOWEST][chance.below(3) as usize],
        crash: [0, 5, 30][chance.below(3) as usize],
        server_crash: [0, 2, 10][chance.below(3) as usize],
    };
    let within = [5 * MINUTE, 30 * MINUTE, 2 * HOUR][chance.below(3) as usize];
    let (acts, within) = if crowd { (3000, 5 * MINUTE) } else { (60 + chance.below(240), within) };
    world.schedule(acts, within);
    world.run(within, |_| false);
    world.quiet();
    (world.truth.edits(), world.steps)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Tells stories from one seed to another, on all processors. Whether one failed.
#[expect(clippy::print_stdout, reason = "which seed failed, and how fast it went")]
fn tell(seeds: Range<u64>) -> bool {
    let began = Instant::now();
    let (next, edits, steps) = (AtomicU64::new(seeds.start), AtomicU64::new(0), AtomicU64::new(0));
    let failed = AtomicBool::new(false);
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            if let Ok((made, taken)) = catch_unwind(|| story(seed, false)) {
                edits.fetch_add(made as u64, Ordering::Relaxed);
                steps.fetch_add(taken, Ordering::Relaxed);
            } else {
                failed.store(true, Ordering::Relaxed);
                println!(
                    "seed {seed} failed: SEED={seed} cargo test -p sync --test simulation -- --nocapture"
                );
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let told = next.into_inner().min(seeds.end) - seeds.start;
    let (edits, steps) = (edits.into_inner(), steps.into_inner());
    println!("{told} seeds, {edits} edits, {steps} steps in {:.1} s", began.elapsed().as_secs_f64());
    failed.into_inner()
}

#[test]
fn both_sides_converge_and_no_edit_is_lost() {
    if let Some(seed) = number("SEED") {
        story(seed, true);
        return;
    }
    let first = number("FIRST").unwrap_or(0);
    let seeds = number("SEEDS").unwrap_or(10_000);
    assert!(!tell(first..first + seeds), "a seed failed; it is named above");
}
