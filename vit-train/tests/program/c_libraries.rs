//! What `export --c` refuses. `tests/tests/c.rs` builds libraries and runs programs in C.

use super::{entries, refuse};
use std::fs;

const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware-example/models");

#[test]
fn what_cannot_be_exported_is_one_line_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let out = path("vit");
    let (nano, float) = (format!("{MODELS}/nano.int8.vit"), format!("{MODELS}/nano.f32.vit"));
    let report = format!("{MODELS}/nano.report.json");
    for name in ["open.int8.vit", "grey-2.int8.vit", "2.int8.vit", "Nano.int8.vit", "nano_model.int8.vit"] {
        fs::copy(&nano, folder.path().join(name)).unwrap();
    }
    fs::create_dir(folder.path().join("other")).unwrap();
    fs::write(folder.path().join("other/main.c"), "").unwrap();
    let before = entries(folder.path());

    let mut damaged = fs::read(&nano).unwrap();
    damaged[0] ^= 1;
    let no_model = tempfile::NamedTempFile::new().unwrap();
    fs::write(no_model.path(), damaged).unwrap();

    for (arguments, words) in [
        (vec![float.as_str()], &["nano.f32.vit: a float model", "vit-train quantize"][..]),
        (vec![report.as_str()], &["nano.report.json", "model file"]),
        (vec![no_model.path().to_str().unwrap()], &["not a model file"]),
        (vec![&path("missing")], &["missing"]),
        (vec![&path("other")], &["no model.int8.vit in it"]),
        (vec![&nano, "--target", "thumbv7-none"], &["--target thumbv7-none", "thumbv6m-none-eabi"]),
        (vec![&nano, "--cpu", "cortex-m3"], &["--cpu cortex-m3", "cortex-m4, cortex-m7"]),
        (vec![&nano, "--name", "Nano"], &["--name Nano", "lower-case"]),
        (vec![&nano, "--name", "open"], &["--name open"]),
        (vec![&nano, "--name", "a", "--name", "b"], &["2 names for 1 models"]),
        (vec![&path("open.int8.vit")], &["open.int8.vit: its name", "--name"]),
        (vec![&path("2.int8.vit")], &["2.int8.vit: its name", "--name"]),
        (vec![&path("nano_model.int8.vit")], &["its name", "--name"]),
        (vec![&nano, &path("Nano.int8.vit")], &["both networks would be called nano", "--name"]),
        (vec![&nano, "--labels", "a,b"], &["--labels", "describes itself"]),
    ] {
        let mut command = vec!["export"];
        command.extend(&arguments);
        command.extend(["--c", &out]);
        refuse(&command, words);
    }
    refuse(
        &["export", &nano, "--c", &path("other")],
        &["other: main.c in it would be lost", "name a folder"],
    );
    refuse(&["export", &nano, "--c", &nano], &["not a folder"]);
    refuse(&["export", &float, &float, "--onnx", &path("x.onnx")], &["only --c takes more than one"]);
    for option in [["--cpu", "cortex-m4"], ["--target", "thumbv6m-none-eabi"], ["--name", "digits"]] {
        let onnx = path("x.onnx");
        let mut command = vec!["export", &float, "--onnx", &onnx];
        command.extend(option);
        refuse(&command, &[option[0], "an option of --c"]);
    }
    assert_eq!(entries(folder.path()), before);
}
