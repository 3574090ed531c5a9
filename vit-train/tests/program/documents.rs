//! The commands that the documents show are commands of the program, with options that it has and values that it takes.

use crate::{program, succeed, text};
use std::{collections::BTreeSet, fs, path::Path};

/// The documents with commands, by their paths in the repository.
const DOCUMENTS: [&str; 8] = [
    "README.md",
    "docs/guide.md",
    "ARCHITECTURE.md",
    "BENCHMARKS.md",
    "CONTRIBUTING.md",
    "firmware-example/README.md",
    "vit-train/README.md",
    "vit-train/RECIPES.md",
];

/// Commands whose help is a list of options.
const COMMANDS: [&[&str]; 14] = [
    &["new"],
    &["fit"],
    &["train"],
    &["eval"],
    &["predict"],
    &["quantize"],
    &["verify"],
    &["export"],
    &["inspect"],
    &["report"],
    &["compare"],
    &["bench"],
    &["device"],
    &["device", "eval"],
];

/// Options of other programs, which documents name without the program.
const OTHER_PROGRAMS: [&str; 2] = ["--bin", "--release"];

fn read(document: &str) -> String {
    fs::read_to_string(Path::new("..").join(document)).unwrap_or_else(|error| panic!("{document}: {error}"))
}

/// Returns the texts in back quotes and the lines of code blocks.
fn code(text: &str) -> Vec<&str> {
    let (mut code, mut in_block) = (vec![], false);
    for line in text.lines() {
        match (line.trim_start().starts_with("```"), in_block) {
            (true, _) => in_block = !in_block,
            (false, true) => code.push(line),
            (false, false) if line.starts_with("    ") => code.push(line.trim_start()),
            (false, false) => code.extend(line.split('`').skip(1).step_by(2)),
        }
    }
    code
}

/// The arguments that a line gives the program, without comments and what a shell reads. None if it does not run it.
fn arguments(line: &str) -> Option<Vec<&str>> {
    let after = ["cargo run -p vit-train --", "cargo run --release -p vit-train --", "$ vit-train "];
    let (_, arguments) = after.iter().find_map(|after| line.split_once(after))?;
    let is_of_shell = |word: &&str| ["#", "|", ">", "&&"].contains(word);
    Some(arguments.split_whitespace().take_while(|word| !is_of_shell(word)).collect())
}

#[test]
fn commands_in_documents_are_understood() {
    let mut commands = 0;
    for document in DOCUMENTS {
        for line in code(&read(document)) {
            let Some(arguments) = arguments(line) else { continue };
            // With --help at the end, all before it is read and checked, and nothing is done.
            let output = program().args(&arguments).arg("--help").output().unwrap();
            assert!(output.status.success(), "{document}: {line}\n{}", text(&output.stderr));
            assert!(text(&output.stdout).contains("Usage:"), "{document}: {line}");
            commands += 1;
        }
    }
    assert!(commands > 40, "{commands} commands");
}

#[test]
fn a_command_that_does_not_exist_is_noticed() {
    for line in [
        "eval runs/nano --robust",
        "train --preset nona",
        "measure",
        "--recipe seed",
        "predict --engine int4 x",
    ] {
        let output = program().args(line.split(' ')).arg("--help").output().unwrap();
        assert!(!output.status.success(), "{line}");
    }
}

/// Options that stand alone in back quotes, such as `--resume`.
#[test]
fn options_in_documents_exist() {
    let help: String = COMMANDS.iter().map(|command| succeed(&[*command, &["--help"]].concat())).collect();
    let is_of_option = |c: char| c.is_ascii_lowercase() || c == '-';
    let known: BTreeSet<&str> = help
        .split(|c: char| !is_of_option(c))
        .filter(|word| word.starts_with("--"))
        .chain(OTHER_PROGRAMS)
        .collect();
    let mut options = 0;
    for document in DOCUMENTS {
        let text = read(document);
        for words in text.split('`').skip(1).step_by(2).filter(|code| code.starts_with("--")) {
            for option in words.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2) {
                assert!(known.contains(option), "{document}: {option}");
                options += 1;
            }
        }
    }
    assert!(options > 30, "{options} options");
}
