//! Tests that `include/vit.h` declares what this crate exports.

use cbindgen::{Builder, Config, DocumentationStyle, EnumConfig, Language, Style};
use std::{fs, path::Path};

/// The header's text before the declarations.
const BEGIN: &str = "\
/* Vision Transformers in firmware: the C interface of vit-nostd.

   A model is checked once, by vit_open. Then vit_infer classifies images:

       static vit_model model;
       static vit_nano_scratch scratch;                       (from vit_nano.h, the header of the network)
       vit_error error = vit_open(&model, &vit_nano, vit_nano_model, VIT_NANO_MODEL_BYTES);
       ...
       int32_t logits[VIT_NANO_CLASSES];
       error = vit_infer(&model, image, sizeof image, &scratch, sizeof scratch, logits, VIT_NANO_CLASSES);

   A function returns VIT_OK, or the reason that it failed. It checks its arguments: pointers that are null or misaligned,
   lengths that are wrong, buffers that overlap, a damaged model are errors. No function allocates memory, waits, or keeps
   a state of its own. Let models and resizers be static, or set them to zero, so that one that was never opened or begun is
   recognised. Any number of threads may call them at the same time, each with buffers of its own; an opened model
   may be shared.

   What a pointer to const leads to may be in flash: model files, images, lines, networks. All other buffers must be in RAM.
   README.md says how much stack the functions take. A library for the hard floating-point ABI needs the floating-point unit
   to be switched on.

   This header is for C99, for C++11, and for later versions of both.

   This file is made from the Rust sources of vit-c. */";

/// Returns the header that the sources stand for.
fn header() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = [
        ("VitError", "vit_error"),
        ("VitFrame", "vit_frame"),
        ("VitModel", "vit_model"),
        ("VitNetwork", "vit_network"),
        ("VitObserver", "vit_observer"),
        ("VitPixelFormat", "vit_pixel_format"),
        ("VitPrediction", "vit_prediction"),
        ("VitResizer", "vit_resizer"),
        ("VitSizes", "vit_sizes"),
    ];
    let mut config = Config {
        language: Language::C,
        cpp_compat: true,
        style: Style::Type,
        usize_is_size_t: true,
        documentation_style: DocumentationStyle::C99,
        include_guard: Some("VIT_H".to_owned()),
        no_includes: true,
        sys_includes: ["stddef.h", "stdint.h"].map(str::to_owned).to_vec(),
        header: Some(BEGIN.to_owned()),
        line_length: 110,
        enumeration: EnumConfig::default(),
        ..Config::default()
    };
    config.after_includes = Some(format!(
        "\n// The version of the library that this header is for. It is the one of `vit_version`.\n#define VIT_VERSION {:?}",
        env!("CARGO_PKG_VERSION")
    ));
    config.export.rename = names.map(|(rust, c)| (rust.to_owned(), c.to_owned())).into();
    let bindings = Builder::new().with_crate(folder).with_config(config).generate().unwrap();
    let mut text = Vec::new();
    bindings.write(&mut text);
    let text = String::from_utf8(text).unwrap();
    // What Rust calls safety is what C programmers expect of every function. On all targets, an `int` has 32 bits, and
    // it can be printed with `%d`, also where `int32_t` is a `long`.
    let text = text.replace("// # Safety\n", "").replace("int32_t vit_error;", "int vit_error;");
    text.replace("  : int32_t\n", "  : int\n").replace("[`", "`").replace("`]", "`").trim_end().to_owned()
        + "\n"
}

#[test]
fn the_header_is_that_of_the_sources() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/vit.h");
    let header = header();
    if std::env::var_os("WRITE_HEADER").is_some() {
        fs::write(&path, &header).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap() == header,
        "vit.h is not that of the sources: run the test with WRITE_HEADER=1"
    );
}

#[test]
fn the_library_states_its_version() {
    // SAFETY: The function returns a constant that ends in a zero byte.
    let version = unsafe { std::ffi::CStr::from_ptr(vit_c::vit_version()) };
    assert_eq!(version.to_str(), Ok(env!("CARGO_PKG_VERSION")));
}
