//! Writes the files of a project: a workspace that trains its network, and a firmware outside of it.

use super::{firmware::Firmware, name::Name};
use crate::{
    board::boards::Board,
    error::{Error, IoContext},
    folder::share,
    paths::{folder_of, resolve},
    repository::{dependency, REPOSITORY},
    template::filled,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use vit_nostd::Dims;

/// A project that is to be written.
pub(crate) struct Project<'a> {
    pub name: &'a Name,
    pub dims: &'a Dims,
    pub board: &'a Board,
    pub class_names: &'a [String],
    /// The value of `--data` with which the project trains. A folder has an absolute path.
    pub data: &'a str,
    /// True if the project leaves out files among them that cannot be read as pictures.
    pub skip_unreadable: bool,
    /// A text in markdown that says what the network takes.
    pub summary: &'a str,
}

macro_rules! templates {
    ($($path:literal = $file:literal,)*) => {
        /// The paths of files in a project, and their templates, in which `@name@` stands for a value.
        const TEMPLATES: &[(&str, &str)] = &[$(($path, include_str!(concat!("template/", $file))),)*];
    };
}
templates! {
    ".gitignore" = "gitignore",
    "Cargo.toml" = "workspace.toml",
    "README.md" = "README.md",
    "network/Cargo.toml" = "network.toml",
    "network/src/lib.rs" = "network.rs",
    "train/Cargo.toml" = "train.toml",
    "train/src/main.rs" = "train.rs",
    "train/tests/chip.rs" = "chip.rs",
    "firmware/.cargo/config.toml" = "config.toml",
    "firmware/Cargo.toml" = "firmware.toml",
    "firmware/build.rs" = "build.rs",
    "firmware/src/lib.rs" = "firmware_lib.rs",
    "firmware/src/main.rs" = "firmware.rs",
    "firmware/src/bin/serve.rs" = "serve.rs",
}

impl Project<'_> {
    /// Writes the project to `directory`, which must be empty or not exist. Either everything is written or nothing.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is something in the directory; [`Error::Io`] if a file cannot be read or written.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), Error> {
        Self::check_empty(directory)?;
        let target = resolve(directory);
        let exists = target.is_dir();
        // The files are written to a temporary folder, which then gets the directory's name. If there is an empty
        // directory, the files are written into it and then moved up, because somebody may be working in it.
        let parent = if exists { &target } else { folder_of(&target) };
        fs::create_dir_all(parent).at(parent)?;
        let temporary = tempfile::Builder::new().prefix(".vit-train-").suffix(".tmp").tempdir_in(parent);
        let temporary = temporary.map_err(|error| error.kind().into()).at(parent)?;
        for (path, content) in self.files(&target)? {
            let path = temporary.path().join(path);
            fs::create_dir_all(folder_of(&path)).at(&path)?;
            fs::write(&path, content).at(&path)?;
        }
        format_rust(temporary.path());
        if exists {
            return move_up(temporary.path(), &target).at(directory);
        }
        share(temporary.path()).at(directory)?;
        fs::rename(temporary.path(), &target).at(directory)
    }

    /// Checks that there is nothing in a directory, which need not exist.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is something in it, or if it is not a directory.
    pub(crate) fn check_empty(directory: &Path) -> Result<(), Error> {
        let refused = |what: &str| {
            let directory = directory.display();
            Err(Error::Usage(format!("{directory}: {what}: name a folder that does not exist yet")))
        };
        match fs::read_dir(directory) {
            Ok(mut entries) => match entries.next() {
                None => Ok(()),
                Some(_) => refused("there is something in this folder"),
            },
            Err(_) if directory.symlink_metadata().is_ok() => {
                refused("this is not a folder that can be read")
            }
            Err(_) => Ok(()),
        }
    }

    /// Returns the paths and contents of the files of a project in the folder `target`.
    fn files(&self, target: &Path) -> Result<Vec<(PathBuf, String)>, Error> {
        let firmware = Firmware { board: self.board, repository: &from_member(target) };
        let values = self.values(&firmware);
        let filled = |template: &str| filled(template, &values);
        let mut files: Vec<_> =
            TEMPLATES.iter().map(|(path, template)| (PathBuf::from(path), filled(template))).collect();
        let repository = Path::new(REPOSITORY.unwrap_or_default());
        for (path, map) in firmware.memory_maps(&repository.join("vit-boards/memory"))? {
            files.push((Path::new("firmware").join(path), map));
        }
        if REPOSITORY.is_some() {
            let path = repository.join("Cargo.lock");
            let lock = fs::read_to_string(&path).at(&path)?;
            files.extend(["Cargo.lock", "firmware/Cargo.lock"].map(|path| (path.into(), lock.clone())));
        }
        Ok(files)
    }

    /// Returns the values of the templates.
    fn values(&self, firmware: &Firmware) -> Vec<(&'static str, String)> {
        let Dims { height, width, channels, embed, heads, hidden, depth, classes, .. } = *self.dims;
        let repository = firmware.repository;
        let crates = |name: &str, features: &[&str]| dependency(repository, name, features);
        let mut values = vec![
            ("name", self.name.package().to_owned()),
            ("name_", self.name.identifier()),
            ("Network", self.name.network()),
            ("run", self.name.run()),
            ("purpose", purpose(self.class_names)),
            ("tokenizer", self.dims.tokenizer_field().to_string()),
            ("summary", self.summary.to_owned()),
            ("data", format!("{:?}", self.data)),
            ("skip", if self.skip_unreadable { ".skip_unreadable(true)" } else { "" }.to_owned()),
            ("data-name", self.data.to_owned()),
            ("repository", repository.display().to_string()),
            ("vit-nostd", crates("vit-nostd", &[])),
            ("vit-train", crates("vit-train", &[])),
            ("vit-boards", crates("vit-boards", &[firmware.emulated().feature])),
        ];
        let lengths = [
            ("height", height),
            ("width", width),
            ("channels", channels),
            ("embed", embed),
            ("heads", heads),
            ("hidden", hidden),
            ("depth", depth),
            ("classes", classes),
        ];
        values.extend(lengths.map(|(name, length)| (name, length.to_string())));
        values.extend(firmware.values());
        values
    }
}

/// Returns the name of a class as code in markdown. Characters that would end the code, or that change the direction of
/// the text, are left out.
fn as_code(name: &str) -> String {
    let is_plain = |c: &char| {
        *c != '`'
            && !matches!(*c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    format!("`{}`", name.chars().filter(is_plain).collect::<String>())
}

/// Returns what the network does, in a sentence.
fn purpose(class_names: &[String]) -> String {
    let count = class_names.len();
    let names: Vec<String> = class_names.iter().map(|name| as_code(name)).collect();
    match &names[..] {
        [first @ .., last] if (2..=5).contains(&count) => {
            format!("Tells pictures of {count} classes apart: {} and {last}.", first.join(", "))
        }
        [first, .., last] => format!("Tells pictures of {count} classes apart, from {first} to {last}."),
        [one] => format!("Knows pictures of one class: {one}."),
        [] => "Classifies pictures.".to_owned(),
    }
}

/// Returns the path of the repository from a folder in the project `target`.
fn from_member(target: &Path) -> PathBuf {
    let repository = resolve(Path::new(REPOSITORY.unwrap_or_default()));
    let common = repository.iter().zip(target).take_while(|(a, b)| a == b).count();
    let up = target.iter().skip(common).map(|_| Path::new(".."));
    let down = repository.iter().skip(common).map(Path::new);
    Path::new("..").components().map(|part| part.as_os_str().as_ref()).chain(up).chain(down).collect()
}

/// Moves everything in the folder `from` to the folder `to`, or nothing.
fn move_up(from: &Path, to: &Path) -> io::Result<()> {
    let mut moved = Vec::new();
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if let Err(error) = fs::rename(entry.path(), &target) {
            for path in moved {
                let path: &PathBuf = &path;
                let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            }
            return Err(error);
        }
        moved.push(target);
    }
    Ok(())
}

/// Formats the Rust files in a folder, if rustfmt is installed: where lines break depends on the length of names.
fn format_rust(directory: &Path) {
    let is_rust = |path: &&str| path.ends_with(".rs");
    let files = TEMPLATES.iter().map(|(path, _)| *path).filter(is_rust).map(|path| directory.join(path));
    let mut rustfmt = Command::new("rustfmt");
    rustfmt.args(["--edition", "2024"]).args(files);
    let _ = rustfmt.stdout(Stdio::null()).stderr(Stdio::null()).status();
}
