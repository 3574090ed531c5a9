//! What a command writes, and where: looked at before it works for minutes.

use super::{
    data::{is_run, runs_written_into},
    output::results_to_standard_error,
};
use crate::{
    data::Source,
    files::{check_writable, require_file},
    formats::content::{Content, Foreign},
    paths::resolve,
    run::folder::RunFolder,
    Error,
};
use std::{fs, path::Path};

/// Checks that files can be written to `outputs`, each with the option that names it; and that none of them replaces
/// another one, one of `inputs`, a file of a run that the command does not make, or a file that the option has not written.
/// (A result of an earlier command is replaced.) A run's model is made from the run's own checkpoint, as long as no option
/// has `changed` what that says.
///
/// If one of them is the standard output, or a pipe, what is printed goes to the standard error.
pub fn check_outputs<'a>(
    outputs: impl IntoIterator<Item = (&'static str, &'a Path)>,
    inputs: &[&Path],
    changed: Option<&'static str>,
) -> Result<(), Error> {
    let mut others: Vec<(&str, &Path)> = Vec::new();
    for (option, path) in outputs {
        check_writable(path)?;
        let refuse = |reason: &str| Err(Error::Setting(format!("{option} {}: {reason}", path.display())));
        if inputs.iter().any(|input| is_same(input, path)) {
            return refuse("this would replace the file that is read: give another name");
        }
        for run in &runs_written_into(path) {
            let checkpoint = RunFolder::checkpoint(run);
            let is_read = inputs.iter().any(|input| is_same(input, &checkpoint));
            let made = match option {
                "--out" => Some(RunFolder::int8_model(run)),
                "--vit" => Some(RunFolder::float_model(run)),
                _ => None,
            };
            let is_made = is_read && made.is_some_and(|made| is_same(&made, path));
            if !is_made && RunFolder::files(run).iter().any(|file| is_same(file, path)) {
                return refuse("this would replace another file of a run: give another name");
            }
            if let Some(changed) = changed.filter(|_| is_made) {
                return refuse(&format!(
                    "a run's model takes and names everything as its checkpoint does: leave {changed} out, or give \
                     another name"
                ));
            }
        }
        let is_filled = fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0);
        if is_filled && Content::of_file(path).is_ok_and(|content| content != written_by(option)) {
            return refuse(&format!(
                "this would replace a file that {option} has not written: give another name"
            ));
        }
        if let Some((other, _)) = others.iter().find(|(_, other)| is_same(other, path)) {
            return refuse(&format!("{other} names the same file: give another name"));
        }
        let is_pipe = fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
        if is_pipe || is_same(path, Path::new("/dev/stdout")) {
            results_to_standard_error();
        }
        others.push((option, path));
    }
    Ok(())
}

/// What a command writes to the file that an option names.
fn written_by(option: &str) -> Content {
    match option {
        "--onnx" => Content::Foreign(Foreign::Onnx),
        "--safetensors" | "--logits" => Content::Checkpoint,
        _ => Content::Model,
    }
}

/// Checks that what is called like a file of a run in `directory` is a file: a pipe would be waited for without end.
pub fn check_files_of_run(directory: &Path) -> Result<(), Error> {
    let files = RunFolder::files(directory);
    files.iter().filter(|file| file.exists()).try_for_each(|file| require_file(file))
}

/// Checks that results can be written through whatever links are in the place of a run's files in `directory`.
pub fn check_links_of_run(directory: &Path) -> Result<(), Error> {
    let files = RunFolder::files(directory);
    files.iter().filter(|file| file.is_symlink()).try_for_each(|file| check_writable(file))
}

/// Checks that the results of a new run in `directory` neither replace the file that it begins with nor files of somebody
/// else, and do not lie among its images.
pub fn check_run(directory: &Path, init: Option<&Path>, data: Option<&Source>) -> Result<(), Error> {
    let out = directory.display();
    let results = RunFolder::files(directory);
    if let Some(init) = init.filter(|init| results.iter().any(|result| is_same(init, result))) {
        return Err(Error::Setting(format!(
            "--out {out}: the results would replace {}, which --init names: give another folder",
            init.display()
        )));
    }
    check_files_of_run(directory)?;
    check_links_of_run(directory)?;
    if !is_run(directory)
        && let Some(file) = results.iter().find(|result| result.symlink_metadata().is_ok())
    {
        return Err(Error::Setting(format!(
            "--out {out}: the results would replace {}, which no run has left there: give another folder",
            file.display()
        )));
    }
    if let Some(data) = data.into_iter().chain([&Source::Mnist]).find(|data| data.is_within(directory)) {
        return Err(Error::Setting(format!(
            "--out {out}: the results would lie among the images in {data}: give another folder"
        )));
    }
    Ok(())
}

/// Whether two names are of one file, also by links, or will be.
fn is_same(a: &Path, b: &Path) -> bool {
    number(a).is_some_and(|number_of_a| number(b) == Some(number_of_a)) || resolve(a) == resolve(b)
}

/// What the file system knows a file by, whatever its names are. The file is not opened: one end of a pipe would wait for
/// the other.
#[cfg(unix)]
fn number(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn number(_: &Path) -> Option<(u64, u64)> {
    None
}
