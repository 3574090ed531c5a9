//! Tests that `tools/chip-cargo` tries rustup first, and uses Debian's compiler only if it is new enough. All programs
//! that it calls are stand-ins that record how they are called.

#![cfg(unix)]

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

/// The state of the machine that `chip-cargo` runs on.
#[derive(Clone, Copy)]
struct Machine {
    /// The state of the target in rustup: it `has` the target, `adds` it, or `cannot` add it.
    rustup: &'static str,
    /// The installed version of Debian's compiler, according to apt.
    installed: &'static str,
    /// The version that apt would install, before its lists are fetched.
    candidate: &'static str,
    /// The version that apt would install, after its lists are fetched.
    fetched: &'static str,
}

impl Machine {
    /// Runs `chip-cargo build`, like [`call`](Self::call).
    fn build(self) -> (Vec<String>, String, bool) {
        self.call(&["build"])
    }

    /// Runs `chip-cargo` with these arguments. Returns its calls of programs that build or that change the machine, its
    /// error output, and whether it succeeded.
    fn call(self, arguments: &[&str]) -> (Vec<String>, String, bool) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let script = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        let at = root.display();
        // The script calls Debian's compiler by its path, which is replaced.
        let chip_cargo =
            include_str!("../../tools/chip-cargo").replace("exec /usr/bin/", &format!("exec {at}/debian/"));
        script("tools/chip-cargo", &chip_cargo);
        script("firmware/.cargo/config.toml", CONFIG);
        fs::create_dir(root.join("firmware/src")).unwrap();
        script("Cargo.toml", include_str!("../../Cargo.toml"));

        let call = format!("#!/bin/bash\necho \"${{0#{at}/}} $*\" >>{at}/calls\n");
        let Self { rustup, installed, candidate, fetched } = self;
        script("bin/cargo", &call);
        script("debian/cargo", &call);
        script("bin/rustc", &format!("#!/bin/bash\necho {at}/libdir\n"));
        let adds = if rustup == "adds" { "exit 0" } else { "exit 1" };
        script("bin/rustup", &format!("{call}{adds}"));
        if rustup == "has" {
            fs::create_dir(root.join("libdir")).unwrap();
        }
        // The stand-in of `dpkg-query` prints the state of four packages, that of `apt-cache` the versions of the first
        // one.
        let status = if installed == "(none)" { "not-installed" } else { "installed" };
        script("bin/dpkg-query", &format!("#!/bin/bash\nprintf '{}'", format!("{status}\\n").repeat(4)));
        let policy = format!(
            "#!/bin/bash\ncandidate={candidate}\n[ ! -e {at}/updated ] || candidate={fetched}\n\
             printf 'rustc-web:\\n  Installed: {installed}\\n  Candidate: %s\\n' $candidate\n"
        );
        script("bin/apt-cache", &policy);
        script("tools/apt-install", &format!("{call}[ \"$1\" != --update ] || touch {at}/updated\n"));

        let output = Command::new(root.join("tools/chip-cargo"))
            .args(arguments)
            .current_dir(root.join("firmware/src"))
            .env("PATH", format!("{at}/bin:/usr/bin:/bin"))
            .output()
            .unwrap();
        let calls = fs::read_to_string(root.join("calls")).unwrap_or_default();
        let calls = calls.lines().map(str::to_owned).collect();
        (calls, String::from_utf8(output.stderr).unwrap(), output.status.success())
    }
}

/// The settings of cargo in the firmware's folder.
const CONFIG: &str = r#"
[build]
target = "thumbv7em-none-eabihf"

[alias]
board = [
    "run", "--release",
    "--target", "thumbv6m-none-eabi",
]
"#;

const BARE: Machine =
    Machine { rustup: "cannot", installed: "(none)", candidate: "(none)", fetched: "(none)" };
const OLD: &str = "1.85.0+dfsg3-1~deb12u3";
const NEW: &str = "1.100.0+dfsg1-1~deb13u1"; // a newer version than 1.89, although its text sorts before that

const ADD: &str = "bin/rustup target add thumbv7em-none-eabihf";
const UPDATE: &str = "tools/apt-install --update";
const INSTALL: &str = "tools/apt-install rustc-web cargo-web rust-web-src rust-web-clippy";

#[test]
fn chip_cargo_asks_rustup_first_and_debian_only_where_it_is_new_enough() {
    for (name, machine, expected) in [
        ("rustup has the target", Machine { rustup: "has", ..BARE }, &["bin/cargo build"][..]),
        ("rustup adds it", Machine { rustup: "adds", ..BARE }, &[ADD, "bin/cargo build"]),
        (
            "rustup adds it, and Debian's is installed",
            Machine { rustup: "adds", installed: NEW, candidate: NEW, fetched: NEW },
            &[ADD, "bin/cargo build"],
        ),
        (
            "Debian's is installed",
            Machine { installed: NEW, candidate: NEW, ..BARE },
            &[ADD, "debian/cargo build"],
        ),
        (
            "Debian's can be installed",
            Machine { candidate: NEW, ..BARE },
            &[ADD, INSTALL, "debian/cargo build"],
        ),
        (
            "Debian's old one can be replaced",
            Machine { installed: OLD, candidate: NEW, ..BARE },
            &[ADD, INSTALL, "debian/cargo build"],
        ),
        (
            "apt's lists are old",
            Machine { candidate: OLD, fetched: NEW, ..BARE },
            &[ADD, UPDATE, INSTALL, "debian/cargo build"],
        ),
    ] {
        let (calls, said, success) = machine.build();
        assert_eq!(calls, expected, "{name}: {said}");
        assert!(success, "{name}: {said}");
    }
}

#[test]
fn chip_cargo_says_in_one_line_what_to_do() {
    for (machine, version) in
        [(BARE, "none found"), (Machine { installed: OLD, candidate: OLD, fetched: OLD, ..BARE }, "1.85.0")]
    {
        let (calls, said, success) = machine.build();
        assert_eq!(calls, [ADD, UPDATE], "{said}");
        assert!(!success && said.lines().count() == 1, "{said}");
        for word in [version, "1.89", "rustup target add thumbv7em-none-eabihf"] {
            assert!(said.contains(word), "no {word:?} in {said}");
        }
    }
}

#[test]
fn chip_cargo_builds_for_the_target_that_is_named() {
    for (arguments, target) in [
        (&["build"][..], "thumbv7em-none-eabihf"),
        (&["board"], "thumbv6m-none-eabi"),
        (&["build", "--target", "thumbv7m-none-eabi"], "thumbv7m-none-eabi"),
        (&["board", "--target=thumbv7m-none-eabi"], "thumbv7m-none-eabi"),
    ] {
        let (calls, said, success) = Machine { rustup: "adds", ..BARE }.call(arguments);
        let add = format!("bin/rustup target add {target}");
        assert_eq!(calls, [add, format!("bin/cargo {}", arguments.join(" "))], "{said}");
        assert!(success, "{said}");
    }
}
