//! Prints the cost of an inference of the integer engine, and of resizing a frame, on each emulated chip, as tables or
//! as JSON.

use std::process::ExitCode;

use anyhow::Result;
use vit_tests::chip_bench::{measure, measure_frames, Cost, FrameCost, Record};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let json = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--json"] => true,
        _ => {
            eprintln!("usage: chip-bench [--json]");
            return ExitCode::from(2);
        }
    };
    match run(json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(json: bool) -> Result<()> {
    if !json {
        println!("| chip | network | kernels | inference | a block | per MAC | softmax, per element | scratch | stack | code | model |");
        println!("|---|---|---|---|---|---|---|---|---|---|---|");
    }
    let inferences = measure(|cost| {
        if !json {
            print(cost)
        }
    })?;
    let frames = measure_frames()?;
    if json {
        println!("{}", serde_json::to_string_pretty(&Record { inferences, frames })?);
        return Ok(());
    }
    println!("\n| chip | network | where the instructions go |\n|---|---|---|");
    for Cost { chip, preset, stages, .. } in &inferences {
        let stages: Vec<String> =
            stages.iter().map(|(name, percent)| format!("{name} {percent:.1} %")).collect();
        println!("| {chip} | {preset} | {} |", stages.join(", "));
    }
    println!("\n| chip | frame | instructions per pixel | stack |\n|---|---|---|---|");
    for FrameCost { chip, formats, instructions_per_pixel, stack_bytes } in &frames {
        println!("| {chip} | {formats} | {instructions_per_pixel:.2} | {stack_bytes} B |");
    }
    Ok(())
}

fn print(cost: &Cost) {
    println!(
        "| {} | {} | {} | {:.2} M | {:.3} M | {:.2} | {:.1} | {} B | {} B | {} B | {} B |",
        cost.chip,
        cost.preset,
        cost.engine,
        cost.instructions as f64 / 1e6,
        cost.instructions_per_block as f64 / 1e6,
        cost.instructions_per_mac,
        cost.softmax_instructions_per_element,
        cost.scratch_bytes,
        cost.stack_bytes,
        cost.code_bytes,
        cost.model_bytes,
    );
}
