//! Why a picture is doubtful.

/// Why a picture does not look like one digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Doubt {
    /// A part of the digit may be missing.
    #[error("what is written touches the edge of the picture")]
    AtEdge,
    /// Another digit, or print.
    #[error("there are several things of similar size")]
    Several,
    /// A blot, a hole, a shadow.
    #[error("there is nothing that looks like the stroke of a pen")]
    NoStroke,
    /// A scribble, letters, a pattern.
    #[error("there are more strokes than a digit has")]
    Tangle,
}
