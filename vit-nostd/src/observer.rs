//! Observers: callbacks that see the intermediate values of an inference.

/// The stages of an inference, in the order in which a token passes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Stage {
    /// The first of two convolutions and its GELU. Its result is a pixel of the map, and the probe's token is the
    /// pixel's index. Networks without such a convolution do not have this stage.
    Stem,
    /// The patch projection plus the position (for token 0, the class token plus its position). Its result is the
    /// residual stream.
    Embedding,
    /// The LayerNorm before the key and value projections.
    Norm1,
    /// The key projection.
    Key,
    /// The value projection.
    Value,
    /// The query projection, with the LayerNorm before it, which is computed a second time.
    Query,
    /// The scores, their softmax and the weighted sums of the values, with all heads joined.
    Attention,
    /// The output projection, added to the residual stream. Its result is the residual stream.
    Projection,
    /// The LayerNorm before the MLP.
    Norm2,
    /// The first layer of the MLP and its GELU.
    Hidden,
    /// The second layer of the MLP, added to the residual stream. Its result is the residual stream.
    Mlp,
    /// The last LayerNorm.
    Norm,
    /// The classifier. Its result is the logits.
    Head,
}

impl Stage {
    /// All stages, in the order of an inference.
    pub const ALL: [Self; 13] = [
        Self::Stem,
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

    /// Returns the stage's name in logs and reports, which is that of the variant in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stem => "stem",
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

/// The place in an inference at which an [`Observer`] is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Probe {
    /// The stage that was computed.
    pub stage: Stage,
    /// The index of the encoder block: 0 for the stem and the embedding, `DEPTH` for the stages after the last block.
    pub block: usize,
    /// The index of the token that the stage was computed for.
    pub token: usize,
}

/// The result of a stage for one token, in the engine's number format.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Values<'a> {
    /// Values of the float engine.
    F32(&'a [f32]),
    /// Activations of the integer engine.
    I8(&'a [i8]),
    /// The residual stream of the integer engine.
    I16(&'a [i16]),
    /// The logits of the integer engine.
    I32(&'a [i32]),
}

/// A callback that is called after each stage of an inference: to measure time, to compare intermediate values, to feed
/// a watchdog.
///
/// Within a block, the stages of a token come in the order of [`Stage`]. An engine may take a few tokens through a
/// stage together. The stem computes those rows of its map that a row of tokens needs, before these tokens are embedded.
///
/// `()` observes nothing and costs nothing. Every `FnMut(Probe, Values<'_>)` is an observer.
pub trait Observer {
    /// Receives `values`, the result of the stage for the token that `probe` names.
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
        assert_eq!(Stage::ALL.last(), Some(&Stage::Head), "`ALL` must end with the last stage");
    }
}
