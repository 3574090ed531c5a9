//! Checks the files that a command is going to write, before it works for minutes.

use super::{
    data::{is_run, runs_written_into},
    output::results_to_standard_error,
};
use crate::{
    data::Source,
    files::{check_writable, read_regular, require_file},
    formats::content::{Content, Foreign},
    paths::resolve,
    run::folder::RunFolder,
    Error,
};
use safetensors::SafeTensors;
use std::{fs, path::Path};
use vit_nostd::model_file::{Kind, Preamble};

/// Checks that files can be written to `outputs`, each of which comes with the option that names it, and that nothing
/// valuable is replaced.
///
/// Refused is a file that is the same as another output or as one of `inputs`, that belongs to a run, or whose content
/// is not of the kind that the option writes. A result of an earlier command may be replaced, and so may the model of a
/// run if it is made again from the run's own checkpoint and no option has `changed` the description in that.
///
/// If one of the outputs is the standard output or a pipe, results are printed to the standard error from now on.
pub(super) fn check_outputs<'a>(
    outputs: impl IntoIterator<Item = (&'static str, &'a Path)>,
    inputs: &[&Path],
    changed: Option<&'static str>,
) -> Result<(), Error> {
    let mut others: Vec<(&str, &Path)> = Vec::new();
    for (option, path) in outputs {
        check_writable(path)?;
        let refuse = |reason: &str| Err(Error::Usage(format!("{option} {}: {reason}", path.display())));
        if path == Path::new("-") {
            return refuse("this would be a file of that name: give /dev/stdout for the standard output");
        }
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
            if is_made {
                check_link_of_run(path)?;
            }
            if is_made && option == "--out" {
                let samples = RunFolder::samples(run); // they are written with the model
                check_link_of_run(&samples)?;
                if samples.exists() {
                    require_file(&samples)?;
                }
            }
            if !is_made && RunFolder::files(run).iter().any(|file| is_same(file, path)) {
                return refuse("this would replace another file of a run: give another name");
            }
            if let Some(changed) = changed.filter(|_| is_made) {
                return refuse(&format!(
                    "the model of a run has the description of its checkpoint: leave {changed} out, or give another \
                     name"
                ));
            }
        }
        let is_filled = fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0);
        if is_filled && !is_written_by(option, path) {
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

/// Returns true if a file has the kind of content that a command writes to the file that `option` names.
fn is_written_by(option: &str, path: &Path) -> bool {
    let content = Content::of_file(path).unwrap_or(Content::Unknown);
    match option {
        "--onnx" => content == Content::Foreign(Foreign::Onnx),
        "--safetensors" => content == Content::Checkpoint && !has_logits(path),
        "--logits" => content == Content::Checkpoint && has_logits(path),
        "--vit" => is_model(path, Kind::F32),
        _ => is_model(path, Kind::Int8),
    }
}

/// Returns true if a safetensors file has logits and not the parameters of a network.
fn has_logits(path: &Path) -> bool {
    let is_logits = |bytes: Vec<u8>| {
        let tensors = SafeTensors::deserialize(&bytes).ok()?;
        Some(tensors.names() == ["logits"])
    };
    read_regular(path).ok().and_then(is_logits).unwrap_or(false)
}

fn is_model(path: &Path, kind: Kind) -> bool {
    read_regular(path).is_ok_and(|bytes| Preamble::read(&bytes).is_ok_and(|preamble| preamble.kind == kind))
}

/// Checks that everything in `directory` with the name of a run's file is a regular file. Reading a pipe there would
/// never end.
pub(super) fn check_files_of_run(directory: &Path) -> Result<(), Error> {
    let files = RunFolder::files(directory);
    files.iter().filter(|file| file.exists()).try_for_each(|file| require_file(file))
}

/// Checks that no file of a run in `directory` is a symbolic link, through which results would be written to a file that
/// may be somebody else's. The directory itself may be a link, to where there is more room.
pub(super) fn check_links_of_run(directory: &Path) -> Result<(), Error> {
    RunFolder::files(directory).iter().try_for_each(|file| check_link_of_run(file))
}

fn check_link_of_run(file: &Path) -> Result<(), Error> {
    if !file.is_symlink() {
        return Ok(());
    }
    let target = resolve(file);
    Err(Error::Usage(format!(
        "{}: a link to {}, which this would replace: remove the link",
        file.display(),
        target.display()
    )))
}

/// Checks that the results of a new run in `directory` do not replace the checkpoint that the run begins with or files
/// that no run has written, and that `directory` is not among the images.
pub(super) fn check_run(directory: &Path, init: Option<&Path>, data: Option<&Source>) -> Result<(), Error> {
    let out = directory.display();
    let results = RunFolder::files(directory);
    if let Some(init) = init.filter(|init| results.iter().any(|result| is_same(init, result))) {
        return Err(Error::Usage(format!(
            "--out {out}: the results would replace {}, which --init names: give another folder",
            init.display()
        )));
    }
    check_files_of_run(directory)?;
    check_links_of_run(directory)?;
    if !is_run(directory)
        && let Some(file) = results.iter().find(|result| result.symlink_metadata().is_ok())
    {
        return Err(Error::Usage(format!(
            "--out {out}: the results would replace {}, which no run has left there: give another folder",
            file.display()
        )));
    }
    if let Some(data) = data.into_iter().chain([&Source::Mnist]).find(|data| data.is_within(directory)) {
        return Err(Error::Usage(format!(
            "--out {out}: the results would lie among the images in {data}: give another folder"
        )));
    }
    Ok(())
}

/// Returns true if two paths lead to the same file, or will do so when it is written. Links are followed.
fn is_same(a: &Path, b: &Path) -> bool {
    number(a).is_some_and(|number_of_a| number(b) == Some(number_of_a)) || resolve(a) == resolve(b)
}

/// Returns the numbers by which the file system knows a file, whatever its names are. The file is not opened, because
/// opening a pipe waits for the other end.
#[cfg(unix)]
fn number(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn number(_: &Path) -> Option<(u64, u64)> {
    None
}
