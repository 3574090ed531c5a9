//! Where the time of a training pass goes.

use super::ops::{Ops, Store};
use crate::dropout::Site;
use std::time::{Duration, Instant};

/// Time spent in each operation, on all threads together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times([Duration; OPERATIONS.len()]);

impl Times {
    /// The operations by name, in the order of a pass.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Duration)> + '_ {
        OPERATIONS.into_iter().zip(self.0)
    }

    /// Adds the times of another thread, or of another pass.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, time)| *sum += time);
    }
}

/// [`Ops`] that take the time of each operation.
#[derive(Debug)]
pub struct Timed<'a, O> {
    /// What does the work.
    pub ops: O,
    /// Is added to.
    pub times: &'a mut Times,
}

/// Lists the operations, and passes each one on.
macro_rules! timed {
    ($($name:ident($($argument:ident: $type:ty),* $(,)?);)*) => {
        #[allow(non_camel_case_types)] // the names are those of the methods
        enum Operation { $($name),* }

        const OPERATIONS: [&str; [$(Operation::$name),*].len()] = [$(stringify!($name)),*];

        impl<O: Ops> Ops for Timed<'_, O> {
            type Buffer = O::Buffer;
            type Linear = O::Linear;

            $(fn $name(&mut self, $($argument: $type),*) {
                let begin = Instant::now();
                self.ops.$name($($argument),*);
                self.times.0[Operation::$name as usize] += begin.elapsed();
            })*
        }
    };
}

timed! {
    embed(layer: &O::Linear, pixels: &O::Buffer, patches: &mut O::Buffer, stream: &mut O::Buffer);
    normalize(x: &O::Buffer, normed: &mut O::Buffer, scale: &mut O::Buffer);
    linear(layer: &O::Linear, x: &O::Buffer, y: &mut O::Buffer, store: Store);
    attention(
        site: Site,
        query: &O::Buffer,
        key_value: &O::Buffer,
        weights: &mut [O::Buffer; 2],
        context: &mut O::Buffer,
    );
    linear_gelu_dropout(
        layer: &O::Linear,
        x: &O::Buffer,
        site: Site,
        y: &mut O::Buffer,
        slope: &mut O::Buffer,
    );
    linear_dropout_add(layer: &O::Linear, x: &O::Buffer, site: Site, stream: &mut O::Buffer);
    class_tokens(all: &O::Buffer, class: &mut O::Buffer);
    cross_entropy(
        logits: &O::Buffer,
        targets: &O::Buffer,
        losses: &mut O::Buffer,
        d_logits: &mut O::Buffer,
    );
    class_tokens_backward(d_class: &O::Buffer, d_all: &mut O::Buffer, store: Store);
    dropout_backward(site: Site, d_y: &O::Buffer, d_x: &mut O::Buffer);
    gelu_dropout_backward(slope: &O::Buffer, d: &mut O::Buffer);
    linear_backward(layer: &O::Linear, x: &O::Buffer, d_y: &O::Buffer, d_x: &mut O::Buffer, store: Store);
    attention_backward(
        query: &O::Buffer,
        key_value: &O::Buffer,
        weights: &[O::Buffer; 2],
        d_context: &O::Buffer,
        d_query: &mut O::Buffer,
        d_key_value: &mut O::Buffer,
    );
    normalize_backward(
        normed: &O::Buffer,
        scale: &O::Buffer,
        d_normed: &O::Buffer,
        d_x: &mut O::Buffer,
        store: Store,
    );
    embed_backward(layer: &O::Linear, patches: &O::Buffer, d_stream: &mut O::Buffer);
}
