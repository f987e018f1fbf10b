//! The oracles of `fuzz/`, over their corpus and over random bytes. `make fuzz` looks for new cases for as long as one likes.

mod support;

#[path = "../../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is a crate of its own, too")]
mod oracles;

use std::fs;
use std::path::Path;

use support::Random;

/// How many random cases an oracle gets.
const CASES: u64 = 300;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let files = fs::read_dir(&directory).unwrap_or_else(|_| panic!("{} is there", directory.display()));
    files.map(|file| fs::read(file.expect("it can be listed").path()).expect("it can be read")).collect()
}

#[test]
fn every_case_of_the_corpus_holds() {
    for (name, oracle) in oracles::ALL {
        let cases = corpus(name);
        assert!(!cases.is_empty(), "{name} has a corpus");
        cases.iter().for_each(|case| oracle(case));
    }
}

#[test]
fn random_cases_hold() {
    for (name, _) in oracles::ALL {
        for seed in 0..CASES {
            let mut random = Random::new(seed);
            let length = random.below(1 + seed * 2);
            // Small numbers are choices, and large ones data: both are needed.
            let end = if seed % 2 == 0 { 256 } else { 16 };
            let case: Vec<u8> = (0..length).map(|_| random.below(end) as u8).collect();
            oracles::run(name, &case);
        }
    }
}
