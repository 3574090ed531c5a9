//! Chooses a network for the pictures and the board of a project.

use crate::{
    board::{boards::Board, needs::Needs},
    data::survey::Survey,
};
use vit_nostd::{int8::weights, Convolution, Declaration, Dims, Tokenizer};

/// The dimensions that a user asks for. None leaves the choice of a dimension to the program.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wishes<'a> {
    /// The height, the width and the channels of the image.
    pub image: Option<[usize; 3]>,
    pub tokenizer: Option<Tokenizer<'a>>,
    pub embed: Option<usize>,
    pub heads: Option<usize>,
    pub hidden: Option<usize>,
    pub depth: Option<usize>,
    /// The largest network that fits, instead of the one that is recommended.
    pub largest: bool,
}

impl Wishes<'_> {
    /// True if there is no choice left.
    pub(crate) fn are_complete(&self) -> bool {
        let Self { image, tokenizer, embed, heads, hidden, depth, largest: _ } = self;
        image.is_some()
            && tokenizer.is_some()
            && [embed, heads, hidden, depth].iter().all(|length| length.is_some())
    }
}

/// The properties of the pictures that the choice depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pictures {
    /// The typical height and width.
    pub size: [usize; 2],
    /// The number of channels.
    pub channels: usize,
    /// The number of pictures to train on.
    pub count: usize,
    pub classes: usize,
}

impl Pictures {
    pub(crate) fn of(survey: &Survey) -> Self {
        let channels = if survey.colour { 3 } else { 1 };
        Self { size: survey.size, channels, count: survey.train, classes: survey.class_names.len() }
    }
}

/// A network that could be chosen, and what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub dims: Dims,
    pub needs: Needs,
}

/// A size of networks.
#[derive(Clone, Copy, Debug)]
struct Size {
    /// The side of a square image, in pixels.
    side: usize,
    /// The number of patches along it.
    grid: usize,
    /// The channels of the first of two convolutions, unless another tokenizer is wished for.
    stem: u16,
    embed: usize,
    heads: usize,
    hidden: usize,
    depth: usize,
}

const fn size(side: usize, grid: usize, stem: u16, lengths: [usize; 4]) -> Size {
    let [embed, heads, hidden, depth] = lengths;
    Size { side, grid, stem, embed, heads, hidden, depth }
}

/// The sizes of networks. For square pictures, each takes more instructions than the one before.
///
/// The fifth one is nearly the preset `conv-nano`. The eighth one has the dimensions of the network for road signs, except
/// for the tokenizer. `RECIPES.md` shows what such networks reach, and why they have convolutions.
const SIZES: [Size; 12] = [
    size(16, 4, 8, [16, 1, 32, 2]),
    size(28, 4, 8, [24, 2, 48, 2]),
    size(28, 4, 8, [24, 2, 48, 3]),
    size(28, 4, 8, [32, 2, 64, 3]),
    size(28, 4, 12, [48, 3, 96, 4]),
    size(32, 6, 12, [48, 3, 96, 4]),
    size(32, 8, 12, [48, 2, 96, 5]),
    size(32, 8, 12, [64, 2, 128, 6]),
    size(32, 8, 16, [80, 4, 160, 8]),
    size(48, 8, 16, [96, 4, 192, 10]),
    size(48, 8, 16, [128, 8, 256, 12]),
    size(64, 8, 16, [192, 8, 384, 12]),
];

/// The number of sizes up to the one that is recommended for this many pictures to train on and this many classes.
///
/// A few hundred pictures do not suffice to train a large network from nothing, and a large network takes long to
/// train: the largest sizes are recommended for no number of pictures.
fn recommended(pictures: &Pictures) -> usize {
    let by_pictures = match pictures.count {
        ..1_000 => 7,
        1_000..10_000 => 8,
        _ => 9,
    };
    by_pictures + usize::from(pictures.classes >= 50)
}

/// The networks that come into question, from the smallest to the largest one, and which of them is recommended.
#[derive(Debug)]
pub(crate) struct Choice {
    /// The board's flash and RAM, and the instructions that are allowed, less what is to spare.
    pub limits: Needs,
    pub candidates: Vec<Candidate>,
    /// The index of the network that the pictures call for.
    pub wanted: usize,
    /// The index of the network that is chosen: the largest one up to the wanted one that is within the limits. None if
    /// there is none.
    pub chosen: Option<usize>,
    /// The index of the largest network that is within the limits.
    pub largest: Option<usize>,
}

/// The share of everything that stays to spare, in percent.
pub(crate) const SPARE: usize = 20;

impl Choice {
    /// Compares networks for these pictures with what there is on a board and within `milliseconds`.
    pub(crate) fn new(
        pictures: &Pictures,
        labels: &[String],
        board: &Board,
        milliseconds: f64,
        wishes: &Wishes<'_>,
    ) -> Self {
        let percent = 100 - SPARE;
        let cycles = 1e-3 * milliseconds * f64::from(board.clock);
        let limits = Needs {
            flash: board.flash / 100 * percent,
            ram: board.ram * percent / 100,
            instructions: (cycles * percent as f64 / 100.0) as u64,
        };
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut wanted = 0;
        for (index, size) in SIZES.iter().enumerate() {
            let Some(dims) = size.dims(pictures, wishes) else { continue };
            let candidate = Candidate { dims, needs: Needs::of(&dims, board.core, labels) };
            // For unusual proportions, a larger size may give a smaller network.
            let is_larger = |last: &Candidate| candidate.needs.instructions > last.needs.instructions;
            if candidates.last().is_none_or(is_larger) {
                candidates.push(candidate);
            }
            if index < recommended(pictures) {
                wanted = candidates.len() - 1;
            }
        }
        let within = |candidate: &Candidate| candidate.needs.is_within(&limits);
        let largest = candidates.iter().rposition(within);
        let chosen =
            if wishes.largest { largest } else { candidates.iter().take(wanted + 1).rposition(within) };
        Self { limits, candidates, wanted, chosen, largest }
    }
}

impl Size {
    /// Returns the dimensions of a network of this size, with everything that is wished for. None if there is no such
    /// network.
    fn dims(&self, pictures: &Pictures, wishes: &Wishes<'_>) -> Option<Dims> {
        let image = match wishes.tokenizer {
            Some(Tokenizer::Patches(patch)) => self.image_of_patches(pictures, wishes, patch)?,
            _ => self.image_of_convolutions(pictures, wishes),
        };
        let convolutions = self.convolutions(image);
        let tokenizer = wishes.tokenizer.unwrap_or(Tokenizer::Convolutions(&convolutions));
        let embed = wishes.embed.unwrap_or(self.embed);
        let heads = wishes.heads.unwrap_or_else(|| self.heads_of(embed));
        let hidden = wishes.hidden.unwrap_or(if wishes.embed.is_some() { 2 * embed } else { self.hidden });
        let depth = wishes.depth.unwrap_or(self.depth);
        let classes = pictures.classes;
        check(Declaration { image, tokenizer, embed, heads, hidden, depth, classes }).ok()
    }

    /// Returns the two convolutions that make about as many patches of an image as this size has. The first one has a
    /// stride of 2; the windows of the second one overlap by a pixel or two.
    fn convolutions(&self, [height, width, _]: [usize; 3]) -> [Convolution; 2] {
        let side = ((height * width) as f64).sqrt();
        let stride = (side / (2 * self.grid) as f64).ceil().max(1.0) as u16;
        [
            Convolution { kernel: 3, stride: 2, padding: 1, channels: self.stem },
            Convolution { kernel: (stride + 1) | 1, stride, padding: stride.div_ceil(2), channels: 0 },
        ]
    }

    /// Returns the number of heads of a network with this many channels: those that make a head nearest to the size of
    /// this one's.
    fn heads_of(&self, embed: usize) -> usize {
        let wanted = self.embed / self.heads;
        let fits = |heads: &usize| embed.is_multiple_of(*heads) && (embed / heads).is_multiple_of(4);
        (1..=embed.div_ceil(4)).filter(fits).min_by_key(|heads| (embed / heads).abs_diff(wanted)).unwrap_or(1)
    }

    /// Returns the dimensions of the image for a tokenizer of convolutions, which need not divide it. Small pictures stay
    /// as they are, and others are reduced to the area of this size.
    fn image_of_convolutions(&self, pictures: &Pictures, wishes: &Wishes<'_>) -> [usize; 3] {
        let Pictures { size: [height, width], channels, .. } = *pictures;
        let (area, wanted) = (height * width, self.side * self.side);
        let factor = if area <= 2 * wanted { 1.0 } else { (wanted as f64 / area as f64).sqrt() };
        let [height, width] = [height, width].map(|side| (side as f64 * factor).round().max(1.0) as usize);
        wishes.image.unwrap_or([height, width, channels])
    }

    /// Returns the dimensions of the image for patches of the dimensions `[down, across]`.
    fn image_of_patches(
        &self,
        pictures: &Pictures,
        wishes: &Wishes<'_>,
        [down, across]: [usize; 2],
    ) -> Option<[usize; 3]> {
        if wishes.image.is_some() {
            return wishes.image;
        }
        let Pictures { size: [height, width], channels, .. } = *pictures;
        let patches = self.grid * self.grid;
        // Small pictures stay as they are, if the patches divide them into nearly as many as wanted.
        if height * width <= 2 * self.side * self.side
            && height % down == 0
            && width % across == 0
            && (patches / 2..=2 * patches).contains(&(height / down * (width / across)))
        {
            return Some([height, width, channels]);
        }
        // Others get nearly the proportions of the pictures and nearly as many patches as wanted, but no more than there
        // are in a picture.
        let deviation = |[rows, columns]: [usize; 2]| {
            let proportions = (columns * across * height) as f64 / (rows * down * width) as f64;
            let number = (rows * columns) as f64 / patches as f64;
            2.0 * proportions.ln().abs() + number.ln().abs()
        };
        let columns =
            |rows: usize| (1..=(patches / rows + 1).min(width / across)).map(move |columns| [rows, columns]);
        let grids = (1..=patches.min(height / down)).flat_map(columns);
        let [rows, columns] = grids.min_by(|&a, &b| deviation(a).total_cmp(&deviation(b)))?;
        Some([rows * down, columns * across, channels])
    }
}

/// Returns the dimensions of a network. A network that cannot be declared, that the integer engine cannot run, or whose
/// heads the kernels compute slowly is an error, with the reason.
pub(crate) fn check(declaration: Declaration<'_>) -> Result<Dims, String> {
    let dims = declaration.check()?;
    weights::check(&dims)?;
    if !dims.head_dim.is_multiple_of(4) {
        let (heads, head_dim) = (dims.heads, dims.head_dim);
        return Err(format!(
            "{heads} heads have {head_dim} channels each, but the chip is fast only for multiples of 4"
        ));
    }
    Ok(dims)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNS: Pictures = Pictures { size: [48, 64], channels: 3, count: 400, classes: 3 };

    fn labels(classes: usize) -> Vec<String> {
        (0..classes).map(|class| format!("class {class}")).collect()
    }

    fn choice(pictures: &Pictures, board: &str, milliseconds: f64, wishes: &Wishes<'_>) -> Choice {
        let board = Board::named(board).unwrap();
        Choice::new(pictures, &labels(pictures.classes), &board, milliseconds, wishes)
    }

    #[test]
    fn a_larger_size_takes_more_of_everything() {
        for size in [[48, 64], [28, 28], [1080, 1920], [96, 32], [9, 7]] {
            for board in Board::all() {
                let pictures = Pictures { size, ..SIGNS };
                let Choice { candidates, .. } = choice(&pictures, &board.name, 200.0, &Wishes::default());
                let least = if size[0] == size[1] { SIZES.len() } else { 8 };
                assert!(candidates.len() >= least, "{size:?}: {candidates:?}");
                for pair in candidates.windows(2) {
                    let [Needs { instructions, .. }, larger] = [pair[0].needs, pair[1].needs];
                    assert!(larger.instructions > instructions, "{size:?} on {}: {pair:?}", board.name);
                }
            }
        }
    }

    #[test]
    fn a_fifth_stays_to_spare() {
        for board in Board::all() {
            let choice = choice(&SIGNS, &board.name, 200.0, &Wishes::default());
            let Some(chosen) = choice.chosen else { continue };
            let Needs { flash, ram, .. } = choice.candidates[chosen].needs;
            let milliseconds = choice.candidates[chosen].needs.milliseconds(&board);
            assert!(5 * flash <= 4 * board.flash && 5 * ram <= 4 * board.ram && milliseconds <= 160.0);
        }
    }

    #[test]
    fn more_pictures_deserve_a_larger_network_and_less_time_a_smaller_one() {
        let parameters = |pictures: &Pictures, milliseconds, wishes: &Wishes<'_>| {
            let choice = choice(pictures, "pico2", milliseconds, wishes);
            choice.candidates[choice.chosen.unwrap()].dims.parameters()
        };
        let few = parameters(&SIGNS, 1e5, &Wishes::default());
        let many = parameters(&Pictures { count: 20_000, ..SIGNS }, 1e5, &Wishes::default());
        let largest = parameters(&SIGNS, 1e5, &Wishes { largest: true, ..Wishes::default() });
        let fast = parameters(&SIGNS, 12.0, &Wishes::default());
        assert!(fast < few && few < many && many < largest, "{fast} {few} {many} {largest}");
    }

    #[test]
    fn images_keep_the_proportions_of_the_pictures() {
        for (size, proportion) in
            [([48, 64], 4.0 / 3.0), ([1080, 1920], 16.0 / 9.0), ([300, 300], 1.0), ([640, 480], 0.75)]
        {
            let pictures = Pictures { size, ..SIGNS };
            for Candidate { dims, .. } in choice(&pictures, "pico2", 200.0, &Wishes::default()).candidates {
                let found = f64::from(dims.width) / f64::from(dims.height);
                assert!((found / proportion - 1.0).abs() < 0.2, "{size:?}: {dims}");
                assert_eq!((dims.channels, dims.patch_height), (3, dims.patch_width), "{dims}");
            }
        }
    }

    #[test]
    fn small_pictures_are_not_enlarged() {
        for size in [[28, 28], [32, 32], [24, 40]] {
            let pictures = Pictures { size, ..SIGNS };
            for Candidate { dims, .. } in choice(&pictures, "pico2", 200.0, &Wishes::default()).candidates {
                assert!(usize::from(dims.height) <= size[0] && usize::from(dims.width) <= size[1], "{dims}");
            }
        }
        // MNIST's images stay as they are, except for the smallest network.
        let digits = Pictures { size: [28, 28], channels: 1, count: 60_000, classes: 10 };
        let Choice { candidates, .. } = choice(&digits, "pico2", 200.0, &Wishes::default());
        assert!(candidates[1..].iter().all(|candidate| candidate.dims.height == 28), "{candidates:?}");
    }

    #[test]
    fn wishes_come_true() {
        let wishes = Wishes {
            image: Some([32, 48, 3]),
            tokenizer: Some(Tokenizer::Patches([8, 8])),
            embed: Some(64),
            heads: Some(4),
            hidden: Some(128),
            depth: Some(6),
            largest: false,
        };
        let complete = choice(&SIGNS, "nrf52840-dk", 1e5, &wishes);
        let dims = complete.candidates[0].dims.to_string();
        assert_eq!(complete.candidates.len(), 1);
        let expected =
            "image 32x48x3, patch 8x8, 25 tokens, embed 64, 4 heads of 16, hidden 128, depth 6, 3 classes";
        assert_eq!(dims, expected);

        // A wish for one length is kept by every candidate.
        for (wishes, keeps) in [
            (
                Wishes { embed: Some(40), ..Wishes::default() },
                (|dims: &Dims| dims.embed == 40) as fn(&Dims) -> bool,
            ),
            (Wishes { depth: Some(7), ..Wishes::default() }, |dims| dims.depth == 7),
            (Wishes { hidden: Some(60), ..Wishes::default() }, |dims| dims.hidden == 60),
            (Wishes { tokenizer: Some(Tokenizer::Patches([6, 8])), ..Wishes::default() }, |dims| {
                (dims.patch_height, dims.patch_width, dims.convolutions()) == (6, 8, 0)
            }),
            (Wishes { tokenizer: Some(Tokenizer::Convolutions(&TWO)), ..Wishes::default() }, |dims| {
                dims.stem == Some(TWO[0]) && dims.patches().kernel == [3, 3]
            }),
            (Wishes { image: Some([30, 40, 1]), ..Wishes::default() }, |dims| {
                (dims.height, dims.width, dims.channels) == (30, 40, 1)
            }),
        ] {
            let Choice { candidates, .. } = choice(&SIGNS, "nrf52840-dk", 200.0, &wishes);
            assert!(
                candidates.len() > 1 && candidates.iter().all(|candidate| keeps(&candidate.dims)),
                "{wishes:?}"
            );
        }
    }

    /// A stem, and a convolution after it.
    const TWO: [Convolution; 2] = [
        Convolution { kernel: 3, stride: 2, padding: 1, channels: 16 },
        Convolution { kernel: 3, stride: 2, padding: 1, channels: 0 },
    ];

    #[test]
    fn pictures_are_reduced_for_convolutions_and_small_ones_stay_as_they_are() {
        for (pictures, image) in [([30, 28], [30, 28]), ([48, 64], [24, 32]), ([1080, 1920], [21, 37])] {
            let dims = SIZES[2].dims(&Pictures { size: pictures, ..SIGNS }, &Wishes::default()).unwrap();
            let found = [dims.height, dims.width].map(usize::from);
            let stem = Convolution { kernel: 3, stride: 2, padding: 1, channels: 8 };
            assert_eq!((found, dims.stem, dims.channels), (image, Some(stem), 3));
        }
        let patches = Wishes { tokenizer: Some(Tokenizer::Patches([6, 8])), ..Wishes::default() };
        assert_eq!(SIZES[2].dims(&SIGNS, &patches).unwrap().stem, None);
    }

    /// Square pictures of a size's own side have the wanted number of patches.
    #[test]
    fn convolutions_make_the_wanted_number_of_tokens() {
        for size in SIZES {
            let pictures = Pictures { size: [size.side; 2], ..SIGNS };
            let dims = size.dims(&pictures, &Wishes::default()).unwrap();
            assert_eq!(usize::from(dims.tokens), size.grid * size.grid + 1, "{dims}");
        }
    }

    #[test]
    fn images_of_any_size_have_a_small_network() {
        for side in [18, 20, 28, 32, 48, 64, 96] {
            for wishes in [Wishes::default(), Wishes { image: Some([side, side, 3]), ..Wishes::default() }] {
                let pictures = Pictures { size: [side; 2], ..SIGNS };
                let Choice { candidates, .. } = choice(&pictures, "nrf52840-dk", 200.0, &wishes);
                assert_eq!(candidates.len(), SIZES.len(), "{side}: {candidates:?}");
                assert!(candidates[0].dims.tokens <= 17, "{side}: {candidates:?}");
            }
        }
    }

    #[test]
    fn networks_that_cannot_be_are_refused_with_the_reason() {
        let good = Declaration {
            image: [28, 28, 1],
            tokenizer: Tokenizer::Patches([7, 7]),
            embed: 48,
            heads: 4,
            hidden: 96,
            depth: 4,
            classes: 10,
        };
        assert!(check(good).is_ok());
        for (declaration, reason) in [
            (Declaration { tokenizer: Tokenizer::Patches([5, 7]), ..good }, "`patch` must divide"),
            (Declaration { image: [28, 28, 2], ..good }, "1 channel (grey) or 3"),
            (Declaration { embed: 50, heads: 5, ..good }, "multiple of 4"),
            (Declaration { embed: 260, ..good }, "at most 256"),
            (Declaration { hidden: 6, ..good }, "multiple of 4"),
            (Declaration { heads: 8, ..good }, "8 heads have 6 channels"),
            (Declaration { classes: 70_000, ..good }, "65,535"),
        ] {
            let fault = check(declaration).unwrap_err();
            assert!(fault.contains(reason), "{fault}");
        }
    }
}
