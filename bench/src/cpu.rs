//! CPU time of threads and processes, from `/proc`.
//!
//! A rate of wall-clock time depends on who else uses the machine; CPU time per event hardly does. Refuses to guess: a
//! kernel without scheduler statistics gives `None`, and the line is left out.

use std::fs;
use std::time::Duration;

/// Ticks of `/proc/PID/stat` in a second.
///
/// # Source
/// `USER_HZ`, 100 on every Linux architecture but alpha and ia64 (`proc_pid_stat(5)`).
const TICKS_PER_SECOND: u64 = 100;

/// Time that the calling thread has spent on a CPU.
pub(crate) fn this_thread() -> Option<Duration> {
    on_cpu("/proc/thread-self/schedstat")
}

/// Time that the threads of this process with that name have spent on a CPU.
pub(crate) fn threads_named(name: &str) -> Option<Duration> {
    let mut total = None;
    for task in fs::read_dir("/proc/self/task").ok()?.flatten() {
        let folder = task.path();
        let is_named = fs::read_to_string(folder.join("comm")).is_ok_and(|comm| comm.trim_end() == name);
        if is_named && let Some(time) = on_cpu(&folder.join("schedstat").to_string_lossy()) {
            total = Some(total.unwrap_or(Duration::ZERO) + time);
        }
    }
    total
}

/// Time that a process has spent on CPUs since its start, to 10 ms.
pub(crate) fn process(id: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // the name in parentheses may itself hold blanks and parentheses
    let (_, fields) = stat.rsplit_once(") ")?;
    // state is field 3, utime and stime are fields 14 and 15
    let mut times = fields.split(' ').skip(11).map(str::parse::<u64>);
    let ticks = times.next()?.ok()? + times.next()?.ok()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

fn on_cpu(path: &str) -> Option<Duration> {
    let text = fs::read_to_string(path).ok()?;
    let nanoseconds = text.split(' ').next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::{process, this_thread};

    #[test]
    fn a_process_and_its_threads_have_used_some_time_and_a_strange_one_none() {
        assert!(process(std::process::id()).is_some());
        assert!(process(u32::MAX).is_none());
        assert!(this_thread().is_none_or(|time| !time.is_zero()));
    }
}
