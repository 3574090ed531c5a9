//! Lists of networks, as types: the networks that a program can train.

use super::dimensions::Trainable;

/// A list of networks: a tuple such as `(Base, Tiny, Nano)`, or `(Mine,)` for a single network.
pub trait Networks {
    /// Calls `visitor` with each network, in the order of the list.
    fn each(visitor: &mut impl Visitor);
}

/// An action that is done with each network of a list.
pub trait Visitor {
    /// Does the action with network `N`.
    fn network<N: Trainable>(&mut self);
}

macro_rules! tuples {
    ($($($network:ident)+;)+) => {$(
        impl<$($network: Trainable),+> Networks for ($($network,)+) {
            fn each(visitor: &mut impl Visitor) {
                $(visitor.network::<$network>();)+
            }
        }
    )+};
}
tuples! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
}
