//! One thread that starts the children and outlives every other use of them. Linux sends the
//! death signal when the *thread* that started a child ends; a thread of a pool may end long
//! before the process does, this one ends with it.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    io,
    os::unix::process::CommandExt,
    process::{Child, Command},
    sync::mpsc::{Sender, SyncSender, channel, sync_channel},
    thread,
    time::{Duration, Instant},
};

type Order = (Command, SyncSender<io::Result<Child>>);

#[derive(Debug)]
pub(super) struct Keeper {
    orders: Sender<Order>,
}

impl Keeper {
    pub(super) fn new() -> io::Result<Self> {
        let (orders, inbox) = channel::<Order>();
        thread::Builder::new().name("keeper".into()).spawn(move || {
            for (mut command, answer) in inbox {
                // Whoever asked has gone: the child is not wanted, and dies with this thread.
                let _ = answer.send(command.spawn());
            }
        })?;
        Ok(Self { orders })
    }

    /// Starts a child in a process group of its own: Ctrl-C in the terminal is for us to pass on.
    pub(super) fn spawn(&self, mut command: Command) -> io::Result<Child> {
        command.process_group(0);
        let (answer, told) = sync_channel(1);
        let gone = |_| io::Error::other("the keeper thread has ended");
        self.orders.send((command, answer)).map_err(|_| gone(()))?;
        told.recv().map_err(|_| gone(()))?
    }
}

/// Looks again this often.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Asks `done` until it says yes or the time is up.
pub(super) fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if done() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        thread::sleep(TICK);
    }
}

/// Sends a signal and waits; after the limit, kills.
pub(super) fn end(child: &mut Child, signal: Signal, limit: Duration) {
    signal_pid(child.id(), signal);
    if !wait_until(limit, || !matches!(child.try_wait(), Ok(None))) {
        // It has exited or it cannot be killed: nothing more is ours to do.
        let _ = child.kill();
        let _ = child.wait();
    }
}

pub(super) fn signal_pid(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // Gone already is what was wanted.
        let _ = kill_process(pid, signal);
    }
}
