//! How the micro-benches count: the median of so many rounds, in microseconds.

use std::time::Instant;

pub(crate) fn median(rounds: usize, mut work: impl FnMut()) -> f64 {
    let mut micros: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    micros.sort_by(f64::total_cmp);
    micros.get(rounds / 2).copied().unwrap_or(f64::NAN)
}
