//! Tests `vit-train device` with emulated chips, and with simulated boards that misbehave.

use crate::text;
use image::GrayImage;
use serde_json::Value;
use serialport::{SerialPort, TTYPort};
use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Output},
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};
use vit_emulator::{Chip, Emulator};
use vit_link::{
    checksum, decode, encode, reply_len, request_len, Classification, Description, FrameError, Outcome,
    Receiver, Refusal, Reply, Server,
};
use vit_nostd::{argmax, image, int8, Nano};
use vit_train::{
    data::synthetic,
    device::{Address, Device},
    formats::model_bytes::ModelBytes,
};

/// The model file in the firmware.
const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware-example/models/nano.int8.vit");

static FILE: LazyLock<ModelBytes> = LazyLock::new(|| ModelBytes::read(MODEL.as_ref()).unwrap());

/// The longest time that a chip may take for an answer, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(120);

fn logits(pixels: &[u8]) -> [i32; 10] {
    let model = int8::Model::<Nano>::from_bytes(&FILE).unwrap();
    model.infer(image::<Nano>(pixels).unwrap(), &mut int8::Scratch::new())
}

fn device(place: [&str; 2], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vit-train"));
    command.env_remove("MNIST_DIR").arg("device").args(place).args(arguments).output().unwrap()
}

/// Runs the program, which must refuse with exit code 2 and one line that contains all of `words`.
fn refuse(place: [&str; 2], arguments: &[&str], words: &[&str]) {
    let output = device(place, arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{place:?} {arguments:?}: {error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    for word in words {
        assert!(error.contains(word), "no {word:?} in {error}");
    }
}

#[test]
fn emulated_chips_have_the_hosts_logits_and_recover_from_garbage() {
    for (chip, images) in [
        (Chip::M4F, "200"),
        (Chip::M0, "5"),
        (Chip::M33, "5"),
        (Chip::STM32F100, "5"),
        (Chip::STM32F405, "5"),
    ] {
        let elf = chip.build("serve").unwrap();
        let firmware = Emulator::new(chip.machine).uart(0).start(&elf).unwrap();
        let address = firmware.uart().unwrap();

        let place = ["--tcp", &address.to_string()];
        let eval = [
            "--timeout",
            "120",
            "eval",
            "--model",
            MODEL,
            "--data",
            "synthetic",
            "--limit",
            images,
            "--json",
        ];
        let output = device(place, &eval);
        assert_eq!(output.status.code(), Some(0), "{}: {}", chip.name, text(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["images"].to_string(), images, "{}", chip.name);
        assert_eq!(report["mismatches"], 0, "{}", chip.name);
        assert_eq!(report["repeated"], 0, "{}", chip.name);
        assert!(report["acc"].as_f64().unwrap() > 50.0, "{}: {report}", chip.name);
        assert!(report["images_per_second"].as_f64().unwrap() > 0.0);

        garbage_is_refused(address, chip.name);
        let mut device = Device::open(&Address::Tcp(address.to_string()), PATIENCE).unwrap();
        assert_eq!(device.description().model, checksum(&FILE));
        let digits = synthetic::dataset(3, 5);
        for index in 0..digits.len() {
            let answer = device.classify(digits.image(index)).unwrap();
            let expected = logits(digits.image(index));
            assert_eq!(answer.logits, expected, "{}", chip.name);
            assert_eq!(usize::from(answer.class), argmax(&expected), "{}", chip.name);
        }
    }
}

/// Sends a damaged frame and one that is too long, and checks that both are refused with the correct reason.
fn garbage_is_refused(address: SocketAddr, chip: &str) {
    let mut line = TcpStream::connect(address).unwrap();
    line.set_read_timeout(Some(PATIENCE)).unwrap();
    let noise = |len: usize| (0..len).map(|i| (i * 7 % 255) as u8 + 1).collect::<Vec<u8>>();
    for (noise, error) in [(noise(300), FrameError::Stuffing), (noise(3000), FrameError::TooLong)] {
        line.write_all(&[&noise[..], &[0]].concat()).unwrap();
        let mut receiver = Receiver::<256>::new();
        let mut byte = [0];
        let mut frame = loop {
            line.read_exact(&mut byte).unwrap();
            if let Some(frame) = receiver.push(byte[0]) {
                break frame.unwrap().to_vec();
            }
        };
        let reply: Reply<'_, Vec<i32>> = decode(&mut frame).unwrap();
        assert_eq!(reply, Reply { id: None, outcome: Outcome::Refused(Refusal::Frame(error)) }, "{chip}");
    }
}

/// Returns the description of a board that runs the model file in the firmware.
fn honest() -> Description<'static> {
    Description {
        board: "a board",
        height: 28,
        width: 28,
        channels: 1,
        fit: 0,
        classes: 10,
        model: checksum(&FILE),
        ticks_per_second: 1000,
    }
}

/// Answers requests from `line` until it is closed. `tamper` changes each answer before it is sent.
fn serve(
    mut line: impl Read + Write,
    description: Description<'static>,
    mut tamper: impl FnMut(&mut Vec<u8>),
) {
    let mut server = Server::<{ request_len(784) }>::new(description);
    let mut answer = [0; reply_len(10)];
    let mut byte = [0];
    loop {
        match line.read(&mut byte) {
            Ok(1) => (),
            Err(error) if error.kind() == ErrorKind::TimedOut => continue,
            _ => return,
        }
        let infer = |levels: &[u8]| {
            let logits = logits(levels);
            Classification { class: argmax(&logits) as u16, ticks: Some(7), logits }
        };
        if let Some(frame) = server.push(byte[0], infer, &mut answer) {
            let mut frame = frame.to_vec();
            tamper(&mut frame);
            if line.write_all(&frame).is_err() {
                return;
            }
        }
    }
}

/// Waits for a connection in a thread of its own, and calls `with` when it comes. Returns the address.
fn listener(with: impl FnOnce(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || with(listener.accept().unwrap().0));
    address.to_string()
}

/// Starts a simulated board, whose answers `tamper` changes, and returns its address.
fn board(description: Description<'static>, tamper: impl FnMut(&mut Vec<u8>) + Send + 'static) -> String {
    listener(move |line| serve(line, description, tamper))
}

/// Changes the content of the frame of an answer.
fn change(frame: &mut Vec<u8>, change: impl FnOnce(&mut Outcome<'_, Vec<i32>>)) {
    let Some((_, content)) = frame.split_last_mut() else { return };
    let mut reply: Reply<'_, Vec<i32>> = decode(content).unwrap();
    change(&mut reply.outcome);
    let mut buffer = [0; 1000];
    *frame = encode(&reply, &mut buffer).unwrap().to_vec();
}

const EVAL: [&str; 5] = ["eval", "--data", "synthetic", "--limit", "20"];
const COMPARE: [&str; 7] = ["eval", "--data", "synthetic", "--limit", "20", "--model", MODEL];

/// Makes a serial port whose other end the test holds. Returns that end, the name of the port, and a file that keeps
/// the port open when nobody uses it.
fn serial_port() -> (TTYPort, String, File) {
    let (board, port) = TTYPort::pair().unwrap();
    let name = port.name().unwrap();
    let open = File::options().read(true).write(true).open(&name).unwrap();
    (board, name, open) // `port` is closed here, because a port has one user only
}

#[test]
fn a_board_on_a_serial_port() {
    let (board, name, _open) = serial_port();
    thread::spawn(move || serve(board, honest(), |_| ()));
    // A pseudo terminal has no DTR line. That it cannot be raised is not an error.
    let output = device(["--port", &name], &[&["--no-dtr"], &COMPARE[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let output = device(["--port", &name], &COMPARE);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.contains("a board at /dev/") && said.contains("20 test images of synthetic"), "{said}");
    assert!(said.contains("7.00 ms an inference") && said.contains("all logits equal"), "{said}");

    refuse(["--port", "/dev/no-such-port"], &EVAL, &["/dev/no-such-port: cannot be opened"]);
}

#[test]
fn a_serial_port_where_nobody_answers() {
    let (_board, name, _open) = serial_port();
    let arguments = [&["--timeout", "0.2"], &EVAL[..]].concat();
    refuse(["--port", &name], &arguments, &["no answer within 0.2 s", "115200 bits per second"]);
}

#[test]
fn predictions() {
    let folder = tempfile::tempdir().unwrap();
    let digits = [3, 0].map(|class| synthetic::digit(class, 7));
    for (name, digit) in ["a.png", "b.png"].iter().zip(&digits) {
        let picture = GrayImage::from_raw(28, 28, digit.to_vec()).unwrap();
        picture.save(folder.path().join(name)).unwrap();
    }
    let pictures = folder.path().to_str().unwrap();
    let address = board(honest(), |_| ());
    let output = device(["--tcp", &address], &["predict", "--prepare", "stretch", pictures, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said.as_array().unwrap().len(), digits.len());
    for (prediction, (name, digit)) in
        said.as_array().unwrap().iter().zip(["a.png", "b.png"].iter().zip(&digits))
    {
        let expected = logits(digit);
        assert!(prediction["file"].as_str().unwrap().ends_with(name), "{prediction}");
        assert_eq!(prediction["class"], argmax(&expected));
        assert_eq!(prediction["logits"], serde_json::json!(expected));
    }
    let address = board(honest(), |_| ());
    refuse(["--tcp", &address], &["predict", MODEL], &["nano.int8.vit", "cannot be read as a picture"]);
}

#[test]
fn other_logits_are_a_mismatch() {
    let mut count = 0;
    let address = board(honest(), move |frame| {
        change(frame, |outcome| {
            if let Outcome::Classification(answer) = outcome {
                count += 1;
                answer.logits[4] += i32::from(count == 3);
            }
        });
    });
    let output = device(["--tcp", &address], &COMPARE);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("MISMATCH: 1 images"), "{}", text(&output.stdout));
}

#[test]
fn damaged_answers_are_asked_for_again() {
    let mut count = 0;
    let address = board(honest(), move |frame| {
        let mut content = frame[..frame.len() - 1].to_vec();
        let reply: Reply<'_, Vec<i32>> = decode(&mut content).unwrap();
        count += usize::from(matches!(reply.outcome, Outcome::Classification(_)));
        if count % 3 == 2 {
            frame[5] ^= if frame[5] == 1 { 2 } else { 1 }; // a 0 would split it into two frames
        }
    });
    let arguments = [&COMPARE[..], &["--json"]].concat();
    let output = device(["--tcp", &address], &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["mismatches"], 0);
    assert_eq!(report["repeated"], 10); // every second of 20 images
}

#[test]
fn answers_to_earlier_requests_are_ignored() {
    let mut earlier = Vec::new();
    let address = board(honest(), move |frame| {
        let late = std::mem::replace(&mut earlier, frame.clone());
        *frame = [late, frame.clone()].concat();
    });
    let arguments = [&COMPARE[..], &["--json"]].concat();
    let output = device(["--tcp", &address], &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["mismatches"], &report["repeated"]), (&0.into(), &0.into()));
}

/// The host checks a board's description of itself before it relies on it.
#[test]
fn descriptions_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("three.png");
    GrayImage::from_raw(28, 28, synthetic::digit(3, 7).to_vec()).unwrap().save(&picture).unwrap();
    let predict = ["predict", picture.to_str().unwrap()];
    for (description, word) in [
        (Description { width: 0, ..honest() }, "0x28 pixels"),
        (Description { height: 1025, width: 1024, ..honest() }, "1024x1025 pixels"),
        (Description { height: 65535, width: 65535, channels: 3, ..honest() }, "65535x65535 pixels"),
        (Description { channels: 2, ..honest() }, "images with 2 channels"),
        (Description { fit: 3, ..honest() }, "fitted to the input in an unknown way (3)"),
        (Description { classes: 0, ..honest() }, "0 classes"),
        (Description { classes: 65535, ..honest() }, "65535 classes"),
        (Description { ticks_per_second: 0, ..honest() }, "0 ticks per second"),
        (Description { board: "a\u{1b}[2Jb\n", ..honest() }, "control characters"),
        (Description { board: "a name of more than 32 bytes, alas", ..honest() }, "34 bytes"),
    ] {
        for arguments in [&EVAL[..], &COMPARE, &predict] {
            refuse(["--tcp", &board(description, |_| ())], arguments, &["the board describes itself", word]);
        }
    }
    // A description that can be true is used: these networks do not fit the images.
    for (description, word) in [
        (Description { height: 1, width: 1, ..honest() }, "synthetic"),
        (Description { classes: 4096, ..honest() }, "has 4096 classes"),
        (Description { channels: 3, ..honest() }, "28x28 RGB pixels"),
    ] {
        refuse(["--tcp", &board(description, |_| ())], &EVAL, &[word]);
    }
}

#[test]
fn answers_that_cannot_be_are_refused() {
    type Change = fn(&mut Classification<Vec<i32>>);
    let changes: [(Change, &str); 5] = [
        (|answer| answer.class = 60_000, "class 60000"),
        (|answer| answer.class = (answer.class + 1) % 10, "the largest logit is that of class"),
        (|answer| answer.logits.clear(), "0 logits of a network of 10 classes"),
        (|answer| answer.logits.truncate(9), "9 logits of a network of 10 classes"),
        (|answer| answer.logits.push(i32::MAX), "11 logits of a network of 10 classes"),
    ];
    for (how, word) in changes {
        let address = board(honest(), move |frame| {
            change(frame, |outcome| {
                if let Outcome::Classification(answer) = outcome {
                    how(answer);
                }
            });
        });
        refuse(["--tcp", &address], &EVAL, &["the board's answer cannot be correct", word]);
    }
    let address = board(honest(), |frame| change(frame, |outcome| *outcome = Outcome::Description(honest())));
    refuse(["--tcp", &address], &EVAL, &["the board's answer cannot be correct", "asked for a class"]);
    let class = Classification { class: 0, ticks: None, logits: vec![0; 10] };
    let address = board(honest(), move |frame| {
        change(frame, |outcome| *outcome = Outcome::Classification(class.clone()));
    });
    refuse(["--tcp", &address], &EVAL, &["the board's answer cannot be correct", "asked what it is"]);
}

/// If the board cannot decode a request, it refuses it. If the host cannot decode an answer, the line is unreliable.
#[test]
fn a_refusal_is_the_boards_and_damage_is_not() {
    let short = [&["--timeout", "0.3"], &EVAL[..]].concat();
    let is_class = |outcome: &Outcome<'_, Vec<i32>>| matches!(outcome, Outcome::Classification(_));
    let refusal = |id, error| {
        let mut buffer = [0; 100];
        let outcome = Outcome::Refused(Refusal::Frame(error));
        encode(&Reply::<'_, Vec<i32>> { id, outcome }, &mut buffer).unwrap().to_vec()
    };
    let address = board(honest(), move |frame| {
        let mut copy = frame.clone();
        change(&mut copy, |outcome| {
            if is_class(outcome) {
                *frame = refusal(None, FrameError::Crc);
            }
        });
    });
    refuse(["--tcp", &address], &short, &["the board refuses the request: the frame is damaged"]);

    // The request is refused once, and then the answers are damaged.
    let mut count = 0;
    let address = board(honest(), move |frame| {
        let mut copy = frame.clone();
        change(&mut copy, |outcome| count += usize::from(is_class(outcome)));
        match count {
            0 => (),
            1 => *frame = refusal(None, FrameError::Crc),
            2 => (),
            _ => frame[5] ^= if frame[5] == 1 { 2 } else { 1 },
        }
    });
    let words = ["arrived damaged, 3 times in a row", "the line is unreliable"];
    refuse(["--tcp", &address], &short, &words);
}

/// Sends the same bytes again and again until the connection is closed. Returns the address.
fn babbler(what: Vec<u8>) -> String {
    listener(move |mut line| while line.write_all(&what).is_ok() {})
}

#[test]
fn boards_that_never_come_to_an_end_are_given_up() {
    let short = [&["--timeout", "0.5"], &EVAL[..]].concat();
    let mut buffer = [0; 100];
    let stale = Reply::<'_, Vec<i32>> { id: Some(7), outcome: Outcome::Description(honest()) };
    let stale = encode(&stale, &mut buffer).unwrap().to_vec();
    for (what, word) in [
        (vec![0], "no answer among them"),
        (b"abc\0".to_vec(), "no answer among them"),
        (vec![b'x'; 1000], "no answer among them"),
        (stale, "no answer among them"),
    ] {
        let start = Instant::now();
        refuse(["--tcp", &babbler(what)], &short, &[word]);
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    }
    // This board sends one byte now and then.
    let address = listener(|mut line| {
        while line.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(30));
        }
    });
    refuse(["--tcp", &address], &short, &["no answer among them"]);
    // This board is silent from the third image on, for which it is asked three times.
    let mut count = 0;
    let address = board(honest(), move |frame| {
        count += 1;
        if count > 3 {
            frame.clear();
        }
    });
    refuse(["--tcp", &address], &short, &["no answer within 1.5 s"]);
}

/// A connection to a board that is unplugged after it has sent a number of bytes.
struct Unplugged(TcpStream, usize);

impl Read for Unplugged {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Unplugged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.0.write(&bytes[..bytes.len().min(self.1)])?;
        self.1 -= count;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn a_board_that_is_unplugged_is_reported() {
    for bytes in [0, 5, 30, 100] {
        let address = listener(move |line| serve(Unplugged(line, bytes), honest(), |_| ()));
        refuse(["--tcp", &address], &EVAL, &["closed at the other end, or the board was unplugged"]);
    }
}

/// The height and width of images that have more bytes than the buffer of a serial port.
const LARGE: usize = 256;

/// Simulates a board on a serial port whose images are large. After its description, it reads with pauses, or not at
/// all if `pause` is None.
fn large_images(mut line: TTYPort, pause: Option<Duration>) {
    let description = Description { height: LARGE as u16, width: LARGE as u16, ..honest() };
    let mut server = Box::new(Server::<{ request_len(LARGE * LARGE) }>::new(description));
    let mut answer = [0; reply_len(10)];
    let mut buffer = [0; 4096];
    let mut described = false;
    loop {
        if let (true, Some(pause)) = (described, pause) {
            thread::sleep(pause);
        } else if described {
            thread::sleep(PATIENCE);
        }
        let count = match line.read(&mut buffer) {
            Ok(count) if count > 0 => count,
            Err(error) if error.kind() == ErrorKind::TimedOut => continue,
            _ => return,
        };
        for &byte in &buffer[..count] {
            let infer =
                |_: &[u8]| Classification { class: 2, ticks: None, logits: [0, 1, 2, 0, 0, 0, 0, 0, 0, 0] };
            if let Some(frame) = server.push(byte, infer, &mut answer) {
                described = true;
                line.write_all(frame).unwrap();
            }
        }
    }
}

#[test]
fn a_board_that_reads_slowly_is_waited_for_and_one_that_does_not_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("three.png");
    GrayImage::from_raw(28, 28, synthetic::digit(3, 7).to_vec()).unwrap().save(&picture).unwrap();
    let picture = picture.to_str().unwrap();

    let (board, name, _open) = serial_port();
    thread::spawn(move || large_images(board, Some(Duration::from_millis(50))));
    let output = device(["--port", &name], &["predict", "--prepare", "stretch", picture]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("class 2"), "{}", text(&output.stdout));

    let (board, name, _open) = serial_port();
    thread::spawn(move || large_images(board, None));
    let arguments = ["--baud", "4000000", "--timeout", "0.5", "predict", "--prepare", "stretch", picture];
    refuse(["--port", &name], &arguments, &["did not take a request of 65", "within 0.5 s"]);
}

/// A board must not take bytes that it has received before a request for a part of the request.
#[test]
fn requests_begin_and_end_with_a_delimiter() {
    let (sender, requests) = std::sync::mpsc::channel();
    let address = listener(move |mut line| {
        let mut request = [0; 9];
        line.read_exact(&mut request).unwrap();
        sender.send(request).unwrap();
    });
    assert!(Device::open(&Address::Tcp(address), PATIENCE).is_err());
    // Request 1 is `Describe`. These are the bytes in link/tests/link.rs, between delimiters.
    let mut expected = vec![0];
    expected.extend(sealed(&[vit_link::VERSION, 1, 0]));
    assert_eq!(requests.recv().unwrap()[..], expected[..9]);
    assert_eq!(expected.len(), 10);
}

#[test]
fn boards_that_do_not_fit_are_refused_in_one_line() {
    let tcp = |address: &str, arguments: &[&str], words: &[&str]| {
        let arguments = [&["--timeout", "0.5"], arguments].concat();
        refuse(["--tcp", address], &arguments, words);
    };
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    tcp(&nobody, &EVAL, &["cannot be opened"]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    tcp(&silent.local_addr().unwrap().to_string(), &EVAL, &["no answer within 0.5 s"]);
    tcp(&listener(drop), &EVAL, &["closed"]);
    let other = |mut line: TcpStream| {
        line.write_all(b"login: ").unwrap();
        let _ = line.read_to_end(&mut Vec::new());
    };
    tcp(&listener(other), &EVAL, &["7 bytes came"]);
    let newer = |frame: &mut Vec<u8>| *frame = sealed(&[vit_link::VERSION + 1, 9, 9]);
    tcp(&board(honest(), newer), &EVAL, &["version 3", "version 2"]);

    let other = Description { height: 32, width: 24, ..honest() };
    tcp(&board(other, |_| ()), &EVAL, &["24x32"]);
    tcp(&board(other, |_| ()), &COMPARE, &["24x32 grey pixels", "28x28 grey pixels"]);
    tcp(&board(Description { classes: 5, ..honest() }, |_| ()), &COMPARE, &["5 classes"]);
    let words = ["another model", "nano.int8.vit", "00000007"];
    tcp(&board(Description { model: 7, ..honest() }, |_| ()), &COMPARE, &words);
    let words = ["nano.f32.vit", "int8"];
    tcp("127.0.0.1:1", &["eval", "--model", &MODEL.replace("int8", "f32")], &words);
}

/// Encodes a frame with this content, without using the library.
fn sealed(content: &[u8]) -> Vec<u8> {
    let crc = crc32(content);
    let plain = [content, &crc.to_le_bytes()].concat();
    let blocks = plain.split(|&byte| byte == 0);
    blocks.flat_map(|block| [&[block.len() as u8 + 1], block].concat()).chain([0]).collect()
}

/// Computes the CRC-32 of zlib, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[test]
fn the_place_of_the_board_has_to_be_named() {
    for arguments in [&["eval"][..], &["--port", "a", "--tcp", "b", "eval"], &["--tcp", "b"]] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_vit-train")).arg("device").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
