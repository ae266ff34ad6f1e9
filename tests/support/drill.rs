//! How large a drill is, and what it tells: the short form belongs to each run of the tests, the full one to `make drill`.
//!
//! Responsible for the choice, for numbers that a seed repeats, and for figures past libtest's capture. Refuses to decide
//! what a drill must show. Invariant: the same seed gives the same numbers.

use std::io::Write as _;

/// Says whether this is `make drill`: `DRILLS=full`.
pub fn is_full() -> bool {
    std::env::var_os("DRILLS").is_some_and(|size| size == "full")
}

/// Prints a line of figures past libtest's capture, which hides the output of a test that passes.
pub fn tell(line: &str) {
    let mut stderr = std::io::stderr();
    if writeln!(stderr, "drill: {line}").is_err() {
        // standard error is closed: nobody is there to be told
    }
}

/// Random numbers that a seed repeats.
///
/// # Source
/// SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
#[derive(Debug)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// Begins with the seed in the environment variable `DRILL_SEED`, or with a new one; tells which.
    ///
    /// # Panics
    /// If the variable is no number.
    pub fn of_environment(drill: &str) -> Self {
        let seed = match std::env::var("DRILL_SEED") {
            Ok(text) => text.parse().expect("DRILL_SEED is a number"),
            Err(_) => uuid::Uuid::new_v4().as_u64_pair().0,
        };
        tell(&format!("{drill}: DRILL_SEED={seed}"));
        Self { state: seed }
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ mixed >> 31) % bound
    }
}
