//! The header of a network.

use super::{model::ExportedModel, object::NetworkSizes};

/// Returns the header of a model's network.
pub(super) fn header(model: &ExportedModel, sizes: &NetworkSizes) -> String {
    let (name, capitals) = (&model.name, model.capitals());
    let NetworkSizes { height, width, channels, classes, image_bytes, scratch_bytes, sums } = sizes;
    let model_bytes = model.file.len();
    format!(
        "\
/* The network {name} and its model: what vit_open, vit_infer and the resizer need to know.

   This file was written by vit-train, for the processor of the library. */

#ifndef VIT_{capitals}_H
#define VIT_{capitals}_H

#include \"vit.h\"

// The network: {dims}.
#define VIT_{capitals}_HEIGHT {height}
#define VIT_{capitals}_WIDTH {width}
#define VIT_{capitals}_CHANNELS {channels}
#define VIT_{capitals}_CLASSES {classes}

// The number of bytes of an image.
#define VIT_{capitals}_IMAGE_BYTES {image_bytes}
// The number of sums of a resizer, of 4 bytes each.
#define VIT_{capitals}_SUMS {sums}
// The number of bytes of the scratch memory of an inference.
#define VIT_{capitals}_SCRATCH_BYTES {scratch_bytes}
// The number of bytes of the model file.
#define VIT_{capitals}_MODEL_BYTES {model_bytes}

// The scratch memory of an inference, with the right size and alignment.
typedef union {{
  uint64_t align;
  uint8_t bytes[VIT_{capitals}_SCRATCH_BYTES];
}} vit_{name}_scratch;

#ifdef __cplusplus
extern \"C\" {{
#endif

// The network, for vit_open.
extern const vit_network vit_{name};

// The model file, if model/{name}.o or model/{name}.c is linked. It may be anywhere else instead.
extern const uint8_t vit_{name}_model[VIT_{capitals}_MODEL_BYTES];

#ifdef __cplusplus
}}
#endif

#endif
",
        dims = model.dims,
    )
}
