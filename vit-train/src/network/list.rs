//! Lists of networks, as types: a program is such a list.

use super::dimensions::Trainable;

/// A list of networks: a tuple such as `(Base, Tiny, Nano)`; of one network, `(Mine,)`.
pub trait Networks {
    /// Shows each network to `visitor`, the first one first.
    fn each(visitor: &mut impl Visitor);
}

/// Something done with each network of a list.
pub trait Visitor {
    /// Does it with network `N`.
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
