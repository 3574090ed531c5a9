//! Tests on the emulated chips: firmware does what it should, and computes the same bits as the host.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use vit_emulator::{build_for_probe, Chip, Emulator, Run};
use vit_nostd::{
    float::{
        math::{Math, Polynomial},
        Micromath, Model, Scratch,
    },
    frame::{
        Fit, Frame, Input,
        PixelFormat::{self, *},
        Resizer,
    },
    image,
    int8::{self, kernels::Portable, weights::Weights},
    model_file::{self, Kind, Metadata, Normalization, Provenance, MAX_CHANNELS},
    Base, ConvNano, ConvTiny, Dims, Nano, Network, Tiny,
};
use vit_random_models::{random_image, random_weights, with_file, with_weights, Mood, Random};
use vit_test_networks::{
    each_shape, Classes10, Classes100, Classes1000, Colour, LargePatch, LargeWindow, OneConvolution, Signs,
    TwoConvolutions, Visitor, WideMlp, Widest, SHAPES,
};
use vit_tests::chip_bench::{measure, measure_frames, measure_on, Cost, Record};
use vit_train::{
    board::{
        core::Kernels,
        instructions::instructions,
        memory::{scratch_bytes, weight_bytes},
    },
    data::{self, synthetic},
    formats::model_bytes::ModelBytes,
    network::Trainable,
};

/// The file of a network trained on MNIST, as a float model.
const TRAINED: &str = "models/nano.f32.vit";
/// The file of that network as an integer model, which is the default model of the firmware.
const TRAINED_INT8: &str = "models/nano.int8.vit";

/// The chips that have enough memory for the float engine and for all presets.
const LARGE: [Chip; 4] = [Chip::M3, Chip::M4F, Chip::M7, Chip::M33];

fn in_firmware_folder(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware-example")).join(path)
}

/// Builds and runs the firmware `bin`, and compares its log with the expected one. The chip's time is that of its
/// instructions, so that timers do not wrap around on a slow machine.
fn run_and_compare(chip: Chip, bin: &str) -> Run {
    let elf = chip.build(bin).unwrap();
    let run = Emulator::new(chip.machine).count_instructions().run(&elf, |_| ()).unwrap();
    let expected = format!("{}/firmware/expected/{bin}.txt", env!("CARGO_MANIFEST_DIR"));
    let expected = fs::read_to_string(expected).unwrap();
    let expected: Vec<&str> = expected.lines().collect();
    assert_eq!(run.log.len(), expected.len(), "{}: {:#?}", chip.name, run.log);
    for (line, pattern) in run.log.iter().zip(expected) {
        assert!(
            matches(line, pattern),
            "{}: the log has this line:\n{line}\nexpected:\n{pattern}",
            chip.name
        );
    }
    run
}

/// Returns true if `line` matches `pattern`, in which each `*` stands for any text, such as numbers that depend on the
/// compiler.
fn matches(line: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => line == pattern,
        Some((head, tail)) => line.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).any(|skipped| rest.get(skipped..).is_some_and(|r| matches(r, tail)))
        }),
    }
}

#[test]
fn patterns() {
    assert!(matches("1 of 2", "1 of 2"));
    assert!(matches("1 of 2", "* of *"));
    assert!(!matches("1 of 2", "* of 3"));
    assert!(!matches("1 of 2", "1"));
}

#[test]
fn the_example_has_the_hosts_logits_on_every_board() {
    for chip in Chip::BOARDS {
        let run = run_and_compare(chip, "firmware-example");
        assert_eq!(run.exit_code, 0, "{}: {:#?}", chip.name, run.log);

        let numbers = run.log.last().unwrap().split(' ').filter_map(|word| word.parse().ok());
        let [variables, stack] = numbers.collect::<Vec<usize>>().try_into().unwrap();
        let has_dsp = ["thumbv7em", "thumbv8m"].iter().any(|family| chip.target.starts_with(family));
        let kernels = if has_dsp { "DSP" } else { "portable" };
        assert_eq!(run.log[0], format!("INFO kernels: {kernels}"), "{}", chip.name);
        assert!((3000..=4864).contains(&variables), "{}: {variables} bytes of variables", chip.name);
        assert!((256..2048).contains(&stack), "{}: {stack} bytes of stack", chip.name);
    }
}

/// The example takes models of other networks, too, with the samples next to them.
#[test]
fn the_example_runs_a_network_for_colours() {
    let chip = Chip::M4F;
    let elf = chip.build_example(&in_firmware_folder("models/signs.int8.vit")).unwrap();
    let run = Emulator::new(chip.machine).count_instructions().run(&elf, |_| ()).unwrap();
    assert_eq!(run.exit_code, 0, "{:#?}", run.log);
    assert_eq!(run.log.iter().filter(|line| line.ends_with("% sure")).count(), 8, "{:#?}", run.log);
}

/// The road signs of the example's camera, on boards that have enough memory for its network. It takes at most the 24 KB
/// of RAM that the guide promises.
#[test]
fn the_camera_recognises_its_signs() {
    for chip in [Chip::M3, Chip::M4F, Chip::M7, Chip::M33, Chip::STM32F405] {
        let run = run_and_compare(chip, "camera");
        assert_eq!(run.exit_code, 0, "{}: {:#?}", chip.name, run.log);
        let numbers = run.log.last().unwrap().split(' ').filter_map(|word| word.parse::<usize>().ok());
        assert!(numbers.sum::<usize>() <= 24 << 10, "{}: {:#?}", chip.name, run.log);
    }
}

#[test]
fn a_fault_is_a_failure() {
    for chip in Chip::ALL {
        let run = run_and_compare(chip, "hard_fault");
        assert_eq!(run.exit_code, 1);
    }
}

#[test]
fn a_panic_is_a_failure() {
    for chip in [Chip::M0, Chip::M4F] {
        let run = run_and_compare(chip, "panic");
        assert_eq!(run.exit_code, 1);
    }
}

/// Prints the instruction counts of the emulated boards, for the table of boards in the guide:
/// `cargo test --package vit-tests --test chip boards -- --nocapture`.
#[test]
fn the_boards_of_the_guide_are_those_that_run() {
    let guide = include_str!("../../docs/guide.md");
    let emulated = guide.lines().filter(|line| line.starts_with("| `") && line.ends_with("| emulated |"));
    let emulated: Vec<&str> = emulated.filter_map(|line| line.split('`').nth(1)).collect();
    assert_eq!(emulated, Chip::BOARDS.map(|chip| chip.machine));

    for chip in Chip::BOARDS {
        let elf = chip.build("firmware-example").unwrap();
        let run = Emulator::new(chip.machine).count_instructions().run(&elf, |_| ()).unwrap();
        assert_eq!(run.exit_code, 0, "{}: {:#?}", chip.name, run.log);
        let ticks = |line: &String| {
            let (_, ticks) = line.strip_prefix("INFO time: ")?.split_once('(')?;
            ticks.split(' ').next()?.parse().ok()
        };
        let instructions = chip.instructions(run.log.iter().find_map(ticks).unwrap());
        println!("{}: nano, {instructions} instructions", chip.machine);
        assert!(instructions > 1_000_000, "{}: the clock stands still", chip.name);
    }
}

/// Builds the firmware of boards that are not emulated, and of three others for hardware, as their aliases do. The
/// STM32H743 gets `base`.
#[test]
fn boards_that_are_not_emulated_are_built() {
    let guide = include_str!("../../docs/guide.md");
    let built = guide.lines().filter(|line| line.starts_with("| `") && line.ends_with("| built only |"));
    let built: Vec<&str> = built.filter_map(|line| line.split('`').nth(1)).collect();
    assert_eq!(built, ["nrf52840-dk", "nucleo-h743zi", "nucleo-l4r5zi", "pico", "pico2"]);

    let [nano, base] = [TRAINED_INT8, "models/base.int8.vit"].map(in_firmware_folder);
    for (board, target, model) in [
        ("nrf52840-dk", "thumbv7em-none-eabihf", &nano),
        ("nucleo-h743zi", "thumbv7em-none-eabihf", &base),
        ("nucleo-l4r5zi", "thumbv7em-none-eabihf", &nano),
        ("pico", "thumbv6m-none-eabi", &nano),
        ("pico2", "thumbv8m.main-none-eabihf", &nano),
        ("microbit", "thumbv6m-none-eabi", &nano),
        ("stm32vldiscovery", "thumbv7m-none-eabi", &nano),
        ("netduinoplus2", "thumbv7em-none-eabihf", &nano),
    ] {
        for bin in ["firmware-example", "serve"] {
            build_for_probe(board, target, bin, model).unwrap();
        }
    }
}

/// Builds the firmware that the README of `vit-boards` shows, outside the workspace, and runs it.
#[test]
fn the_firmware_of_the_boards_readme_runs() {
    let readme = include_str!("../../vit-boards/README.md");
    let (_, readme) = readme.split_once("## A whole firmware").unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let folder = tempfile::tempdir().unwrap();
    // The code blocks in their order. The last one is the source of another firmware, which is built, too.
    let files = ["Cargo.toml", "build.rs", ".cargo/config.toml", "src/main.rs", "src/bin/serve.rs"];
    let blocks = readme.split("\n```").skip(1).step_by(2).zip(files);
    for (block, file) in blocks {
        let (_, text) = block.split_once('\n').unwrap(); // the first line is the language
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replace("../vit/", &format!("{}/", root.display()))).unwrap();
    }
    fs::copy(root.join("Cargo.lock"), folder.path().join("Cargo.lock")).unwrap();
    for sources in ["src", "src/bin"] {
        let model = folder.path().join(sources).join("nano.int8.vit");
        fs::copy(in_firmware_folder(TRAINED_INT8), model).unwrap();
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("firmware-outside");
    let mut build = Command::new(root.join("tools/chip-cargo"));
    build.args(["build", "--release", "--quiet", "--target-dir"]).arg(&target).current_dir(folder.path());
    assert!(build.status().unwrap().success());

    let elf = target.join(Chip::M0.target).join("release/my-firmware");
    let run = Emulator::new(Chip::M0.machine).count_instructions().run(&elf, |_| ()).unwrap();
    assert_eq!(run.exit_code, 0, "{:#?}", run.log);
    assert!(matches(&run.log[0], "INFO this is a 1, after Some(*) ticks on a micro:bit"), "{:#?}", run.log);
}

#[test]
fn a_firmware_that_does_not_end_is_stopped() {
    let elf = Chip::M4F.build("firmware-example").unwrap();
    let run = Emulator::new(Chip::M4F.machine).timeout(Duration::ZERO).run(&elf, |_| ());
    let error = run.unwrap_err().to_string();
    assert!(error.contains("still ran"), "{error}");
}

#[test]
fn a_damaged_model_is_refused() {
    let mut model = random_model::<Nano>(1);
    let last = model.len() - 5;
    model[last] ^= 1;
    let error = Chip::M4F.logits(&model, &[0; 784]).unwrap_err().to_string();
    assert!(error.contains("model.vit: BadCrc"), "{error}");
}

#[test]
fn trained_nano_has_the_hosts_bits() {
    let model = fs::read(in_firmware_folder(TRAINED)).unwrap();
    let images = [&[0; 784], &[255; 784], synthetic::dataset(10, 7).images()].concat();
    for chip in LARGE {
        assert_equal_bits::<Nano>(chip, &model, &images);
    }
}

/// Compares on real data, if `MNIST_DIR` names its folder.
#[test]
fn mnist_has_the_hosts_bits() {
    let Some(dir) = std::env::var_os(data::MNIST_DIR) else { return };
    let mut digits =
        data::load(&data::Source::Directory(dir.into()), data::Format::of::<Nano>(), Fit::Stretch)
            .unwrap()
            .test;
    digits.truncate(100);
    let model = fs::read(in_firmware_folder(TRAINED)).unwrap();
    assert_equal_bits::<Nano>(Chip::M4F, &model, digits.images());
}

#[test]
fn integers_have_the_hosts_bits() {
    let digits = synthetic::dataset(200, 9);
    let images = [&[0; 784], &[255; 784], digits.images()].concat();
    trained_has_the_hosts_bits::<Nano>(TRAINED_INT8, &images, Chip::M4F);
    let some = &images[..20 * 784];
    for chip in [Chip::M0, Chip::M3, Chip::M7, Chip::M33] {
        trained_has_the_hosts_bits::<Nano>(TRAINED_INT8, some, chip);
    }
    for chip in [Chip::M0, Chip::M3, Chip::M4F, Chip::M7, Chip::M33] {
        trained_has_the_hosts_bits::<ConvNano>("models/conv-nano.int8.vit", some, chip);
    }
    trained_has_the_hosts_bits::<ConvTiny>("models/conv-tiny.int8.vit", some, Chip::M4F);
    trained_has_the_hosts_bits::<Tiny>("models/tiny.int8.vit", some, Chip::M4F);
    trained_has_the_hosts_bits::<Base>("models/base.int8.vit", some, Chip::M7);
}

fn trained_has_the_hosts_bits<N: Network>(model: &str, images: &[u8], chip: Chip) {
    let model = ModelBytes::read(&in_firmware_folder(model)).unwrap();
    let host = int8::Model::<N>::from_bytes(&model).unwrap();
    let mut scratch = Box::new(int8::Scratch::<N>::new());
    let mut on_host = |pixels| host.infer(image::<N>(pixels).unwrap(), &mut scratch);
    let on_host =
        images.chunks_exact(784).map(|pixels| on_host(pixels).as_ref().to_vec()).collect::<Vec<_>>();
    let on_host: Vec<u32> = on_host.concat().into_iter().map(|logit| logit as u32).collect();
    assert_eq!(chip.logits(&model, images).unwrap(), on_host, "{}, {}", chip.name, N::DIMS);
}

/// Compares the kernels of each chip with those in plain Rust, for weights at their bounds, sums that saturate, and
/// rows without variance.
#[test]
fn hostile_networks_have_the_portable_bits() {
    for (index, mood) in Mood::ALL.into_iter().enumerate() {
        for chip in Chip::ALL {
            assert_portable_bits::<Nano>(chip, mood, 10 + index as u64);
            assert_portable_bits::<Colour>(chip, mood, 60 + index as u64);
            assert_portable_bits::<ConvNano>(chip, mood, 80 + index as u64);
            assert_portable_bits::<OneConvolution>(chip, mood, 90 + index as u64);
            assert_portable_bits::<TwoConvolutions>(chip, mood, 100 + index as u64);
        }
        for chip in LARGE {
            assert_portable_bits::<Tiny>(chip, mood, 20 + index as u64);
            assert_portable_bits::<Widest>(chip, mood, 70 + index as u64);
            assert_portable_bits::<ConvTiny>(chip, mood, 110 + index as u64);
        }
        assert_portable_bits::<Base>(Chip::M4F, mood, 30 + index as u64);
    }
}

fn assert_portable_bits<N: Network>(chip: Chip, mood: Mood, seed: u64) {
    let (file, images, on_host) = random_int8::<N>(mood, seed);
    assert_eq!(chip.logits(&file, &images).unwrap(), on_host, "{}, {}, {mood:?}", chip.name, N::DIMS);
}

/// Returns a random integer model file, the pixels of two images, and the bits of their logits, computed by the kernels
/// in plain Rust.
fn random_int8<N: Network>(mood: Mood, seed: u64) -> (Vec<u8>, Vec<u8>, Vec<u32>) {
    let mut random = Random(seed);
    let mut weights = vec![0; Weights::<N>::BYTES];
    with_weights(weights.len(), |bytes| {
        random_weights::<N>(&mut random, mood, bytes);
        weights.copy_from_slice(bytes);
    });
    let images = [random_image::<N>(&mut random, 1), random_image::<N>(&mut random, 2)];
    with_file::<N, _>(&weights, |file| {
        let model = int8::Model::<N>::from_bytes(file).unwrap();
        let mut scratch = Box::new(int8::Scratch::<N>::new());
        let on_host = images.iter().flat_map(|pixels| {
            let logits = model.infer_with(Portable, image::<N>(pixels).unwrap(), &mut scratch, &mut ());
            logits.as_ref().iter().map(|&logit| logit as u32).collect::<Vec<_>>()
        });
        (file.to_vec(), images.concat(), on_host.collect())
    })
}

/// The rows have 4092 weights, which is the longest row within the reach of an offset in an instruction, and 4096, 4608
/// and 8192 weights.
#[test]
fn rows_of_any_length_have_the_portable_bits() {
    for chip in [Chip::M3, Chip::M4F, Chip::M33] {
        for mood in [Mood::Calm, Mood::Wild] {
            assert_limits(chip, random_int8::<LargePatch>(mood, 40));
            assert_limits(chip, random_int8::<WideMlp>(mood, 41));
            assert_limits(chip, random_int8::<LargeWindow>(mood, 42));
        }
    }
}

/// An inference takes as much stack as the documentation of `Scratch` states: 4 bytes for each class, and little else.
#[test]
fn a_class_takes_four_bytes_of_stack() {
    let float = [float_stack::<Classes10>(), float_stack::<Classes100>(), float_stack::<Classes1000>()];
    let int8 = [int8_stack::<Classes10>(), int8_stack::<Classes100>(), int8_stack::<Classes1000>()];
    println!("bytes of stack with 10, 100 and 1000 classes: float {float:?}, int8 {int8:?}");
    for [ten, hundred, thousand] in [float, int8] {
        assert!(ten < 1024 && hundred <= ten + 4 * 90 + 64 && thousand <= ten + 4 * 990 + 64);
    }
}

fn int8_stack<N: Network>() -> usize {
    assert_limits(Chip::M4F, random_int8::<N>(Mood::Calm, 50))
}

fn float_stack<N: Trainable>() -> usize {
    let model = random_model::<N>(51);
    let images = random_image::<N>(&mut Random(52), 2);
    let logits = on_host::<N, Polynomial>(&model, &images);
    assert_limits(Chip::M4F, (model, images, logits))
}

/// Compares the logits of the firmware `limits` with those of the host. Returns the number of bytes of stack that an
/// inference took.
fn assert_limits(chip: Chip, (model, images, on_host): (Vec<u8>, Vec<u8>, Vec<u32>)) -> usize {
    let (logits, stack) = chip.logits_and_stack("limits", &model, &images).unwrap();
    assert!(logits == on_host, "{}: other logits for a model of {} bytes", chip.name, model.len());
    stack
}

#[test]
fn random_networks_have_the_hosts_bits() {
    let images = synthetic::dataset(2, 8);
    for chip in LARGE {
        assert_equal_bits::<Tiny>(chip, &random_model::<Tiny>(2), images.images());
        let colour = [1, 2].map(|index| random_image::<Colour>(&mut Random(4), index)).concat();
        assert_equal_bits::<Colour>(chip, &random_model::<Colour>(5), &colour);
        assert_equal_bits::<ConvNano>(chip, &random_model::<ConvNano>(6), images.images());
        let one = random_image::<OneConvolution>(&mut Random(4), 2);
        assert_equal_bits::<OneConvolution>(chip, &random_model::<OneConvolution>(7), &one);
        let two = random_image::<TwoConvolutions>(&mut Random(4), 2);
        assert_equal_bits::<TwoConvolutions>(chip, &random_model::<TwoConvolutions>(8), &two);
    }
    assert_equal_bits::<Base>(Chip::M4F, &random_model::<Base>(3), images.images());
}

#[test]
fn micromath_has_the_hosts_bits() {
    let model = fs::read(in_firmware_folder(TRAINED)).unwrap();
    let images = [&[0; 784], &[255; 784], synthetic::dataset(10, 7).images()].concat();
    let polynomial = on_host::<Nano, Polynomial>(&model, &images);
    let micromath = on_host::<Nano, Micromath>(&model, &images);
    let differ = polynomial.iter().zip(&micromath).filter(|(a, b)| a != b).count();
    assert!(differ > polynomial.len() / 2, "only {differ} logits differ: is micromath used at all?");
    for chip in LARGE {
        let on_chip = chip.with_micromath().logits(&model, &images).unwrap();
        assert_eq!(on_chip, micromath, "{}", chip.name);
    }
}

/// Frames that are smaller and larger than the input, in every format, fit and number of channels.
#[test]
fn resized_frames_have_the_hosts_bytes() {
    /// The formats and fits, in the order of the firmware.
    const FORMATS: [PixelFormat; 6] = [Grey8, Rgb888, Rgb565Le, Rgb565Be, Yuyv, Uyvy];
    const FITS: [Fit; 3] = [Fit::Stretch, Fit::Crop, Fit::Pad];
    let mut random = Random(53);
    let (mut frames, mut on_host) = (Vec::new(), Vec::new());
    for (format, fit, channels) in
        (0..FORMATS.len() * FITS.len() * 2).map(|index| (index / 6, index / 2 % 3, [1, 3][index % 2]))
    {
        for [width, height, input_height, input_width] in
            [[320, 24, 32, 32], [50, 77, 13, 32], [6, 5, 24, 20]]
        {
            let frame = Frame { width, height, format: FORMATS[format] };
            let input = Input { height: input_height, width: input_width, channels };
            for number in [format, fit, width, height, input_height, input_width, channels] {
                frames.extend((number as u16).to_le_bytes());
            }
            let (mut sums, mut image) = (vec![0; input.sums()], vec![0; input.bytes()]);
            let mut resizer = Resizer::new(frame, FITS[fit], input, &mut sums, &mut image).unwrap();
            for _ in 0..height {
                let line: Vec<u8> = (0..frame.line_bytes()).map(|_| random.below(256) as u8).collect();
                resizer.row(&line).unwrap();
                frames.extend(line);
            }
            resizer.finish().unwrap();
            on_host.extend(image);
        }
    }
    for chip in Chip::ALL {
        let elf = chip.build("frames").unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("frames.bin"), &frames).unwrap();
        let run = chip.run(&elf, &dir).unwrap();
        assert_eq!(run.exit_code, 0, "{}: {:#?}", chip.name, run.log);
        assert!(fs::read(dir.path().join("images.bin")).unwrap() == on_host, "{}: other bytes", chip.name);
    }
}

fn assert_equal_bits<N: Network>(chip: Chip, model: &[u8], images: &[u8]) {
    let on_chip = chip.logits(model, images).unwrap();
    assert_eq!(on_chip, on_host::<N, Polynomial>(model, images), "{}, {}", chip.name, N::DIMS);
}

/// Returns the bits of the float engine's logits on the host, and checks that they are finite.
fn on_host<N: Network, M: Math>(model: &[u8], images: &[u8]) -> Vec<u32> {
    let model = ModelBytes::from(model);
    let model = Model::<N, M>::from_bytes(&model).unwrap();
    let mut scratch = Box::new(Scratch::<N>::new());
    let logits: Vec<u32> = images
        .chunks_exact(N::DIMS.image_values())
        .flat_map(|pixels| {
            let logits = model.infer(image::<N>(pixels).unwrap(), &mut scratch);
            logits.as_ref().iter().map(|logit| logit.to_bits()).collect::<Vec<_>>()
        })
        .collect();
    assert!(logits.iter().all(|&bits| f32::from_bits(bits).is_finite()));
    logits
}

/// The recorded results of `chip-bench`. `cargo run --release -p vit-tests --bin chip-bench -- --json` prints new ones.
const RECORD: &str = include_str!("../../benchmarks/record/chip-bench.json");

#[test]
fn costs_are_within_their_bounds() {
    let Record { inferences: record, .. } = serde_json::from_str(RECORD).unwrap();
    let costs = measure(|cost| println!("{cost:?}")).unwrap();
    assert_eq!(costs.len(), record.len());
    for (cost, recorded) in costs.iter().zip(&record) {
        let name = format!("{}, {}", cost.chip, cost.preset);
        assert_eq!(name, format!("{}, {}", recorded.chip, recorded.preset));
        for ((what, now), (_, then)) in cost.counts().into_iter().zip(recorded.counts()) {
            assert!(now <= 1.02 * then, "{name}: {now} {what}, {then} in the record");
        }

        let dsp = ["Cortex-M4F", "Cortex-M7", "Cortex-M33"].contains(&cost.chip.as_str());
        assert_estimate(cost);
        assert_eq!(cost.engine, if dsp { "DSP" } else { "portable" }, "{name}");
        let (scratch, ram) = match (cost.preset.as_str(), dsp) {
            ("nano", false) => (3584, 4096),
            ("nano", true) => (4608, 5632),
            ("conv-nano", false) => (3584, 4096),
            ("conv-nano", true) => (6656, 7680),
            ("tiny" | "conv-tiny", _) => (15_360, 16_384),
            ("signs", _) => (18_944, 19_456),
            _ => (9216, 10_240),
        };
        assert!(cost.scratch_bytes <= scratch, "{name}: {} bytes of scratch memory", cost.scratch_bytes);
        assert!(cost.scratch_bytes + cost.stack_bytes < ram, "{name}: {} of stack", cost.stack_bytes);
        let code = if cost.preset.starts_with("conv-") { 19 << 10 } else { 16 << 10 };
        assert!(cost.code_bytes <= code, "{name}: {} bytes of code", cost.code_bytes);
        if cost.preset == "base" {
            let block = if dsp { 2_300_000 } else { 5_500_000 };
            assert!(cost.instructions_per_block <= block, "{name}: {}", cost.instructions_per_block);
        }
        if dsp {
            assert!(cost.softmax_instructions_per_element <= 40.0, "{name}: softmax");
        }
    }
}

/// The sizes of scratch memory and weights that `vit-train fit` computes are those of the library, for networks of many
/// shapes on every kind of chip.
#[test]
fn memory_is_what_the_formulas_say() {
    struct Weigh(Vec<(&'static str, Dims, usize)>);
    impl Visitor for Weigh {
        fn visit<N: Network>(&mut self) {
            self.0.push((N::NAME, N::DIMS, Weights::<N>::BYTES));
        }
    }
    let mut weigh = Weigh(Vec::new());
    each_shape(&mut weigh);
    assert_eq!(weigh.0.len(), SHAPES);
    for (name, dims, bytes) in &weigh.0 {
        assert_eq!(weight_bytes(dims), *bytes, "{name}: {dims}");
    }
    for chip in Chip::ALL {
        let kernels = kernels_of(chip.name);
        let elf = chip.build("sizes").unwrap();
        let run = Emulator::new(chip.machine).run(&elf, |_| ()).unwrap();
        assert_eq!(run.log.len(), weigh.0.len(), "{}: {:#?}", chip.name, run.log);
        for (line, (name, dims, _)) in run.log.iter().zip(&weigh.0) {
            let expected = format!("INFO {name}: {}", scratch_bytes(dims, kernels));
            assert_eq!(*line, expected, "{}: {dims}", chip.name);
        }
    }
}

/// Returns the kernels of the chip with this name.
fn kernels_of(chip: &str) -> Kernels {
    match chip {
        "Cortex-M0" => Kernels::Armv6m,
        "Cortex-M3" => Kernels::Armv7m,
        _ => Kernels::Dsp,
    }
}

/// The instructions that `vit-train fit` estimates are nearly those of the presets and of the network for road signs on a
/// Cortex-M0. The costs of the estimate were fitted to other networks. `costs_are_within_their_bounds` has the other chips.
#[test]
fn instructions_on_a_cortex_m0_are_estimated() {
    for cost in measure_on(Chip::M0_LARGE, |cost| println!("{cost:?}")).unwrap() {
        assert_estimate(&cost);
    }
}

fn assert_estimate(cost: &Cost) {
    let dims = match cost.preset.as_str() {
        "nano" => Nano::DIMS,
        "tiny" => Tiny::DIMS,
        "conv-nano" => ConvNano::DIMS,
        "conv-tiny" => ConvTiny::DIMS,
        "signs" => Signs::DIMS,
        _ => Base::DIMS,
    };
    let error = instructions(&dims, kernels_of(&cost.chip)) as f64 / cost.instructions as f64 - 1.0;
    println!("{} on a {}: the estimate is off by {:.1} %", cost.preset, cost.chip, 100.0 * error);
    assert!(error.abs() <= 0.05, "{} on a {}: {error}", cost.preset, cost.chip);
}

#[test]
fn costs_of_frames_are_within_their_bounds() {
    let Record { frames: record, .. } = serde_json::from_str(RECORD).unwrap();
    let costs = measure_frames().unwrap();
    assert_eq!(costs.len(), record.len());
    for (cost, recorded) in costs.iter().zip(&record) {
        println!("{cost:?}");
        let name = format!("{}, {}", cost.chip, cost.formats);
        assert_eq!(name, format!("{}, {}", recorded.chip, recorded.formats));
        let [now, then] = [cost, recorded].map(|cost| cost.instructions_per_pixel);
        assert!(now <= 1.02 * then, "{name}: {now} instructions per pixel, {then} in the record");
        assert!(cost.stack_bytes <= 768, "{name}: {} bytes of stack", cost.stack_bytes);
    }
}

/// Returns a float model file with weights between -1/4 and 1/4. Its activations vary far more than those of a trained
/// network.
fn random_model<N: Trainable>(seed: u32) -> Vec<u8> {
    let mut state = seed;
    let weights: Vec<u8> = (0..Model::<N>::WEIGHT_BYTES / size_of::<f32>())
        .flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            ((state as f32 / u32::MAX as f32 - 0.5) / 2.0).to_le_bytes()
        })
        .collect();
    model_file::<N>(Kind::F32, &weights)
}

fn model_file<N: Network>(kind: Kind, weights: &[u8]) -> Vec<u8> {
    let provenance =
        Provenance { dataset: "none", seed: 0, test_accuracy: None, tool: "test", checkpoint: None };
    let mut normalization = [Normalization::NO_CHANNEL; MAX_CHANNELS];
    normalization[..N::CHANNELS].fill(Normalization { mean: 0.1307, std: 0.3081 });
    let labels = vec!["x"; N::CLASSES].join("\n");
    let metadata = Metadata::new(Fit::Stretch, normalization, &labels, provenance);
    let mut file = vec![0; weights.len() + model_file::overhead(&metadata)];
    let len = model_file::write::<N>(kind, &metadata, weights, &mut file).unwrap();
    file.truncate(len);
    file
}
