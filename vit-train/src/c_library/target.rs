//! The processors that a library can be built for.

use crate::error::Error;

/// A processor, and the names that compilers have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The target of the Rust compiler.
    pub triple: &'static str,
    /// The processor core, as gcc names it in `-mcpu`. None for a computer.
    pub cpu: Option<&'static str>,
    /// True for the kernels of the DSP extension on a target whose name does not imply it.
    pub dsp: bool,
    /// The other options of gcc for the target.
    pub gcc: &'static str,
}

/// The targets that the library is tested on. The first one of a triple is its default.
const TARGETS: [Target; 12] = [
    Target::chip("thumbv7em-none-eabihf", "cortex-m4", "-mfloat-abi=hard -mfpu=fpv4-sp-d16"),
    Target::chip("thumbv7em-none-eabihf", "cortex-m7", "-mfloat-abi=hard -mfpu=fpv5-sp-d16"),
    Target::chip("thumbv7em-none-eabi", "cortex-m4", "-mfloat-abi=soft"),
    Target::chip("thumbv7em-none-eabi", "cortex-m7", "-mfloat-abi=soft"),
    Target::chip("thumbv6m-none-eabi", "cortex-m0", "-mfloat-abi=soft"),
    Target::chip("thumbv6m-none-eabi", "cortex-m0plus", "-mfloat-abi=soft"),
    Target::chip("thumbv7m-none-eabi", "cortex-m3", "-mfloat-abi=soft"),
    Target::chip("thumbv8m.main-none-eabihf", "cortex-m33", "-mfloat-abi=hard -mfpu=fpv5-sp-d16").with_dsp(),
    Target::chip("thumbv8m.main-none-eabihf", "cortex-m33+nodsp", "-mfloat-abi=hard -mfpu=fpv5-sp-d16"),
    Target::chip("thumbv8m.main-none-eabi", "cortex-m33", "-mfloat-abi=soft").with_dsp(),
    Target::chip("thumbv8m.main-none-eabi", "cortex-m33+nodsp", "-mfloat-abi=soft"),
    Target { triple: "x86_64-unknown-linux-gnu", cpu: None, dsp: false, gcc: "" },
];

impl Target {
    const fn chip(triple: &'static str, cpu: &'static str, gcc: &'static str) -> Self {
        Self { triple, cpu: Some(cpu), dsp: false, gcc }
    }

    const fn with_dsp(self) -> Self {
        Self { dsp: true, ..self }
    }

    /// Finds a target by its triple and, unless it is the default one, its core.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is none. The message lists the targets.
    pub(crate) fn named(triple: &str, cpu: Option<&str>) -> Result<Self, Error> {
        let of_triple: Vec<_> = TARGETS.into_iter().filter(|target| target.triple == triple).collect();
        let Some(default) = of_triple.first() else {
            let mut triples: Vec<_> = TARGETS.map(|target| target.triple).to_vec();
            triples.dedup();
            return Err(Error::Usage(format!(
                "--target {triple}: the library is not tested on this target; it is on {}",
                triples.join(", ")
            )));
        };
        let Some(cpu) = cpu else { return Ok(*default) };
        of_triple.iter().find(|target| target.cpu == Some(cpu)).copied().ok_or_else(|| {
            let cpus: Vec<_> = of_triple.iter().filter_map(|target| target.cpu).collect();
            Error::Usage(match &cpus[..] {
                [] => format!("--cpu {cpu}: leave it out for {triple}"),
                _ => format!("--cpu {cpu}: for {triple}, this is one of {}", cpus.join(", ")),
            })
        })
    }

    /// Returns all options of gcc that choose the target.
    pub(crate) fn gcc_options(&self) -> String {
        match self.cpu {
            Some(cpu) => format!("-mcpu={cpu} -mthumb {}", self.gcc),
            None => String::new(),
        }
    }
}
