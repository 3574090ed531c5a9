//! Measures inferences of networks of many shapes in the emulator, fits the costs that `vit-train` estimates
//! instructions with, and prints them, with the errors of the estimates, for `vit-train/src/board/instructions.rs`.

use std::process::ExitCode;

use anyhow::Result;
use vit_emulator::Chip;
use vit_tests::chip_bench::{measure_shapes, ShapeCost};
use vit_train::board::{
    core::Kernels,
    instructions::{instructions, Part, Work},
};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    for (chip, kernels) in
        [(Chip::M0_LARGE, Kernels::Armv6m), (Chip::M3, Kernels::Armv7m), (Chip::M4F, Kernels::Dsp)]
    {
        let measured = measure_shapes(chip)?;
        let costs = fit(&measured, kernels);
        println!("{kernels:?}: {costs:.1?}");
        let error = |estimate: f64, cost: &ShapeCost| estimate / cost.instructions as f64 - 1.0;
        let of_fit = |cost: &ShapeCost| {
            let Work { counted, parts } = Work::of(&cost.dims, kernels);
            error(counted + parts.iter().zip(&costs).map(|(count, cost)| count * cost).sum::<f64>(), cost)
        };
        let of_program = |cost: &ShapeCost| error(instructions(&cost.dims, kernels) as f64, cost);
        println!("largest error: {:.2} %", 100.0 * largest(measured.iter().map(of_fit)));
        println!(
            "largest error with the costs of the program: {:.2} %",
            100.0 * largest(measured.iter().map(of_program))
        );
    }
    Ok(())
}

fn largest(errors: impl Iterator<Item = f64>) -> f64 {
    errors.map(f64::abs).fold(0.0, f64::max)
}

/// Returns the costs, none of them below zero, with the least sum of squares of the relative errors. They are found by
/// minimising the sum for one cost at a time, again and again.
fn fit(measured: &[ShapeCost], kernels: Kernels) -> [f64; Part::ALL.len()] {
    // Rows and targets are divided by the measured number, so that all errors are relative.
    let rows: Vec<_> = measured
        .iter()
        .map(|cost| {
            let Work { counted, parts } = Work::of(&cost.dims, kernels);
            let all = cost.instructions as f64;
            (parts.map(|count| count / all), 1.0 - counted / all)
        })
        .collect();
    let mut costs = [0.0; Part::ALL.len()];
    let mut rests: Vec<f64> = rows.iter().map(|(_, target)| *target).collect();
    for _ in 0..200_000 {
        for part in 0..costs.len() {
            let square: f64 = rows.iter().map(|(counts, _)| counts[part] * counts[part]).sum();
            if square == 0.0 {
                continue;
            }
            let slope: f64 = rows.iter().zip(&rests).map(|((counts, _), rest)| counts[part] * rest).sum();
            let better = (costs[part] + slope / square).max(0.0);
            for ((counts, _), rest) in rows.iter().zip(&mut rests) {
                *rest -= counts[part] * (better - costs[part]);
            }
            costs[part] = better;
        }
    }
    costs
}
