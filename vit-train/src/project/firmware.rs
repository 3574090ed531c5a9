//! The parts of a project's firmware that depend on the board.

use crate::{
    board::boards::{Board, Support},
    error::{Error, IoContext},
};
use std::{fs, path::Path};

/// The path of the board's memory map in the firmware's folder. A linker would prefer a file `memory.x` in that folder to
/// the one that the build script gives it.
const MEMORY: &str = "memory/board.x";
/// The path of the memory map for the emulator, if that does not emulate the board itself.
const EMULATED_MEMORY: &str = "memory/emulated.x";

/// The firmware for a board.
pub(super) struct Firmware<'a> {
    pub board: &'a Board,
    /// The path of the repository from the firmware's folder.
    pub repository: &'a Path,
}

impl Firmware<'_> {
    /// True if the emulator runs firmware for the board itself.
    fn is_emulated(&self) -> bool {
        self.board.support.machine.is_some()
    }

    /// True if the firmware has a memory map of its own for the emulator.
    fn has_two_maps(&self) -> bool {
        !self.is_emulated() || !self.board.is_known()
    }

    /// Returns the board on which the emulator runs the firmware: the board itself, or one with the same core.
    pub(super) fn emulated(&self) -> Support {
        if self.is_emulated() {
            self.board.support
        } else {
            self.board.core.twin()
        }
    }

    /// Returns the paths and contents of the memory maps. `maps` is the folder of the known ones.
    pub(super) fn memory_maps(&self, maps: &Path) -> Result<Vec<(&'static str, String)>, Error> {
        let known = |support: Support| {
            let path = maps.join(support.feature).with_extension("x");
            fs::read_to_string(&path).at(&path)
        };
        let own = known(self.board.support)?;
        if !self.board.is_known() {
            let resized = self.resized(&own);
            let of_chip = format!("/* Give these regions the addresses of your chip. */\n{resized}");
            return Ok(vec![(MEMORY, of_chip), (EMULATED_MEMORY, resized)]);
        }
        let mut all = vec![(MEMORY, own)];
        if self.has_two_maps() {
            all.push((EMULATED_MEMORY, known(self.emulated())?));
        }
        Ok(all)
    }

    /// Returns the memory `map` of an emulated board with the sizes of this one.
    fn resized(&self, map: &str) -> String {
        let Board { core, flash, ram, .. } = self.board;
        let origin = |region: &str| {
            let line = map.lines().find(|line| line.trim_start().starts_with(region)).unwrap_or_default();
            line.split(['=', ',']).nth(1).unwrap_or_default().trim().to_owned()
        };
        format!(
            "/* The sizes of a board with a {}, at the addresses of the emulated board. */\n\
             MEMORY\n{{\n  FLASH : ORIGIN = {}, LENGTH = {flash}\n  RAM   : ORIGIN = {}, LENGTH = {ram}\n}}\n",
            core.name(),
            origin("FLASH"),
            origin("RAM"),
        )
    }

    /// Returns the comment on the type of an emulated board.
    fn about_the_board(&self) -> &'static str {
        if self.board.is_known() {
            "/// The board.\n"
        } else {
            "/// The emulated board with the processor core of yours. For hardware, with the feature `probe`, implement\n\
             /// `vit_boards::Board` for a type of your own, as the README of `vit-boards` describes, and put the addresses of\n\
             /// your chip into `memory/board.x`.\n"
        }
    }

    /// Returns the values of the templates that depend on the board.
    pub(super) fn values(&self) -> Vec<(&'static str, String)> {
        let Support { type_name, feature, target, .. } = self.board.support;
        let emulated = self.emulated();
        let (features, board) = if self.is_emulated() {
            (
                "# The board is a real one with a debug probe, which the log goes to.\nprobe = [\"vit-boards/probe\"]"
                    .to_owned(),
                format!("{}pub use vit_boards::{type_name} as Board;", self.about_the_board()),
            )
        } else {
            (
                format!(
                    "default = [\"probe\"]\n\
                     # The board itself, with a debug probe, which the log goes to. Without this feature, the firmware is \
                     for an\n# emulated board with the same processor core.\n\
                     probe = [\"vit-boards/{feature}\", \"vit-boards/probe\"]"
                ),
                format!(
                    "#[cfg(not(feature = \"probe\"))]\npub use vit_boards::{} as Board; // emulated, with the same \
                     processor core\n#[cfg(feature = \"probe\")]\npub use vit_boards::{type_name} as Board;",
                    emulated.type_name
                ),
            )
        };
        let memory = if self.has_two_maps() {
            format!("if cfg!(feature = \"probe\") {{ {MEMORY:?} }} else {{ {EMULATED_MEMORY:?} }}")
        } else {
            format!("{MEMORY:?}")
        };
        let title = if self.board.is_known() {
            format!("the board `{}`", self.board.name)
        } else {
            format!("a board with a {}", self.board.core.name())
        };
        let qemu = self.repository.join("tools/qemu-run").display().to_string();
        let qemu = format!("{:?}", [qemu.as_str(), emulated.machine.unwrap_or_default()]);
        let flash = self.board.chip.as_ref().map(|chip| format!("{:?}", ["probe-rs", "run", "--chip", chip]));
        let runner = if self.is_emulated() { qemu.clone() } else { flash.clone().unwrap_or_default() };

        // An alias for the other way to run the firmware names the runner for the target.
        let with_runner = |runner: &str| {
            // A dot in a target separates two keys, as cargo expects.
            let setting = format!("target.{target}.runner={}", runner.replace('"', "'"));
            format!("\"--config\", {setting:?}")
        };
        let mut aliases = vec![format!(
            "emulate = [\"run\", \"--release\"{}] # runs it in QEMU",
            match self.is_emulated() {
                true => String::new(),
                false => format!(", \"--no-default-features\", {}", with_runner(&qemu)),
            }
        )];
        if let Some(flash) = &flash {
            aliases.push(format!(
                "flash = [\"run\", \"--release\"{}] # flashes the board, and shows its log",
                match self.is_emulated() {
                    true => format!(", \"--features\", \"probe\", {}", with_runner(flash)),
                    false => String::new(),
                }
            ));
        }
        let run = if self.is_emulated() { "runs it in QEMU" } else { "flashes the board with probe-rs" };
        let emulate_line = if self.is_emulated() {
            ""
        } else {
            "$ cargo emulate                             # runs it in QEMU, on an emulated board with the same core\n"
        };
        let flash_line = flash.map_or(String::new(), |_| {
            "$ cargo flash                               # flashes the board with probe-rs\n".to_owned()
        });
        vec![
            ("features", features),
            ("board", board),
            ("board-title", title),
            ("memory", memory),
            ("target", target.to_owned()),
            ("runner", runner),
            ("aliases", aliases.join("\n") + "\n"),
            ("run-firmware", run.to_owned()),
            ("emulate-line", emulate_line.to_owned()),
            ("flash-line", flash_line),
        ]
    }
}
