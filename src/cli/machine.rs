//! What the machine has to give.

use sysinfo::{MemoryRefreshKind, System};

/// Memory to use where the machine does not tell how much it has.
const UNKNOWN: u64 = 1 << 30;

/// Bytes of memory that an analysis may take without asking: a quarter of the machine's, or of what
/// a container or service is allowed.
pub(super) fn share() -> u64 {
    let mut system = System::new();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let whole = system.total_memory();
    let allowed = system.cgroup_limits().map(|limits| limits.total_memory);
    match allowed.filter(|it| *it > 0).unwrap_or(whole) {
        0 => UNKNOWN,
        bytes => bytes / 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_machine_gives_a_quarter_of_its_memory() {
        let told = std::fs::read_to_string("/proc/meminfo").unwrap();
        let total = told.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap();
        let kibibytes: u64 = total.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(share() > 0 && share() <= kibibytes * 1024 / 4);
    }
}
