//! Tests of the protocol: its exact bytes, and a board that receives garbage.

use proptest::prelude::*;
use serde::Serialize;
use vit_link::*;

const HEIGHT: usize = 14;
const WIDTH: usize = 20;
const LEVELS: usize = HEIGHT * WIDTH * 3;
const CLASSES: usize = 10;
const CAPACITY: usize = request_len(LEVELS);

const BOARD: Description<'_> = Description {
    board: "a board",
    height: HEIGHT as u16,
    width: WIDTH as u16,
    channels: 3,
    fit: 1,
    classes: CLASSES as u16,
    model: 7,
    ticks_per_second: 9,
};

/// A board whose logits are computed from the first levels of the image.
struct Board(Server<'static, CAPACITY>);

/// A reply that owns its content and so outlives its frame.
#[derive(Clone, Debug, PartialEq)]
enum Heard {
    Description(u16, String),
    Logits(u16, Vec<i32>),
    Refused(Option<u16>, Refusal),
}

impl Board {
    fn new() -> Self {
        Self(Server::new(BOARD))
    }

    fn hear(&mut self, bytes: &[u8]) -> Vec<Heard> {
        let mut answer = [0; reply_len(CLASSES)];
        let mut heard = Vec::new();
        for &byte in bytes {
            if let Some(frame) = self.0.push(byte, infer, &mut answer) {
                let delimiter = frame.iter().position(|&byte| byte == 0);
                assert_eq!(delimiter, Some(frame.len() - 1), "the only zero must be the last byte");
                let mut frame = frame[..frame.len() - 1].to_vec();
                let Reply { id, outcome } = decode::<Reply<'_, Vec<i32>>>(&mut frame).unwrap();
                heard.push(match outcome {
                    Outcome::Description(description) => {
                        Heard::Description(id.unwrap(), description.board.to_owned())
                    }
                    Outcome::Classification(Classification { logits, .. }) => {
                        Heard::Logits(id.unwrap(), logits)
                    }
                    Outcome::Refused(refusal) => Heard::Refused(id, refusal),
                    outcome => panic!("{outcome:?}"),
                });
            }
        }
        heard
    }
}

fn infer(levels: &[u8]) -> Classification<[i32; CLASSES]> {
    assert_eq!(levels.len(), LEVELS);
    let logits = std::array::from_fn(|class| -1000 * i32::from(levels[class]));
    Classification { class: 0, ticks: Some(u32::MAX), logits }
}

fn classify(id: u16, levels: &[u8]) -> Vec<u8> {
    frame(&Request { id, command: Command::Classify { levels } })
}

fn frame(message: &impl Serialize) -> Vec<u8> {
    let mut buffer = [0; 2 * CAPACITY];
    encode(message, &mut buffer).unwrap().to_vec()
}

/// Returns an image of noise and its logits.
fn image(seed: u8) -> (Vec<u8>, Vec<i32>) {
    let levels: Vec<u8> = (0..LEVELS).map(|i| (i as u8).wrapping_mul(seed) ^ seed).collect();
    let logits = infer(&levels).logits.to_vec();
    (levels, logits)
}

#[test]
fn version_2_has_these_bytes() {
    // An independent program has computed these bytes from the description of the protocol, with zlib's CRC-32.
    let golden: [(Vec<u8>, &[u8]); 6] = [
        (
            frame(&Request { id: 1, command: Command::Describe }),
            &[0x03, 0x02, 0x01, 0x05, 0x3d, 0x3c, 0xde, 0xe5, 0x00],
        ),
        (
            classify(300, &[0, 255, 0, 7]),
            &[0x06, 0x02, 0xac, 0x02, 0x01, 0x04, 0x02, 0xff, 0x06, 0x07, 0xe9, 0x0b, 0xa2, 0xbc, 0x00],
        ),
        (
            frame(&Reply::<[i32; 0]> {
                id: Some(1),
                outcome: Outcome::Description(Description {
                    board: "doc",
                    height: 2,
                    width: 300,
                    channels: 3,
                    fit: 1,
                    classes: 3,
                    model: 0xdead_beef,
                    ticks_per_second: 25_000_000,
                }),
            }),
            &[
                0x04, 0x02, 0x01, 0x01, 0x18, 0x03, 0x64, 0x6f, 0x63, 0x02, 0xac, 0x02, 0x03, 0x01, 0x03,
                0xef, 0xfd, 0xb6, 0xf5, 0x0d, 0xc0, 0xf0, 0xf5, 0x0b, 0xda, 0x48, 0x1b, 0x4e, 0x00,
            ],
        ),
        (
            frame(&Reply {
                id: Some(300),
                outcome: Outcome::Classification(Classification {
                    class: 1,
                    ticks: Some(5),
                    logits: [-70, 700_000, 0].as_slice(),
                }),
            }),
            &[
                0x0f, 0x02, 0x01, 0xac, 0x02, 0x01, 0x01, 0x01, 0x05, 0x03, 0x8b, 0x01, 0xc0, 0xb9, 0x55,
                0x05, 0xe1, 0xe1, 0xe9, 0xf5, 0x00,
            ],
        ),
        (
            frame(&Reply::<[i32; 0]> {
                id: None,
                outcome: Outcome::Refused(Refusal::Frame(FrameError::Version { found: 2 })),
            }),
            &[0x02, 0x02, 0x02, 0x02, 0x07, 0x03, 0x02, 0xcc, 0xfa, 0x20, 0x93, 0x00],
        ),
        (
            frame(&Reply::<[i32; 0]> {
                id: Some(9),
                outcome: Outcome::Refused(Refusal::Levels { expected: 784, found: 4 }),
            }),
            &[0x0d, 0x02, 0x01, 0x09, 0x02, 0x01, 0x90, 0x06, 0x04, 0x02, 0x6d, 0x27, 0xc8, 0x00],
        ),
    ];
    for (ours, bytes) in golden {
        assert_eq!(ours, bytes);
    }
}

#[test]
fn the_longest_messages_fit_their_buffers() {
    let levels = [0x55; LEVELS];
    let longest = Request { id: u16::MAX, command: Command::Classify { levels: &levels } };
    assert!(encode(&longest, &mut [0; CAPACITY]).is_ok());

    let logits = [i32::MIN; 300];
    let classification = Classification { class: u16::MAX, ticks: Some(u32::MAX), logits: &logits[..] };
    let reply = Reply { id: Some(u16::MAX), outcome: Outcome::Classification(classification) };
    assert!(encode(&reply, &mut [0; reply_len(300)]).is_ok());

    let (board, max) = ("x".repeat(BOARD_NAME_LEN), u32::MAX);
    let description = Description {
        board: &board,
        height: u16::MAX,
        width: u16::MAX,
        channels: 255,
        fit: 255,
        classes: u16::MAX,
        model: max,
        ticks_per_second: max,
    };
    let reply = Reply::<[i32; 0]> { id: Some(u16::MAX), outcome: Outcome::Description(description) };
    assert!(encode(&reply, &mut [0; reply_len(1)]).is_ok());
    assert_eq!(encode(&reply, &mut [0; 8]), Err(FrameError::TooLong));
}

#[test]
fn a_request_is_answered() {
    let mut board = Board::new();
    let (levels, logits) = image(3);
    assert_eq!(
        board.hear(&frame(&Request { id: 4, command: Command::Describe })),
        [Heard::Description(4, "a board".to_owned())]
    );
    assert_eq!(board.hear(&classify(5, &levels)), [Heard::Logits(5, logits)]);
}

#[test]
fn glued_frames_are_answered_one_by_one() {
    let ((one, one_logits), (other, other_logits)) = (image(3), image(5));
    let glued = [classify(1, &one), classify(2, &other)].concat();
    let expected = [Heard::Logits(1, one_logits), Heard::Logits(2, other_logits)];
    assert_eq!(Board::new().hear(&glued), expected);
}

#[test]
fn delimiters_between_frames_mean_nothing() {
    let (levels, logits) = image(9);
    let bytes = [&[0; 5][..], &classify(1, &levels), &[0; 3]].concat();
    assert_eq!(Board::new().hear(&bytes), [Heard::Logits(1, logits)]);
}

#[test]
fn an_image_of_another_size_is_refused() {
    let refusal = Refusal::Levels { expected: LEVELS as u32, found: 9 };
    assert_eq!(Board::new().hear(&classify(6, &[0; 9])), [Heard::Refused(Some(6), refusal)]);
}

#[test]
fn an_oversized_frame_is_refused_once_and_the_next_one_answered() {
    let (levels, logits) = image(1);
    let bytes = [&[7; 10 * CAPACITY][..], &[0], &classify(2, &levels)].concat();
    let refusal = Refusal::Frame(FrameError::TooLong);
    assert_eq!(Board::new().hear(&bytes), [Heard::Refused(None, refusal), Heard::Logits(2, logits)]);
}

#[test]
fn each_kind_of_damage_is_named() {
    // These frames are composed without the library. All their blocks are shorter than the longest block of COBS.
    let stuffed = |plain: &[u8]| {
        let blocks = plain.split(|&byte| byte == 0);
        blocks.flat_map(|block| [&[block.len() as u8 + 1], block].concat()).chain([0]).collect::<Vec<u8>>()
    };
    let sealed = |content: &[u8]| {
        let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(content);
        stuffed(&[content, &crc.to_le_bytes()].concat())
    };
    assert_eq!(sealed(&[VERSION, 1, 0]), frame(&Request { id: 1, command: Command::Describe }));
    for (bytes, error) in [
        (vec![9, 1, 2, 0], FrameError::Stuffing), // a block that ends after the frame
        (stuffed(&[VERSION, 1]), FrameError::Stuffing), // shorter than a checksum
        (sealed(&[]), FrameError::Stuffing),
        (stuffed(&[VERSION, 1, 0, 1, 2, 3, 4]), FrameError::Crc),
        (sealed(&[VERSION + 1, 1, 0]), FrameError::Version { found: VERSION + 1 }),
        (sealed(&[VERSION]), FrameError::Message),
        (sealed(&[VERSION, 1, 99]), FrameError::Message), // an unknown command
        (sealed(&[VERSION, 1, 0, 0]), FrameError::Message), // a byte after the message
        (sealed(&[VERSION, 1, 1, 200, 200, 200, 200, 15]), FrameError::Message), // a hostile length
    ] {
        assert_eq!(Board::new().hear(&bytes), [Heard::Refused(None, Refusal::Frame(error))], "{bytes:x?}");
    }
}

#[test]
fn a_model_is_told_by_its_checksum() {
    assert_eq!(checksum(&[9, 9, 0x78, 0x56, 0x34, 0x12]), 0x1234_5678);
    assert_eq!(checksum(&[1, 2, 3]), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The board refuses all garbage, once for each delimiter that ends a frame that is not empty, and answers the next
    /// request.
    #[test]
    fn garbage_is_refused(garbage in prop::collection::vec(any::<u8>(), 0..3 * CAPACITY), seed: u8) {
        let (levels, logits) = image(seed);
        let mut board = Board::new();
        let heard = board.hear(&[&garbage[..], &[0]].concat());
        let frames = garbage.split(|&byte| byte == 0).filter(|frame| !frame.is_empty()).count();
        prop_assert_eq!(heard.len(), frames);
        for answer in heard {
            prop_assert!(matches!(answer, Heard::Refused(None, _)), "{:?}", answer);
        }
        prop_assert_eq!(board.hear(&classify(1, &levels)), [Heard::Logits(1, logits)]);
    }

    /// A frame in which a byte is changed, missing or added is never answered as if it were intact.
    #[test]
    fn damage_is_noticed(seed: u8, at in 0..LEVELS, byte: u8, kind in 0..3) {
        let (levels, logits) = image(seed);
        let whole = classify(1, &levels);
        let mut damaged = whole.clone();
        match kind {
            0 => damaged[at] = byte,
            1 => drop(damaged.remove(at)),
            _ => damaged.insert(at, byte),
        }
        let mut board = Board::new();
        let heard = board.hear(&damaged);
        if damaged == whole {
            prop_assert_eq!(heard, [Heard::Logits(1, logits.clone())]);
        } else if !(kind == 2 && byte == 0 && at == 0) {
            prop_assert!(heard.iter().all(|answer| matches!(answer, Heard::Refused(None, _))), "{:?}", heard);
            prop_assert!(!heard.is_empty());
        }
        prop_assert_eq!(board.hear(&classify(2, &levels)), [Heard::Logits(2, logits)]);
    }

    /// A truncated frame is lost, but not the frame after it, thanks to the delimiter that the host sends first.
    #[test]
    fn a_truncated_frame_takes_no_other_with_it(seed: u8, len in 1..LEVELS) {
        let (levels, logits) = image(seed);
        let mut board = Board::new();
        prop_assert_eq!(board.hear(&classify(1, &levels)[..len]), []);
        let heard = board.hear(&[&[0], &classify(2, &levels)[..]].concat());
        prop_assert_eq!(heard.len(), 2);
        prop_assert!(matches!(heard[0], Heard::Refused(None, Refusal::Frame(_))), "{:?}", heard);
        prop_assert_eq!(&heard[1], &Heard::Logits(2, logits));
    }
}
