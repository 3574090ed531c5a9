//! The program and the machine that a run was made with.

use serde::{Deserialize, Serialize};
use std::{env::consts, fmt, fs};

/// The program and the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The name and version of this program.
    pub tool: String,
    /// The operating system, such as `linux`.
    pub os: String,
    /// The architecture of the processor, such as `x86_64`.
    pub arch: String,
    /// The name of the processor, if the operating system tells it.
    pub processor: Option<String>,
}

impl Environment {
    /// Describes this program on this machine.
    pub fn here() -> Self {
        Self {
            tool: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned(),
            os: consts::OS.to_owned(),
            arch: consts::ARCH.to_owned(),
            processor: fs::read_to_string("/proc/cpuinfo").ok().as_deref().and_then(processor),
        }
    }
}

/// Returns the name of the first processor in `/proc/cpuinfo` of Linux.
fn processor(cpuinfo: &str) -> Option<String> {
    let (_, name) = cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then_some((key, value))
    })?;
    Some(name.split_whitespace().collect::<Vec<_>>().join(" "))
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tool, os, arch, processor } = self;
        write!(f, "{tool} on {os}, {}", processor.as_ref().unwrap_or(arch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_named() {
        let cpuinfo = "processor\t: 0\nmodel\t\t: 1\nmodel name\t: Some  CPU: 3 GHz\nmodel name\t: Other\n";
        assert_eq!(processor(cpuinfo).as_deref(), Some("Some CPU: 3 GHz"));
        assert_eq!(processor("BogoMIPS: 48.00"), None);
    }
}
