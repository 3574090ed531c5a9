//! Colours.

/// Red, green and blue, where 0 is black and 1 is white.
pub(super) type Colour = [f32; 3];

/// Mixes `share` of another colour into a colour.
pub(super) fn mix(colour: &mut Colour, other: &Colour, share: f32) {
    colour.iter_mut().zip(other).for_each(|(value, other)| *value += share * (other - *value));
}
