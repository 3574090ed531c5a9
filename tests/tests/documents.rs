//! The documents say what is so: the examples that they show are those that are compiled and run, links lead somewhere,
//! tables have the figures of the code, of the kept reports and of the recorded benchmarks, and commands exist.
//!
//! Other tests hold more of them: the Rust examples of the guide and of the crates' READMEs are documentation tests of
//! this crate, `tests/chip.rs` runs and builds the boards of the guide's table, and
//! `vit-train/tests/program/documents.rs` lets the program read the commands.

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use vit_nostd::{float, Base, ConvNano, ConvTiny, Nano, Network, Tiny};
use vit_tests::chip_bench::{Cost, Record};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const README: &str = include_str!("../../README.md");
const GUIDE: &str = include_str!("../../docs/guide.md");
const BENCHMARKS: &str = include_str!("../../BENCHMARKS.md");
/// The measurements of `chip-bench`, with which the tests of the chips also compare.
const CHIPS: &str = include_str!("../../benchmarks/record/chip-bench.json");

/// All documents of the repository, by their paths in it.
fn documents() -> Vec<(PathBuf, String)> {
    let mut documents = vec![];
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(Path::new(ROOT).join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = folder.join(&name);
            if entry.file_type().unwrap().is_dir() {
                // What git does not track.
                if !name.starts_with('.') && !["target", "runs", "data"].contains(&path.to_str().unwrap()) {
                    folders.push(path);
                }
            } else if name.ends_with(".md") {
                documents.push((path, fs::read_to_string(entry.path()).unwrap()));
            }
        }
    }
    assert!(documents.len() > 10, "{documents:?}");
    documents
}

#[test]
fn the_readme_is_short() {
    assert!(README.lines().count() <= 150);
}

#[test]
fn the_readme_s_firmware_is_the_one_that_is_compiled() {
    let example = include_str!("../../firmware-example/src/bin/minimal.rs");
    assert!(
        README.contains(&format!("```rust\n{example}```")),
        "README.md does not show minimal.rs as it is"
    );
}

#[test]
fn the_guide_s_program_is_the_one_that_is_run() {
    let documentation =
        include_str!("../../vit-train/src/lib.rs").lines().map_while(|line| line.strip_prefix("//!"));
    let mut example = String::new();
    // As rustdoc shows it: lines that begin with # are for the test only.
    let block =
        documentation.map(|line| line.strip_prefix(' ').unwrap_or(line)).skip_while(|line| *line != "```");
    for line in block.skip(1).take_while(|line| *line != "```").filter(|line| !line.starts_with("# ")) {
        example += line;
        example += "\n";
    }
    assert!(example.contains("fn main"), "vit-train/src/lib.rs has no example");
    assert!(
        GUIDE.contains(&format!("```rust,ignore\n{example}```")),
        "docs/guide.md does not show it as it is:\n{example}"
    );
}

/// The headings of a document, as GitHub makes anchors of them.
fn anchors(text: &str) -> Vec<String> {
    let mut in_code = false;
    let mut anchors = vec![];
    for line in text.lines() {
        in_code ^= line.starts_with("```");
        if !in_code && line.starts_with('#') {
            let heading = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            anchors.push(heading.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect());
        }
    }
    anchors
}

#[test]
fn links_lead_somewhere() {
    let mut links = 0;
    for (name, text) in documents() {
        // A link is `](target)` in Markdown, or `src="target"` in HTML.
        let targets = ["](", "src=\""].into_iter().flat_map(|begin| {
            text.split(begin).skip(1).map(|rest| rest.split([')', '"', '\n']).next().unwrap())
        });
        for target in targets.filter(|target| !target.contains("://")) {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() {
                Path::new(ROOT).join(&name)
            } else {
                Path::new(ROOT).join(&name).parent().unwrap().join(path)
            };
            assert!(file.exists(), "{}: no {target}", name.display());
            if !anchor.is_empty() {
                let anchors = anchors(&fs::read_to_string(&file).unwrap());
                assert!(anchors.iter().any(|a| a == anchor), "{}: no {target}: {anchors:?}", name.display());
            }
            links += 1;
        }
    }
    assert!(links > 50, "{links} links");
}

/// The cells of the tables' rows that begin with one of `first`, without the empty ones at their ends.
fn rows<'a>(text: &'a str, first: &'a str) -> impl Iterator<Item = Vec<&'a str>> {
    let row = move |line: &'a str| {
        let cells: Vec<_> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        (cells[0] == first).then_some(cells)
    };
    text.lines().filter_map(row)
}

/// A number as documents write it: `1,797,130`.
fn with_commas(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn millions(instructions: u64) -> String {
    format!("{:.2} M", instructions as f64 / 1e6)
}

/// Checks the figures of a preset in the documents.
fn check_preset<N: Network>(name: &str, chips: &[Cost]) {
    let models = Path::new(ROOT).join("firmware-example/models");
    let report = fs::read(models.join(format!("{name}.report.json"))).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    let percent = |engine: &str| format!("{:.2} %", report["test"][engine]["acc"].as_f64().unwrap());
    let file = fs::metadata(models.join(format!("{name}.int8.vit"))).unwrap().len() as usize;
    let parameters = with_commas(report["params"].as_u64().unwrap() as usize);
    let preset = format!("`{name}`");
    let cost = chips.iter().find(|cost| cost.chip == "Cortex-M4F" && cost.preset == name).unwrap();

    let row = rows(README, &preset).next().unwrap();
    assert_eq!(
        row[1..7],
        [
            &parameters,
            &format!("{} bytes", with_commas(file)),
            &format!("{} bytes", with_commas(cost.scratch_bytes + cost.stack_bytes)),
            &millions(cost.instructions),
            &percent("f32"),
            &percent("int8"),
        ],
        "README.md"
    );
    let seed = report["seed"].as_u64().unwrap();
    assert_eq!(row[7].contains("--seed"), seed != 42, "README.md: {name}");
    assert!(seed == 42 || row[7].contains(&format!("--seed {seed}`")), "README.md: {name}");

    let row = rows(GUIDE, &preset).next().unwrap();
    let numbers = [N::TOKENS, N::EMBED, N::DEPTH].map(|number| number.to_string());
    assert_eq!(row[1..4], numbers, "docs/guide.md");
    assert_eq!(row[4], parameters, "docs/guide.md");
    assert_eq!(row[6], format!("{} bytes", with_commas(float::Scratch::<N>::BYTES)), "docs/guide.md");
    assert_eq!(row[8], format!("{} bytes", with_commas(cost.scratch_bytes)), "docs/guide.md");
    let epochs = report["epochs"].as_array().unwrap().len();
    let training = format!("`{name}`, {epochs} epochs");
    let row = rows(GUIDE, &training).next().unwrap_or_else(|| panic!("docs/guide.md: no {training}"));
    let bytes = format!("{} bytes", with_commas(file));
    assert_eq!(row[1..5], [&parameters, &bytes, &percent("f32"), &percent("int8")], "docs/guide.md");
}

#[test]
fn tables_of_presets_have_the_figures_of_code_and_reports() {
    let Record { inferences: chips, .. } = serde_json::from_str(CHIPS).unwrap();
    check_preset::<Base>("base", &chips);
    check_preset::<Tiny>("tiny", &chips);
    check_preset::<Nano>("nano", &chips);
    check_preset::<ConvTiny>("conv-tiny", &chips);
    check_preset::<ConvNano>("conv-nano", &chips);
}

/// The table of chips, and the instructions in the table of boards.
#[test]
fn tables_of_chips_have_the_recorded_figures() {
    let Record { inferences: chips, frames } = serde_json::from_str(CHIPS).unwrap();
    for cost in &frames {
        let row = rows(BENCHMARKS, &cost.formats).next();
        let row = row.unwrap_or_else(|| panic!("BENCHMARKS.md: no {}", cost.formats));
        let column =
            frames.iter().filter(|other| other.formats == cost.formats).position(|other| other == cost);
        let figure = format!("{:.2}", cost.instructions_per_pixel);
        assert_eq!(row[1 + column.unwrap()], figure, "BENCHMARKS.md: {} on {}", cost.formats, cost.chip);
    }
    for cost in &chips {
        let row = rows(BENCHMARKS, &cost.chip).find(|row| row[1] == format!("`{}`", cost.preset));
        let row = row.unwrap_or_else(|| panic!("BENCHMARKS.md: no {} on {}", cost.preset, cost.chip));
        let figures = [
            cost.engine.clone(),
            millions(cost.instructions),
            format!("{} bytes", with_commas(cost.scratch_bytes)),
            format!("{} bytes", with_commas(cost.stack_bytes)),
        ];
        assert_eq!(row[2..6], figures, "BENCHMARKS.md: {} on {}", cost.preset, cost.chip);
    }
    let boards =
        GUIDE.lines().filter(|line| line.ends_with("| emulated |") || line.ends_with("| built only |"));
    let mut count = 0;
    for row in boards.map(|line| line.split('|').map(str::trim).collect::<Vec<_>>()) {
        // A Cortex-M0+ executes the instructions of a Cortex-M0.
        let chip = row[2].rsplit(", ").next().unwrap().trim_end_matches('+');
        let cost = chips.iter().find(|cost| cost.chip == chip && row[5] == format!("`{}`", cost.preset));
        assert_eq!(row[6], millions(cost.unwrap().instructions), "docs/guide.md: {}", row[1]);
        count += 1;
    }
    assert_eq!(count, 12, "docs/guide.md: boards");
}

/// The code in a document: blocks, line by line, and words in back quotes.
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

/// Scripts, firmware commands and steps of the test command are there.
#[test]
fn commands_name_what_exists() {
    let aliases = fs::read_to_string(Path::new(ROOT).join("firmware-example/.cargo/config.toml")).unwrap();
    let steps = Command::new("bash").args(["tests/all.sh", "--list"]).current_dir(ROOT).output().unwrap();
    let steps = String::from_utf8(steps.stdout).unwrap();
    let steps: Vec<&str> = steps.lines().collect();
    assert!(steps.len() > 5, "{steps:?}");
    let (mut scripts, mut boards, mut named_steps) = (0, 0, 0);
    for (name, text) in documents() {
        for command in code(&text) {
            let words: Vec<&str> = command.split_whitespace().collect();
            for pair in words.windows(2) {
                let script = pair[1];
                let is_path = script.contains('/') && script.contains('.') && !script.starts_with('/');
                if ["bash", "python", "python3"].contains(&pair[0]) && is_path {
                    assert!(Path::new(ROOT).join(script).exists(), "{}: {command}", name.display());
                    scripts += 1;
                }
                let is_cargo = pair[0] == "cargo" || pair[0].ends_with("tools/chip-cargo");
                let board = pair[1];
                let is_board = board.starts_with("flash-")
                    || board.starts_with("mps2-")
                    || ["microbit", "stm32vldiscovery", "netduinoplus2"].contains(&board);
                if is_cargo && is_board {
                    assert!(aliases.contains(&format!("\n{board} = [")), "{}: {command}", name.display());
                    boards += 1;
                }
            }
            if let Some(at) = words.iter().position(|word| *word == "tests/all.sh") {
                let words = words[at + 1..].iter().take_while(|word| **word != "#" && !word.starts_with('-'));
                for step in words.filter(|word| word.chars().all(|c| c.is_lowercase() || c == '-')) {
                    assert!(steps.contains(step), "{}: {command}: no step {step}", name.display());
                    named_steps += 1;
                }
            }
        }
    }
    assert!(scripts >= 5 && boards >= 9 && named_steps >= 2, "{scripts}, {boards}, {named_steps}");
}
