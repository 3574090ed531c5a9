//! What the README shows is what is compiled and run.

#[test]
fn the_example_is_the_one_that_is_compiled() {
    let readme = include_str!("../../README.md");
    let example = include_str!("../../firmware-example/src/bin/minimal.rs");
    assert!(
        readme.contains(&format!("```rust\n{example}```")),
        "README.md does not show minimal.rs as it is"
    );
}
