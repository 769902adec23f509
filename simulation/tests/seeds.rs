//! Seeds, many: none may find anything, and each is the same every time.

use std::ops::Range;

use simulation::{Keep, Lockstep, run};

fn find_nothing(seeds: Range<u64>) {
    for seed in seeds {
        let report = run(&Lockstep, seed, Keep::default());
        if let Some(finding) = &report.finding {
            panic!("{finding}\nto see it: make simulate SEED={seed}");
        }
        let counts = &report.counts;
        let faults: u64 = counts.faults.values().sum();
        assert!(counts.calls >= 5_000, "seed {seed}: {} calls", counts.calls);
        assert!(faults >= 20, "seed {seed}: {faults} faults");
        assert!(counts.span.0 >= 180_000_000, "seed {seed}: {}", counts.span);
        assert_eq!(counts.undecided, 0, "seed {seed}: histories not judged");
    }
}

/// Ten stretches, so that they are spread over the cores.
macro_rules! two_thousand_seeds_find_nothing {
    ($($name:ident: $first:expr,)+) => {
        mod two_thousand_seeds_find_nothing {
            $(
                #[test]
                fn $name() {
                    super::find_nothing($first..$first + 200);
                }
            )+
        }
    };
}

two_thousand_seeds_find_nothing! {
    from_0: 0,
    from_200: 200,
    from_400: 400,
    from_600: 600,
    from_800: 800,
    from_1000: 1_000,
    from_1200: 1_200,
    from_1400: 1_400,
    from_1600: 1_600,
    from_1800: 1_800,
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 7_000..7_020 {
        let report = run(&Lockstep, seed, Keep::default());
        let again = run(&Lockstep, seed, Keep::default());
        assert_eq!(again.digest, report.digest, "seed {seed}");
        assert_eq!(again.counts, report.counts, "seed {seed}");
    }
}
