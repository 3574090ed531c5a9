//! The same seed gives the same bytes: whatever the number of threads, and however often the program was killed.

use serde_json::Value;
use std::{
    fs,
    hash::BuildHasher,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
    thread::sleep,
    time::Duration,
};

/// What a run leaves, without what it took.
#[derive(PartialEq)]
struct Results {
    /// Names and contents.
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

/// A short training with all that is random: dropout, augmentation, the order of the images.
fn program(out: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vit-train"));
    command.args(["--preset", "nano", "--data", "synthetic", "--limit", "1500", "--epochs", "2"]);
    command.args(["--batch-size", "32", "--lr", "3e-3", "--dropout", "0.1"]).args(arguments);
    command.arg("--out").arg(out);
    command
}

fn train(arguments: &[&str]) -> Results {
    let out = tempfile::tempdir().unwrap();
    let output = program(out.path(), arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Results::of(out.path())
}

/// The results of a run that nothing interrupts.
fn reference() -> &'static Results {
    static REFERENCE: OnceLock<Results> = OnceLock::new();
    REFERENCE.get_or_init(|| train(&["--threads", "2"]))
}

#[test]
fn threads_change_no_bit() {
    for threads in ["1", "3"] {
        train(&["--threads", threads]).assert_equal(reference(), threads);
    }
    assert!(train(&["--threads", "3", "--seed", "43"]) != *reference(), "the seed says nothing");
}

/// Numbers below `limit`, other ones in each run.
fn random() -> impl FnMut(u64) -> u64 {
    let mut state = std::collections::hash_map::RandomState::new().hash_one(0) | 1;
    move |limit| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % limit
    }
}

/// Starts the program, lets `kill` end it `delay` after it printed a line that begins with `line`, and gives what it
/// printed on both outputs.
fn end_after(
    mut command: Command,
    snapshot: &Path,
    line: &str,
    delay: Duration,
    kill: impl FnOnce(&mut Child),
) -> (Vec<String>, Output) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = Vec::new();
    // Not dropped before the child is dead, which could not print any more.
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    for printed in stdout.by_ref().map(Result::unwrap) {
        lines.push(printed);
        if lines[lines.len() - 1].starts_with(line) {
            break;
        }
    }
    while !snapshot.exists() {
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
    child.kill().unwrap(); // SIGKILL, where there are signals
}

#[test]
fn being_killed_changes_no_bit() {
    let out = tempfile::tempdir().unwrap();
    let snapshot = out.path().join("last.run");
    let mut random = random();
    let mut within_an_epoch = 0;
    // A line that the program prints, and a number of milliseconds in which the stage behind it does not end.
    let stages =
        [("Training", 400), ("Training", 400), ("epoch", 400), ("testing", 200), ("quantizing", 200)];
    for (sitting, (line, limit)) in stages.into_iter().enumerate() {
        let delay = Duration::from_millis(limit / 4 + random(limit));
        // Other numbers of threads, and a snapshot after every step: the time must not matter.
        let threads = (1 + random(3)).to_string();
        let arguments = ["--threads", &threads, "--save-every", "0", "--resume"];
        let arguments = if sitting == 0 { &arguments[..4] } else { &arguments };
        let (lines, _) = end_after(program(out.path(), arguments), &snapshot, line, delay, kill);
        println!("{threads} threads, killed {delay:?} behind {line:?}: {lines:#?}");
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
    ];
    assert_eq!(names, expected, "something is left over");

    // There is nothing left to do, and nothing is done.
    fs::remove_file(out.path().join("model.int8.vit")).unwrap();
    let output = program(out.path(), &["--resume"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("is finished"));
    assert!(!out.path().join("model.int8.vit").exists());
}

/// What Ctrl-C does.
#[cfg(unix)]
fn interrupt(child: &mut Child) {
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

#[cfg(unix)]
#[test]
fn being_interrupted_changes_no_bit() {
    let out = tempfile::tempdir().unwrap();
    let snapshot = out.path().join("last.run");
    let mut random = random();
    let mut within_an_epoch = 0;
    let mut place = String::new();
    for sitting in 0..3 {
        let delay = Duration::from_millis(50 + random(300));
        // Within the first minute, nothing but the interruption saves anything within an epoch.
        let command = program(out.path(), if sitting == 0 { &[] } else { &["--resume"] });
        let (lines, output) = end_after(command, &snapshot, "Training", delay, interrupt);
        let error = String::from_utf8(output.stderr).unwrap();
        println!("interrupted after {delay:?}: {lines:#?} {error}");
        assert_eq!(output.status.code(), Some(130), "{error}");
        assert!(lines[0].starts_with(&place), "{lines:?} instead of {place}");
        let told = error.lines().last().unwrap();
        assert!(told.starts_with("interrupted ") && told.contains("--resume"), "{told}");
        // It goes on exactly there. (After the last of 43 steps, that may be in the next epoch.)
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

    // Once more is at once, and so is once when all epochs are done.
    let twice = |child: &mut Child| {
        interrupt(child);
        interrupt(child);
    };
    let delay = Duration::from_millis(random(50));
    let (_, output) = end_after(program(out.path(), &["--resume"]), &snapshot, "Training", delay, twice);
    assert_eq!(output.status.code(), Some(130));
    let (_, output) = end_after(program(out.path(), &["--resume"]), &snapshot, "testing", delay, interrupt);
    assert_eq!(output.status.code(), Some(130));
    assert!(String::from_utf8_lossy(&output.stderr).contains("after the last epoch"));

    let output = program(out.path(), &["--resume"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Results::of(out.path()).assert_equal(reference(), "interrupted and resumed");
}
