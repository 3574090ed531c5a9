//! Looks at the images of a source without loading them, to choose a network for them.

use super::{
    choice::of_all_classes,
    cifar,
    error::DataError,
    folder::{left_out, skipped, ClassFolders, Known, Picture, Unused},
    format::{Format, CLASS_NAMES, MAX_CLASSES},
    idx,
    labels::read_list,
    loading::Loading,
    picture::{has_colours, upright_size},
    picture_error::PictureError,
    place::{self, Content, Named, Place},
    signs,
    source::Source,
    splits::Style,
    synthetic,
};
use rayon::prelude::*;
use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

/// The largest number of pictures that are decoded to find out whether pictures are in colour.
const DECODED: usize = 100;
/// Pictures are in colour if at least one of this number is. A few coloured pictures among many grey ones, such as
/// covers among scanned pages, do not make a data set one in colour.
const COLOURED: usize = 10;

/// The properties of the images of a source, as a training gets to see them.
#[derive(Debug)]
pub(crate) struct Survey {
    /// The name of the data set: see [`Splits::name`](super::Splits::name).
    pub name: String,
    /// The source in which the images were found. It is never [`Source::Auto`], and a folder has its absolute path.
    pub source: Source,
    /// The reason why [`Source::Auto`] means the built-in digits, if it does.
    pub fallback: Option<DataError>,
    /// The folders next to those of images to train and to test on, which are not read.
    pub passed_over: Vec<PathBuf>,
    /// The files that are left out because they cannot be used as pictures. There may be more, because most files are
    /// not decoded.
    pub skipped: Vec<String>,
    /// The names of the classes, class 0 first.
    pub class_names: Vec<String>,
    /// The number of images to train and validate on.
    pub train: usize,
    /// The number of images to test on.
    pub test: usize,
    /// True if the images are in colour, and false if they are grey, whatever their files say.
    pub colour: bool,
    /// The height and the width of the images in pixels. If images differ, it is the median of each. For the built-in
    /// road signs, it is a size at which all signs can be told apart.
    pub size: [usize; 2],
    /// The kind of things that the images show.
    pub style: Style,
}

/// Looks at the images that `source` means, and finds the same images as [`load`](super::load).
///
/// Of pictures in class folders, only the beginning of each file is read, and up to [`DECODED`] pictures of all classes
/// are decoded. Of `loading`, the fit and the cache have no meaning.
///
/// # Errors
/// The errors of [`load`](super::load), except for those that depend on a network, and except for damage to what is not
/// read. More than [`MAX_CLASSES`] classes are [`DataError::TooManyClasses`].
pub(crate) fn survey(source: &Source, loading: &Loading) -> Result<Survey, DataError> {
    survey_of(Place::find(source, place::mnist, place::cifar10)?, loading)
}

fn survey_of(place: Place, loading: &Loading) -> Result<Survey, DataError> {
    let style = place.style();
    let survey = match place {
        Place::Mnist(directory) => {
            survey_idx(&directory, Source::Mnist.to_string(), Source::Mnist, &idx::FILES)
        }
        Place::Cifar10(directory) => survey_cifar10(&directory, Source::Cifar10.to_string(), Source::Cifar10),
        Place::Digits(fallback) => {
            let Format { height, width, channels, classes } = synthetic::FORMAT;
            let class_names = super::numbers(classes);
            let survey = built_in(Source::Synthetic, class_names, channels > 1, [height, width]);
            Ok(Survey { fallback, ..survey })
        }
        Place::Signs => {
            let class_names = (0..signs::MAX_CLASSES).map(|class| signs::name(class).to_owned()).collect();
            Ok(built_in(Source::SyntheticSigns, class_names, true, [signs::SIDE; 2]))
        }
        Place::Named(Named { directory, name, source, content }) => match content {
            Content::Idx => survey_named_idx(&directory, name, source),
            Content::Cifar10 => survey_cifar10(&directory, name, source),
            Content::Folders => survey_folders(&directory, name, source, loading),
        },
    };
    Ok(Survey { style, ..survey? })
}

/// Returns a survey of images of which none are left out, with a style that the caller replaces.
fn complete(
    (name, source): (String, Source),
    class_names: Vec<String>,
    [train, test]: [usize; 2],
    colour: bool,
    size: [usize; 2],
) -> Survey {
    Survey {
        name,
        source,
        fallback: None,
        passed_over: Vec::new(),
        skipped: Vec::new(),
        class_names,
        train,
        test,
        colour,
        size,
        style: Style::Photos,
    }
}

fn built_in(source: Source, class_names: Vec<String>, colour: bool, size: [usize; 2]) -> Survey {
    let images = [synthetic::TRAIN_IMAGES, synthetic::TEST_IMAGES];
    complete((source.to_string(), source), class_names, images, colour, size)
}

fn survey_cifar10(directory: &Path, name: String, source: Source) -> Result<Survey, DataError> {
    let cifar::Extent { class_names, train, test } = cifar::measure(directory, cifar::FORMAT)?;
    let Format { height, width, channels, .. } = cifar::FORMAT;
    Ok(complete((name, source), class_names, [train, test], channels > 1, [height, width]))
}

/// Looks at the four files in MNIST's format in a folder that the user has named.
fn survey_named_idx(directory: &Path, name: String, source: Source) -> Result<Survey, DataError> {
    let survey = survey_idx(directory, name, source, &idx::FILES.map(idx::File::unchecked))?;
    let [train_images, train_labels, test_images, test_labels] = &idx::FILES;
    let is_part_of_mnist = |images, labels| idx::read(directory, images, labels, synthetic::FORMAT).is_ok();
    let is_mnist = survey.size == [synthetic::FORMAT.height, synthetic::FORMAT.width]
        && is_part_of_mnist(test_images, test_labels)
        && is_part_of_mnist(train_images, train_labels);
    let name = if is_mnist { Source::Mnist.to_string() } else { survey.name };
    Ok(Survey { name, ..survey })
}

fn survey_idx(
    directory: &Path,
    name: String,
    source: Source,
    [train_images, train_labels, test_images, test_labels]: &[idx::File; 4],
) -> Result<Survey, DataError> {
    let train = idx::measure(directory, train_images, train_labels)?;
    let test = idx::measure(directory, test_images, test_labels)?;
    let [height, width] = train.size;
    if test.size != train.size {
        let [rows, columns] = test.size.map(|side| side as u32);
        let format = Format { height, width, channels: 1, classes: 0 };
        return Err(DataError::ImageSize { path: test.images_path, rows, columns, format });
    }
    let path = directory.join(CLASS_NAMES);
    let class_names = if source != Source::Mnist && path.symlink_metadata().is_ok() {
        read_list(path)?
    } else {
        let largest = train.labels.iter().chain(&test.labels).max();
        super::numbers(largest.map_or(0, |&label| usize::from(label) + 1))
    };
    let classes = class_names.len();
    for part in [&train, &test] {
        if let Some(index) = part.labels.iter().position(|&label| usize::from(label) >= classes) {
            let (path, label) = (part.labels_path.clone(), part.labels[index].into());
            return Err(DataError::Label { path, index, label, classes });
        }
    }
    let images = [train.labels.len(), test.labels.len()];
    Ok(complete((name, source), class_names, images, false, [height, width]))
}

/// Looks at the pictures in the class folders of `directory`.
fn survey_folders(
    directory: &Path,
    name: String,
    source: Source,
    loading: &Loading,
) -> Result<Survey, DataError> {
    let folders = ClassFolders::find(directory)?;
    let class_names = folders.names();
    if class_names.len() > MAX_CLASSES {
        return Err(DataError::TooManyClasses { classes: class_names.len() });
    }
    let pictures = folders.pictures()?;
    let mut parts = pictures.divide()?;
    let all = parts.concat();
    let known = Known::new(directory, &loading.unreadable);
    let (done, total) = (AtomicUsize::new(0), all.len() + all.len().min(DECODED));
    (loading.reading)(0, total);
    let step = || (loading.reading)(done.fetch_add(1, Ordering::Relaxed) + 1, total);

    let look = |picture: &Picture| {
        let size = match known.contains(&picture.path) {
            true => Err(None),
            false => upright_size(&picture.path).map_err(Some),
        };
        step();
        size
    };
    let sizes: Vec<Result<[usize; 2], Option<PictureError>>> = all.par_iter().map(look).collect();
    let (mut measured, mut unused): (Vec<(&Picture, [usize; 2])>, Vec<Unused>) = Default::default();
    for (picture, size) in all.iter().zip(sizes) {
        match size {
            Ok(size) => measured.push((picture, size)),
            Err(error) => unused.push((&picture.path, error)),
        }
    }

    let labels: Vec<u16> = measured.iter().map(|(picture, _)| picture.label).collect();
    let decode = |place: usize| {
        let path = &*measured[place].0.path;
        let colours = has_colours(path).map_err(|error| (path, Some(error)));
        step();
        colours
    };
    let decoded: Vec<_> = of_all_classes(&labels, DECODED).into_par_iter().map(decode).collect();
    let coloured = decoded.iter().filter(|decoded| matches!(decoded, Ok(true))).count();
    let whole = decoded.iter().filter(|decoded| decoded.is_ok()).count();
    unused.extend(decoded.into_iter().filter_map(Result::err));

    let left_out = left_out(unused, &loading.unreadable, all.len())?;
    if !left_out.is_empty() {
        parts = pictures.without(&left_out)?.divide()?;
        measured.retain(|(picture, _)| !left_out.contains(&picture.path));
    }
    let [train, test] = parts.map(|part| part.len());
    let size = [0, 1].map(|side| median(measured.iter().map(|(_, size)| size[side]).collect()));
    let colour = coloured > 0 && coloured * COLOURED >= whole;
    let survey = complete((name, source), class_names, [train, test], colour, size);
    let passed_over = folders.passed_over().to_vec();
    Ok(Survey { passed_over, skipped: skipped(directory, &left_out), ..survey })
}

/// Returns the median, which is the larger of the two in the middle of an even number of values.
fn median(mut values: Vec<usize>) -> usize {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::{
        load_and_tell,
        loading::Unreadable,
        testing::{idx, Folder},
    };
    use super::*;
    use image::{GrayImage, RgbImage};
    use std::{fs, sync::Mutex};
    use tempfile::TempDir;

    /// Creates a folder with these files. The name of each has its kind: pictures have the grey value that is given.
    fn folder(files: &[(String, u8)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, grey) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match name {
                name if name.ends_with("colour.png") => {
                    RgbImage::from_pixel(40, 30, [*grey, 90, 200].into()).save(path).unwrap();
                }
                name if name.ends_with("png") => {
                    GrayImage::from_pixel(40, 30, [*grey].into()).save(path).unwrap();
                }
                _ => fs::write(path, "no picture").unwrap(),
            }
        }
        folder
    }

    /// Returns `count` pictures for each of three classes in the folder `part`.
    fn classes(part: &str, count: u8) -> Vec<(String, u8)> {
        let picture = |class: u8, n| (format!("{part}c{}/{n}.png", 9 + class), 50 * class + n);
        (0..3).flat_map(|class| (0..count).map(move |n| picture(class, n))).collect()
    }

    fn source(folder: &TempDir) -> Source {
        Source::Directory(folder.path().into())
    }

    fn survey(source: &Source) -> Result<Survey, DataError> {
        super::survey(source, &Loading::default())
    }

    fn leave_out(unreadable: Unreadable) -> Loading<'static> {
        Loading { unreadable, ..Loading::default() }
    }

    /// Surveys images, and checks that the survey says what the loader returns for a network of this format.
    fn check(source: &Source, format: Format, loading: &Loading) -> Survey {
        let survey = super::survey(source, loading).unwrap();
        let loaded = load_and_tell(source, format, loading).unwrap();
        assert_eq!(
            (&survey.name, &survey.source, &survey.passed_over, &survey.skipped),
            (&loaded.name, &loaded.source, &loaded.passed_over, &loaded.skipped)
        );
        assert_eq!((&survey.class_names, survey.style), (&loaded.class_names, loaded.style));
        assert_eq!((survey.train, survey.test), (loaded.train.len(), loaded.test.len()));
        survey
    }

    #[test]
    fn class_folders_are_counted_as_the_loader_counts_them() {
        let format = Format::grey(8, 3);
        let whole = folder(&classes("", 11));
        let survey = check(&source(&whole), format, &Loading::default());
        assert_eq!((survey.train, survey.test, survey.size), (24, 9, [30, 40]));
        assert_eq!((survey.colour, survey.style), (false, Style::Photos));
        let parts = folder(&[classes("train/", 4), classes("val/", 2), classes("more/", 1)].concat());
        let survey = check(&source(&parts), format, &Loading::default());
        assert_eq!((survey.train, survey.test, survey.passed_over.len()), (12, 6, 1));
    }

    #[test]
    fn files_that_cannot_be_read_are_refused_or_left_out() {
        let bad = ["c9/0.jpg", "c10/x.txt"].map(|name| (name.to_owned(), 0));
        let folder = folder(&[classes("", 11), bad.to_vec()].concat());
        // The beginning of this picture is whole.
        let (whole, cut) = (folder.path().join("c11/3.png"), folder.path().join("c11/cut.png"));
        let bytes = fs::read(whole).unwrap();
        fs::write(cut, &bytes[..bytes.len() - 20]).unwrap();

        let error = survey(&source(&folder)).unwrap_err();
        assert!(matches!(&error, DataError::Unreadable { count: 3, files: 36, .. }), "{error}");
        let loaded = load_and_tell(&source(&folder), Format::grey(8, 3), &Loading::default()).unwrap_err();
        assert_eq!(error.to_string(), loaded.to_string());

        let survey = check(&source(&folder), Format::grey(8, 3), &leave_out(Unreadable::LeaveOut));
        assert_eq!(survey.skipped, ["c10/x.txt", "c11/cut.png", "c9/0.jpg"]);
        assert_eq!((survey.train, survey.test), (24, 9));
        let known = leave_out(Unreadable::Known(survey.skipped.clone()));
        check(&source(&folder), Format::grey(8, 3), &known);
        let known = leave_out(Unreadable::Known(survey.skipped[..2].to_vec()));
        let error = super::survey(&source(&folder), &known).unwrap_err();
        assert!(matches!(error, DataError::Unreadable { count: 1, files: 36, .. }), "{error}");
    }

    #[test]
    fn errors_are_those_of_the_loader() {
        let files = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), 1)).collect::<Vec<_>>();
        for names in [
            &["a.png"][..],
            &["a/1.png", "b/1.png", "b/2.png"],
            &["a/1.png", "a/2.png", "b/.hidden"],
            &["a/1.png", "a/more/2.png", "b/1.png", "b/2.png"],
            &["train/a/1.png", "train/b/1.png", "training/a/1.png", "test/a/1.png"],
            &["test/a/1.png", "test/b/1.png"],
            &["train/a/1.png", "train/b/1.png", "test/c/1.png"],
            &["train/a/1.png", "train/b/1.png", "test/1.png"],
            &["a/1.png", "a/2.png", "b\u{7}/1.png", "b\u{7}/2.png"],
            &["\u{e9}/1.png", "\u{e9}/2.png", "e\u{301}/1.png", "e\u{301}/2.png"],
        ] {
            let folder = folder(&files(names));
            let error = survey(&source(&folder)).unwrap_err();
            let loaded = load_and_tell(&source(&folder), Format::grey(8, 2), &Loading::default());
            assert_eq!(error.to_string(), loaded.unwrap_err().to_string(), "{names:?}");
        }
        for (lost, error) in [("b/1.txt", "NothingReadable"), ("b/2.png", "TooFew")] {
            let folder = folder(&files(&["a/1.png", "a/2.png", "b/2.txt", lost]));
            let result = super::survey(&source(&folder), &leave_out(Unreadable::LeaveOut));
            assert!(format!("{result:?}").contains(error), "{result:?}");
        }
        let missing = survey(&Source::Directory("no/such".into())).unwrap_err();
        assert!(matches!(missing, DataError::MissingDirectory { .. }));
    }

    #[test]
    fn progress_is_told() {
        let folder = folder(&classes("", 50));
        let told = Mutex::new(Vec::new());
        let reading = |done, total| told.lock().unwrap().push((done, total));
        super::survey(&source(&folder), &Loading { reading: &reading, ..Loading::default() }).unwrap();
        let mut told = told.into_inner().unwrap();
        told.sort();
        assert_eq!(told, Vec::from_iter((0..=250).map(|done| (done, 250))));
    }

    /// Of ten pictures or more, one must be in colour.
    #[test]
    fn a_tenth_of_the_pictures_makes_a_data_set_one_in_colour() {
        for (coloured, grey, expected) in [(0, 10, false), (1, 9, true), (1, 10, false), (2, 18, true)] {
            let picture = |class: &str, n: u8| {
                let kind = if n < coloured { "-colour" } else { "" };
                (format!("{class}/{n}{kind}.png"), n)
            };
            let files: Vec<_> =
                (0..coloured + grey).map(|n| picture(if n % 2 == 0 { "a" } else { "b" }, n)).collect();
            assert_eq!(survey(&source(&folder(&files))).unwrap().colour, expected, "{coloured} of {grey}");
        }
        // All classes are looked at alike, also if one has most of the pictures.
        let many = (0..200).map(|n| (format!("many/{n}.png"), n));
        let few = (0..20).map(|n| (format!("few/{n}-colour.png"), n));
        assert!(survey(&source(&folder(&many.chain(few).collect::<Vec<_>>()))).unwrap().colour);
    }

    #[test]
    fn sizes_are_medians_of_upright_pictures() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        for (n, (width, height)) in [(20, 5), (70, 60), (30, 90), (50, 10)].into_iter().enumerate() {
            GrayImage::new(width, height).save(folder.path().join(format!("a/{n}.jpg"))).unwrap();
        }
        assert_eq!(survey(&source(&folder)).unwrap().size, [60, 50]);
        // Exif data say that this picture was taken with the camera on its side: it is 80 pixels high and 25 wide.
        let path = folder.path().join("a/9.jpg");
        GrayImage::new(80, 25).save(&path).unwrap();
        let jpeg = fs::read(&path).unwrap();
        let tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let note = [b"Exif\0\0", &tiff[..]].concat();
        let len = (note.len() as u16 + 2).to_be_bytes();
        fs::write(&path, [&jpeg[..2], &[0xff, 0xe1], &len, &note, &jpeg[2..]].concat()).unwrap();
        assert_eq!(survey(&source(&folder)).unwrap().size, [60, 30]);
    }

    #[test]
    fn files_in_the_format_of_mnist() {
        let folder = Folder::new("survey");
        let directory = Source::Directory(folder.path().into());
        folder.write_set("", 20, &[0, 3, 1, 1]);
        let survey = check(&directory, Format::grey(20, 4), &Loading::default());
        assert_eq!((survey.train, survey.test, survey.size), (4, 4, [20, 20]));
        assert_eq!((survey.colour, survey.style), (false, Style::Digits));
        assert_eq!(survey.class_names, ["0", "1", "2", "3"]);

        folder.write(CLASS_NAMES, b"a\nb\nc\nd\ne\n");
        let survey = check(&directory, Format::grey(20, 5), &Loading::default());
        assert_eq!(survey.class_names, ["a", "b", "c", "d", "e"]);
        folder.write(CLASS_NAMES, b"a\nb\nc");
        let error = self::survey(&directory).unwrap_err();
        assert!(matches!(error, DataError::Label { index: 1, label: 3, classes: 3, .. }), "{error}");
        fs::remove_file(folder.path().join(CLASS_NAMES)).unwrap();

        let refuse = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            let before = fs::read(&path).unwrap();
            folder.write(name, bytes);
            let error = self::survey(&directory).unwrap_err();
            fs::write(path, before).unwrap();
            error
        };
        let images = "t10k-images-idx3-ubyte";
        let error = refuse(images, &idx(0x803, &[4, 2, 20], &[0; 160]));
        assert!(matches!(error, DataError::ImageSize { rows: 2, columns: 20, .. }), "{error}");
        let error = refuse(images, &idx(0x803, &[4, 20, 20], &[0; 1599]));
        assert!(matches!(error, DataError::Length { expected: 1616, found: 1615, .. }), "{error}");
        let error = refuse(images, &idx(0x803, &[0, 20, 20], &[]));
        assert!(matches!(error, DataError::Empty { .. }), "{error}");
        let error = refuse(images, &idx(0x803, &[5, 20, 20], &[0; 2000]));
        assert!(matches!(error, DataError::Count { images: 5, labels: 4, .. }), "{error}");
        let error = refuse(images, &idx(0x804, &[4, 20, 20, 3], &[0; 4800]));
        assert!(matches!(error, DataError::Magic { .. }), "{error}");
        let error = refuse("train-labels-idx1-ubyte", b"\0\0");
        assert!(matches!(error, DataError::Length { .. }), "{error}");
    }

    #[test]
    fn files_of_cifar10() {
        let folder = Folder::new("survey-cifar");
        let names = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n";
        folder.write("batches.meta.txt", names.as_bytes());
        let directory = Source::Directory(folder.path().into());
        for (n, name) in cifar::files().filter(|name| name.ends_with(".bin")).enumerate() {
            folder.write(name, &vec![n as u8; 2 * 3073]);
        }
        let survey = check(&directory, cifar::FORMAT, &Loading::default());
        assert_eq!((survey.train, survey.test, survey.size), (10, 2, [32, 32]));
        assert_eq!((survey.colour, survey.style), (true, Style::Photos));
        folder.write("test_batch.bin", &[0; 9]);
        let error = self::survey(&directory).unwrap_err();
        assert!(matches!(error, DataError::Records { .. }), "{error}");
    }

    #[test]
    fn built_in_images() {
        let survey = check(&Source::Synthetic, synthetic::FORMAT, &Loading::default());
        assert_eq!((survey.size, survey.colour, survey.style), ([28, 28], false, Style::Digits));
        let survey = survey_of(Place::Signs, &Loading::default()).unwrap();
        assert_eq!((survey.size, survey.colour, survey.style), ([32, 32], true, Style::Photos));
        assert_eq!((survey.class_names.len(), survey.train), (signs::MAX_CLASSES, synthetic::TRAIN_IMAGES));
        let format = Format { height: 8, width: 8, channels: 3, classes: signs::MAX_CLASSES };
        check(&Source::SyntheticSigns, format, &Loading::default());
    }

    #[test]
    fn auto_means_what_the_loader_takes() {
        let gone = || Err(DataError::MissingDirectory { path: "x".into() });
        let place = Place::find(&Source::Auto, gone, || unreachable!()).unwrap();
        let survey = survey_of(place, &Loading::default()).unwrap();
        assert_eq!((survey.source, &*survey.name), (Source::Synthetic, "synthetic"));
        assert!(survey.fallback.is_some());

        let folder = Folder::new("survey-auto");
        folder.write_set("", 28, &[0, 9]);
        let found = || Ok(folder.path().to_owned());
        let place = Place::find(&Source::Auto, found, || unreachable!()).unwrap();
        // The files claim to be MNIST's, but their content is another one.
        let error = survey_of(place, &Loading::default()).unwrap_err();
        assert!(matches!(error, DataError::Checksum { .. }), "{error}");
    }

    #[test]
    fn mnist_itself() {
        let Some(directory) = std::env::var_os(super::super::MNIST_DIR) else { return };
        for source in [Source::Auto, Source::Mnist, Source::Directory(directory.into())] {
            let survey = check(&source, synthetic::FORMAT, &Loading::default());
            assert_eq!((&*survey.name, survey.train, survey.test), ("mnist", 60_000, 10_000));
        }
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![3, 1, 2]), 2);
        assert_eq!(median(vec![4, 1, 3, 2]), 3);
        assert_eq!(median(Vec::new()), 0);
    }
}
