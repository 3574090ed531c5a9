//! Looking on while a network runs.

/// The probes of an inference, in the order in which they are passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Stage {
    /// A token enters the residual stream.
    Embedding,
    /// LayerNorm before keys and values.
    Norm1,
    /// Key projection.
    Key,
    /// Value projection.
    Value,
    /// Query projection, with its LayerNorm.
    Query,
    /// Scores, softmax and weighted sum of the values, all heads joined.
    Attention,
    /// Output projection, added to the residual stream.
    Projection,
    /// LayerNorm before the MLP.
    Norm2,
    /// First layer of the MLP and its GELU.
    Hidden,
    /// Second layer of the MLP, added to the residual stream.
    Mlp,
    /// The last LayerNorm.
    Norm,
    /// The classifier.
    Head,
}

impl Stage {
    /// All stages, in their order.
    pub const ALL: [Self; 12] = [
        Self::Embedding,
        Self::Norm1,
        Self::Key,
        Self::Value,
        Self::Query,
        Self::Attention,
        Self::Projection,
        Self::Norm2,
        Self::Hidden,
        Self::Mlp,
        Self::Norm,
        Self::Head,
    ];

    /// The name in logs and reports: the variant's, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Norm1 => "norm1",
            Self::Key => "key",
            Self::Value => "value",
            Self::Query => "query",
            Self::Attention => "attention",
            Self::Projection => "projection",
            Self::Norm2 => "norm2",
            Self::Hidden => "hidden",
            Self::Mlp => "mlp",
            Self::Norm => "norm",
            Self::Head => "head",
        }
    }
}

/// What is being computed when an [`Observer`] is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Probe {
    /// What was done.
    pub stage: Stage,
    /// In which encoder block; `DEPTH` after the last one.
    pub block: usize,
    /// To which token.
    pub token: usize,
}

/// Numbers of an inference, as the engine holds them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Values<'a> {
    /// Of the float engine.
    F32(&'a [f32]),
    /// Activations of the integer engine.
    I8(&'a [i8]),
    /// The residual stream of the integer engine.
    I16(&'a [i16]),
    /// The logits of the integer engine.
    I32(&'a [i32]),
}

/// Is called after each stage of an inference: to measure time, to compare intermediate values, to feed a watchdog.
///
/// The stages of a token come in the order of [`Stage`]. An engine may take a few tokens through a stage together.
///
/// `()` observes nothing and costs nothing. Every `FnMut(Probe, Values<'_>)` is an observer.
pub trait Observer {
    /// `values` is the stage's result for the token of `probe`.
    fn observe(&mut self, probe: Probe, values: Values<'_>);
}

impl Observer for () {
    #[inline(always)]
    fn observe(&mut self, _: Probe, _: Values<'_>) {}
}

impl<F: FnMut(Probe, Values<'_>)> Observer for F {
    fn observe(&mut self, probe: Probe, values: Values<'_>) {
        self(probe, values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_stages_are_in_their_order() {
        assert!(Stage::ALL.is_sorted());
        for (index, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, index);
            assert_eq!(format!("{stage:?}").to_lowercase(), stage.name());
        }
        assert_eq!(Stage::ALL.last(), Some(&Stage::Head), "none is missing at the end");
    }
}
