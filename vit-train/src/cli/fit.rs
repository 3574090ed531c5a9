//! The command `vit-train fit`, and the options that it shares with `vit-train new`.

use super::{
    data::{named_source, tell_of_omissions, DataOfProgram},
    options::{positive, positive_up_to, DATA},
    output::print_json,
    progress,
};
use crate::{
    board::{boards::Board, core::Core, needs::Needs},
    data::{
        survey::{survey, Survey},
        Loading, Source, Style, Unreadable,
    },
    project::choice::{check, Candidate, Choice, Pictures, Wishes, SPARE},
    Error,
};
use clap::{ArgGroup, Args};
use serde::Serialize;
use std::process::ExitCode;
use vit_nostd::{Convolution, Declaration, Dims, Tokenizer};

pub(super) const EXAMPLES: &str = "\
Examples:
  vit-train fit --data photos --board nrf52840-dk                    networks for these pictures and this board
  vit-train fit --data photos --core m4 --flash 256K --ram 16K       for a board that is not on the list
  vit-train fit --data photos --board pico --embed 64 --depth 4      what this network takes
  vit-train fit --board pico --conv 3,2,1,16 --conv 3,2,1            networks with these two convolutions";

/// The heading of the options about the board in `--help`.
const BOARD: &str = "Board";
/// The heading of the options about the network in `--help`.
const NETWORK: &str = "Network";

/// The largest length of a network.
const MAX: usize = u16::MAX as usize;

/// The options that say what a network is for.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("target").required(true).args(["board", "core"]))]
pub(super) struct ProjectArguments {
    /// Images to train on: a folder with a folder of pictures for each class, or another value that --data takes
    /// [default: the images of the program: synthetic, the built-in digits, for vit-train itself]
    #[arg(long, help_heading = DATA, value_name = "NAME|DIR", value_parser = named_source)]
    data: Option<Source>,
    #[command(flatten)]
    of_program: DataOfProgram,
    /// Leave out files in class folders that cannot be read as pictures, instead of refusing the folder
    #[arg(long, help_heading = DATA)]
    skip_unreadable: bool,
    /// The board
    #[arg(long, help_heading = BOARD, value_name = "NAME", value_parser = board_names())]
    board: Option<String>,
    /// The processor core of a board that is not on the list
    #[arg(long, help_heading = BOARD, value_enum, requires_all = ["flash", "ram"])]
    core: Option<Core>,
    /// The flash of the chip in bytes, such as 256K or 1M
    #[arg(long, help_heading = BOARD, value_name = "SIZE", value_parser = bytes, requires = "core")]
    flash: Option<usize>,
    /// The RAM of the chip in bytes, such as 16K
    #[arg(long, help_heading = BOARD, value_name = "SIZE", value_parser = bytes, requires = "core")]
    ram: Option<usize>,
    /// The clock of the processor in MHz
    #[arg(long, help_heading = BOARD, value_name = "N", value_parser = megahertz, requires = "core", default_value_t = 64)]
    mhz: u32,
    /// The name of the chip for probe-rs, which flashes it (`probe-rs chip list` prints the names)
    #[arg(long, help_heading = BOARD, value_name = "NAME", requires = "core")]
    chip: Option<String>,
    /// The most milliseconds that an inference may take, estimated at one instruction a cycle
    #[arg(long, help_heading = BOARD, value_name = "N", value_parser = positive, default_value_t = 200)]
    ms: usize,
    /// Choose the largest network that fits, instead of the one recommended for the pictures
    #[arg(long, help_heading = NETWORK)]
    largest: bool,
    /// Height, width and channels (1: grey, 3: colour) of the network's image, such as 32x48x3
    #[arg(long, help_heading = NETWORK, value_name = "HxWxC", value_parser = lengths::<3>)]
    image: Option<[usize; 3]>,
    /// Height and width of a patch, such as 8x8, for tokens that are made of patches instead of by two convolutions
    #[arg(long, help_heading = NETWORK, value_name = "HxW", value_parser = lengths::<2>)]
    patch: Option<[usize; 2]>,
    /// Kernel, stride and padding of a single convolution that makes tokens, such as 5,4,2. For two convolutions, the
    /// option is given twice, and the first one has channels, too: --conv 3,2,1,16 --conv 3,2,1
    #[arg(long, help_heading = NETWORK, value_name = "K,S,P[,C]", value_parser = convolution, conflicts_with = "patch")]
    conv: Vec<Convolution>,
    /// Channels of a token, a multiple of 4
    #[arg(long, help_heading = NETWORK, value_name = "N", value_parser = positive_up_to::<MAX>)]
    embed: Option<usize>,
    /// Attention heads of each block
    #[arg(long, help_heading = NETWORK, value_name = "N", value_parser = positive_up_to::<MAX>)]
    heads: Option<usize>,
    /// Channels of the hidden layer of the MLP, a multiple of 4
    #[arg(long, help_heading = NETWORK, value_name = "N", value_parser = positive_up_to::<MAX>)]
    hidden: Option<usize>,
    /// Encoder blocks
    #[arg(long, help_heading = NETWORK, value_name = "N", value_parser = positive_up_to::<MAX>)]
    depth: Option<usize>,
    /// Number of classes [default: that of the images; a project is always for as many]
    #[arg(long, help_heading = NETWORK, value_name = "N", value_parser = positive_up_to::<MAX>)]
    classes: Option<usize>,
    /// Print the results as JSON
    #[arg(long)]
    pub json: bool,
    /// Print only results and errors
    #[arg(long, short)]
    quiet: bool,
}

/// A network that fits, and what it was chosen by.
pub(super) struct Fitted {
    pub survey: Survey,
    pub board: Board,
    pub choice: Choice,
    pub chosen: Candidate,
}

impl ProjectArguments {
    /// Chooses the network.
    pub(super) fn fit(&self) -> Result<Fitted, Error> {
        let board = self.board();
        let survey = self.survey()?;
        let mut pictures = Pictures::of(&survey);
        let mut labels = survey.class_names.clone();
        if let Some(classes) = self.classes {
            if classes < labels.len() {
                let found = labels.len();
                return Err(Error::Usage(format!("--classes {classes}: the images have {found} classes")));
            }
            pictures.classes = classes;
            labels.resize_with(classes, String::new);
        }
        let choice = Choice::new(&pictures, &labels, &board, self.ms as f64, &self.wishes());
        let Some(smallest) = choice.candidates.first() else {
            return Err(Error::Usage(self.why_none(&pictures)));
        };
        let chosen = match choice.chosen {
            Some(index) => choice.candidates[index],
            // A network that is given completely only has to fit.
            None if self.wishes().are_complete() && smallest.needs.fits(&board) => *smallest,
            None => return Err(Error::Usage(nothing_fits(smallest, &choice.limits, &board, self.ms))),
        };
        Ok(Fitted { survey, board, choice, chosen })
    }

    fn board(&self) -> Board {
        let named = self.board.as_deref().and_then(Board::named);
        named.unwrap_or_else(|| {
            let core = self.core.unwrap_or(Core::M4);
            let [flash, ram] = [self.flash, self.ram].map(Option::unwrap_or_default);
            Board { chip: self.chip.clone(), ..Board::of_core(core, flash, ram, self.mhz * 1_000_000) }
        })
    }

    /// True if files that cannot be read as pictures are left out.
    pub(super) fn skips_unreadable(&self) -> bool {
        self.of_program.skips_unreadable(self.skip_unreadable, self.data.as_ref())
    }

    fn survey(&self) -> Result<Survey, Error> {
        let unreadable = if self.skips_unreadable() { Unreadable::LeaveOut } else { Unreadable::Refuse };
        let reading = &progress::reading(self.quiet);
        let loading = Loading { unreadable, reading, ..Loading::default() };
        let source = self.data.as_ref().or(self.of_program.default_data.as_ref());
        let survey = survey(source.unwrap_or(&Source::Synthetic), &loading)?;
        tell_of_omissions(&survey.skipped, &survey.passed_over, survey.fallback.as_ref());
        Ok(survey)
    }

    fn wishes(&self) -> Wishes<'_> {
        let &Self { image, patch, embed, heads, hidden, depth, largest, .. } = self;
        let tokenizer = match &self.conv[..] {
            [] => patch.map(Tokenizer::Patches),
            convolutions => Some(Tokenizer::Convolutions(convolutions)),
        };
        Wishes { image, tokenizer, embed, heads, hidden, depth, largest }
    }

    /// Returns why there is no network with these wishes.
    fn why_none(&self, pictures: &Pictures) -> String {
        let tokenizer = self.wishes().tokenizer;
        // Without wishes for them, a small image and small patches, which cannot be at fault.
        let [height, width] = if tokenizer.is_some() { pictures.size } else { [16, 16] };
        let image = self.image.unwrap_or([height, width, pictures.channels]);
        let embed = self.embed.unwrap_or(64);
        let declaration = Declaration {
            image,
            tokenizer: tokenizer.unwrap_or(Tokenizer::Patches([1, 1])),
            embed,
            heads: self.heads.unwrap_or(1),
            hidden: self.hidden.unwrap_or(4),
            depth: self.depth.unwrap_or(1),
            classes: pictures.classes,
        };
        let fault =
            check(declaration).err().unwrap_or_else(|| "its dimensions do not fit together".to_owned());
        format!("there is no such network: {fault}")
    }
}

/// Returns the error for a board that no network fits.
fn nothing_fits(smallest: &Candidate, limits: &Needs, board: &Board, ms: usize) -> String {
    let Needs { flash, ram, .. } = smallest.needs;
    let time = smallest.needs.milliseconds(board);
    let mut faults = Vec::new();
    if flash > limits.flash {
        faults.push(format!(
            "{} of flash, but only {} may be used",
            kilobytes(flash),
            kilobytes(limits.flash)
        ));
    }
    if ram > limits.ram {
        faults.push(format!("{} of RAM, but only {} may be used", kilobytes(ram), kilobytes(limits.ram)));
    }
    let mut advice = "choose a larger board, fewer classes or a smaller --image";
    if smallest.needs.instructions > limits.instructions {
        let time = thousands(time.round() as usize);
        faults.push(format!("{time} ms, but only {ms} ms are allowed, of which {SPARE} % stay to spare"));
        if faults.len() == 1 {
            advice = "allow more with --ms, or choose a faster board";
        }
    }
    format!("no network fits: the smallest one ({}) takes {}: {advice}", smallest.dims, faults.join(", and "))
}

/// The command `vit-train fit`.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    project: ProjectArguments,
}

impl Arguments {
    pub(super) fn run(&self) -> Result<ExitCode, Error> {
        let fitted = self.project.fit()?;
        fitted.print(self.project.json)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A row of the table.
#[derive(Serialize)]
struct Row {
    role: &'static str,
    image: [u16; 3],
    /// The height and the width of a patch, which is the window of the last convolution.
    patch: [u16; 2],
    /// The convolutions that make tokens; none if the patches do.
    convolutions: Vec<ConvolutionRow>,
    embed: u16,
    heads: u16,
    hidden: u16,
    depth: u16,
    classes: u16,
    tokens: u16,
    parameters: usize,
    flash_bytes: usize,
    ram_bytes: usize,
    instructions: u64,
    milliseconds: f64,
}

/// A convolution of a row.
#[derive(Serialize)]
struct ConvolutionRow {
    kernel: u16,
    stride: u16,
    padding: u16,
    channels: u16,
}

impl Row {
    fn of(role: &'static str, candidate: &Candidate, board: &Board) -> Self {
        let Candidate { dims, needs } = candidate;
        let &Dims { height, width, channels, patch_height, patch_width, .. } = dims;
        let &Dims { embed, heads, hidden, depth, classes, tokens, .. } = dims;
        let row_of = |Convolution { kernel, stride, padding, channels }| {
            let channels = if channels == 0 { embed } else { channels };
            ConvolutionRow { kernel, stride, padding, channels }
        };
        Self {
            role,
            image: [height, width, channels],
            patch: [patch_height, patch_width],
            convolutions: dims.declared_convolutions().map(row_of).collect(),
            embed,
            heads,
            hidden,
            depth,
            classes,
            tokens,
            parameters: dims.parameters(),
            flash_bytes: needs.flash,
            ram_bytes: needs.ram,
            instructions: needs.instructions,
            milliseconds: needs.milliseconds(board),
        }
    }

    /// Returns the dimensions as the table shows them.
    fn network(&self) -> String {
        let &Self { image: [height, width, channels], patch: [down, across], .. } = self;
        let &Self { embed, heads, hidden, depth, .. } = self;
        let convolution = |convolution: &ConvolutionRow| {
            let &ConvolutionRow { kernel, stride, padding, channels } = convolution;
            format!("{kernel},{stride},{padding},{channels}")
        };
        let convolutions: Vec<String> = self.convolutions.iter().map(convolution).collect();
        let tokenizer = match &convolutions[..] {
            [] => format!("patch {down}x{across}"),
            convolutions => format!("conv {}", convolutions.join(" and ")),
        };
        format!(
            "image {height}x{width}x{channels}, {tokenizer}, embed {embed}, heads {heads}, hidden {hidden}, depth {depth}"
        )
    }
}

impl Fitted {
    /// Returns the rows of the table: the chosen network, the next smaller and the next larger one, and the largest that
    /// fits.
    fn rows(&self) -> Vec<Row> {
        let Self { choice: Choice { candidates, largest, .. }, board, chosen, .. } = self;
        let at = candidates.iter().position(|candidate| candidate == chosen);
        let mut rows = Vec::new();
        if let Some(smaller) = at.and_then(|at| candidates.get(at.checked_sub(1)?)) {
            rows.push(Row::of("smaller", smaller, board));
        }
        rows.push(Row::of("chosen", chosen, board));
        if let Some(larger) = at.and_then(|at| candidates.get(at + 1)) {
            rows.push(Row::of("larger", larger, board));
        }
        if let Some(largest) = largest.filter(|&largest| at.is_none_or(|at| largest > at + 1)) {
            rows.push(Row::of("largest", &candidates[largest], board));
        }
        rows
    }

    /// Prints what the network was chosen by, and the table.
    pub(super) fn print(&self, json: bool) -> Result<(), Error> {
        let rows = self.rows();
        if json {
            return print_json(&rows);
        }
        let Self { survey, board, choice, .. } = self;
        let [height, width] = survey.size;
        let kind = match survey.style {
            Style::Digits => "handwriting",
            Style::Photos => "pictures",
        };
        let colour = if survey.colour { "in colour" } else { "in grey" };
        out!(
            "{}: {} classes of {kind} {colour}, {} to train on and {} to test on, typically {width} pixels wide and \
             {height} high",
            survey.name,
            survey.class_names.len(),
            survey.train,
            survey.test,
        );
        out!(
            "{}: a {} at {} MHz with {} of flash and {} of RAM",
            board.name,
            board.core.name(),
            board.clock / 1_000_000,
            kilobytes(board.flash),
            kilobytes(board.ram),
        );
        out!("");
        for line in table(&rows, choice, board) {
            out!("{line}");
        }
        out!("");
        out!("The time is an estimate, with one instruction a cycle. RAM is the most that scratch memory, stack, variables");
        out!("and the lines of a camera take; flash is the most that code, model and test pictures take.");
        if choice.chosen.is_none() {
            out!("The network is the one that was asked for. It is not within the limits.");
        } else if choice.chosen.is_some_and(|chosen| chosen < choice.wanted) {
            let wanted = &choice.candidates[choice.wanted].dims;
            out!("A larger network is recommended for this number of pictures ({wanted}), but it is not within the limits.");
        }
        Ok(())
    }

    /// Says where `cargo run` runs the firmware.
    pub(super) fn where_it_runs(&self) -> String {
        let Board { name, support, .. } = &self.board;
        match support.machine {
            Some(machine) => format!("emulated board {machine}"),
            None => format!("board {name}, with probe-rs"),
        }
    }

    /// Returns the table of the chosen network in markdown.
    pub(super) fn summary(&self) -> String {
        let Needs { flash, ram, .. } = self.chosen.needs;
        format!(
            "The network has {} parameters ({}). The firmware takes at most {} of flash and {} of RAM; an inference takes \
             about {} ms at {} MHz, estimated with one instruction a cycle.",
            thousands(self.chosen.dims.parameters()),
            self.chosen.dims,
            kilobytes(flash),
            kilobytes(ram),
            time(self.chosen.needs.milliseconds(&self.board)),
            self.board.clock / 1_000_000,
        )
    }
}

/// Returns the lines of the table.
fn table(rows: &[Row], choice: &Choice, board: &Board) -> Vec<String> {
    let networks: Vec<String> = rows.iter().map(Row::network).collect();
    let widest = networks.iter().map(String::len).fold(65, usize::max);
    let line = |role: &str, network: &str, parameters: &str, flash: &str, ram: &str, time: &str| {
        format!("{role:<8}  {network:<widest$}  {parameters:>10}  {flash:>8}  {ram:>8}  {time:>8}")
    };
    let mut lines = vec![line("", "network", "parameters", "flash", "RAM", "time")];
    for (row, network) in rows.iter().zip(&networks) {
        let &Row { role, parameters, flash_bytes, ram_bytes, milliseconds, .. } = row;
        lines.push(line(
            role,
            network,
            &thousands(parameters),
            &kilobytes(flash_bytes),
            &kilobytes(ram_bytes),
            &format!("{} ms", time(milliseconds)),
        ));
    }
    let Needs { flash, ram, .. } = choice.limits;
    lines.push(line(
        "limit",
        &format!("{SPARE} % stay to spare"),
        "",
        &kilobytes(flash),
        &kilobytes(ram),
        &format!("{} ms", time(choice.limits.milliseconds(board))),
    ));
    lines
}

fn kilobytes(bytes: usize) -> String {
    let kilobytes = bytes as f64 / 1024.0;
    if kilobytes < 10.0 {
        format!("{kilobytes:.1} KB")
    } else {
        format!("{} KB", thousands(kilobytes.ceil() as usize))
    }
}

fn time(milliseconds: f64) -> String {
    if milliseconds < 10.0 {
        format!("{milliseconds:.1}")
    } else {
        thousands(milliseconds.round() as usize)
    }
}

/// Returns a number with a comma before each group of three digits.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}

/// The names of all boards, with what they have.
fn board_names() -> clap::builder::PossibleValuesParser {
    let value = |board: &Board| {
        let (flash, ram) = (kilobytes(board.flash), kilobytes(board.ram));
        let megahertz = board.clock / 1_000_000;
        let help = format!("{} at {megahertz} MHz, {flash} of flash, {ram} of RAM", board.core.name());
        clap::builder::PossibleValue::new(board.name.clone()).help(help)
    };
    Board::all().iter().map(value).collect::<Vec<_>>().into()
}

/// Parses a number of bytes, with K or M for kilobytes or megabytes.
fn bytes(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.trim_end_matches(['B', 'b']) {
        text if text.ends_with(['K', 'k']) => (&text[..text.len() - 1], 1 << 10),
        text if text.ends_with(['M', 'm']) => (&text[..text.len() - 1], 1 << 20),
        text if text.ends_with(['G', 'g']) => (&text[..text.len() - 1], 1 << 30),
        text => (text, 1),
    };
    let wrong = || "expected a number of bytes up to 1G, such as 65536, 256K or 1M".to_owned();
    let number: usize = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(unit).filter(|bytes| (1..=1 << 30).contains(bytes)).ok_or_else(wrong)
}

/// Parses a clock in megahertz.
fn megahertz(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=1000).contains(number));
    number.ok_or_else(|| "expected a whole number from 1 to 1000".to_owned())
}

/// Parses lengths with an x between them, such as 32x48x3.
fn lengths<const N: usize>(text: &str) -> Result<[usize; N], String> {
    let lengths: Vec<usize> = text.split('x').filter_map(|length| length.parse().ok()).collect();
    let count = text.split('x').count();
    lengths
        .try_into()
        .ok()
        .filter(|lengths: &[usize; N]| {
            count == N && lengths.iter().all(|length| (1..=65_535).contains(length))
        })
        .ok_or_else(|| {
            format!("expected {N} whole numbers with x between them, such as {}", &"32x48x3"[..3 * N - 1])
        })
}

/// Parses a convolution: kernel, stride, padding and, for the first of two, channels, such as 3,2,1,16.
fn convolution(text: &str) -> Result<Convolution, String> {
    let numbers: Option<Vec<u16>> = text.split(',').map(|number| number.parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[kernel, stride, padding]) => Ok(Convolution { kernel, stride, padding, channels: 0 }),
        Some(&[kernel, stride, padding, channels]) => Ok(Convolution { kernel, stride, padding, channels }),
        _ => Err(
            "expected kernel, stride and padding, such as 5,4,2, and channels, too, for the first of two \
                  convolutions"
                .to_owned(),
        ),
    }
}
