//! The files of the folder that a C project adds.

use super::{
    build::{Built, Pictures},
    header::header,
    model::ExportedModel,
    object::{Bytes, Library, NetworkSizes, Sizes},
    target::Target,
    text::each,
};
use crate::{error::Error, files::read_regular, formats::checkpoint::TOOL, hex::hex, template::filled};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The file that says what else an export has written.
const RECORD: &str = "vit-export.json";

/// The origin and the purpose of a library, as a file for scripts and for a later export.
#[derive(Serialize)]
struct Record<'a> {
    /// The paths of all files in the folder.
    files: Vec<PathBuf>,
    tool: &'a str,
    target: &'a str,
    cpu: Option<&'a str>,
    models: Vec<RecordOfModel<'a>>,
    library: RecordOfLibrary,
}

#[derive(Serialize)]
struct RecordOfModel<'a> {
    name: &'a str,
    bytes: usize,
    /// The SHA-256 of the model file.
    digest: String,
    scratch_bytes: u64,
}

#[derive(Serialize)]
struct RecordOfLibrary {
    code_bytes: u64,
    constant_bytes: u64,
    inference_code_bytes: u64,
    inference_constant_bytes: u64,
}

/// Returns the paths of the files that an earlier export has written to a folder. There are none if it has written nothing
/// there.
pub(super) fn of_earlier_export(directory: &Path) -> Vec<PathBuf> {
    #[derive(Deserialize)]
    struct Earlier {
        files: Vec<PathBuf>,
    }
    let record = read_regular(&directory.join(RECORD)).ok();
    let earlier = record.and_then(|record| serde_json::from_slice::<Earlier>(&record).ok());
    earlier.map_or(Vec::new(), |earlier| earlier.files)
}

/// Returns the paths and contents of all files.
pub(super) fn files(
    models: &[ExportedModel],
    target: &Target,
    built: &Built,
) -> Result<Vec<(PathBuf, Vec<u8>)>, Error> {
    let Built { library, pictures } = built;
    let mut files: Vec<(PathBuf, Vec<u8>)> =
        vec![("lib/libvit.a".into(), library.archive()?), ("include/vit.h".into(), vit_c::HEADER.into())];
    for (model, sizes) in models.iter().zip(library.networks()) {
        let (name, symbol) = (&model.name, format!("vit_{}_model", model.name));
        files.push((format!("include/vit_{name}.h").into(), header(model, sizes).into_bytes()));
        files.push((format!("model/{name}.o").into(), library.data_object(&symbol, &model.file)?));
        files.push((format!("model/{name}.c").into(), array(model).into_bytes()));
    }
    // The examples are for the first model.
    if let (Some(model), Some(pictures)) = (models.first(), pictures.first()) {
        let values = values(models, model, target, library);
        for (path, template) in [
            (".gitignore", include_str!("template/gitignore")),
            ("README.md", include_str!("template/README.md")),
            ("CMakeLists.txt", include_str!("template/CMakeLists.txt")),
            ("zephyr/module.yml", include_str!("template/module.yml")),
            ("library.properties", include_str!("template/library.properties")),
            ("examples/self_test.c", include_str!("template/self_test.c")),
            ("examples/camera.c", include_str!("template/camera.c")),
        ] {
            files.push((path.into(), filled(template, &values).into_bytes()));
        }
        files.push(("examples/pictures.h".into(), pictures_header(model, pictures).into_bytes()));
    }
    let record = record(models, target, built, files.iter().map(|(path, _)| path.clone()).collect());
    files.push((RECORD.into(), record.into_bytes()));
    Ok(files)
}

fn values(
    models: &[ExportedModel],
    first: &ExportedModel,
    target: &Target,
    library: &Library,
) -> Vec<(&'static str, String)> {
    let Sizes { all, inference } = library.sizes();
    let bytes = |bytes: Bytes| [bytes.code, bytes.constants].map(|number| number.to_string());
    let networks: Vec<_> =
        models.iter().zip(library.networks()).map(|(model, sizes)| row(model, sizes)).collect();
    let ([all_code, all_constants], [code, constants]) = (bytes(all), bytes(inference));
    vec![
        ("name", first.name.clone()),
        ("NAME", first.capitals()),
        ("names", models.iter().map(|model| format!("`{}`", model.name)).collect::<Vec<_>>().join(", ")),
        ("target", target.triple.to_owned()),
        ("gcc", target.gcc_options()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("code", code),
        ("constants", constants),
        ("all-code", all_code),
        ("all-constants", all_constants),
        ("networks", networks.join("\n")),
        ("cmake-models", each(models, cmake)),
    ]
}

/// Returns the row of a network in the table of the README.
fn row(model: &ExportedModel, sizes: &NetworkSizes) -> String {
    let NetworkSizes { height, width, channels, classes, scratch_bytes, .. } = sizes;
    let (name, bytes) = (&model.name, model.file.len());
    format!("| `{name}` | {height} x {width} x {channels} | {classes} | {bytes} | {scratch_bytes} |")
}

/// Returns the CMake target of a model.
fn cmake(model: &ExportedModel) -> String {
    let name = &model.name;
    format!(
        "add_library(vit::{name}_model INTERFACE IMPORTED GLOBAL)\n\
         set_target_properties(vit::{name}_model PROPERTIES\n  \
           INTERFACE_LINK_LIBRARIES \"${{CMAKE_CURRENT_LIST_DIR}}/model/{name}.o;vit::vit\")"
    )
}

/// Returns the model file as an array in C.
fn array(model: &ExportedModel) -> String {
    let name = &model.name;
    let mut text = format!(
        "/* The model file of the network {name}, for toolchains that do not link model/{name}.o. It must begin at a\n   \
           multiple of 16. */\n\n#include \"vit_{name}.h\"\n\n\
           #if defined(__GNUC__) || defined(__clang__) || defined(__ICCARM__)\n__attribute__((aligned(16)))\n\
           #elif defined(__cplusplus) && __cplusplus >= 201103L\nalignas(16)\n\
           #elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L\n_Alignas(16)\n\
           #else\n#error \"align this array to 16 bytes, in the way of your compiler\"\n#endif\n\
           const uint8_t vit_{name}_model[VIT_{}_MODEL_BYTES] = {{\n",
        model.capitals()
    );
    for line in model.file.chunks(24) {
        text += "  ";
        for byte in line {
            text += &format!("{byte},");
        }
        text.push('\n');
    }
    text + "};\n"
}

/// Returns the header of the test pictures.
fn pictures_header(model: &ExportedModel, pictures: &Pictures) -> String {
    let capitals = model.capitals();
    let mut text = format!(
        "/* Test pictures, and the logits that the computer which wrote this file has computed for them. */\n\n\
         #ifndef PICTURES_H\n#define PICTURES_H\n\n#include \"vit_{}.h\"\n\n#define PICTURES {}\n\n\
         static const uint8_t pictures[PICTURES][VIT_{capitals}_IMAGE_BYTES] = {{\n",
        model.name,
        pictures.levels.len(),
    );
    let list = |text: &mut String, numbers: Vec<String>| {
        *text += "  {";
        for line in numbers.chunks(24) {
            *text += "\n    ";
            *text += &line.join(",");
            text.push(',');
        }
        *text += "\n  },\n";
    };
    for levels in &pictures.levels {
        list(&mut text, levels.iter().map(u8::to_string).collect());
    }
    text += &format!("}};\n\nstatic const int32_t expected[PICTURES][VIT_{capitals}_CLASSES] = {{\n");
    for logits in &pictures.logits {
        list(&mut text, logits.iter().map(i32::to_string).collect());
    }
    text + "};\n\n#endif\n"
}

fn record(models: &[ExportedModel], target: &Target, built: &Built, mut files: Vec<PathBuf>) -> String {
    files.push(RECORD.into());
    let Sizes { all, inference } = built.library.sizes();
    let record = Record {
        files,
        tool: TOOL,
        target: target.triple,
        cpu: target.cpu,
        models: models
            .iter()
            .zip(built.library.networks())
            .map(|(model, sizes)| RecordOfModel {
                name: &model.name,
                bytes: model.file.len(),
                digest: hex(Sha256::digest(&*model.file)),
                scratch_bytes: sizes.scratch_bytes,
            })
            .collect(),
        library: RecordOfLibrary {
            code_bytes: all.code,
            constant_bytes: all.constants,
            inference_code_bytes: inference.code,
            inference_constant_bytes: inference.constants,
        },
    };
    serde_json::to_string_pretty(&record).unwrap_or_default() + "\n"
}
