//! How far the run is, on stderr: one changing line on a terminal, a line now and then elsewhere.

use crate::case::{Mark, Verdict};
use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

/// How often a line is written where nobody watches it change.
const EVERY: Duration = Duration::from_secs(10);

pub struct Progress {
    silent: bool,
    changing: bool,
    last: Instant,
    red: usize,
}

impl Progress {
    pub fn new(silent: bool) -> Self {
        Self { silent, changing: std::io::stderr().is_terminal(), last: Instant::now(), red: 0 }
    }

    pub fn step(&mut self, number: usize, total: usize, id: &str) {
        if self.silent || (!self.changing && self.last.elapsed() < EVERY) {
            return;
        }
        self.last = Instant::now();
        let red = if self.red > 0 { format!("  {} failed", self.red) } else { String::new() };
        let line = format!("[{number}/{total}]{red}  {id}");
        if self.changing {
            self.write(&format!("\r\x1b[2K{line}"));
        } else {
            self.write(&format!("{line}\n"));
        }
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
