//! The parameters of a network as plain numbers: their layout, their initial values, and copying them to and from the
//! dfdx model.

use crate::{
    network::{
        model::{Model, Visitor},
        names, Trainable,
    },
    random::{stream, Purpose},
};
use dfdx::prelude::{ConstShape, Cpu, Device, Gradients, Tensor};
use rand::distr::Distribution;
use rand_distr::StandardNormal;
use std::{fmt, mem::discriminant, ops::Range};

/// The standard deviation of the initial class token and positions, before the distribution is cut off.
const TOKEN_STD: f32 = 0.02;

/// The name and the shape of a parameter, as in PyTorch's `state_dict`, and its position among all parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, such as `blocks.0.norm1.weight`.
    pub name: String,
    /// The dimensions, outermost first.
    pub dims: Vec<usize>,
    /// The range of its values among those of all parameters.
    pub range: Range<usize>,
}

/// The names, shapes and positions of all parameters of a network. Their values follow one another without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout(pub Vec<Entry>);

/// The parameters of a network, by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// The names, shapes and positions.
    pub layout: Layout,
    /// The values of all parameters, one parameter after the other.
    pub values: Vec<f32>,
}

/// Returns the index, among the `inputs` of a layer in a checkpoint, of input number `input` of that layer in an engine.
///
/// They differ for a convolution whose input has several channels: the channels of a pixel are next to each other in an
/// engine, as in an image, while PyTorch has one channel after the other. For other layers, `channels` is 1.
pub(crate) const fn input_in_checkpoint(input: usize, inputs: usize, channels: usize) -> usize {
    input % channels * (inputs / channels) + input / channels
}

/// A tensor that does not fit a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// A parameter has another shape.
    #[error("tensor {name} has shape {found:?}, expected {expected:?}")]
    Dims {
        /// The name of the parameter.
        name: String,
        /// The shape that was found.
        found: Vec<usize>,
        /// The shape that the network needs.
        expected: Vec<usize>,
    },
    /// A parameter that the network needs is missing.
    #[error("no tensor {name} (of shape {expected:?})")]
    Missing {
        /// The name of the parameter.
        name: String,
        /// The shape that the network needs.
        expected: Vec<usize>,
    },
    /// The network has no parameter of this name.
    #[error("unknown tensor {name} of shape {found:?}")]
    Unknown {
        /// The name of the tensor.
        name: String,
        /// The shape of the tensor.
        found: Vec<usize>,
    },
}

/// All tensors that do not fit a network. The message names the first of each kind and the number of the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mismatches(pub Vec<Mismatch>);

impl fmt::Display for Mismatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown: Vec<&Mismatch> = Vec::new();
        for mismatch in &self.0 {
            if shown.iter().any(|other| discriminant(*other) == discriminant(mismatch)) {
                continue;
            }
            write!(f, "{}{mismatch}", if shown.is_empty() { "" } else { "; " })?;
            shown.push(mismatch);
        }
        match self.0.len() - shown.len() {
            0 => Ok(()),
            1 => f.write_str("; and one more tensor"),
            more => write!(f, "; and {more} more tensors"),
        }
    }
}

impl Layout {
    /// Returns the layout of network `N`.
    pub fn of<N: Trainable>() -> Self {
        struct Collect(Layout);
        impl Visitor<Cpu> for Collect {
            fn visit<S: ConstShape>(&mut self, name: &str, dims: &[usize], _: &mut Tensor<S, f32, Cpu>) {
                debug_assert_eq!(dims.iter().product::<usize>(), S::NUMEL);
                self.0.push(name, dims);
            }
        }
        let mut collect = Collect(Self(Vec::new()));
        Model::<N, _>::zeros(&Cpu::default()).visit(&mut collect);
        collect.0
    }

    /// Appends a parameter after the last one.
    pub fn push(&mut self, name: &str, dims: &[usize]) {
        let start = self.len();
        let range = start..start + dims.iter().product::<usize>();
        self.0.push(Entry { name: name.to_owned(), dims: dims.to_vec(), range });
    }

    /// Returns the number of values of all parameters.
    #[allow(clippy::len_without_is_empty)] // every network has parameters
    pub fn len(&self) -> usize {
        self.0.last().map_or(0, |entry| entry.range.end)
    }

    /// Compares names and shapes with those of `parameters`. The order may be different.
    ///
    /// # Errors
    /// Returns all tensors that differ.
    pub fn check(&self, parameters: &Layout) -> Result<(), Mismatches> {
        let theirs = self.0.iter().filter_map(|Entry { name, dims, .. }| match parameters.find(name) {
            None => Some(Mismatch::Missing { name: name.clone(), expected: dims.clone() }),
            Some(found) if found.dims != *dims => {
                let (name, found, expected) = (name.clone(), found.dims.clone(), dims.clone());
                Some(Mismatch::Dims { name, found, expected })
            }
            Some(_) => None,
        });
        let unknown = parameters.0.iter().filter(|entry| self.find(&entry.name).is_none());
        let unknown = unknown
            .map(|Entry { name, dims, .. }| Mismatch::Unknown { name: name.clone(), found: dims.clone() });
        let mismatches: Vec<Mismatch> = theirs.chain(unknown).collect();
        if mismatches.is_empty() {
            Ok(())
        } else {
            Err(Mismatches(mismatches))
        }
    }

    /// Returns the number of tensors that have the same name and shape in both layouts.
    pub fn in_common(&self, other: &Layout) -> usize {
        self.0
            .iter()
            .filter(|entry| other.find(&entry.name).is_some_and(|found| found.dims == entry.dims))
            .count()
    }

    fn find(&self, name: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.name == name)
    }
}

impl Parameters {
    /// Returns the initial values of network `N`, which depend on `seed`.
    ///
    /// They are drawn from normal distributions that are cut off at two standard deviations. The standard deviation is
    /// 0.02 for the class token and the positions. For weights it is `1 / sqrt(3 * inputs)`, which is that of PyTorch's
    /// uniform distribution, so that narrow networks learn as well as wide ones. LayerNorm's scales are 1, biases 0.
    pub fn init<N: Trainable>(seed: u64) -> Self {
        let layout = Layout::of::<N>();
        let mut values = vec![0.0; layout.len()];
        for (index, entry) in layout.0.iter().enumerate() {
            let values = &mut values[entry.range.clone()];
            let vector = entry.dims.len() == 1;
            if !vector {
                let inputs: usize = entry.dims[1..].iter().product();
                let token = matches!(entry.name.as_str(), names::CLS_TOKEN | names::POS_EMBED);
                let std = if token { TOKEN_STD } else { (1.0 / (3.0 * inputs as f64)).sqrt() as f32 };
                let mut rng = stream(Purpose::Init, [seed, index as u64, 0]);
                let normal = StandardNormal.sample_iter(&mut rng).filter(|x: &f32| x.abs() <= 2.0);
                values.iter_mut().zip(normal).for_each(|(value, x)| *value = std * x);
            } else if !entry.name.ends_with("bias") {
                values.fill(1.0);
            }
        }
        Self { layout, values }
    }

    /// Returns the values of parameter `name`.
    ///
    /// # Panics
    /// Panics if the network has no such parameter. Layouts are checked when parameters are loaded, so this can only be
    /// a mistake in the program.
    pub fn tensor(&self, name: &str) -> &[f32] {
        self.get(name).unwrap_or_else(|| panic!("no network has a parameter {name}"))
    }

    /// Returns the values of parameter `name` for writing.
    ///
    /// # Panics
    /// Panics if the network has no such parameter, like [`tensor`](Self::tensor).
    pub fn tensor_mut(&mut self, name: &str) -> &mut [f32] {
        self.get_mut(name).unwrap_or_else(|| panic!("no network has a parameter {name}"))
    }

    /// Returns the weights and the biases of a layer, or the scales and the shifts of a LayerNorm.
    ///
    /// # Panics
    /// Panics if the network has no such layer, like [`tensor`](Self::tensor).
    pub fn affine(&self, layer: &str) -> (&[f32], &[f32]) {
        (self.tensor(&names::weight(layer)), self.tensor(&names::bias(layer)))
    }

    /// Returns the values of parameter `name`, or `None` if there is no such parameter.
    pub fn get(&self, name: &str) -> Option<&[f32]> {
        Some(&self.values[self.layout.find(name)?.range.clone()])
    }

    /// Returns the values of parameter `name` for writing, or `None` if there is no such parameter.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut [f32]> {
        Some(&mut self.values[self.layout.find(name)?.range.clone()])
    }

    /// Returns the name of the first parameter with a value that is infinite or NaN, or `None` if all values are
    /// finite.
    pub fn not_finite(&self) -> Option<&str> {
        let finite = |entry: &&Entry| self.values[entry.range.clone()].iter().all(|value| value.is_finite());
        let entry = self.layout.0.iter().find(|entry| !finite(entry))?;
        Some(&entry.name)
    }
}

/// Copies `values`, in the order of the network's layout, into `model`.
pub(crate) fn load<D: Device<f32>>(model: &mut Model<impl Trainable, D>, values: &[f32]) {
    struct Load<'a>(&'a [f32]);
    impl<D: Device<f32>> Visitor<D> for Load<'_> {
        fn visit<S: ConstShape>(&mut self, _: &str, _: &[usize], parameter: &mut Tensor<S, f32, D>) {
            let (values, rest) = self.0.split_at(S::NUMEL);
            parameter.copy_from(values);
            self.0 = rest;
        }
    }
    model.visit(&mut Load(values));
}

/// Copies the gradients of all parameters of `model` into `values`, in the order of the layout. A parameter without a
/// gradient gets zeros. `gradients` is mutable because dfdx copies a gradient that is only read.
pub(crate) fn collect_gradients(
    model: &mut Model<impl Trainable, Cpu>,
    gradients: &mut Gradients<f32, Cpu>,
    values: &mut [f32],
) {
    struct Collect<'a>(&'a mut Gradients<f32, Cpu>, &'a mut [f32]);
    impl Visitor<Cpu> for Collect<'_> {
        fn visit<S: ConstShape>(&mut self, _: &str, _: &[usize], parameter: &mut Tensor<S, f32, Cpu>) {
            let (values, rest) = std::mem::take(&mut self.1).split_at_mut(S::NUMEL);
            let gradient = self.0.get_or_alloc_mut(parameter).expect("there is memory for a gradient");
            values.copy_from_slice(gradient);
            self.1 = rest;
        }
    }
    model.visit(&mut Collect(gradients, values));
}

#[cfg(test)]
mod tests {
    use super::*;
    use vit_nostd::{Base, Nano, Network, Tiny};

    #[test]
    fn layouts_have_as_many_parameters_as_the_shape_says() {
        assert_eq!(Layout::of::<Nano>().len(), Nano::DIMS.parameters());
        assert_eq!(Layout::of::<Tiny>().len(), Tiny::DIMS.parameters());
        assert_eq!(Layout::of::<Base>().len(), Base::DIMS.parameters());
    }

    #[test]
    fn first_values() {
        let parameters = Parameters::init::<Nano>(42);
        let weight = parameters.get("blocks.1.mlp.0.weight").unwrap();
        let std = (weight.iter().map(|w| w * w).sum::<f32>() / weight.len() as f32).sqrt();
        let width = 1.0 / (3.0 * Nano::EMBED as f32).sqrt();
        let cut_off = "a normal distribution cut off at two has 0.88 of its width";
        assert!((0.87..0.89).contains(&(std / width)), "{cut_off}: {std} of {width}");
        assert!(weight.iter().all(|w| w.abs() <= 2.001 * width));
        assert!(parameters.get("pos_embed").unwrap().iter().all(|p| p.abs() <= 2.001 * TOKEN_STD));
        assert!(parameters.get("norm.weight").unwrap().iter().all(|&w| w == 1.0));
        assert!(parameters.get("blocks.3.attn.in_proj_bias").unwrap().iter().all(|&b| b == 0.0));
        assert_eq!(parameters, Parameters::init::<Nano>(42));
        assert_ne!(parameters, Parameters::init::<Nano>(43));
    }

    #[test]
    fn misfits_are_named() {
        let layout = Layout::of::<Nano>();
        let check = |edit: &dyn Fn(&mut Layout)| {
            let mut bad = layout.clone();
            edit(&mut bad);
            layout.check(&bad).unwrap_err().to_string()
        };
        assert_eq!(layout.check(&layout), Ok(()));
        let renamed =
            "no tensor cls_token (of shape [1, 1, 48]); unknown tensor class_token of shape [1, 1, 48]";
        assert_eq!(check(&|bad| bad.0[0].name = "class_token".to_owned()), renamed);
        let reshaped = "tensor patch_embed.proj.weight has shape [48, 49], expected [48, 1, 7, 7]";
        assert_eq!(check(&|bad| bad.0[2].dims = vec![48, 49]), reshaped);
        assert_eq!(check(&|bad| bad.push("extra", &[0])), "unknown tensor extra of shape [0]");
        let without = |count: usize| check(&|bad| bad.0.truncate(bad.0.len() - count));
        assert_eq!(without(2), "no tensor head.weight (of shape [10, 48]); and one more tensor");
        assert_eq!(without(3), "no tensor norm.bias (of shape [48]); and 2 more tensors");
    }

    #[test]
    fn values_that_are_no_numbers_are_named() {
        let mut parameters = Parameters::init::<Nano>(1);
        assert_eq!(parameters.not_finite(), None);
        for bad in [f32::NAN, f32::NEG_INFINITY] {
            parameters.values[100] = bad;
            assert_eq!(parameters.not_finite(), Some("pos_embed"));
        }
    }
}
