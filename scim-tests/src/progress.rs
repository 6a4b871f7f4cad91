//! How far the run is, on stderr: one changing line on a terminal, a line now and then elsewhere.

use crate::case::{Mark, Verdict};
use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

/// How often a line is written where nobody watches it change.
const EVERY: Duration = Duration::from_secs(10);
/// A shorter wait is not worth a word.
const TOLD_SECS_MIN: u64 = 5;

/// How many have failed is said of those before this one.
fn stood(number: usize, total: usize, red: usize, id: &str) -> String {
    let red = if red > 0 { format!("{red} failed, ") } else { String::new() };
    format!("[{number}/{total}]  {red}running {id}")
}

pub struct Progress {
    silent: bool,
    changing: bool,
    last: Instant,
    red: usize,
    /// Which case runs.
    line: String,
    /// Is the wait that goes on told of?
    is_told: bool,
}

impl Progress {
    pub fn new(silent: bool) -> Self {
        Self {
            silent,
            changing: std::io::stderr().is_terminal(),
            last: Instant::now(),
            red: 0,
            line: String::new(),
            is_told: false,
        }
    }

    pub fn step(&mut self, number: usize, total: usize, id: &str) {
        self.line = stood(number, total, self.red, id);
        if self.changing || self.last.elapsed() >= EVERY {
            self.show("");
        }
    }

    /// What the case waits for, if it waits: `Retry-After` of a 429, in seconds.
    pub fn waits(&mut self, secs: Option<u64>) {
        match secs.filter(|secs| *secs >= TOLD_SECS_MIN) {
            Some(secs) if !self.is_told => {
                self.show(&format!("  (answered 429: waits {secs} s, as Retry-After asks)"));
            }
            None if self.is_told && self.changing => self.show(""),
            Some(_) | None => {}
        }
        self.is_told = secs.is_some();
    }

    fn show(&mut self, more: &str) {
        if self.silent {
            return;
        }
        self.last = Instant::now();
        let line = &self.line;
        let text = if self.changing { format!("\r\x1b[2K{line}{more}") } else { format!("{line}{more}\n") };
        self.write(&text);
    }

    pub fn verdict(&mut self, verdict: &Verdict) {
        if matches!(verdict.mark(), Mark::Fail | Mark::Blocked) {
            self.red += 1;
        }
    }

    pub fn end(&mut self) {
        if self.changing && !self.silent {
            self.write("\r\x1b[2K");
        }
    }

    /// Nobody is there to be told that stderr is closed.
    fn write(&self, text: &str) {
        let mut stderr = std::io::stderr();
        drop(stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_case_that_runs_does_not_read_as_the_one_that_failed() {
        assert_eq!(stood(24, 525, 1, "auth.missing"), "[24/525]  1 failed, running auth.missing");
        assert_eq!(stood(1, 525, 0, "auth.missing"), "[1/525]  running auth.missing");
    }

    #[test]
    fn a_long_wait_is_told_once() {
        let mut progress = Progress::new(true);
        for (secs, told) in [(None, false), (Some(5), true), (Some(5), true), (None, false)] {
            progress.waits(secs);
            assert_eq!(progress.is_told, told);
        }
    }
}
