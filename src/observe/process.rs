//! This process as Linux sees it, in `/proc` (proc(5)).

use jiff::Timestamp;

use super::snapshot::Process;

/// Clock ticks a second in `/proc/self/stat`: the same on all architectures that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// How it is now.
pub(crate) fn look(started: Timestamp) -> Process {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let files = std::fs::read_dir("/proc/self/fd").ok();
    Process {
        arguments: std::env::args_os().map(|text| text.to_string_lossy().into_owned()).collect(),
        started,
        resident_bytes: kibibytes(&status, "VmRSS:"),
        virtual_bytes: kibibytes(&status, "VmSize:"),
        cpu_seconds: cpu_seconds(&stat),
        // One of them is the folder that is being read.
        open_files: files.map(|files| (files.count() as u64).saturating_sub(1)),
        load: load_averages(&load),
    }
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(number * 1024)
}

/// Fields 14 and 15: user and system time. The second field, the name of the program, may hold
/// anything but ends with the last bracket.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

fn load_averages(text: &str) -> [f64; 3] {
    let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap_or_default());
    std::array::from_fn(|_| numbers.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc_are_found() {
        let status = "Name:\trouter\nVmSize:\t   20480 kB\nVmRSS:\t    4096 kB\n";
        assert_eq!(kibibytes(status, "VmRSS:"), Some(4 << 20));
        assert_eq!(kibibytes(status, "VmSwap:"), None);
        let stat = "17 (a) b (c) S 1 17 17 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 12345 1 2";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("17 (a"), None);
        assert_eq!(load_averages("0.52 1.5 2 1/999 4711\n"), [0.52, 1.5, 2.0]);
        assert_eq!(load_averages(""), [0.0; 3]);
    }

    #[test]
    fn this_process_is_seen() {
        let process = look(Timestamp::now());
        assert!(process.resident_bytes < process.virtual_bytes);
        assert!(process.resident_bytes.is_some_and(|bytes| 100_000 < bytes));
        assert!(process.open_files.is_some_and(|files| 2 < files));
        assert!(process.cpu_seconds.is_some());
    }
}
