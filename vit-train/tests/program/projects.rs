//! The commands `new` and `fit`: what they print and write, and what they refuse. `tests/tests/outside` builds and runs
//! what `new` writes.

use crate::{entries, json, program, refuse, run, succeed, text};
use image::{DynamicImage, Rgb, RgbImage};
use std::{fs, path::Path};
use tempfile::TempDir;
use vit_train::board::boards::Board;

/// Makes a folder with pictures of this many classes, in colour, 40 pixels wide and 30 high.
fn pictures(classes: usize, each: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for class in 0..classes {
        let class_folder = folder.path().join(format!("class {class}"));
        fs::create_dir(&class_folder).unwrap();
        for index in 0..each {
            let colour = Rgb([255, (class * 37 % 200) as u8, (index * 11 % 200) as u8]);
            let picture = DynamicImage::from(RgbImage::from_pixel(40, 30, colour));
            picture.save(class_folder.join(format!("{index}.png"))).unwrap();
        }
    }
    folder
}

fn path(folder: &Path) -> &str {
    folder.to_str().unwrap()
}

#[test]
fn a_project_is_written_for_pictures_and_board() {
    let (pictures, parent) = (pictures(3, 10), tempfile::tempdir().unwrap());
    let project = parent.path().join("my-shapes");
    let said = succeed(&["new", path(&project), "--data", path(pictures.path()), "--board", "nrf52840-dk"]);
    for words in [
        "3 classes of pictures in colour, 24 to train on and 6 to test on, typically 40 pixels wide and 30 high",
        "nrf52840-dk: a Cortex-M4F at 64 MHz with 1,024 KB of flash and 256 KB of RAM",
        "chosen    image ",
        "smaller   image ",
        "larger    image ",
        "limit     20 % stay to spare",
        "cargo run --release",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    let read = |file: &str| fs::read_to_string(project.join(file)).unwrap();
    let network = read("network/src/lib.rs");
    assert!(network.contains("pub MyShapes {") && network.contains("classes: 3,"), "{network}");
    assert!(
        network.contains("Tells pictures of 3 classes apart: `class 0`, `class 1` and `class 2`."),
        "{network}"
    );
    let train = read("train/src/main.rs");
    assert!(train.contains(&format!("{:?}", path(&pictures.path().canonicalize().unwrap()))), "{train}");
    for (file, words) in [
        ("firmware/.cargo/config.toml", "target = \"thumbv7em-none-eabihf\""),
        ("firmware/.cargo/config.toml", "\"nRF52840_xxAA\""),
        ("firmware/src/lib.rs", "vit_boards::Nrf52840Dk as Board"),
        ("firmware/src/lib.rs", "vit_boards::Mps2 as Board"),
        ("firmware/memory/board.x", "LENGTH = 256K"),
        ("firmware/memory/emulated.x", "LENGTH = 4M"),
        ("firmware/Cargo.toml", "probe = [\"vit-boards/nrf52840-dk\", \"vit-boards/probe\"]"),
        ("firmware/build.rs", "../runs/my-shapes/model.int8.vit"),
        ("README.md", "my-shapes"),
        (".gitignore", "runs/"),
        ("Cargo.lock", "name = \"vit-nostd\""),
    ] {
        assert!(read(file).contains(words), "{file}: no {words:?} in {}", read(file));
    }
    for file in
        ["network/src/lib.rs", "train/src/main.rs", "firmware/src/main.rs", "firmware/build.rs", "README.md"]
    {
        assert!(!read(file).contains('@'), "{file} has a placeholder: {}", read(file));
    }
    assert!(!train.contains("skip_unreadable"), "{train}");
    // Nothing else is left in the parent folder.
    assert_eq!(entries(parent.path()), ["my-shapes"]);
}

#[test]
fn a_project_leaves_out_the_files_that_new_has_left_out() {
    let (pictures, parent) = (pictures(3, 10), tempfile::tempdir().unwrap());
    fs::write(pictures.path().join("class 1/damaged.png"), "not a picture").unwrap();
    let project = parent.path().join("shapes");
    let new = ["new", path(&project), "--data", path(pictures.path()), "--board", "microbit"];
    refuse(&new, &["damaged.png", "--skip-unreadable"]);
    let said = succeed(&[&new[..], &["--skip-unreadable"]].concat());
    assert!(said.contains("cargo run --release    trains the network"), "{said}");
    let train = fs::read_to_string(project.join("train/src/main.rs")).unwrap();
    assert!(train.contains(".skip_unreadable(true)"), "{train}");
}

#[test]
fn the_table_is_printed_for_scripts_too() {
    let arguments = ["fit", "--board", "microbit", "--json"];
    let rows = json(&arguments);
    let roles: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["smaller", "chosen", "larger"]);
    let chosen = &rows[1];
    assert!(
        chosen["flash_bytes"].as_u64().unwrap() < 256 << 10
            && chosen["ram_bytes"].as_u64().unwrap() < 16 << 10
    );
    assert_eq!((&chosen["image"][2], &chosen["classes"]), (&1.into(), &10.into()));

    let largest = json(&[&arguments[..], &["--largest", "--ms", "100000"]].concat());
    let chosen = largest.as_array().unwrap().iter().find(|row| row["role"] == "chosen").unwrap();
    assert!(chosen["parameters"].as_u64() > rows[1]["parameters"].as_u64());
}

#[test]
fn tokens_may_be_made_by_convolutions() {
    let parent = tempfile::tempdir().unwrap();
    let project = parent.path().join("digits");
    let board = ["--board", "pico2", "--embed", "32"];
    let two = ["--conv", "3,2,1,12", "--conv", "5,4,2"];
    let said = succeed(&[&["new", path(&project)], &board[..], &two].concat());
    assert!(said.contains("chosen    image 28x28x1, conv 3,2,1,12 and 5,4,2,32, embed 32"), "{said}");
    let network = fs::read_to_string(project.join("network/src/lib.rs")).unwrap();
    let tokenizer = "        tokenizer: [{ kernel: 3, stride: 2, padding: 1, channels: 12 }, { kernel: 5, stride: 4, padding: 2 }],\n";
    assert!(network.contains(tokenizer) && !network.contains("patch"), "{network}");

    let rows = json(&[&["fit", "--json"], &board[..], &["--conv", "7,4,3"]].concat());
    let one = serde_json::json!([{ "kernel": 7, "stride": 4, "padding": 3, "channels": 32 }]);
    let of_fit = |row: &serde_json::Value| (row["convolutions"] == one, row["tokens"].as_u64());
    assert!(rows.as_array().unwrap().iter().all(|row| of_fit(row) == (true, Some(50))), "{rows}");
    let convolutions = |options: &[&str]| {
        let rows = json(&[&["fit", "--json"], &board[..], options].concat());
        rows[0]["convolutions"].as_array().unwrap().len()
    };
    assert_eq!((convolutions(&[]), convolutions(&["--patch", "7x7"])), (2, 0));

    for (options, words) in [
        (&["--conv", "3,2"][..], &["expected kernel, stride and padding, such as 5,4,2"][..]),
        (&["--conv", "3,2,x"], &["expected kernel, stride and padding"]),
        (&["--conv", "3,2,1", "--patch", "7x7"], &["--conv", "--patch", "cannot be used with"]),
        (&["--conv", "3,2,1", "--conv", "5,4,2"], &["no such network", "first convolution", "`channels`"]),
        (&["--conv", "5,4,5"], &["no such network", "`padding`", "less than"]),
        (&["--conv", "3,2,1,12", "--conv", "99,1,0"], &["no such network", "must fit"]),
        (&["--conv", "3,2,1,13", "--conv", "5,4,2"], &["no such network", "multiple of 4"]),
        (&["--conv", "9,1,0,4", "--conv", "9,1,0,4", "--conv", "9,1,0"], &["one or two convolutions"]),
    ] {
        let output = run(&[&["fit"], &board[..], options].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{options:?}: {said}");
        assert!(words.iter().all(|words| said.contains(words)), "{options:?}: {said}");
    }
}

#[test]
fn networks_are_for_boards_that_are_not_on_the_list() {
    let parent = tempfile::tempdir().unwrap();
    let project = parent.path().join("digits");
    succeed(&["new", path(&project), "--core", "m3", "--flash", "200K", "--ram", "20K", "--mhz", "72"]);
    let map = fs::read_to_string(project.join("firmware/memory/board.x")).unwrap();
    assert!(map.contains("LENGTH = 204800") && map.contains("LENGTH = 20480"), "{map}");
    let emulated = fs::read_to_string(project.join("firmware/memory/emulated.x")).unwrap();
    assert!(map.contains("addresses of your chip") && map.ends_with(&emulated), "{map}{emulated}");
    let config = fs::read_to_string(project.join("firmware/.cargo/config.toml")).unwrap();
    assert!(config.contains("mps2-an385") && config.contains("thumbv7m-none-eabi"), "{config}");
    assert!(!config.contains("flash ="), "the chip's name is not known: {config}");
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_written() {
    let (three, parent) = (pictures(3, 10), tempfile::tempdir().unwrap());
    let many = pictures(300, 2);
    let empty = tempfile::tempdir().unwrap();
    let (three, many, empty) = (path(three.path()), path(many.path()), path(empty.path()));
    let project = parent.path().join("project");
    let new = path(&project);
    let board = ["--board", "microbit"];
    let cases: &[(&[&str], &[&str])] = &[
        (&["--data", empty], &["no images"]),
        (&["--data", "nowhere"], &["nowhere"]),
        (&["--data", three, "--ms", "1"], &["no network fits", "ms", "--ms"]),
        (&["--data", three, "--classes", "4"], &["--classes 4", "3 classes"]),
        (&["--data", three, "--classes", "2"], &["--classes 2", "3 classes"]),
        (&["--data", three, "--name", "match"], &["\"match\" cannot be the name of the project"]),
        (&["--data", three, "--name", "My Shapes"], &["cannot be the name of a crate", "lower-case"]),
        (&["--data", three, "--image", "30x40x3", "--patch", "7x7"], &["no such network", "must divide"]),
        (&["--data", three, "--ms", "1", "--heads", "2"], &["no network fits", "ms"]),
        (&["--data", three, "--embed", "50"], &["no such network", "multiple of 4"]),
        (
            &["--data", three, "--embed", "48", "--heads", "8"],
            &["no such network", "8 heads have 6 channels"],
        ),
    ];
    for (options, words) in cases {
        refuse(&[&["new", new], &board[..], options].concat(), words);
        assert!(entries(parent.path()).is_empty(), "{options:?} left something");
    }
    let core = ["--core", "m0", "--flash", "128K", "--ram", "8K", "--ms", "10000"];
    refuse(
        &[&["new", new, "--data", many], &core[..]].concat(),
        &["no network fits", "of RAM", "fewer classes"],
    );
    let core = ["--core", "m0", "--flash", "32K", "--ram", "64K", "--ms", "10000"];
    refuse(
        &[&["new", new, "--data", three], &core[..]].concat(),
        &["no network fits", "of flash", "larger board"],
    );
    let output = run(&["new", new, "--board", "toaster"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("nrf52840-dk"), "the boards are listed");
    assert_eq!(run(&["new", new]).status.code(), Some(2)); // neither a board nor a core

    // A folder that is not empty, a file, and a folder whose name is no name for a crate.
    fs::write(parent.path().join("file"), "x").unwrap();
    for (directory, words) in [
        (parent.path().to_owned(), &["there is something in this folder", "does not exist yet"][..]),
        (parent.path().join("file"), &["not a folder"]),
        (parent.path().join("2 shapes"), &["cannot be the name of a crate", "--name"]),
    ] {
        refuse(&[&["new", path(&directory), "--data", three], &board[..]].concat(), words);
    }
    assert_eq!(entries(parent.path()), ["file"]);
    // A folder that is there and empty is filled.
    fs::create_dir(&project).unwrap();
    succeed(&[&["new", new, "--data", three], &board[..]].concat());
    assert!(project.join("Cargo.toml").exists());
}

/// Names of classes do not break what is written, and neither do paths with `..` or the folder that one is in.
#[test]
fn odd_names_and_places_are_understood() {
    let (pictures, parent) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for class in ["@summary@", "a`b", "x\u{202e}y"] {
        let folder = pictures.path().join(class);
        fs::create_dir(&folder).unwrap();
        for index in 0..2 {
            DynamicImage::new_luma8(20, 20).save(folder.join(format!("{index}.png"))).unwrap();
        }
    }
    let options = ["--data", path(pictures.path()), "--board", "microbit"];
    let project = parent.path().join("no/../odd");
    succeed(&[&["new", path(&project)], &options[..]].concat());
    let network = fs::read_to_string(parent.path().join("odd/network/src/lib.rs")).unwrap();
    assert!(network.contains("classes apart: `@summary@`, `ab` and `xy`."), "{network}");
    assert_eq!(entries(parent.path()), ["odd"]);

    let here = parent.path().join("here");
    fs::create_dir(&here).unwrap();
    let output = program().args(["new", "."]).args(options).current_dir(&here).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let manifest = fs::read_to_string(here.join("train/Cargo.toml")).unwrap();
    assert!(manifest.contains("name = \"here\"") && !entries(&here).iter().any(|name| name.contains("tmp")));
}

/// The memory of each board is that of its memory map.
#[test]
fn boards_are_those_of_the_memory_maps() {
    for board in Board::all() {
        let map = fs::read_to_string(format!("../vit-boards/memory/{}.x", board.support.feature)).unwrap();
        let length = |region: &str| {
            let line = map.lines().find(|line| line.trim_start().starts_with(region)).unwrap();
            let expression = line.split("LENGTH =").nth(1).unwrap();
            let term = |term: &str| {
                let term = term.trim();
                let (digits, unit) = match term.split_at(term.len() - 1) {
                    (digits, "K") => (digits, 1 << 10),
                    (digits, "M") => (digits, 1 << 20),
                    _ => (term, 1),
                };
                let hexadecimal =
                    digits.strip_prefix("0x").map(|digits| usize::from_str_radix(digits, 16).unwrap());
                unit * hexadecimal.unwrap_or_else(|| digits.parse().unwrap())
            };
            let mut terms = expression.split(" - ").map(term);
            let first = terms.next().unwrap();
            first - terms.sum::<usize>()
        };
        assert_eq!((board.flash, board.ram), (length("FLASH"), length("RAM")), "{}", board.name);
    }
}

/// The clock of each board is the one that `vit-boards` states, with which the board runs on hardware.
#[test]
fn boards_have_the_clocks_of_their_support() {
    let read = |file: &str| fs::read_to_string(Path::new("../vit-boards/src").join(file)).unwrap();
    for board in Board::all() {
        let feature = board.support.feature;
        let source = read(&format!("boards/{}.rs", feature.replace('-', "_")));
        let clock = match feature {
            "microbit" => constant(&read("timer/nrf.rs"), "HZ"), // the timer has the processor's clock
            // The HAL sets the clock, so that there is no constant for it.
            "pico" => {
                let (_, documented) = source.split_once("run at ").unwrap();
                documented.split_once(" MHz").unwrap().0.parse().ok().map(|clock: u32| 1_000_000 * clock)
            }
            // Some boards have another clock in the emulator.
            _ => constant(&source, "RESET_CLOCK").or(constant(&source, "CLOCK")),
        };
        assert_eq!(Some(board.clock), clock, "{}", board.name);
    }
}

/// Returns the value of a constant that a source declares with a number.
fn constant(source: &str, name: &str) -> Option<u32> {
    let (_, rest) = source.split_once(&format!("const {name}: u32 = "))?;
    rest.split_once(';')?.0.replace('_', "").parse().ok()
}
