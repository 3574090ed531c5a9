//! Writes a network as an ONNX model.
//!
//! The input `pixels` has the shape `batch x 1 x IMAGE x IMAGE` and consists of bytes: grey levels from 0 to 255, as
//! in an image file. The normalisation is part of the model. Bytes cannot be mistaken for numbers from 0 to 1 or
//! normalised numbers. The output `logits` consists of `batch x CLASSES` floats.
//!
//! Weights have the names and layouts of the checkpoint. The description of the checkpoint is in the model's
//! metadata: texts as they are, and everything else as JSON, such as the list `labels`.

mod proto;

use crate::{
    error::Error,
    formats::checkpoint::{Checkpoint, TOOL},
    network::{name, names, parameters::Entry, Trainable},
};
use prost::Message;
use proto::{
    Attribute, Graph, Model, Node, OperatorSet, Property, Tensor, ValueInfo, FLOAT, IR_VERSION, UINT8,
};
use std::{f32::consts::SQRT_2, path::Path};
use vit_nostd::{float::LAYER_NORM_EPSILON, Windows};

/// The version of the set of operators. It is the first with LayerNormalization.
const OPSET: i64 = 17;

/// Returns the ONNX model of a checkpoint of network `N`. Errors name `path`.
///
/// # Errors
/// The errors are those of [`Checkpoint::check`], and [`Error::Checkpoint`] if the description cannot be converted to
/// JSON.
pub fn onnx_model<N: Trainable>(checkpoint: &Checkpoint, path: &Path) -> Result<Vec<u8>, Error> {
    checkpoint.check::<N>(path)?;
    let description = checkpoint.describe::<N>();
    let metadata = serde_json::to_value(&description).map_err(|error| Error::checkpoint(path, error))?;
    let metadata = metadata.as_object().into_iter().flatten().map(|(key, value)| Property {
        key: key.clone(),
        value: value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    });
    let network = name::<N>();
    let (name, version) = TOOL.split_once(' ').unwrap_or((TOOL, ""));
    let model = Model {
        ir_version: IR_VERSION,
        producer_name: name.to_owned(),
        producer_version: version.to_owned(),
        doc_string: format!("A Vision Transformer ({network}) for {}.", description.labels.join(", ")),
        graph: Some(graph::<N>(checkpoint, network)),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
        metadata_props: metadata.collect(),
    };
    Ok(model.encode_to_vec())
}

fn graph<N: Trainable>(checkpoint: &Checkpoint, name: String) -> Graph {
    let parameters = &checkpoint.parameters;
    let normalization = checkpoint.describe::<N>().normalization;
    let weight =
        |Entry { name, dims, range }: &Entry| Tensor::floats(name, dims, &parameters.values[range.clone()]);
    let pixels = match N::CHANNELS {
        1 => "grey levels, 0 to 255; the model normalises them",
        _ => "levels of red, green and blue, 0 to 255; the model normalises them",
    };
    let mut graph = Graph {
        name,
        initializer: parameters.layout.0.iter().map(weight).collect(),
        input: vec![ValueInfo::batch("pixels", UINT8, &[N::CHANNELS, N::HEIGHT, N::WIDTH], pixels)],
        output: vec![ValueInfo::batch("logits", FLOAT, &[N::CLASSES], "softmax makes probabilities of them")],
        node: Vec::new(),
    };
    let g = &mut graph;
    let (embed, tokens) = (N::EMBED as i64, N::TOKENS as i64);
    let (head_dim, heads) = (N::HEAD_DIM as i64, N::HEADS as i64);

    g.number("levels", 255.0);
    g.channels("mean", normalization.iter().map(|channel| channel.mean));
    g.channels("std", normalization.iter().map(|channel| channel.std));
    g.number("sqrt_2", SQRT_2);
    g.number("one", 1.0);
    g.number("half", 0.5);
    g.number("attention_scale", (1.0 / (N::HEAD_DIM as f64).sqrt()) as f32);
    for (index, name) in ["query", "key", "value"].into_iter().enumerate() {
        g.index(name, index as i64);
    }
    g.index("class_token", 0);
    // In a shape, 0 keeps a dimension, and -1 is the one that follows from the others.
    g.list("shape.patches", &[0, embed, tokens - 1]);
    g.list("shape.rows", &[-1, embed]);
    g.list("shape.tokens", &[-1, tokens, embed]);
    g.list("shape.heads", &[-1, tokens, 3, heads, head_dim]);
    g.list("pads.patches", &[0, 1, 0, 0, 0, 0]);
    g.list("pads.cls_token", &[0, 0, 0, 0, tokens - 1, 0]);

    g.node("float", "Cast", &["pixels"], [Attribute::int("to", FLOAT.into())]);
    g.node("share", "Div", &["float", "levels"], []);
    g.node("centred", "Sub", &["share", "mean"], []);
    g.node("normalized", "Div", &["centred", "std"], []); // (batch, CHANNELS, HEIGHT, WIDTH)

    let mut image = "normalized";
    if let Some(stem) = N::STEM {
        g.convolution(names::STEM, image, names::STEM, stem); // (batch, channels, rows and columns of the map)
        g.gelu("tokenizer.map", names::STEM);
        image = "tokenizer.map";
    }
    // (batch, EMBED, rows of patches, columns of patches)
    g.convolution("patch_embed.grid", image, names::patch_embed(N::DIMS.convolutions()), N::PATCHES);
    g.node("patch_embed.columns", "Reshape", &["patch_embed.grid", "shape.patches"], []);
    let transposed = [Attribute::ints("perm", &[0, 2, 1])];
    g.node("patch_embed.rows", "Transpose", &["patch_embed.columns"], transposed); // (batch, TOKENS - 1, EMBED)

    // A row of zeros before the patches makes room for the class token. The token and its position are added to every
    // image.
    g.node("patches", "Pad", &["patch_embed.rows", "pads.patches"], []); // (batch, TOKENS, EMBED)
    g.node("cls_token.first", "Pad", &[names::CLS_TOKEN, "pads.cls_token"], []);
    g.node("cls_token.positions", "Add", &[names::POS_EMBED, "cls_token.first"], []);
    g.node("tokens", "Add", &["patches", "cls_token.positions"], []);
    g.node("rows", "Reshape", &["tokens", "shape.rows"], []); // (batch * TOKENS, EMBED)

    let mut x = "rows".to_owned();
    for index in 0..N::DEPTH {
        x = g.block(index, &x);
    }

    g.node("last.tokens", "Reshape", &[&x, "shape.tokens"], []);
    let first = [Attribute::int("axis", 1)];
    g.node("last.class_token", "Gather", &["last.tokens", "class_token"], first); // (batch, EMBED)
    g.layer_norm(names::NORM, "last.class_token");
    g.linear("logits", names::NORM, names::HEAD); // (batch, CLASSES)
    graph
}

impl Graph {
    /// Adds a constant with a number for each channel of an image, which is the same for all pixels.
    fn channels(&mut self, name: &str, values: impl Iterator<Item = f32>) {
        let values: Vec<_> = values.collect();
        self.initializer.push(Tensor::floats(name, &[values.len(), 1, 1], &values));
    }

    /// Adds a constant scalar.
    fn number(&mut self, name: &str, value: f32) {
        self.initializer.push(Tensor::floats(name, &[], &[value]));
    }

    /// Adds a constant integer.
    fn index(&mut self, name: &str, value: i64) {
        self.initializer.push(Tensor::ints(name, &[], &[value]));
    }

    /// Adds a constant vector of integers.
    fn list(&mut self, name: &str, values: &[i64]) {
        self.initializer.push(Tensor::ints(name, &[values.len()], values));
    }

    /// Adds a node with the name of its output.
    fn node<const N: usize>(&mut self, output: &str, op: &str, inputs: &[&str], attributes: [Attribute; N]) {
        self.node.push(Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: op.to_owned(),
            attribute: attributes.into(),
        });
    }

    /// Adds the LayerNorm of rows whose parameters have the name of its output.
    fn layer_norm(&mut self, output: &str, input: &str) {
        let inputs = [input, &names::weight(output), &names::bias(output)];
        let epsilon = Attribute::float("epsilon", LAYER_NORM_EPSILON);
        self.node(output, "LayerNormalization", &inputs, [Attribute::int("axis", -1), epsilon]);
    }

    /// Adds the linear layer `x W^T + b` of rows, with the parameters of `layer`.
    fn linear(&mut self, output: &str, input: &str, layer: &str) {
        let inputs = [input, &names::weight(layer), &names::bias(layer)];
        self.node(output, "Gemm", &inputs, [Attribute::int("transB", 1)]);
    }

    /// Adds the convolution that gathers `windows` from a value of shape `batch x channels x height x width`, with the
    /// parameters of `layer`.
    fn convolution(&mut self, output: &str, input: &str, layer: &str, windows: Windows) {
        let lengths = |lengths: [usize; 2]| lengths.map(|length| length as i64);
        let inputs = [input, &names::weight(layer), &names::bias(layer)];
        let kernel = Attribute::ints("kernel_shape", &lengths(windows.kernel));
        let strides = Attribute::ints("strides", &lengths(windows.stride));
        match windows.padding as i64 {
            0 => self.node(output, "Conv", &inputs, [kernel, strides]),
            // Above, left, below and right.
            padding => {
                self.node(output, "Conv", &inputs, [kernel, strides, Attribute::ints("pads", &[padding; 4])]);
            }
        }
    }

    /// Adds the exact GELU: x * (1 + erf(x / sqrt(2))) / 2.
    fn gelu(&mut self, output: &str, input: &str) {
        let part = |name: &str| format!("{output}.{name}");
        self.node(&part("argument"), "Div", &[input, "sqrt_2"], []);
        self.node(&part("erf"), "Erf", &[&part("argument")], []);
        self.node(&part("sum"), "Add", &[&part("erf"), "one"], []);
        self.node(&part("product"), "Mul", &[input, &part("sum")], []);
        self.node(output, "Mul", &[&part("product"), "half"], []);
    }

    /// Adds encoder block `index`, whose input is the value named `x` of shape `batch * TOKENS x EMBED`, and returns
    /// the name of its output.
    fn block(&mut self, index: usize, x: &str) -> String {
        let n = |part: &str| names::in_block(index, part);
        let (norm1, in_proj, out_proj) = (n(names::NORM1), n(names::IN_PROJ), n(names::OUT_PROJ));
        let (norm2, hidden, mlp) = (n(names::NORM2), n(names::HIDDEN), n(names::MLP));

        self.layer_norm(&norm1, x);
        self.linear(&in_proj, &norm1, &in_proj);
        self.node(&n("attn.packed"), "Reshape", &[&in_proj, "shape.heads"], []);
        let heads_first = [Attribute::ints("perm", &[2, 0, 3, 1, 4])];
        // (3, batch, HEADS, TOKENS, HEAD_DIM)
        self.node(&n("attn.heads"), "Transpose", &[&n("attn.packed")], heads_first);
        for part in ["query", "key", "value"] {
            let first = [Attribute::int("axis", 0)];
            self.node(&n(&format!("attn.{part}")), "Gather", &[&n("attn.heads"), part], first);
        }
        let transposed = [Attribute::ints("perm", &[0, 1, 3, 2])];
        self.node(&n("attn.key.transposed"), "Transpose", &[&n("attn.key")], transposed);
        let (query, key) = (n("attn.query"), n("attn.key.transposed"));
        self.node(&n("attn.products"), "MatMul", &[&query, &key], []); // (batch, HEADS, TOKENS, TOKENS)
        self.node(&n("attn.scores"), "Mul", &[&n("attn.products"), "attention_scale"], []);
        self.node(&n("attn.softmax"), "Softmax", &[&n("attn.scores")], [Attribute::int("axis", -1)]);
        let (softmax, value) = (n("attn.softmax"), n("attn.value"));
        self.node(&n("attn.context"), "MatMul", &[&softmax, &value], []); // (batch, HEADS, TOKENS, HEAD_DIM)
        let tokens_first = [Attribute::ints("perm", &[0, 2, 1, 3])];
        self.node(&n("attn.context.tokens"), "Transpose", &[&n("attn.context")], tokens_first);
        self.node(&n("attn.context.rows"), "Reshape", &[&n("attn.context.tokens"), "shape.rows"], []);
        self.linear(&out_proj, &n("attn.context.rows"), &out_proj);
        self.node(&n("attn"), "Add", &[x, &out_proj], []);

        self.layer_norm(&norm2, &n("attn"));
        self.linear(&hidden, &norm2, &hidden);
        self.gelu(&n("mlp.1"), &hidden);
        self.linear(&mlp, &n("mlp.1"), &mlp);
        self.node(&n("mlp"), "Add", &[&n("attn"), &mlp], []);
        n("mlp")
    }
}
