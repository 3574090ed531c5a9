//! Runs with the same seed give the same bytes, with any number of threads, and however often the program is killed.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    hash::BuildHasher,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
    thread::sleep,
    time::{Duration, Instant},
};
use vit_train::run::folder::RunFolder;

/// The results of a run, without the figures that depend on time and threads.
#[derive(PartialEq)]
struct Results {
    /// The names and contents of the files.
    files: Vec<(&'static str, Vec<u8>)>,
    report: Value,
}

impl Results {
    fn of(run: &Path) -> Self {
        let read = |name| fs::read(run.join(name)).unwrap();
        let mut report: Value = serde_json::from_slice(&read("report.json")).unwrap();
        for key in ["threads", "timing"] {
            assert!(report.as_object_mut().unwrap().remove(key).is_some(), "{key}");
        }
        for epoch in report["epochs"].as_array_mut().unwrap() {
            assert!(epoch.as_object_mut().unwrap().remove("seconds").is_some());
        }
        let files = [
            "checkpoint.safetensors",
            "model.f32.vit",
            "model.int8.vit",
            "samples.bin",
            "curves.svg",
            "confusion.svg",
            "predictions.png",
            "mistakes.png",
        ];
        Self { files: files.map(|name| (name, read(name))).into(), report }
    }

    fn assert_equal(&self, other: &Self, what: &str) {
        assert_eq!(self.report, other.report, "{what}");
        for ((name, a), (_, b)) in self.files.iter().zip(&other.files) {
            assert!(a == b, "{what}: {name} differs");
        }
    }
}

/// Returns the command of a short training with everything that is random: dropout, augmentation, the order of the
/// images. `arguments` replace its settings.
fn program(out: &Path, arguments: &[&str]) -> Command {
    let settings = [
        ["--preset", "nano"],
        ["--data", "synthetic"],
        ["--limit", "1500"],
        ["--epochs", "2"],
        ["--batch-size", "32"],
        ["--lr", "3e-3"],
        ["--dropout", "0.1"],
    ];
    let mut command = Command::new(env!("CARGO_BIN_EXE_vit-train"));
    command.args(settings.iter().filter(|[name, _]| !arguments.contains(name)).flatten());
    command.args(arguments).arg("--out").arg(out);
    command
}

fn train(arguments: &[&str]) -> Results {
    let out = tempfile::tempdir().unwrap();
    let output = program(out.path(), arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Results::of(out.path())
}

/// Returns the results of a run that nothing interrupts.
fn reference() -> &'static Results {
    static REFERENCE: OnceLock<Results> = OnceLock::new();
    REFERENCE.get_or_init(|| train(&["--threads", "2"]))
}

#[test]
fn threads_change_no_bit() {
    for threads in ["1", "3"] {
        train(&["--threads", threads]).assert_equal(reference(), threads);
    }
    assert!(train(&["--threads", "3", "--seed", "43"]) != *reference(), "the seed has no effect");
}

/// Returns a generator of numbers below a limit, which differ each time that the tests run.
fn random() -> impl FnMut(u64) -> u64 {
    let mut state = std::collections::hash_map::RandomState::new().hash_one(0) | 1;
    move |limit| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % limit
    }
}

/// Starts the program, and calls `kill` to end it `delay` after it has printed a line that begins with `line`. Returns
/// what it printed to both outputs.
fn end_after(
    mut command: Command,
    out: &Path,
    line: &str,
    delay: Duration,
    kill: impl FnOnce(&mut Child),
) -> (Vec<String>, Output) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = Vec::new();
    // Dropping this earlier would close the pipe that the child prints to.
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    for printed in stdout.by_ref().map(Result::unwrap) {
        lines.push(printed);
        if lines[lines.len() - 1].starts_with(line) {
            break;
        }
    }
    while !RunFolder::snapshot(out).exists() && !RunFolder::new_snapshot(out).exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended without a snapshot: {lines:?}");
        sleep(Duration::from_millis(1));
    }
    sleep(delay);
    kill(&mut child);
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success(), "it ended before it could be killed: {lines:?}");
    (lines, output)
}

fn kill(child: &mut Child) {
    child.kill().unwrap(); // with SIGKILL on Unix
}

#[test]
fn being_killed_changes_no_bit() {
    let out = tempfile::tempdir().unwrap();
    let mut random = random();
    let mut within_an_epoch = 0;
    // A line that the program prints, and a number of milliseconds in which the stage after it does not end.
    let stages =
        [("Training", 200), ("epoch", 100), ("Training", 100), ("testing", 200), ("quantizing", 200)];
    for (sitting, (line, limit)) in stages.into_iter().enumerate() {
        let delay = Duration::from_millis(limit / 4 + random(limit));
        // The number of threads changes, and there is a snapshot after every step: neither must change the results.
        let threads = (1 + random(3)).to_string();
        let arguments = ["--threads", &threads, "--save-every", "0", "--resume"];
        let arguments = if sitting == 0 { &arguments[..4] } else { &arguments };
        let (lines, _) = end_after(program(out.path(), arguments), out.path(), line, delay, |child| {
            if line == "Training" {
                // At least one step has to be done, even on a slow machine.
                let paths = [RunFolder::new_snapshot, RunFolder::snapshot].map(|path| path(out.path()));
                let saved =
                    || paths.each_ref().map(|path| fs::metadata(path).and_then(|file| file.modified()).ok());
                let before = saved();
                while saved() == before && child.try_wait().unwrap().is_none() {
                    sleep(Duration::from_millis(1));
                }
            }
            kill(child);
        });
        println!("{threads} threads, killed {delay:?} after {line:?}: {lines:#?}");
        within_an_epoch +=
            usize::from(lines[0].starts_with("Resuming in epoch") && !lines[0].ends_with(" 0 steps"));
    }
    assert!(within_an_epoch > 0, "no run was resumed within an epoch");

    let output = program(out.path(), &["--resume"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Results::of(out.path()).assert_equal(reference(), "killed and resumed");
    let mut names: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let expected = [
        "checkpoint.safetensors",
        "confusion.svg",
        "curves.svg",
        "data.json",
        "last.run",
        "mistakes.png",
        "model.f32.vit",
        "model.int8.vit",
        "predictions.png",
        "report.json",
        "report.md",
        "samples.bin",
    ];
    assert_eq!(names, expected, "something is left over");

    // The run is finished, so that resuming it does nothing.
    fs::remove_file(out.path().join("model.int8.vit")).unwrap();
    let output = program(out.path(), &["--resume"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("is finished"));
    assert!(!out.path().join("model.int8.vit").exists());
}

#[cfg(unix)]
fn send(signal: &str, child: &Child) {
    let kill = format!("kill -{signal} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

/// Sends the signal that Ctrl-C sends.
#[cfg(unix)]
fn interrupt(child: &mut Child) {
    send("INT", child);
}

/// Returns the command that an interrupted run prints for continuing it.
fn resume(out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vit-train"));
    command.args(["--resume", "--out"]).arg(out);
    command
}

#[cfg(unix)]
#[test]
fn being_interrupted_changes_no_bit() {
    let out = tempfile::tempdir().unwrap();
    let mut random = random();
    let mut within_an_epoch = 0;
    let mut place = String::new();
    for signal in ["INT", "TERM", "HUP"] {
        // Two epochs take less than 300 ms on a fast machine.
        let delay = Duration::from_millis(random(100));
        // Only the interruption saves anything within an epoch, because --save-every is a minute.
        let command = if place.is_empty() { program(out.path(), &[]) } else { resume(out.path()) };
        let (lines, output) = end_after(command, out.path(), "Training", delay, |child| send(signal, child));
        let error = String::from_utf8(output.stderr).unwrap();
        println!("{signal} after {delay:?}: {lines:#?} {error}");
        assert_eq!(output.status.code(), Some(130), "{error}");
        assert!(lines[0].starts_with(&place), "{lines:?} instead of {place}");
        let told = error.lines().last().unwrap();
        let advice = format!("; continue with: vit-train --resume --out {}", out.path().display());
        assert!(told.starts_with("interrupted ") && told.ends_with(&advice), "{told}");
        // The run must be resumed exactly there. (After the last of 43 steps, that may be in the next epoch.)
        let told = told.strip_prefix("interrupted in epoch ").and_then(|told| told.split_once(';'));
        let told = told.and_then(|(place, _)| place.split_once(", after step "));
        place = match told {
            Some((epoch, step)) if step != "43" => {
                within_an_epoch += 1;
                format!("Resuming in epoch {epoch}, after {step} steps")
            }
            _ => "Resuming".to_owned(),
        };
    }
    assert!(within_an_epoch > 0, "no run was interrupted within an epoch");

    // A second signal ends the program at once, and so does the first one when all epochs are done.
    let twice = |child: &mut Child| {
        interrupt(child);
        interrupt(child);
    };
    let delay = Duration::from_millis(random(50));
    let (_, output) = end_after(program(out.path(), &["--resume"]), out.path(), "Training", delay, twice);
    assert_eq!(output.status.code(), Some(130));
    let (_, output) = end_after(resume(out.path()), out.path(), "testing", delay, interrupt);
    assert_eq!(output.status.code(), Some(130));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("after the last epoch") && error.contains("continue with: vit-train --resume --out")
    );

    let output = resume(out.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Results::of(out.path()).assert_equal(reference(), "interrupted and resumed");
}

/// A terminal that is closed does not end a program that `nohup` has started.
#[cfg(unix)]
#[test]
fn a_signal_that_was_ignored_stays_so() {
    let out = tempfile::tempdir().unwrap();
    let program = program(out.path(), &["--limit", "300"]);
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"trap '' HUP; exec "$0" "$@""#])
        .arg(program.get_program())
        .args(program.get_args());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !RunFolder::new_snapshot(out.path()).exists() {
        sleep(Duration::from_millis(1));
    }
    send("HUP", &child);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A run that began with a checkpoint can be resumed without naming it, or by naming it, but not by naming another one.
#[cfg(unix)]
#[test]
fn a_run_that_began_with_a_checkpoint_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first.safetensors", "second.safetensors"].map(|name| folder.path().join(name));
    for (path, seed) in [(&first, "42"), (&second, "43")] {
        fs::write(path, &train(&["--limit", "100", "--epochs", "1", "--seed", seed]).files[0].1).unwrap();
    }
    let init = ["--init", first.to_str().unwrap()];
    let expected = train(&init);
    assert!(expected != *reference(), "--init has no effect");

    let out = tempfile::tempdir().unwrap();
    let delay = Duration::from_millis(50);
    end_after(program(out.path(), &init), out.path(), "Training", delay, interrupt);
    let other = resume(out.path()).arg("--init").arg(&second).output().unwrap();
    let error = String::from_utf8_lossy(&other.stderr);
    assert!(other.status.code() == Some(2) && error.contains("--init"), "{error}");
    let mut again = resume(out.path());
    again.args(init);
    end_after(again, out.path(), "Training", delay, interrupt);
    fs::remove_file(&first).unwrap();
    let output = resume(out.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Results::of(out.path()).assert_equal(&expected, "interrupted and resumed");
}

/// Returns the names and contents of the files in a folder, without the snapshot of a new run and temporary files of a
/// program that was killed.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = names.filter(|name| name != "new.run" && !name.starts_with(".vit-train-"));
    names.map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect()
}

/// When a run that replaces another one is killed, the folder never has results of both, and one of the two is complete
/// or can be resumed.
#[test]
fn a_run_replaces_another_at_once() {
    let short = ["--limit", "100", "--epochs", "1"];
    let old = tempfile::tempdir().unwrap();
    // The images differ, too, so that no file is the same in both runs.
    let mut earlier = program(old.path(), &["--limit", "60", "--epochs", "1", "--seed", "43"]);
    assert!(earlier.output().unwrap().status.success());
    let before = content(old.path());
    let start = Instant::now();
    let expected = train(&short);
    let time = start.elapsed().as_millis() as u64;

    let mut random = random();
    let (mut kept, mut between, mut replaced) = (0, 0, 0);
    for attempt in 0..10 {
        let out = tempfile::tempdir().unwrap();
        before.iter().for_each(|(name, bytes)| fs::write(out.path().join(name), bytes).unwrap());
        let mut child = program(out.path(), &short).stdout(Stdio::null()).spawn().unwrap();
        let delay = if attempt == 0 {
            // Kill it as soon as it has written its first file.
            while !RunFolder::new_snapshot(out.path()).exists() && child.try_wait().unwrap().is_none() {
                sleep(Duration::from_millis(1));
            }
            Duration::ZERO
        } else if attempt % 2 == 0 {
            Duration::from_millis(random(time))
        } else {
            // Kill it after it has replaced the snapshot of the earlier run.
            let last = fs::metadata(RunFolder::snapshot(out.path())).unwrap().modified().unwrap();
            let same = || {
                fs::metadata(RunFolder::snapshot(out.path())).is_ok_and(|now| now.modified().unwrap() == last)
            };
            while same() && child.try_wait().unwrap().is_none() {
                sleep(Duration::from_millis(1));
            }
            Duration::from_micros(random(100_000))
        };
        sleep(delay);
        kill(&mut child);
        child.wait().unwrap();

        let now = content(out.path());
        let new = RunFolder::new_snapshot(out.path()).exists();
        let old_files = now.iter().filter(|(name, bytes)| before.get(*name) == Some(bytes)).count();
        println!("killed {delay:?} later: {old_files} old files of {:?}, new {new}", now.keys());
        assert!(old_files == 0 || old_files == now.len(), "files of both runs");
        let output = resume(out.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        if now == before {
            kept += 1;
        } else {
            between += usize::from(new);
            replaced += 1;
        }
        if now != before || new {
            Results::of(out.path()).assert_equal(&expected, "the new run");
        } else {
            assert!(content(out.path()) == before, "there was nothing to resume");
        }
    }
    // On a slow machine, no run may be killed before its first epoch is done. The next test covers that case.
    println!("kept {kept}, replaced {replaced}, of them {between} in between");
    assert!(replaced > 0);
}

/// Until the first epoch of a new run is done, the earlier run is complete, and the new one can be discarded.
#[cfg(unix)]
#[test]
fn the_earlier_run_is_complete_until_an_epoch_is_done() {
    let out = tempfile::tempdir().unwrap();
    assert!(program(out.path(), &["--limit", "200", "--epochs", "1"]).output().unwrap().status.success());
    let before = content(out.path());
    let begun = program(out.path(), &["--epochs", "9", "--seed", "43"]);
    let (_, output) = end_after(begun, out.path(), "Training", Duration::ZERO, interrupt);
    assert_eq!(output.status.code(), Some(130));
    assert!(content(out.path()) == before && RunFolder::new_snapshot(out.path()).exists());
    let delay = Duration::ZERO;
    let (lines, _) = end_after(resume(out.path()), out.path(), "Training", delay, interrupt);
    assert!(lines[0].starts_with("Resuming in epoch 1, ") && lines[1].contains("new.run"), "{lines:?}");
    assert!(content(out.path()) == before);
    fs::remove_file(RunFolder::new_snapshot(out.path())).unwrap();
    let output = resume(out.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("is finished"));
}
