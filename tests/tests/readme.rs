//! What the README shows is what is compiled and run.

const README: &str = include_str!("../../README.md");

#[test]
fn the_example_is_the_one_that_is_compiled() {
    let example = include_str!("../../firmware-example/src/bin/minimal.rs");
    assert!(
        README.contains(&format!("```rust\n{example}```")),
        "README.md does not show minimal.rs as it is"
    );
}

#[test]
fn the_library_s_example_is_the_one_that_is_run() {
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
        README.contains(&format!("```rust\n{example}```")),
        "README.md does not show it as it is:\n{example}"
    );
}
