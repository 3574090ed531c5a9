//! Tests the speed that `vit-train bench` measures. This is a test program of its own, because cargo runs such programs
//! one after the other, so that no other test takes time at the same time.

use serde_json::Value;
use std::process::Command;
use vit_nostd::{Base, Nano, Network, Tiny};

/// Returns the number of floating-point operations of an inference of network `N`: a multiplication and an addition for
/// each product in its matrices. In the last block, only the class token has a query and what follows it.
fn operations<N: Network>() -> usize {
    let block = |queries: usize| {
        let keys_and_values = 2 * N::TOKENS * N::EMBED * N::EMBED;
        let others = queries * 2 * (N::EMBED * N::EMBED + N::EMBED * N::HIDDEN);
        keys_and_values + others + 2 * queries * N::TOKENS * N::EMBED
    };
    let patches = (N::TOKENS - 1) * N::PATCHES.values() * N::EMBED;
    2 * (patches + (N::DEPTH - 1) * block(N::TOKENS) + block(1) + N::EMBED * N::CLASSES)
}

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
    let (base, tiny, nano) = (operations::<Base>(), operations::<Tiny>(), operations::<Nano>());
    for (preset, operations) in [("base", base), ("tiny", tiny), ("nano", nano)] {
        for engine in ["f32_single", "f32_batch"] {
            let milliseconds = number(&format!("/infer_ms/{preset}/{engine}"));
            let gflops = operations as f64 / milliseconds / 1e6;
            assert!(gflops > peak / 15.0, "{preset}, {engine}: {gflops:.1} of {peak:.0} GFLOP/s");
        }
    }
}
