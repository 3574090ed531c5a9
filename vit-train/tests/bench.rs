//! Tests the speed that `vit-train bench` measures. This is a test program of its own, because cargo runs such programs
//! one after the other, so that no other test takes time at the same time.

use serde_json::Value;
use std::process::Command;
use vit_nostd::{Base, Nano, Tiny};
use vit_train::fused::network::Sizes;

/// Float inference multiplies and adds without fusing, in one order, and reads each weight once. Therefore it takes two
/// to five times as long as multiply-adds alone. Without vector instructions, it would take twenty times as long.
#[test]
fn float_inference_has_vectors() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_vit-train"));
    let bench = program.args(["bench", "--no-builtin", "--steps", "5", "--threads", "1", "--json"]);
    let output = bench.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bench: Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |path: &str| {
        bench.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {path} in {bench}"))
    };
    let peak = number("/peak_gflops");
    let (base, tiny, nano) = (Sizes::of::<Base>(), Sizes::of::<Tiny>(), Sizes::of::<Nano>());
    for (preset, sizes) in [("base", base), ("tiny", tiny), ("nano", nano)] {
        for engine in ["f32_single", "f32_batch"] {
            let milliseconds = number(&format!("/infer_ms/{preset}/{engine}"));
            let gflops = sizes.flops() as f64 / 3.0 / milliseconds / 1e6; // without the backward pass
            assert!(gflops > peak / 15.0, "{preset}, {engine}: {gflops:.1} of {peak:.0} GFLOP/s");
        }
    }
}
