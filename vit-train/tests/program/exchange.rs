//! Exchanges networks with PyTorch, and exports them to ONNX.

use super::{entries, file, json, refuse, succeed, text, Digits};
use half::{bf16, f16};
use safetensors::{tensor::TensorView, Dtype, SafeTensors};
use sha2::{Digest, Sha256};
use std::{collections::HashMap, fs};
use tempfile::TempDir;

/// The hash of the file that PyTorch 2.15.0 and safetensors 0.8.0 write: see `tests/pytorch/golden.py`.
const SHA_256: &str = "21f7eaeccea7ab097a9eef13dc03742886707fd44cd121792601ba98e4056c1e";
/// The logits that the network in that file has in PyTorch for the images of [`Foreign`].
const LOGITS: [[f32; 10]; 2] = [
    [1.16839, 0.19815, -0.25674, 1.89117, -0.62435, 0.51807, -1.21486, 0.07336, -0.86272, -0.25916],
    [1.41503, 0.07728, -0.22819, 2.14936, -1.03941, 0.23101, -0.95762, -0.07589, -1.13961, -0.70423],
];
const FIRST_PIXEL: u32 = 1_000_000;

/// Returns the pseudo-random numbers from `start` on that `tests/pytorch/golden.py` uses, too.
fn noise(start: u32) -> impl Iterator<Item = u32> {
    (start..).map(|x| {
        let x = x.wrapping_mul(2_654_435_761);
        (x ^ (x >> 15)).wrapping_mul(2_246_822_519) >> 16
    })
}

/// Returns names and shapes of the tensors of a PyTorch `ViT` with the dimensions of `nano`, in the order of its
/// `state_dict`.
fn state_dict() -> Vec<(String, Vec<usize>)> {
    let mut tensors: Vec<(String, Vec<usize>)> = Vec::new();
    let mut push = |name: &str, dims: &[usize]| tensors.push((name.to_owned(), dims.to_vec()));
    push("cls_token", &[1, 1, 48]);
    push("pos_embed", &[1, 17, 48]);
    push("patch_embed.proj.weight", &[48, 1, 7, 7]);
    push("patch_embed.proj.bias", &[48]);
    for block in 0..4 {
        let mut push = |name: &str, dims: &[usize]| push(&format!("blocks.{block}.{name}"), dims);
        push("norm1.weight", &[48]);
        push("norm1.bias", &[48]);
        push("attn.in_proj_weight", &[144, 48]);
        push("attn.in_proj_bias", &[144]);
        push("attn.out_proj.weight", &[48, 48]);
        push("attn.out_proj.bias", &[48]);
        push("norm2.weight", &[48]);
        push("norm2.bias", &[48]);
        push("mlp.0.weight", &[96, 48]);
        push("mlp.0.bias", &[96]);
        push("mlp.3.weight", &[48, 96]);
        push("mlp.3.bias", &[48]);
    }
    push("norm.weight", &[48]);
    push("norm.bias", &[48]);
    push("head.weight", &[10, 48]);
    push("head.bias", &[10]);
    tensors
}

/// A tensor as it is in a file.
#[derive(Clone)]
struct Tensor {
    name: String,
    dims: Vec<usize>,
    dtype: Dtype,
    bytes: Vec<u8>,
}

impl Tensor {
    fn set(&mut self, index: usize, value: f32) {
        self.bytes[4 * index..][..4].copy_from_slice(&value.to_le_bytes());
    }

    fn values(&self) -> impl Iterator<Item = f32> + '_ {
        self.bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes))
    }

    /// Converts the values to another type.
    fn into_type(mut self, dtype: Dtype) -> Self {
        let bytes = self.values().flat_map(|value| match dtype {
            Dtype::F16 => f16::from_f32(value).to_le_bytes().to_vec(),
            Dtype::BF16 => bf16::from_f32(value).to_le_bytes().to_vec(),
            Dtype::F64 => f64::from(value).to_le_bytes().to_vec(),
            Dtype::I64 => (value as i64).to_le_bytes().to_vec(),
            _ => value.to_le_bytes().to_vec(),
        });
        (self.bytes, self.dtype) = (bytes.collect(), dtype);
        self
    }
}

/// Returns the tensors of the network that PyTorch saved.
fn tensors() -> Vec<Tensor> {
    let mut noise = noise(0);
    let tensor = |(name, dims): (String, Vec<usize>)| {
        let first = if name.contains("norm") && name.ends_with("weight") { 1.0 } else { 0.0 };
        let values = noise.by_ref().take(dims.iter().product());
        let values = values.map(|noise| first + (noise as f32 / 65536.0 - 0.5) / 2.0);
        Tensor { name, dims, dtype: Dtype::F32, bytes: values.flat_map(f32::to_le_bytes).collect() }
    };
    state_dict().into_iter().map(tensor).collect()
}

/// A network that PyTorch saved, and images for it.
struct Foreign {
    digits: Digits,
    folder: TempDir,
}

impl Foreign {
    fn new() -> Self {
        let foreign = Self { digits: Digits::new(40, 2), folder: tempfile::tempdir().unwrap() };
        foreign.digits.edit("t10k-images-idx3-ubyte", |bytes| {
            let pixels = noise(FIRST_PIXEL).take(2 * 784).map(|noise| (noise >> 8) as u8);
            bytes.splice(16.., pixels);
        });
        foreign.write("theirs.safetensors", &tensors());
        foreign
    }

    /// Writes a file as `safetensors.torch.save_file` does.
    fn write(&self, name: &str, tensors: &[Tensor]) -> String {
        let views = tensors.iter().map(|tensor| {
            (&tensor.name, TensorView::new(tensor.dtype, tensor.dims.clone(), &tensor.bytes).unwrap())
        });
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        fs::write(self.path(name), safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
        self.path(name)
    }

    fn edited(&self, edit: impl FnOnce(&mut Vec<Tensor>)) -> String {
        let mut tensors = tensors();
        edit(&mut tensors);
        self.write("edited.safetensors", &tensors)
    }

    fn path(&self, name: &str) -> String {
        file(&self.folder, name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Returns the logits that `eval` computes for the images with the file `name`.
    fn logits(&self, name: &str, arguments: &[&str]) -> Vec<f32> {
        let (file, out) = (self.path(name), self.path("logits.safetensors"));
        let command = ["eval", &file, "--data", self.digits.path(), "--logits", &out];
        succeed(&[&command[..], arguments].concat());
        let bytes = self.read("logits.safetensors");
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let logits = tensors.tensor("logits").unwrap();
        assert_eq!((logits.dtype(), logits.shape()), (Dtype::F32, &[2, 10][..]));
        logits.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }
}

fn largest_difference(logits: &[f32]) -> f32 {
    let expected = LOGITS.iter().flatten();
    logits.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn a_network_from_pytorch_has_the_same_logits_here() {
    let foreign = Foreign::new();
    let digest = Sha256::digest(foreign.read("theirs.safetensors"));
    assert_eq!(digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), SHA_256);

    let theirs = foreign.path("theirs.safetensors");
    let [vit, back, again] = ["ours.vit", "back.safetensors", "again.vit"].map(|name| foreign.path(name));
    succeed(&["export", &theirs, "--vit", &vit]);
    succeed(&["export", &vit, "--safetensors", &back]);
    succeed(&["export", &back, "--vit", &again]);
    assert!(foreign.read("ours.vit") == foreign.read("again.vit"));
    for name in ["theirs.safetensors", "ours.vit", "back.safetensors"] {
        let difference = largest_difference(&foreign.logits(name, &[]));
        println!("{name}: largest difference of a logit {difference:e}");
        assert!(difference <= 1e-4, "{name}: {difference}");
    }
    let other = foreign.logits("theirs.safetensors", &["--normalization", "0.5,0.5"]);
    assert!(largest_difference(&other) > 0.01, "--normalization has no effect");

    // Names, shapes and numbers are the same as in the original.
    let bytes = foreign.read("back.safetensors");
    let back = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(back.len(), state_dict().len());
    for Tensor { name, dims, bytes, .. } in tensors() {
        let tensor = back.tensor(&name).unwrap();
        assert!(tensor.shape() == dims && tensor.data() == bytes, "{name}");
    }

    let inspection = json(&["inspect", &theirs, "--json"]);
    assert_eq!(inspection["preset"], "nano");
    assert!(inspection["description"].is_null());
}

#[test]
fn a_network_from_pytorch_is_deployed_and_trained_further() {
    let foreign = Foreign::new();
    let (theirs, data) = (foreign.path("theirs.safetensors"), foreign.digits.path());
    let labels = "none,one,two,three,four,five,six,seven,eight,nine";
    let settings = ["--normalization", "0.25,0.5", "--labels", labels];
    succeed(&[&["quantize", &theirs, "--data", data], &settings[..]].concat());
    succeed(&[&["export", &theirs, "--vit", &foreign.path("ours.vit")], &settings[..]].concat());
    for name in ["model.int8.vit", "ours.vit"] {
        let inspection = json(&["inspect", &foreign.path(name), "--json"]);
        assert_eq!(inspection["normalization"], serde_json::json!([{ "mean": 0.25, "std": 0.5 }]), "{name}");
        assert_eq!((&inspection["labels"][0], &inspection["labels"][9]), (&"none".into(), &"nine".into()));
        assert_eq!(inspection["test_accuracy"].is_null(), name == "ours.vit");
    }
    let verification = json(&["verify", &theirs, "--data", data, "--json"]);
    assert_eq!((&verification["images"], &verification["exact_images"]), (&2.into(), &2.into()));
    assert_eq!(verification["int8_mismatches"], 0);

    // With so small a learning rate, training does not change the parameters.
    let out = foreign.path("run");
    let arguments = ["--preset", "nano", "--epochs", "1", "--lr", "1e-30", "--init", &theirs];
    succeed(&[&arguments[..], &["--data", data, "--out", &out]].concat());
    let bytes = foreign.read("run/checkpoint.safetensors");
    let trained = SafeTensors::deserialize(&bytes).unwrap();
    for Tensor { name, bytes, .. } in tensors() {
        assert!(trained.tensor(&name).unwrap().data() == bytes, "{name}");
    }
}

#[test]
fn other_types_of_numbers_are_converted() {
    let foreign = Foreign::new();
    // These numbers can be expressed in all of the types.
    let mut tensors = tensors();
    for tensor in &mut tensors {
        let values: Vec<f32> = tensor.values().map(|value| bf16::from_f32(value).to_f32()).collect();
        values.into_iter().enumerate().for_each(|(index, value)| tensor.set(index, value));
    }
    foreign.write("f32.safetensors", &tensors);
    let expected = foreign.logits("f32.safetensors", &[]);
    for dtype in [Dtype::F16, Dtype::BF16, Dtype::F64] {
        let tensors: Vec<_> = tensors.iter().map(|tensor| tensor.clone().into_type(dtype)).collect();
        foreign.write("converted.safetensors", &tensors);
        assert!(foreign.logits("converted.safetensors", &[]) == expected, "{dtype:?}");
    }
    let integers = foreign.edited(|tensors| tensors[3] = tensors[3].clone().into_type(Dtype::I64));
    refuse(&["inspect", &integers], &["patch_embed.proj.bias", "[48]", "I64", "floating-point"]);
}

#[test]
fn networks_that_do_not_fit_are_refused() {
    let foreign = Foreign::new();
    let data = foreign.digits.path();
    let before = entries(foreign.folder.path()).len() + 1; // the edited one
    let check = |words: &[&str], edit: &dyn Fn(&mut Vec<Tensor>)| {
        let edited = foreign.edited(edit);
        let out = foreign.path("out");
        refuse(&["eval", &edited, "--data", data], words);
        refuse(&["quantize", &edited, "--data", data, "--out", &out], words);
        refuse(&["verify", &edited, "--data", data], words);
        let [onnx, safetensors] = ["out.onnx", "out.safetensors"].map(|name| foreign.path(name));
        refuse(&["export", &edited, "--onnx", &onnx, "--safetensors", &safetensors, "--vit", &out], words);
        refuse(
            &["--preset", "nano", "--epochs", "1", "--data", data, "--init", &edited, "--out", &out],
            words,
        );
        assert_eq!(entries(foreign.folder.path()).len(), before, "something was written");
    };
    let missing = ["nano", "no tensor blocks.3.mlp.3.bias (of shape [48])"];
    check(&missing, &|tensors| tensors.retain(|tensor| tensor.name != "blocks.3.mlp.3.bias"));
    check(&["nano", "unknown tensor cls_token.copy of shape [1, 1, 48]"], &|tensors| {
        tensors.push(Tensor { name: "cls_token.copy".to_owned(), ..tensors[0].clone() });
    });
    check(&["nano", "tensor pos_embed has shape [1, 17, 24], expected [1, 17, 48]"], &|tensors| {
        tensors[1].dims[2] = 24;
        tensors[1].bytes.truncate(17 * 24 * 4);
    });
    check(
        &[
            "no tensor cls_token",
            "unknown tensor module.blocks.0.attn.in_proj_bias of shape [144]",
            "and 110 more tensors",
        ],
        &|tensors| {
            tensors.iter_mut().for_each(|tensor| tensor.name.insert_str(0, "module."));
        },
    );
    for bad in [f32::NAN, f32::INFINITY] {
        check(&["edited.safetensors", "tensor pos_embed", "not a finite number"], &|tensors| {
            tensors[1].set(7, bad)
        });
    }
    let inspection = succeed(&["inspect", &foreign.path("edited.safetensors")]);
    assert!(inspection.contains("tensor pos_embed has a value that is not a finite number"), "{inspection}");
}

#[test]
fn exports_that_cannot_be_are_refused() {
    let foreign = Foreign::new();
    let (theirs, data) = (foreign.path("theirs.safetensors"), foreign.digits.path());
    let (onnx, vit) = (foreign.path("out.onnx"), foreign.path("out.vit"));
    succeed(&["quantize", &theirs, "--data", data]);
    refuse(&["export", &foreign.path("model.int8.vit"), "--onnx", &onnx], &["model.int8.vit", "int8", "f32"]);
    refuse(&["export", &theirs, "--onnx", &foreign.path("no/such/folder.onnx")], &["no/such/folder.onnx"]);
    refuse(&["export", &theirs, "--onnx", "-"], &["--onnx -", "/dev/stdout"]);
    refuse(&["export", &theirs, "--vit", &vit, "--labels", "a,b"], &["--labels", "2 labels for 10 classes"]);
    refuse(&["export", &theirs, "--vit", &vit, "--labels", "a,b,a"], &["--labels", "a occurs twice"]);
    refuse(&["export", &foreign.path("missing.vit"), "--onnx", &onnx], &["missing.vit"]);
    for (arguments, word) in [
        (vec!["export", &theirs], "--onnx"),
        (vec!["export", &theirs, "--vit", &vit, "--normalization", "0.5,0"], "above 0"),
        (vec!["export", &theirs, "--vit", &vit, "--normalization", "0.5"], "MEAN,STD"),
    ] {
        let output = super::run(&arguments);
        let error = text(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains(word), "{arguments:?}: {error}");
    }
    fs::write(foreign.path("model.pt"), b"PK\x03\x04 and so on").unwrap();
    refuse(&["eval", &foreign.path("model.pt")], &["model.pt", "torch.save", "save_file"]);
    assert_eq!(entries(foreign.folder.path()), ["model.int8.vit", "model.pt", "theirs.safetensors"]);
}

#[test]
fn the_same_network_gives_the_same_onnx() {
    let foreign = Foreign::new();
    let (theirs, vit) = (foreign.path("theirs.safetensors"), foreign.path("ours.vit"));
    let [first, second] = ["first.onnx", "second.onnx"].map(|name| foreign.path(name));
    succeed(&["export", &theirs, "--vit", &vit]);
    let printed = succeed(&["export", &theirs, "--onnx", &first]);
    assert!(
        printed.contains(&format!("first.onnx: {} bytes", foreign.read("first.onnx").len())),
        "{printed}"
    );
    succeed(&["export", &vit, "--onnx", &second]);
    assert!(foreign.read("first.onnx") == foreign.read("second.onnx"));
}
