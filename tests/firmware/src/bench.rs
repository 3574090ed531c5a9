//! Measures the ticks of an inference, in total and by stage, and the memory that it takes. `chip-bench` in `tests`
//! reads the log.

use cortex_m::peripheral::{syst::SystClkSource, Peripherals, SYST};
use vit_nostd::{
    int8::{kernels, requantize::Scale, softmax::ExpTable, Model, Scratch},
    model_file::Preamble,
    Element, Image, Network, Probe, Stage, Values, Vector,
};

use crate::stack_of;
use vit_boards::exit;

/// The largest value of SysTick, which has 24 bits.
const SYSTICK: u32 = (1 << 24) - 1;

/// The number of stages.
const STAGES: usize = Stage::ALL.len();

/// Measures inferences with the model in the chip's memory, logs the results, and ends the firmware.
pub fn bench<N: Network>(scratch: &mut Scratch<N>) -> ! {
    if let Some(mut peripherals) = Peripherals::take() {
        peripherals.SYST.set_clock_source(SystClkSource::Core);
        peripherals.SYST.set_reload(SYSTICK);
        peripherals.SYST.enable_counter();
    }
    let bytes = crate::flashed_model();
    let (Ok(model), Ok(Preamble { .. })) = (Model::<N>::from_bytes(bytes), Preamble::read(bytes)) else {
        defmt::panic!("the model file is damaged or of another shape");
    };
    // Arbitrary levels: the number of instructions does not depend on them.
    let mut image = Image::<N>::ZERO;
    let mut next = 0u8;
    for level in bytemuck::bytes_of_mut(&mut image) {
        next = next.wrapping_mul(29).wrapping_add(71);
        *level = next;
    }

    let (ticks, stack) = stack_of(|| {
        let start = SYST::get_current();
        infer(&model, &image, scratch);
        since(start)
    });
    defmt::info!("kernels {=str}", kernels::name());
    defmt::info!(
        "inference {=u32} ticks, scratch {=usize}, stack {=usize}",
        ticks,
        Scratch::<N>::BYTES,
        stack
    );

    // A stage lasts from one call of the observer to the next.
    let (mut all, mut middle) = ([0u32; STAGES], [0u32; STAGES]);
    let mut last = SYST::get_current();
    model.infer_observed(&image, scratch, &mut |probe: Probe, _: Values<'_>| {
        let now = SYST::get_current();
        let ticks = last.wrapping_sub(now) & SYSTICK; // it counts down
        last = now;
        let stage = probe.stage as usize;
        all[stage] += ticks;
        if probe.block == N::DEPTH / 2 && !matches!(probe.stage, Stage::Stem | Stage::Embedding) {
            middle[stage] += ticks;
        }
    });
    for (stage, (all, middle)) in Stage::ALL.into_iter().zip(all.into_iter().zip(middle)) {
        defmt::info!("stage {=str}: {=u32} ticks, {=u32} of them in a block", stage.name(), all, middle);
    }
    defmt::info!("softmax {=u32} ticks for {=u32} elements", softmax::<N>(), ROUNDS * N::TOKENS as u32);
    exit(0)
}

/// Runs an inference. It is a separate function so that `chip-bench` finds its code in the ELF file.
#[inline(never)]
fn infer<N: Network>(model: &Model<N>, image: &Image<N>, scratch: &mut Scratch<N>) {
    core::hint::black_box(model.infer(image, scratch));
}

/// The number of rows of scores that [`softmax`] measures.
const ROUNDS: u32 = 1000;

/// Returns the ticks for turning [`ROUNDS`] rows of scores into exponentials.
fn softmax<N: Network>() -> u32 {
    let table: ExpTable = core::array::from_fn(|i| 32767 >> (i / 16));
    let scores = core::array::from_fn::<_, 64, _>(|i| (i * i) as i32 * 211 % 9973);
    let scale = Scale { multiplier: 20000, shift: 22 };
    let rounds = |work: &dyn Fn(&mut [i32])| {
        let start = SYST::get_current();
        for _ in 0..ROUNDS {
            let mut row = Vector::<N::Tokens, i32>::ZERO;
            row.as_mut().iter_mut().zip(&scores).for_each(|(row, &score)| *row = score);
            work(row.as_mut());
            core::hint::black_box(&row);
        }
        since(start)
    };
    // The difference leaves out the ticks for preparing the rows.
    rounds(&|row| _ = kernels::exponentials(row, scale, &table)) - rounds(&|_| ())
}

fn since(start: u32) -> u32 {
    start.wrapping_sub(SYST::get_current()) & SYSTICK
}
