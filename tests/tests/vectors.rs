//! Tests that the test vectors in `vit-nostd/vectors` are those of the independent implementation in numpy. That the
//! engine computes them is a test of `vit-nostd`.

use std::{path::Path, process::Command};

/// The files must be those that the program writes, and an implementation with one of the mistakes that the program
/// knows must compute other logits of the small models.
#[test]
fn test_vectors_are_what_numpy_computes() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(tests.join("numpy-python"))
        .arg(tests.join("numpy/vectors.py"))
        .arg("--check")
        .output()
        .expect("tests/numpy-python starts");
    let (printed, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{printed}{errors}");
}
