//! Counting for the operator's page of metrics. Labels are `&'static str`, so nothing that a caller
//! sends can make a new series: what is counted is bounded by what is written in the source.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Numbers by labels: a counter where they are added to, a gauge where they are set.
pub struct Series<const N: usize>(Mutex<BTreeMap<[&'static str; N], u64>>);

/// Upper bounds in microseconds: from a cache's answer to what a person gives up on.
pub const BOUNDS_MICROS: [u64; 12] =
    [250, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000, 30_000_000];

/// How long something took, by labels.
pub struct Durations<const N: usize>(Mutex<BTreeMap<[&'static str; N], Histogram>>);

/// Each bucket holds what took at most its bound: those of greater bounds hold it too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    pub buckets: [u64; BOUNDS_MICROS.len()],
    pub count: u64,
    pub sum_micros: u64,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<const N: usize> Series<N> {
    #[expect(clippy::new_without_default, reason = "a static is made by a const function alone")]
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }
    pub fn add(&self, labels: [&'static str; N], more: u64) {
        let mut numbers = held(&self.0);
        let number = numbers.entry(labels).or_default();
        *number = number.saturating_add(more);
    }
    pub fn set(&self, labels: [&'static str; N], value: u64) {
        held(&self.0).insert(labels, value);
    }
    /// Every series that was ever touched, in the order of its labels.
    pub fn read(&self) -> Vec<([&'static str; N], u64)> {
        held(&self.0).iter().map(|(labels, number)| (*labels, *number)).collect()
    }
}

impl<const N: usize> Durations<N> {
    #[expect(clippy::new_without_default, reason = "a static is made by a const function alone")]
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }
    pub fn note(&self, labels: [&'static str; N], micros: u64) {
        let mut all = held(&self.0);
        let histogram = all.entry(labels).or_default();
        for (bound, bucket) in BOUNDS_MICROS.iter().zip(&mut histogram.buckets) {
            *bucket += u64::from(micros <= *bound);
        }
        histogram.count += 1;
        histogram.sum_micros = histogram.sum_micros.saturating_add(micros);
    }
    pub fn read(&self) -> Vec<([&'static str; N], Histogram)> {
        held(&self.0).iter().map(|(labels, histogram)| (*labels, *histogram)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_added_to_or_set_and_a_duration_falls_into_every_bucket_above_it() {
        let series = Series::new();
        series.add(["b"], 2);
        series.add(["b"], u64::MAX);
        series.set(["a"], 7);
        assert_eq!(series.read(), [(["a"], 7), (["b"], u64::MAX)]);
        let durations = Durations::new();
        durations.note(["x"], 250);
        durations.note(["x"], 251);
        durations.note(["x"], u64::MAX);
        let [(_, histogram)] = durations.read()[..] else { panic!("one series") };
        assert_eq!((histogram.buckets[0], histogram.buckets[1], histogram.buckets[11]), (1, 2, 2));
        assert_eq!((histogram.count, histogram.sum_micros), (3, u64::MAX));
    }
}
