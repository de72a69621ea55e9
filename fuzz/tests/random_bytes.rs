//! The targets' checks on fixed random bytes and on the seeds, so that they are compiled and hold without a fuzzer.

use std::path::Path;

use millstream_fuzz::CHECKS;

/// How often each check is run.
const RUNS: u64 = 4_000;

/// SplitMix64: numbers that look like chance and are the same each time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Bytes of which many are small or all ones: lengths and counts are, and random ones lead nowhere.
    fn bytes(&mut self) -> Vec<u8> {
        let length = self.next() % 120;
        let plain = self.next() % 4;
        let mut byte = |_| match (self.next() % 4).cmp(&plain) {
            std::cmp::Ordering::Less => self.next() as u8,
            _ => [0, 0, 0, 1, 2, 3, 8, 255][(self.next() % 8) as usize],
        };
        (0..length).map(&mut byte).collect()
    }
}

#[test]
fn all_checks_hold_on_random_bytes() {
    for (seed, (name, check)) in (1..).zip(CHECKS) {
        let mut dice = Dice(seed);
        for _ in 0..RUNS {
            let bytes = dice.bytes();
            let held = std::panic::catch_unwind(|| check(&bytes));
            assert!(held.is_ok(), "{name} does not hold on {bytes:02x?}");
        }
    }
}

#[test]
fn all_checks_hold_on_the_seeds_and_on_their_parts() {
    for (name, check) in CHECKS {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name);
        let files = std::fs::read_dir(&seeds).unwrap_or_else(|error| panic!("{}: {error}", seeds.display()));
        let mut count = 0;
        for file in files {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            (0..=bytes.len()).for_each(|end| check(&bytes[..end]));
            count += 1;
        }
        assert!(count > 0, "{name} has no seeds in {}", seeds.display());
    }
}
