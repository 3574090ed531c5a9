//! The parts of files that each model has.

use super::model::ExportedModel;
use vit_nostd::Dims;

/// Returns the texts of all models, one after the other.
pub(super) fn each(models: &[ExportedModel], text: impl Fn(&ExportedModel) -> String) -> String {
    models.iter().map(text).collect::<Vec<_>>().join("\n")
}

/// Returns the declaration of a model's network in Rust.
pub(super) fn declaration(model: &ExportedModel) -> String {
    let Dims { height, width, channels, embed, heads, hidden, depth, classes, .. } = model.dims;
    let tokenizer = model.dims.tokenizer_field();
    format!(
        "vit_nostd::network! {{\n    #[allow(non_camel_case_types)]\n    {} {{ image: [{height}, {width}, {channels}], \
         {tokenizer}, embed: {embed}, heads: {heads}, hidden: {hidden}, depth: {depth}, classes: {classes} }}\n}}\n",
        model.network()
    )
}

/// Returns the constants of a model's network that the library exports. The one with the sizes is for the exporter.
pub(super) fn export(model: &ExportedModel) -> String {
    let (name, network) = (&model.name, model.network());
    format!(
        "vit_c::export!(vit_{name}: {network});\n\
         #[unsafe(no_mangle)]\npub static {SIZES}{name}: VitSizes = vit_{name}.sizes();\n"
    )
}

/// The beginning of the name of the constant with the sizes of a network.
pub(super) const SIZES: &str = "sizes_of_";

/// Returns the arm of a match for a model's network.
pub(super) fn arm(model: &ExportedModel) -> String {
    format!("        Some({:?}) => run::<{}>(model, &images),", model.name, model.network())
}
