//! Tests projects that `vit-train new` writes: they train, their firmware runs, and it takes no more than was promised.

use crate::{build, cargo_in, own_network::run, workspace, TARGET};
use image::DynamicImage;
use object::{Object, ObjectSection, SectionFlags};
use serde_json::Value;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{LazyLock, Mutex, PoisonError},
};
use vit_nostd::{Base, ConvNano, Convolution, Dims, Nano, Network, Tiny};
use vit_random_models::{random_image, Random};
use vit_test_networks::{each_shape, Visitor};
use vit_tests::chip_bench::model as arbitrary_model;
use vit_train::{
    board::boards::Board,
    data::{signs, Dataset, Format},
    formats::model_bytes::ModelBytes,
    run::samples::write_with_model,
};

/// A project of the tests.
struct Project {
    name: &'static str,
    board: &'static str,
    grey: bool,
    /// True if one of the files is not a picture.
    is_damaged: bool,
    /// The road signs that are its classes.
    classes: [usize; 3],
    /// The least accuracy of the integer model on the test images, in percent.
    accuracy: f64,
}

/// Two projects for pictures of road signs. The names of the classes are those of the signs.
///
/// The signs of the first one are easy: each has a colour of its own. With six seeds, 93.8 to 97.9 % of the test images were
/// recognised. In grey, nothing is left of the colours, and the network of the second project is small enough for 16 KB
/// of RAM. It recognised 69.8 to 80.2 %, and only has to be much better than chance.
const PROJECTS: [Project; 2] = [
    Project {
        name: "traffic",
        board: "netduinoplus2",
        grey: false,
        is_damaged: true,
        classes: [1, 3, 10],
        accuracy: 90.0,
    },
    Project {
        name: "outlines",
        board: "microbit",
        grey: true,
        is_damaged: false,
        classes: [1, 2, 3],
        accuracy: 60.0,
    },
];

/// The number of pictures of each class, a fifth of which are for the test.
const PICTURES: u64 = 160;

/// The name of the file that is not a picture, in the folder of the first class.
const DAMAGED: &str = "damaged.png";

/// The folder of everything that these tests write.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("projects")
}

/// The target directory of the firmware of all projects.
fn firmware_target() -> PathBuf {
    folder().join("firmware-target")
}

/// The projects, and the root of a workspace in which their training programs are compiled. There, crates that the
/// first workspace has compiled are not compiled again.
static WORKSPACE: LazyLock<PathBuf> = LazyLock::new(|| {
    let members = PROJECTS.map(|Project { name, .. }| [format!("{name}/network"), format!("{name}/train")]);
    let members: Vec<&str> = members.iter().flatten().map(String::as_str).collect();
    let root = workspace("projects-workspace", &members);
    for Project { name, board, grey, is_damaged, classes, .. } in PROJECTS {
        let (project, pictures) = (folder().join(name), folder().join(format!("{name}-pictures")));
        for folder in [&project, &pictures] {
            let _ = fs::remove_dir_all(folder); // of an earlier test, if there was one
        }
        write_pictures(&pictures, &classes, grey);
        let data = pictures.to_str().unwrap();
        let mut new = vec!["new", project.to_str().unwrap(), "--data", data, "--board", board];
        if is_damaged {
            fs::write(pictures.join(signs::name(classes[0])).join(DAMAGED), "not a picture").unwrap();
            new.push("--skip-unreadable");
        }
        run(&folder(), &new);

        // The crates are copied, with other paths of the crates that they depend on.
        for file in [
            "network/Cargo.toml",
            "network/src/lib.rs",
            "train/Cargo.toml",
            "train/src/main.rs",
            "train/tests/chip.rs",
        ] {
            let text = fs::read_to_string(project.join(file)).unwrap();
            let lines = text.lines().map(|line| match line.split_once("path = \"../../") {
                Some((before, path)) => format!("{before}path = \"../../{}", path.trim_start_matches("../")),
                None if line.contains("../../") => {
                    line.replace(&"../".repeat(line.matches("../").count()), "../../")
                }
                None => line.to_owned(),
            });
            let copy = root.join(name).join(file);
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            fs::write(copy, lines.collect::<Vec<_>>().join("\n")).unwrap();
        }
        let link = root.join(name).join("firmware");
        std::os::unix::fs::symlink(project.join("firmware"), link).unwrap();
    }
    let status = cargo_in(&root, &build(PROJECTS.map(|project| project.name))).status().unwrap();
    assert!(status.success(), "the training programs are not built");
    root
});

/// Held while a firmware is built and run: another build would replace the file that is about to run.
static FIRMWARE: Mutex<()> = Mutex::new(());

/// Writes pictures of road signs into a folder for each of the classes.
fn write_pictures(folder: &Path, classes: &[usize], grey: bool) {
    for &class in classes {
        let folder = folder.join(signs::name(class));
        fs::create_dir_all(&folder).unwrap();
        for index in 0..PICTURES {
            let picture = DynamicImage::from(signs::picture(class, 1, index));
            let picture = if grey { picture.grayscale() } else { picture };
            picture.save(folder.join(format!("{index}.png"))).unwrap();
        }
    }
}

/// Runs cargo in the firmware's folder of a project, with a compiler for the chip. `model` is None for that of the
/// project's run.
fn firmware(project: &Path, arguments: &[&str], model: Option<&Path>) -> Output {
    let _lock = FIRMWARE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut cargo = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/chip-cargo"));
    cargo.args(arguments).current_dir(project.join("firmware")).env("CARGO_TARGET_DIR", firmware_target());
    cargo.env("CARGO_NET_OFFLINE", "true").env_remove("VIT_MODEL");
    if let Some(model) = model {
        cargo.env("VIT_MODEL", model);
    }
    cargo.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn projects_train_and_run_on_the_chip() {
    LazyLock::force(&WORKSPACE);
    for Project { name, is_damaged, classes, accuracy: least, .. } in PROJECTS {
        let project = folder().join(name);
        let untrained = firmware(&project, &["build", "--release"], None);
        let said = text(&untrained.stderr);
        assert!(
            !untrained.status.success() && said.contains("Train first: run `cargo run --release`"),
            "{said}"
        );

        let program = |arguments: &[&str]| -> Value {
            let mut program = Command::new(Path::new(TARGET).join("debug").join(name));
            let output = program.args(arguments).current_dir(&project).output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
            serde_json::from_slice(&output.stdout).unwrap()
        };
        // The images of the project are those of every command, also of the one that chooses networks.
        let rows = program(&["fit", "--board", "pico2", "--json"]);
        assert_eq!(rows[0]["classes"], 3, "{rows}");

        let report = program(&["--quiet", "--json", "--epochs", "40"]);
        let skipped = report["skipped"].as_array().map_or(0, Vec::len);
        assert_eq!(skipped, usize::from(is_damaged), "{}", report["skipped"]);
        let accuracy = report["test"]["int8"]["acc"].as_f64().unwrap();
        println!("{name}: {accuracy} %");
        assert!(accuracy >= least, "{name}: {accuracy} %, and not {least} %");

        let ran = firmware(&project, &["run", "--release"], None);
        let (log, said) = (text(&ran.stdout), text(&ran.stderr));
        assert!(ran.status.success(), "{log}{said}");
        assert!(!said.contains("warning"), "{said}");
        let pictures = log.lines().filter(|line| line.contains("% sure"));
        assert_eq!(pictures.count(), 8, "{log}");
        for class in classes {
            assert!(log.contains(signs::name(class)), "{log}");
        }
    }

    // A single bit of a logit that differs from the PC's is a failure.
    let run = folder().join(PROJECTS[0].name).join("runs").join(PROJECTS[0].name);
    let changed = folder().join("changed-run");
    fs::create_dir_all(&changed).unwrap();
    let mut samples = fs::read(run.join("samples.bin")).unwrap();
    samples[4] ^= 1; // the class takes four bytes, and the logits follow
    fs::write(changed.join("samples.bin"), samples).unwrap();
    fs::copy(run.join("model.int8.vit"), changed.join("model.int8.vit")).unwrap();
    let model = changed.join("model.int8.vit");
    let ran = firmware(&folder().join(PROJECTS[0].name), &["run", "--release"], Some(&model));
    let log = text(&ran.stdout);
    assert_eq!(ran.status.code(), Some(1), "{log}");
    assert_eq!(log.lines().filter(|line| line.contains("the logits differ")).count(), 1, "{log}");
}

/// The test that each project has: an untrained network on the emulated chip. It is run for one project.
#[test]
fn the_test_of_a_project_passes() {
    let root = &*WORKSPACE;
    let _lock = FIRMWARE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut test = cargo_in(root, &["test", "--quiet", "--package", PROJECTS[0].name, "--test", "chip"]);
    let output = test.env("CARGO_TARGET_DIR", firmware_target()).output().unwrap();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

vit_nostd::network! {
    /// A network with one head and large patches.
    OneHead { image: [28, 28], patch: [14, 14], embed: 64, heads: 1, hidden: 192, depth: 3, classes: 10 }
}

vit_nostd::network! {
    /// A network that fits every board.
    Small { image: [28, 28], patch: [7, 7], embed: 24, heads: 2, hidden: 48, depth: 2, classes: 10 }
}

/// True if the environment asks for the checks that take long.
fn many() -> bool {
    env::var_os("MANY_PROJECTS").is_some()
}

/// Firmware for the boards, and for the emulated ones with the same core, builds without a warning. With the environment
/// variable `MANY_PROJECTS`, this is checked for every board. The Pico 2 has a target with a dot in its name, which cargo
/// treats differently.
#[test]
fn projects_for_boards_build_without_warnings() {
    let boards = if many() { Board::all() } else { vec![Board::named("pico2").unwrap()] };
    for board in boards {
        let name = &board.name;
        let (project, _) = write::<Small>("boards", &format!("--board {name}"));
        let model = write_model::<Small>("boards");
        let mut commands = vec![vec!["build", "--release"]];
        if board.support.machine.is_some() {
            commands.push(vec!["build", "--release", "--features", "probe"]);
        }
        commands.push(vec!["emulate"]);
        for command in commands {
            let output = firmware(&project, &command, Some(&model));
            let said = text(&output.stderr);
            println!("{name}: {command:?}");
            assert!(output.status.success() && !said.contains("warning"), "{name}: {command:?}: {said}");
        }
    }
}

/// Projects for networks of many shapes, which are checked against what was promised.
struct Promises {
    core: &'static str,
    /// The largest share of the promised flash and RAM that was taken.
    most: [f64; 2],
}

impl Visitor for Promises {
    fn visit<N: Network>(&mut self) {
        let taken = taken::<N>(self.core);
        for (most, taken) in self.most.iter_mut().zip(taken) {
            *most = most.max(taken);
        }
    }
}

/// The firmware of projects takes no more flash and RAM than `new` promised. With the environment variable
/// `MANY_PROJECTS`, this is checked for many more networks and on every kind of core.
#[test]
fn linked_firmware_is_within_what_was_promised() {
    for core in if many() { &["m0", "m3", "m4", "m7", "m33"][..] } else { &["m0", "m4"] } {
        let mut promises = Promises { core, most: [0.0; 2] };
        promises.visit::<Nano>();
        promises.visit::<Tiny>();
        promises.visit::<Base>();
        promises.visit::<OneHead>();
        promises.visit::<ConvNano>();
        if many() {
            each_shape(&mut promises);
        }
        println!("{core}: at most {:.3?} of the promised flash and RAM", promises.most);
        assert!(promises.most.iter().all(|&most| most <= 1.0), "{core}: {:?}", promises.most);
    }
}

/// Writes the project `name` for network `N`, with these options besides those that declare the network. Returns its folder and
/// the row of the table that `new` prints about the network.
fn write<N: Network>(name: &str, options: &str) -> (PathBuf, Value) {
    let Dims { height, width, channels, patch_height, patch_width, .. } = N::DIMS;
    let Dims { embed, heads, hidden, depth, classes, .. } = N::DIMS;
    let convolutions = N::DIMS.declared_convolutions();
    let convolutions: Vec<String> = convolutions.map(|convolution| option(&convolution)).collect();
    let tokenizer = match &convolutions[..] {
        [] => format!("--patch {patch_height}x{patch_width}"),
        convolutions => convolutions.join(" "),
    };
    let project = folder().join(name);
    let _ = fs::remove_dir_all(&project); // of an earlier network, if there was one
    let arguments = format!(
        "new {} --data {} {options} --ms 1000000 --image {height}x{width}x{channels} {tokenizer} \
         --embed {embed} --heads {heads} --hidden {hidden} --depth {depth} --json",
        project.display(),
        pictures_of(classes).display(),
    );
    let rows = run(&folder(), &arguments.split(' ').collect::<Vec<_>>());
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    (project, rows.into_iter().find(|row| row["role"] == "chosen").unwrap())
}

/// Returns the option that asks for a convolution.
fn option(&Convolution { kernel, stride, padding, channels }: &Convolution) -> String {
    match channels {
        0 => format!("--conv {kernel},{stride},{padding}"),
        _ => format!("--conv {kernel},{stride},{padding},{channels}"),
    }
}

/// Writes an arbitrary model of network `N` and samples of noise for the project `name`, and returns the path of the
/// model.
fn write_model<N: Network>(name: &str) -> PathBuf {
    let run = folder().join(format!("{name}-run"));
    fs::create_dir_all(&run).unwrap();
    let model = ModelBytes::from(&*arbitrary_model::<N>().unwrap());
    write_with_model::<N>(&run, &model, &noise::<N>()).unwrap();
    run.join("model.int8.vit")
}

/// Writes a project for network `N`, and returns the shares of the promised flash and RAM that its firmware takes.
fn taken<N: Network>(core: &str) -> [f64; 2] {
    let (project, chosen) = write::<N>("promise", &format!("--core {core} --flash 4M --ram 256K"));
    let [flash, ram] = ["flash_bytes", "ram_bytes"].map(|what| chosen[what].as_f64().unwrap());
    let model = write_model::<N>("promise");
    let built = firmware(&project, &["build", "--release", "--bin", "promise-firmware"], Some(&model));
    assert!(built.status.success(), "{}", text(&built.stderr));
    let target = match core {
        "m0" => "thumbv6m-none-eabi",
        "m3" => "thumbv7m-none-eabi",
        "m4" => "thumbv7em-none-eabihf",
        "m7" => "thumbv7em-none-eabi",
        _ => "thumbv8m.main-none-eabihf",
    };
    let elf = fs::read(firmware_target().join(target).join("release/promise-firmware")).unwrap();
    let (linked_flash, variables) = sizes(&elf);

    // An inference of the largest network takes long on a Cortex-M0.
    let stack = if N::DEPTH < 16 {
        let ran = firmware(&project, &["run", "--release"], Some(&model));
        let log = text(&ran.stdout);
        assert!(ran.status.success(), "{log}{}", text(&ran.stderr));
        let line = log.lines().find_map(|line| line.strip_prefix("INFO RAM: ")).unwrap();
        let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        numbers[1]
    } else {
        0
    };
    let camera = (4 * N::WIDTH * N::CHANNELS + N::DIMS.image_values()) as u64;
    let (code, own) = (linked_flash - fs::metadata(&model).unwrap().len(), variables + stack + camera);
    println!(
        "{} on {core}: {linked_flash} of {flash} bytes of flash, {code} of them not the model; {own} of {ram} bytes of \
         RAM, {stack} of them stack, {variables} variables",
        N::NAME
    );
    [linked_flash as f64 / flash, own as f64 / ram]
}

/// Returns a folder with pictures of this many classes.
fn pictures_of(classes: u16) -> PathBuf {
    let pictures = folder().join(format!("{classes}-classes"));
    for class in 0..classes {
        let folder = pictures.join(format!("class {class}"));
        fs::create_dir_all(&folder).unwrap();
        for index in 0..2 {
            DynamicImage::new_rgb8(64, 64).save(folder.join(format!("{index}.png"))).unwrap();
        }
    }
    pictures
}

/// Returns images of noise for network `N`, of all classes.
fn noise<N: Network>() -> Dataset {
    let mut random = Random(1);
    let levels: Vec<u8> = (0..8).flat_map(|index| random_image::<N>(&mut random, 2 + index)).collect();
    let labels = (0..8).map(|index| (index % N::CLASSES) as u16).collect();
    Dataset::new(Format::of::<N>(), levels, labels, Path::new("noise")).unwrap()
}

/// Returns the bytes of flash and of RAM in variables that a firmware takes.
fn sizes(elf: &[u8]) -> (u64, u64) {
    let file = object::File::parse(elf).unwrap();
    let (mut flash, mut ram) = (0, 0);
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
        if sh_flags & u64::from(object::elf::SHF_ALLOC) == 0 {
            continue;
        }
        if section.address() >= 0x2000_0000 {
            ram += section.size();
        }
        if section.file_range().is_some() {
            flash += section.size();
        }
    }
    (flash, ram)
}
