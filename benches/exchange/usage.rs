//! What processes and the machine have used: CPU time and memory, from `/proc`.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use nix::sys::resource::{UsageWho, getrusage};

/// Microseconds in one tick of `/proc/stat`, which Linux fixes at a hundredth of a second.
const TICK: u64 = 10_000;

/// CPU time that a process has used so far, user and system, all of its threads, in microseconds.
pub(crate) fn of_process(id: u32) -> Result<u64> {
    let mut total = 0;
    for thread in fs::read_dir(format!("/proc/{id}/task")).with_context(|| format!("process {id} has ended"))? {
        // A thread may end while we look.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        let nanoseconds: u64 = text.split(' ').next().unwrap_or_default().parse()?;
        total += nanoseconds / 1_000;
    }
    Ok(total)
}

/// The same for a process and its children, as Postgres has them.
pub(crate) fn of_family(id: u32) -> Result<u64> {
    let mut total = of_process(id)?;
    for entry in fs::read_dir("/proc")?.flatten() {
        let parent = fs::read_to_string(entry.path().join("stat")).ok().and_then(|stat| parent_in(&stat));
        let name = entry.file_name();
        if let (Some(child), true) = (name.to_str().and_then(|name| name.parse().ok()), parent == Some(id)) {
            total += of_process(child).unwrap_or(0);
        }
    }
    Ok(total)
}

/// The parent in a line of `/proc/PID/stat`; the program's name before it may hold anything but ends with the last bracket.
fn parent_in(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// CPU time that processes which we started and which have ended used, in microseconds.
pub(crate) fn of_ended_children() -> Result<u64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let [user, system] = [usage.user_time(), usage.system_time()];
    let microseconds = user.tv_sec() * 1_000_000 + user.tv_usec() + system.tv_sec() * 1_000_000 + system.tv_usec();
    Ok(u64::try_from(microseconds)?)
}

/// CPU time that was used on the whole machine, or taken from it by its host, in microseconds.
pub(crate) fn of_machine() -> Result<u64> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).map(str::parse).collect::<Result<_, _>>()?;
    // user nice system idle iowait irq softirq steal
    Ok(ticks
        .iter()
        .enumerate()
        .filter(|(place, _)| ![3, 4].contains(place))
        .take(6)
        .map(|(_, ticks)| ticks * TICK)
        .sum())
}

/// Resident memory of a process in bytes.
pub(crate) fn memory_of(id: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1_024)
}

/// What this machine is, in one line.
pub(crate) fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| cpus.lines().find(|line| line.starts_with(name)).and_then(|line| line.split(": ").nth(1));
    let model = field("model name").unwrap_or("unknown processor").to_owned();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
    let system = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let virtual_machine = if cpus.contains(" hypervisor") { "virtual machine, " } else { "" };
    format!("{virtual_machine}{} × {model}, {} GiB, Linux {}", cores(), kib >> 20, system.trim())
}

/// How many threads run at once.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The load average of the last minute.
pub(crate) fn load_average() -> f64 {
    let text = fs::read_to_string(Path::new("/proc/loadavg")).unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}
