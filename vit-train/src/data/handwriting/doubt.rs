//! Reasons why a picture may be misread.

/// A reason why a picture does not look like one digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Doubt {
    /// The digit touches the edge of the picture, so that a part of it may be missing.
    #[error("what is written touches the edge of the picture")]
    AtEdge,
    /// There is another digit, or print.
    #[error("there are several things of similar size")]
    Several,
    /// The main component is a blot, a hole or a shadow.
    #[error("there is nothing that looks like the stroke of a pen")]
    NoStroke,
    /// The main component is a scribble, a word or a pattern.
    #[error("there are more strokes than a digit has")]
    Tangle,
}
