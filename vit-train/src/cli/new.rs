//! The command `vit-train new`.

use super::{
    fit::{Fitted, ProjectArguments},
    output::quoted,
};
use crate::{
    paths::resolve,
    project::{write::Project, Name},
    Error,
};
use clap::Args;
use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  vit-train new ../gestures --data photos --board nrf52840-dk          a project for these pictures and this board
  vit-train new ../gestures --data photos --board pico --largest       with the largest network that fits
  vit-train new ../digits --core m0 --flash 64K --ram 8K --ms 500      the built-in digits, on another board
  cd ../gestures && cargo run --release                                train
  cd firmware && cargo run --release                                   run it on the board, or in the emulator";

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Folder of the project, which must be empty or not exist yet
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Name of the project and of its network [default: the name of the folder]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    project: ProjectArguments,
}

impl Arguments {
    pub(super) fn run(&self) -> Result<ExitCode, Error> {
        Project::check_empty(&self.directory)?;
        let name = self.name()?;
        let fitted = self.project.fit()?;
        let Fitted { survey, board, chosen, .. } = &fitted;
        let (classes, found) = (usize::from(chosen.dims.classes), survey.class_names.len());
        if classes != found {
            return Err(Error::Usage(format!(
                "--classes {classes}: the images have {found} classes, and the project is to train on them: leave it out"
            )));
        }
        let data = survey.source.to_string();
        let project = Project {
            name: &name,
            dims: &chosen.dims,
            board,
            class_names: &survey.class_names,
            data: &data,
            skip_unreadable: self.project.skips_unreadable(),
            summary: &fitted.summary(),
        };
        project.write(&self.directory)?;
        fitted.print(self.project.json)?;
        if !self.project.json {
            self.tell_what_is_next(&fitted);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Returns the name of the project.
    fn name(&self) -> Result<Name, Error> {
        let directory = resolve(&self.directory);
        let of_folder = directory.file_name().unwrap_or_default().to_string_lossy();
        let name = self.name.as_deref().unwrap_or(&of_folder);
        let advice = if self.name.is_some() { "" } else { ". Give another one with --name" };
        Name::new(name).map_err(|fault| Error::Usage(format!("{fault}{advice}")))
    }

    fn tell_what_is_next(&self, fitted: &Fitted) {
        let directory = quoted(&self.directory);
        let target = fitted.board.support.target;
        out!("");
        out!("The project is in {directory}. Next:");
        out!("  cd {directory} && cargo run --release    trains the network");
        out!("  cd firmware && cargo run --release    then runs it on the {}", fitted.where_it_runs());
        if !is_installed(target) {
            out!("The firmware needs the Rust target {target}, which is not installed: rustup target add {target}");
            out!("(or tools/chip-cargo of this repository instead of cargo, which finds another compiler).");
        }
    }
}

/// True if the compiler has the target, or if that cannot be found out.
fn is_installed(target: &str) -> bool {
    let output = Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output();
    output.map_or(true, |output| {
        let folder = String::from_utf8_lossy(&output.stdout);
        !output.status.success() || Path::new(folder.trim()).is_dir()
    })
}
