//! Tests the C libraries that `vit-train export --c` writes: C and C++ programs are compiled with them, with and without
//! a C library, and run on emulated chips and on this PC.
//!
//! The programs are in the folder `tests/c`. By default, they run on a Cortex-M0 and on a Cortex-M4F. With the
//! environment variable `MANY_C`, they run on every kind of core, and with the larger presets.

#![cfg(unix)]

use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SectionKind};
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{LazyLock, Mutex, PoisonError},
};
use vit_emulator::{Chip, Emulator};
use vit_nostd::{
    image,
    int8::{Model, Scratch},
    Base, ConvNano, Nano, Network, Tiny,
};
use vit_random_models::{random_image, Random};
use vit_test_networks::Signs;
use vit_tests::chip_bench::model as arbitrary_model;
use vit_train::formats::model_bytes::ModelBytes;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// The folder of everything that these tests write.
const FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/c");
const README: &str = include_str!("../../vit-c/README.md");

/// The warnings that no program and no header may cause.
const WARNINGS: &str = "-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror";
const SANITIZERS: &str = "-fsanitize=address,undefined -fno-sanitize-recover=all";

/// True if all cores and networks are to be tested.
fn many() -> bool {
    env::var_os("MANY_C").is_some()
}

/// A network with a model.
#[derive(Clone, Copy)]
struct Preset {
    name: &'static str,
    /// Computes the logits of images on this PC, with the library in Rust.
    on_host: fn(&[u8]) -> Vec<u8>,
    /// Returns this many images.
    images: fn(usize) -> Vec<u8>,
}

const NANO: Preset = preset::<Nano>("nano");
const SIGNS: Preset = preset::<Signs>("signs");

const fn preset<N: Network>(name: &'static str) -> Preset {
    Preset { name, on_host: on_host::<N>, images: images::<N> }
}

fn on_host<N: Network>(images: &[u8]) -> Vec<u8> {
    let file = ModelBytes::read(&model_of(N::NAME)).unwrap();
    let model = Model::<N>::from_bytes(&file).unwrap();
    let mut scratch = Box::new(Scratch::<N>::new());
    let logits = images.chunks_exact(N::DIMS.image_values()).flat_map(|pixels| {
        let logits = model.infer(image::<N>(pixels).unwrap(), &mut scratch);
        logits.as_ref().iter().flat_map(|logit| logit.to_le_bytes()).collect::<Vec<_>>()
    });
    logits.collect()
}

/// Returns a dark image, a bright one, noise, and images in which every level is 0 or 255.
fn images<N: Network>(count: usize) -> Vec<u8> {
    let mut random = Random(30);
    let mut images = Vec::new();
    for index in 0..count {
        let mut pixels = random_image::<N>(&mut random, index);
        if index % 5 == 4 {
            pixels.iter_mut().for_each(|level| *level = if *level < 128 { 0 } else { 255 });
        }
        images.extend(pixels);
    }
    images
}

/// Returns the path of a network's model, which is trained, except for that of `ConvNano`.
fn model_of(network: &str) -> PathBuf {
    static CONV_NANO: LazyLock<PathBuf> = LazyLock::new(|| {
        fs::create_dir_all(FOLDER).unwrap();
        let path = Path::new(FOLDER).join("convnano.int8.vit");
        fs::write(&path, arbitrary_model::<ConvNano>().unwrap()).unwrap();
        path
    });
    if network.eq_ignore_ascii_case(ConvNano::NAME) {
        return CONV_NANO.clone();
    }
    Path::new(ROOT).join(format!("firmware-example/models/{}.int8.vit", network.to_lowercase()))
}

/// The networks of the first library, and those of a second one, which is only tested with `MANY_C`.
const LIBRARIES: [&[Preset]; 2] =
    [&[NANO, SIGNS], &[preset::<Tiny>("tiny"), preset::<Base>("base"), preset::<ConvNano>("convnano")]];

fn libraries() -> &'static [&'static [Preset]] {
    if many() {
        &LIBRARIES
    } else {
        &LIBRARIES[..1]
    }
}

/// A kind of processor that libraries are exported for, and the machine that emulates it.
#[derive(Clone, Copy)]
struct Core {
    name: &'static str,
    chip: Chip,
    /// The options of `vit-train export`.
    target: &'static str,
    cpu: Option<&'static str>,
    /// The options of gcc.
    options: &'static str,
}

/// A Cortex-M0 with 256 KB of flash and 16 KB of RAM.
const M0: Core = Core {
    name: "Cortex-M0",
    chip: Chip::M0,
    target: "thumbv6m-none-eabi",
    cpu: None,
    options: "-mcpu=cortex-m0",
};
/// The code for a Cortex-M0 on a machine with more memory, which can also count instructions.
const M0_LARGE: Core = Core { chip: Chip::M0_LARGE, ..M0 };
const M3: Core = Core {
    name: "Cortex-M3",
    chip: Chip::M3,
    target: "thumbv7m-none-eabi",
    cpu: None,
    options: "-mcpu=cortex-m3",
};
const M4F: Core = Core {
    name: "Cortex-M4F",
    chip: Chip::M4F,
    target: "thumbv7em-none-eabihf",
    cpu: None,
    options: "-mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16",
};
const M4: Core = Core {
    name: "Cortex-M4",
    chip: Chip::M4F,
    target: "thumbv7em-none-eabi",
    cpu: None,
    options: "-mcpu=cortex-m4 -mfloat-abi=soft",
};
const M7: Core = Core {
    name: "Cortex-M7",
    chip: Chip::M7,
    target: "thumbv7em-none-eabihf",
    cpu: Some("cortex-m7"),
    options: "-mcpu=cortex-m7 -mfloat-abi=hard -mfpu=fpv5-sp-d16",
};
const M33: Core = Core {
    name: "Cortex-M33",
    chip: Chip::M33,
    target: "thumbv8m.main-none-eabihf",
    cpu: None,
    options: "-mcpu=cortex-m33 -mfloat-abi=hard -mfpu=fpv5-sp-d16",
};
/// A Cortex-M33 with code for chips without the DSP extension.
const M33_WITHOUT_DSP: Core = Core {
    name: "Cortex-M33 without DSP",
    cpu: Some("cortex-m33+nodsp"),
    options: "-mcpu=cortex-m33+nodsp -mfloat-abi=hard -mfpu=fpv5-sp-d16",
    ..M33
};

/// The target of this PC.
const HOST: &str = "x86_64-unknown-linux-gnu";

fn cores() -> Vec<Core> {
    let mut cores = vec![M0, M4F];
    if many() {
        cores.extend([M3, M4, M7, M33, M33_WITHOUT_DSP]);
    }
    cores
}

impl Core {
    /// Returns this core on a machine that has memory for large models, and that can count instructions.
    fn large(self) -> Self {
        if self.chip == Chip::M0 {
            M0_LARGE
        } else {
            self
        }
    }

    /// Returns the options of the linker for the machine's memory.
    fn memory(self) -> String {
        let [flash, flash_bytes, ram, ram_bytes] = match self.chip.machine {
            "microbit" => ["0", "256K", "0x20000000", "16K"],
            "mps2-an505" => ["0x10000000", "4M", "0x38000000", "256K"],
            _ => ["0", "4M", "0x20000000", "256K"],
        };
        format!(
            "-Wl,--defsym=FLASH={flash},--defsym=FLASH_BYTES={flash_bytes},--defsym=RAM={ram},\
             --defsym=RAM_BYTES={ram_bytes}"
        )
    }
}

/// Builds the program `vit-train`, and returns its path.
fn program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        let target = concat!(env!("CARGO_TARGET_TMPDIR"), "/..");
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.args(["build", "--quiet", "--bin", "vit-train", "--target-dir", target]).current_dir(ROOT);
        // The crates for this PC, with the features that all of them together enable, as in the test command.
        cargo.arg("--workspace");
        cargo.args(
            ["firmware-example", "test-firmware", "vit-boards"].map(|name| format!("--exclude={name}")),
        );
        // Variables that describe the test's package would let build scripts run again.
        for (variable, _) in env::vars_os() {
            let name = variable.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(&variable);
            }
        }
        assert!(cargo.status().unwrap().success(), "the program is not built");
        Path::new(target).join("debug/vit-train")
    });
    &PROGRAM
}

/// Returns the library that has these networks.
fn library_with(networks: &[&str]) -> &'static [Preset] {
    let has = |library: &&&[Preset]| library.iter().any(|preset| networks.contains(&preset.name));
    LIBRARIES.iter().find(has).unwrap()
}

/// Exports the first library for a target. Returns its folder.
fn export_first(target: &str, cpu: Option<&str>) -> PathBuf {
    export(LIBRARIES[0], target, cpu)
}

/// Exports the library of these networks for a target, once in all tests. Returns its folder.
fn export(networks: &[Preset], target: &str, cpu: Option<&str>) -> PathBuf {
    static EXPORTED: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    // The lock is held during an export: it uses all processors anyway.
    let mut folders = EXPORTED.lock().unwrap_or_else(PoisonError::into_inner);
    let names = networks.iter().map(|network| network.name);
    let key = [target].into_iter().chain(cpu).chain(names.clone()).collect::<Vec<_>>().join("-");
    folders
        .entry(key.clone())
        .or_insert_with(|| {
            let folder = Path::new(FOLDER).join("exported").join(key);
            let _ = fs::remove_dir_all(&folder); // of an earlier test, if there was one
            fs::create_dir_all(folder.parent().unwrap()).unwrap();
            let mut command = Command::new(program());
            command.arg("export").args(names.clone().map(model_of));
            command.arg("--c").arg(&folder).args(["--target", target]);
            command.args(cpu.iter().flat_map(|cpu| ["--cpu", cpu]));
            command.args(names.flat_map(|name| ["--name", name]));
            command.env("CARGO_TARGET_DIR", Path::new(FOLDER).join("target"));
            run(&mut command);
            folder
        })
        .clone()
}

/// Runs a command, checks that it succeeds, and returns its output.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{text}{errors}", output.status);
    text
}

/// The standard that a program is compiled by.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Standard {
    C99,
    Cpp17,
}

/// The files and options that a program is linked with in addition.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Libc {
    /// The small variant of the C library of most toolchains for chips.
    Newlib,
    /// Nothing but the compiler's own library.
    Freestanding,
    /// Nothing at all.
    Nothing,
}

const VARIANTS: [(Standard, Libc); 4] = [
    (Standard::C99, Libc::Newlib),
    (Standard::C99, Libc::Freestanding),
    (Standard::Cpp17, Libc::Newlib),
    (Standard::Cpp17, Libc::Freestanding),
];

/// Splits options at their spaces.
fn words(options: &str) -> impl Iterator<Item = &str> {
    options.split(' ').filter(|word| !word.is_empty())
}

fn compiler(gcc: &str, gpp: &str, standard: Standard) -> (Command, [&'static str; 3]) {
    match standard {
        Standard::C99 => (Command::new(gcc), ["-std=c99", "-x", "c"]),
        Standard::Cpp17 => (Command::new(gpp), ["-std=c++17", "-x", "c++"]),
    }
}

/// A program for a chip.
struct Firmware {
    elf: PathBuf,
    /// The linker's map.
    map: PathBuf,
}

/// Compiles the program `source` for a core, with the models of these networks. `options` are for the compiler.
fn build(
    core: Core,
    (standard, libc): (Standard, Libc),
    source: &Path,
    networks: &[&str],
    options: &str,
) -> Firmware {
    let library = export(library_with(networks), core.target, core.cpu);
    let name = source.file_stem().unwrap().to_str().unwrap();
    let folder =
        format!("{} {:?} {standard:?} {libc:?} {}", core.chip.machine, core.name, networks.join("+"));
    let folder = Path::new(FOLDER).join("built").join(folder.replace([' ', '"'], "-")).join(name);
    fs::create_dir_all(&folder).unwrap();

    let common = format!("{} -mthumb -Os -ffunction-sections -fdata-sections {WARNINGS}", core.options);
    let freestanding = if libc == Libc::Newlib { "" } else { "-ffreestanding" };
    let compile = |standard, source: &Path, options: &str| {
        let object = folder.join(source.file_name().unwrap()).with_extension("o");
        let (mut compiler, language) = compiler("arm-none-eabi-gcc", "arm-none-eabi-g++", standard);
        compiler.args(language).args(words(&common)).args(words(freestanding)).args(words(options));
        if standard == Standard::Cpp17 {
            compiler.args(["-fno-exceptions", "-fno-rtti"]);
        }
        compiler.arg("-I").arg(library.join("include")).arg("-I").arg(Path::new(ROOT).join("tests/c"));
        run(compiler.arg("-c").arg(source).arg("-o").arg(&object));
        object
    };
    let support = ["startup.c", "semihosting.c"].map(|file| Path::new(ROOT).join("tests/c").join(file));
    let mut objects = vec![compile(standard, source, options)];
    objects.extend(support.map(|source| compile(Standard::C99, &source, "")));
    objects.extend(networks.iter().map(|network| library.join(format!("model/{network}.o"))));

    let firmware = Firmware { elf: folder.join(name).with_extension("elf"), map: folder.join("map") };
    // The programs need nothing of the library of C++.
    let mut linker = Command::new("arm-none-eabi-gcc");
    linker.args(words(&common)).arg("-T").arg(Path::new(ROOT).join("tests/c/chip.ld")).arg(core.memory());
    linker.args(["-Wl,--gc-sections", "-Wl,--fatal-warnings"]);
    linker.arg(format!("-Wl,-Map={}", firmware.map.display()));
    linker.args(match libc {
        Libc::Newlib => &["-nostartfiles", "--specs=nano.specs"][..],
        _ => &["-nostdlib"],
    });
    linker.args(objects).arg(library.join("lib/libvit.a"));
    if libc == Libc::Freestanding {
        linker.arg("-lgcc");
    }
    run(linker.arg("-o").arg(&firmware.elf));
    firmware
}

fn in_tests(program: &str) -> PathBuf {
    Path::new(ROOT).join("tests/c").join(program)
}

/// Returns the options that choose the network of a program for any one.
fn network(name: &str) -> String {
    format!("-DNETWORK={name} -DNETWORK_CAPITALS={}", name.to_uppercase())
}

/// Runs a firmware with these images, checks that it succeeds, and returns its log and the logits that it wrote.
fn run_on(core: Core, firmware: &Firmware, images: &[u8]) -> (Vec<String>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("images.bin"), images).unwrap();
    let run = Emulator::new(core.chip.machine).dir(&folder).run(&firmware.elf, |_| ()).unwrap();
    assert_eq!(run.exit_code, 0, "{}: {}: {:#?}", core.name, firmware.elf.display(), run.log);
    (run.log, fs::read(folder.path().join("logits.bin")).unwrap_or_default())
}

#[test]
fn every_logit_is_the_hosts() {
    let images = (NANO.images)(100);
    let expected = (NANO.on_host)(&images);
    assert_eq!(expected.len(), 100 * 10 * 4);
    for core in cores() {
        for variant in VARIANTS {
            let firmware = build(core, variant, &in_tests("logits.c"), &["nano"], &network("nano"));
            let (log, logits) = run_on(core, &firmware, &images);
            assert!(logits == expected, "{}, {variant:?}: {log:#?}", core.name);
        }
    }
}

/// The networks that need a larger chip, and one with convolutions.
#[test]
fn every_logit_of_other_networks_is_the_hosts() {
    for preset in libraries().concat().iter().filter(|preset| preset.name != "nano") {
        let images = (preset.images)(5);
        let expected = (preset.on_host)(&images);
        for core in cores().into_iter().map(Core::large) {
            let (name, variant) = (preset.name, (Standard::C99, Libc::Freestanding));
            let firmware = build(core, variant, &in_tests("logits.c"), &[name], &network(name));
            let (log, logits) = run_on(core, &firmware, &images);
            assert!(logits == expected, "{}, {name}: {log:#?}", core.name);
        }
    }
}

#[test]
fn the_examples_run() {
    for core in cores() {
        let examples = export_first(core.target, core.cpu).join("examples");
        for variant in VARIANTS {
            let build = |example: &str| build(core, variant, &examples.join(example), &["nano"], "");
            let (self_test, _) = run_on(core, &build("self_test.c"), &[]);
            let (camera, _) = run_on(core, &build("camera.c"), &[]);
            if variant.1 == Libc::Newlib {
                assert_prints(&self_test, &camera);
            } else {
                assert!(self_test.is_empty() && camera.is_empty());
            }
        }
    }
}

/// Checks what the examples print if there is a C library.
fn assert_prints(self_test: &[String], camera: &[String]) {
    let (summary, pictures) = self_test.split_last().unwrap();
    assert!(summary.starts_with("vit 0.1.0: 0 of "), "{self_test:#?}");
    assert!(summary.contains(&format!(" of {} ", pictures.len())) && !pictures.is_empty(), "{self_test:#?}");
    assert!(
        pictures.iter().all(|line| line.starts_with("picture ") && line.ends_with(" %")),
        "{self_test:#?}"
    );
    assert_eq!(camera.len(), 3, "{camera:#?}");
    assert!(camera[0].starts_with("1: "), "a bright bar is a 1: {camera:#?}");
}

/// A self-test notices a wrong logit.
#[test]
fn the_self_test_can_fail() {
    let source = fs::read_to_string(export_first(M4F.target, M4F.cpu).join("examples/self_test.c")).unwrap();
    let wrong = source.replace("logits[index] != expected[picture][index]", "logits[index] != 1");
    assert_ne!(source, wrong);
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("self_test_that_fails.c");
    fs::write(&program, wrong).unwrap();
    let examples = format!("-I{}", export_first(M4F.target, M4F.cpu).join("examples").display());
    let firmware = build(M4F, (Standard::C99, Libc::Newlib), &program, &["nano"], &examples);
    let run = Emulator::new(M4F.chip.machine).run(&firmware.elf, |_| ()).unwrap();
    assert_eq!(run.exit_code as usize, run.log.len() - 1, "{:#?}", run.log);
    assert!(run.exit_code > 0);
}

/// Every function returns an error for every wrong argument, and works afterwards.
#[test]
fn misuse_is_an_error() {
    let image = (NANO.images)(3).split_off(2 * 784);
    let expected = (NANO.on_host)(&image).repeat(2);
    for core in cores() {
        // A Cortex-M0 has no memory for a copy of the model, but it faults where others do not.
        let copy = if core.chip == Chip::M0 { "" } else { "-DMODEL_FITS_IN_RAM" };
        for variant in [(Standard::C99, Libc::Freestanding), (Standard::Cpp17, Libc::Newlib)] {
            let firmware = build(core, variant, &in_tests("misuse.c"), &["nano"], copy);
            let (log, logits) = run_on(core, &firmware, &image);
            assert_misuse(&log);
            assert!(logits == expected, "{}, {variant:?}: {log:#?}", core.name);
        }
    }
}

fn assert_misuse(log: &[String]) {
    let counts = log.last().unwrap().split([' ', ',']).filter_map(|word| word.parse().ok());
    let [cases, failures] = counts.collect::<Vec<u32>>()[..] else { panic!("{log:#?}") };
    assert!(cases > 200 && failures == 0, "{log:#?}");
}

/// The images of two networks in turns, and all of their logits.
fn images_for_two() -> (Vec<u8>, Vec<u8>) {
    let (mut images, mut expected) = (Vec::new(), Vec::new());
    let (digits, signs) = ((NANO.images)(4), (SIGNS.images)(4));
    for (digit, sign) in digits.chunks(digits.len() / 4).zip(signs.chunks(signs.len() / 4)) {
        images.extend([digit, sign].concat());
        expected.extend([(NANO.on_host)(digit), (SIGNS.on_host)(sign)].concat());
    }
    (images, expected)
}

#[test]
fn two_models_work_in_one_firmware() {
    let (images, expected) = images_for_two();
    for core in cores().into_iter().map(Core::large) {
        for variant in [(Standard::C99, Libc::Freestanding), (Standard::Cpp17, Libc::Newlib)] {
            let firmware = build(core, variant, &in_tests("two_models.c"), &["nano", "signs"], "");
            let (log, logits) = run_on(core, &firmware, &images);
            assert!(logits == expected, "{}, {variant:?}: {log:#?}", core.name);
        }
    }
}

/// A compiler of this PC.
struct PcCompiler<'a> {
    names: [&'static str; 2],
    sanitizers: &'static str,
    /// The folder in which programs are compiled and run.
    folder: &'a Path,
}

impl<'a> PcCompiler<'a> {
    /// Returns the compiler with the names of its programs for C and for C++, if it is installed.
    fn find(names: [&'static str; 2], folder: &'a Path) -> Option<Self> {
        if Command::new(names[0]).arg("--version").output().is_err() {
            println!("{} is not installed, and not tested", names[0]);
            return None;
        }
        fs::write(folder.join("empty.c"), "int main(void) { return 0; }\n").unwrap();
        let mut probe = Command::new(names[0]);
        probe.args(words(SANITIZERS)).args(["empty.c", "-o", "empty"]).current_dir(folder);
        let has_sanitizers = probe.output().unwrap().status.success();
        if !has_sanitizers {
            println!("{} has no sanitizers, and is tested without them", names[0]);
        }
        Some(Self { names, sanitizers: if has_sanitizers { SANITIZERS } else { "" }, folder })
    }

    /// Compiles a program and runs it with these images. Checks that it succeeds, and returns its lines and the logits
    /// that it wrote.
    fn run(
        &self,
        standard: Standard,
        source: &Path,
        networks: &[&str],
        options: &str,
        images: &[u8],
    ) -> (Vec<String>, Vec<u8>) {
        let library = export(library_with(networks), HOST, None);
        let [gcc, gpp] = self.names;
        let compile = |standard, source: &Path, object: &str| {
            let (mut compiler, language) = compiler(gcc, gpp, standard);
            compiler.args(language).args(words(WARNINGS)).args(["-O1", "-g"]).args(words(self.sanitizers));
            compiler.args(words(options)).arg("-I").arg(library.join("include"));
            compiler.arg("-I").arg(Path::new(ROOT).join("tests/c")).arg("-c").arg(source);
            run(compiler.args(["-o", object]).current_dir(self.folder));
        };
        compile(standard, source, "program.o");
        compile(Standard::C99, &in_tests("host.c"), "host.o");
        let (mut linker, _) = compiler(gcc, gpp, standard);
        linker.args(words(self.sanitizers)).args(["program.o", "host.o"]);
        linker.args(networks.iter().map(|network| library.join(format!("model/{network}.o"))));
        run(linker.arg(library.join("lib/libvit.a")).args(["-o", "program"]).current_dir(self.folder));

        let results = self.folder.join("logits.bin");
        let _ = fs::remove_file(&results); // of an earlier program, if there was one
        fs::write(self.folder.join("images.bin"), images).unwrap();
        let text = run(Command::new(self.folder.join("program")).current_dir(self.folder));
        (text.lines().map(str::to_owned).collect(), fs::read(results).unwrap_or_default())
    }
}

/// Runs all programs on this PC, with each compiler that is installed, and with the sanitizers that it has.
#[test]
fn programs_work_on_this_pc() {
    let folder = tempfile::tempdir().unwrap();
    let compilers = [["gcc", "g++"], ["clang", "clang++"]];
    for compiler in compilers.into_iter().filter_map(|names| PcCompiler::find(names, folder.path())) {
        for standard in [Standard::C99, Standard::Cpp17] {
            let case = format!("{}, {standard:?}", compiler.names[0]);
            for preset in libraries().concat() {
                let images = (preset.images)(if preset.name == "nano" { 100 } else { 5 });
                let options = network(preset.name);
                let source = in_tests("logits.c");
                let (_, logits) = compiler.run(standard, &source, &[preset.name], &options, &images);
                assert!(logits == (preset.on_host)(&images), "{case}, {}", preset.name);
            }

            let (images, expected) = images_for_two();
            let source = in_tests("two_models.c");
            let (_, logits) = compiler.run(standard, &source, &["nano", "signs"], "", &images);
            assert!(logits == expected, "{case}");

            let image = (NANO.images)(3).split_off(2 * 784);
            let options = "-DMODEL_FITS_IN_RAM";
            let (log, logits) = compiler.run(standard, &in_tests("misuse.c"), &["nano"], options, &image);
            assert_misuse(&log);
            assert!(logits == (NANO.on_host)(&image).repeat(2), "{case}");

            let examples = export_first(HOST, None).join("examples");
            let example = |name| compiler.run(standard, &examples.join(name), &["nano"], "", &[]).0;
            assert_prints(&example("self_test.c"), &example("camera.c"));
        }
    }
}

/// The library defines and needs no symbol that could be that of something else, and has no tables for exceptions and
/// no panics.
#[test]
fn the_library_has_only_its_own_symbols() {
    let cores = cores();
    let exports = cores.iter().map(|core| (core.target, core.cpu)).chain([(HOST, None)]);
    for (target, cpu) in exports {
        let library = fs::read(export_first(target, cpu).join("lib/libvit.a")).unwrap();
        let archive = object::read::archive::ArchiveFile::parse(&*library).unwrap();
        let mut globals = Vec::new();
        for member in archive.members() {
            let data = member.unwrap().data(&*library).unwrap();
            let object = object::File::parse(data).unwrap();
            for symbol in object.symbols() {
                let name = symbol.name().unwrap();
                // Every PC has a C library.
                let is_of_libc = ["memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen"].contains(&name);
                let is_known = !symbol.is_undefined() || name.is_empty() || target == HOST && is_of_libc;
                assert!(is_known, "{target}: {name} is undefined");
                // The kernels of a PC check bounds.
                let panics = target != HOST && ["panic", "unwind"].iter().any(|part| name.contains(part));
                assert!(!panics, "{target}: {name}");
                if symbol.is_global() && !symbol.is_undefined() {
                    assert!(name.starts_with("vit_"), "{target}: {name} is global");
                    globals.push(name.to_owned());
                }
            }
            for section in object.sections() {
                let name = section.name().unwrap();
                let unwanted = [".ARM.ex", ".rel.ARM.ex", ".eh_frame", ".gcc_except", ".debug", ".llvm"];
                assert!(!unwanted.iter().any(|begin| name.starts_with(begin)), "{target}: section {name}");
            }
        }
        globals.sort();
        let mut expected: Vec<_> = LIBRARIES[0].iter().map(|preset| format!("vit_{}", preset.name)).collect();
        expected.extend(declared_functions());
        expected.sort();
        assert_eq!(globals, expected, "{target}");
    }
}

/// Returns the names of the functions in the header.
fn declared_functions() -> Vec<String> {
    let header = include_str!("../../vit-c/include/vit.h");
    let code = header.lines().filter(|line| line.contains('(') && line.trim_end().ends_with([',', ';', ')']));
    let names = code.filter_map(|line| {
        let (before, _) = line.split_once('(')?;
        let name = before.rsplit([' ', '*']).next()?;
        let is_declared =
            name.starts_with("vit_") && before.len() > name.len() && !line.starts_with([' ', '/']);
        is_declared.then(|| name.to_owned())
    });
    let names: Vec<String> = names.collect();
    assert!(names.len() >= 13, "{names:?}");
    names
}

/// Returns the number of bytes that a firmware takes in flash.
fn flash_bytes(elf: &Path) -> u64 {
    let elf = fs::read(elf).unwrap();
    let elf = object::File::parse(&*elf).unwrap();
    let loaded = elf.sections().filter(|section| {
        let SectionFlags::Elf { sh_flags } = section.flags() else { return false };
        sh_flags & u64::from(object::elf::SHF_ALLOC) != 0 && section.kind() != SectionKind::UninitializedData
    });
    loaded.map(|section| section.size()).sum()
}

/// A firmware in C that classifies an image is as large as the one in Rust, up to 5 %. It does not even need the
/// compiler's library.
#[test]
fn a_firmware_in_c_is_as_small_as_one_in_rust() {
    let in_rust = flash_bytes(&Chip::M4F.build("minimal").unwrap());
    let firmware = build(M4F, (Standard::C99, Libc::Nothing), &in_tests("minimal.c"), &["nano"], "");
    let (log, _) = run_on(M4F, &firmware, &[]);
    assert_eq!(log, ["this is a 1"]);
    let in_c = flash_bytes(&firmware.elf);
    println!("a firmware that classifies an image with nano: {in_c} bytes in C, {in_rust} bytes in Rust");
    assert!((in_c as f64 / in_rust as f64 - 1.0).abs() <= 0.05, "{in_c} bytes in C, {in_rust} in Rust");
}

/// The flash, the stack and the instructions that a library takes on a core.
#[derive(Debug)]
struct Cost {
    code: u64,
    constants: u64,
    /// The stack of `vit_open`, `vit_infer` and the other functions.
    stack: [u64; 3],
    /// The instructions of `vit_open` and `vit_infer`.
    instructions: [u64; 2],
}

fn measure(core: Core, name: &str) -> Cost {
    let core = core.large();
    let variant = (Standard::C99, Libc::Freestanding);
    let firmware = build(core, variant, &in_tests("logits.c"), &[name], &network(name));
    let preset = LIBRARIES.concat().into_iter().find(|preset| preset.name == name).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("images.bin"), (preset.images)(2)).unwrap();
    let emulator = Emulator::new(core.chip.machine).dir(&folder).count_instructions();
    let run = emulator.run(&firmware.elf, |_| ()).unwrap();
    assert_eq!(run.exit_code, 0, "{}: {:#?}", core.name, run.log);
    let numbers = ["vit_open", "vit_infer", "others"].map(|call| {
        let line = run.log.iter().find_map(|line| line.strip_prefix(call)).unwrap();
        let numbers: Vec<u64> = line.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
        <[u64; 2]>::try_from(numbers).unwrap_or_else(|_| panic!("{line}"))
    });
    let [code, constants] = of_library(&firmware.map);
    Cost {
        code,
        constants,
        stack: numbers.map(|[stack, _]| stack),
        instructions: [0, 1].map(|call: usize| core.chip.instructions(numbers[call][1])),
    }
}

/// Returns the bytes of code and of constants that the linker has taken from the library, according to its map.
fn of_library(map: &Path) -> [u64; 2] {
    let map = fs::read_to_string(map).unwrap();
    let (_, map) = map.split_once("Linker script and memory map").unwrap();
    let (mut code, mut constants, mut section) = (0, 0, "");
    for line in map.lines() {
        // A long name of a section is on a line of its own.
        if let Some(name) = line.strip_prefix(' ').filter(|line| line.starts_with('.')) {
            section = name.split(' ').next().unwrap();
        }
        let Some((before, _)) = line.split_once("/libvit.a(") else { continue };
        let mut numbers = before.split_whitespace().filter_map(|word| word.strip_prefix("0x"));
        let size = numbers.nth(1).and_then(|size| u64::from_str_radix(size, 16).ok()); // after the address
        match size {
            Some(size) if section.starts_with(".text") => code += size,
            Some(size) if section.starts_with(".rodata") => constants += size,
            _ => (),
        }
    }
    assert!(code > 0, "the map has no code of the library");
    [code, constants]
}

/// Prints the table of vit-c/README.md, and checks that the stack in it is enough:
/// `MANY_C=1 cargo test -p vit-tests --test c what_it_takes -- --nocapture`.
#[test]
fn the_readme_says_what_it_takes() {
    let (_, section) = README.split_once("## What it takes").unwrap();
    for core in cores() {
        let cost = measure(core, "nano");
        let [open, infer, others] = cost.stack;
        let [opening, inference] = cost.instructions;
        println!(
            "| {} | {} | {} | {open} | {infer} | {others} | {opening} | {inference} |",
            core.name, cost.code, cost.constants
        );
        let row = section.lines().find(|line| line.starts_with(&format!("| {} |", core.name)));
        let row: Vec<&str> = row.unwrap_or_else(|| panic!("no row for {}", core.name)).split('|').collect();
        for (promised, taken) in row[4..7].iter().zip(cost.stack) {
            let promised: u64 = promised.trim().parse().unwrap();
            assert!(
                taken <= promised,
                "{}: {taken} bytes of stack, and the README says {promised}",
                core.name
            );
        }
    }
}

/// The project that the exported README shows: its program in C, its file for CMake, and the exported folder in it. The
/// start-up code and the linker script are those of these tests.
#[test]
fn a_cmake_project_from_scratch_works() {
    let core = M4F;
    let library = export_first(core.target, core.cpu);
    let readme = fs::read_to_string(library.join("README.md")).unwrap();
    let block = |language: &str| {
        let (_, block) =
            readme.split_once(&format!("\n```{language}\n")).unwrap_or_else(|| panic!("no {language}"));
        block.split_once("\n```").unwrap().0.to_owned() + "\n"
    };
    let (lists, main) = (block("cmake"), block("c"));
    let argument = |command: &str| {
        let (_, arguments) =
            lists.split_once(&format!("{command}(")).unwrap_or_else(|| panic!("no {command}"));
        arguments.split([' ', ')']).next().unwrap().to_owned()
    };
    let target = argument("add_executable");
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    std::os::unix::fs::symlink(&library, project.join(argument("add_subdirectory"))).unwrap();
    fs::write(project.join("main.c"), main).unwrap();
    let support = Path::new(ROOT).join("tests/c").canonicalize().unwrap();
    let support = support.display();
    fs::write(
        project.join("CMakeLists.txt"),
        format!(
            "{lists}\n\
             target_sources({target} PRIVATE {support}/startup.c {support}/semihosting.c)\n\
             target_link_options({target} PRIVATE -nostartfiles --specs=nano.specs -T{support}/chip.ld {})\n",
            core.memory()
        ),
    )
    .unwrap();
    fs::write(
        project.join("chip.cmake"),
        format!(
            "set(CMAKE_SYSTEM_NAME Generic)\n\
             set(CMAKE_SYSTEM_PROCESSOR arm)\n\
             set(CMAKE_C_COMPILER arm-none-eabi-gcc)\n\
             set(CMAKE_CXX_COMPILER arm-none-eabi-g++)\n\
             set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)\n\
             set(CMAKE_C_FLAGS_INIT \"{} -mthumb -Wall -Wextra -Werror\")\n",
            core.options
        ),
    )
    .unwrap();
    let cmake = |arguments: &[&str]| run(Command::new("cmake").args(arguments).current_dir(project));
    cmake(&["-S", ".", "-B", "build", "-DCMAKE_TOOLCHAIN_FILE=chip.cmake", "-DCMAKE_BUILD_TYPE=MinSizeRel"]);
    cmake(&["--build", "build"]);
    let built = ["", ".elf"].map(|ending| project.join("build").join(format!("{target}{ending}")));
    let elf = built.iter().find(|path| path.exists()).expect("the executable");
    let run = Emulator::new(core.chip.machine).run(elf, |_| ()).unwrap();
    assert_eq!(run.exit_code, 0, "{:#?}", run.log);
}
