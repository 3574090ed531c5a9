//! Measurement of the time that each operation of a training pass takes.

use super::{
    buffer::{AttentionWeights, Buffer, Image, KeyValue, Layer, Map, One, PatchValues, StemValues},
    ops::{Ops, Store},
};
use crate::network::{dimensions::Dimensions, dropout::Site};
use dfdx::shapes::ConstDim;
use std::{
    ops::Div,
    time::{Duration, Instant},
};

/// The time spent in each operation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times([Duration; OPERATIONS.len()]);

impl Times {
    /// Returns the name and the time of each operation, in the order of a pass.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, Duration)> + '_ {
        OPERATIONS.into_iter().zip(self.0)
    }

    /// Adds the times of another thread, or of another pass.
    pub(crate) fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, time)| *sum += time);
    }
}

impl Div<usize> for Times {
    type Output = Self;

    fn div(self, count: usize) -> Self {
        Self(self.0.map(|time| time / count as u32))
    }
}

/// A wrapper around other [`Ops`] that measures the time of each operation.
#[derive(Debug)]
pub(crate) struct Timed<'a, O> {
    /// The operations that do the work.
    pub ops: O,
    /// The times, to which those of each call are added.
    pub times: &'a mut Times,
}

/// Lists the operations, and implements each of them as a call that is timed.
macro_rules! timed {
    ($($name:ident$(<$($size:ident),*>)?($($argument:ident: $type:ty),* $(,)?);)*) => {
        #[allow(non_camel_case_types)] // the names are those of the methods
        enum Operation { $($name),* }

        const OPERATIONS: [&str; [$(Operation::$name),*].len()] = [$(stringify!($name)),*];

        impl<D: Dimensions, V, L, T: Ops<D, V, L>> Ops<D, V, L> for Timed<'_, T> {
            $(fn $name$(<$($size: ConstDim),*>)?(&mut self, $($argument: $type),*) {
                let begin = Instant::now();
                self.ops.$name($($argument),*);
                self.times.0[Operation::$name as usize] += begin.elapsed();
            })*
        }
    };
}

timed! {
    stem(
        layer: &Layer<L, StemValues<D>, D::StemChannels>,
        pixels: &Buffer<V, Image<D>>,
        windows: &mut Buffer<V, (D::MapPixels, StemValues<D>)>,
        map: &mut Buffer<V, Map<D>>,
        slope: &mut Buffer<V, Map<D>>,
    );
    cut_images(pixels: &Buffer<V, Image<D>>, patches: &mut Buffer<V, (D::Tokens, PatchValues<D>)>);
    cut_maps(map: &Buffer<V, Map<D>>, patches: &mut Buffer<V, (D::Tokens, PatchValues<D>)>);
    embed(
        layer: &Layer<L, PatchValues<D>, D::Embed>,
        patches: &Buffer<V, (D::Tokens, PatchValues<D>)>,
        stream: &mut Buffer<V, (D::Tokens, D::Embed)>,
    );
    normalize<R>(
        x: &Buffer<V, (R, D::Embed)>,
        normed: &mut Buffer<V, (R, D::Embed)>,
        scale: &mut Buffer<V, (R,)>,
    );
    linear<R, I, O>(layer: &Layer<L, I, O>, x: &Buffer<V, (R, I)>, y: &mut Buffer<V, (R, O)>, store: Store);
    attention<R>(
        site: Site,
        query: &mut Buffer<V, (R, D::Embed)>,
        key_value: &mut Buffer<V, (D::Tokens, KeyValue<D>)>,
        weights: &mut [Buffer<V, AttentionWeights<D, R>>; 2],
        context: &mut Buffer<V, (R, D::Embed)>,
    );
    linear_gelu_dropout<R>(
        layer: &Layer<L, D::Embed, D::Hidden>,
        x: &Buffer<V, (R, D::Embed)>,
        site: Site,
        y: &mut Buffer<V, (R, D::Hidden)>,
        slope: &mut Buffer<V, (R, D::Hidden)>,
    );
    linear_dropout_add<R>(
        layer: &Layer<L, D::Hidden, D::Embed>,
        x: &Buffer<V, (R, D::Hidden)>,
        site: Site,
        stream: &mut Buffer<V, (R, D::Embed)>,
    );
    class_tokens(all: &Buffer<V, (D::Tokens, D::Embed)>, class: &mut Buffer<V, (One, D::Embed)>);
    cross_entropy(
        logits: &Buffer<V, (One, D::Classes)>,
        targets: &Buffer<V, (One, D::Classes)>,
        losses: &mut Buffer<V, (One,)>,
        d_logits: &mut Buffer<V, (One, D::Classes)>,
    );
    class_tokens_backward(
        d_class: &Buffer<V, (One, D::Embed)>,
        d_all: &mut Buffer<V, (D::Tokens, D::Embed)>,
        store: Store,
    );
    dropout_backward<R>(site: Site, d_y: &Buffer<V, (R, D::Embed)>, d_x: &mut Buffer<V, (R, D::Embed)>);
    gelu_dropout_backward<R>(slope: &Buffer<V, (R, D::Hidden)>, d: &mut Buffer<V, (R, D::Hidden)>);
    linear_backward<R, I, O>(
        layer: &Layer<L, I, O>,
        x: &Buffer<V, (R, I)>,
        d_y: &Buffer<V, (R, O)>,
        d_x: &mut Buffer<V, (R, I)>,
        store: Store,
    );
    attention_backward<R>(
        query: &Buffer<V, (R, D::Embed)>,
        key_value: &Buffer<V, (D::Tokens, KeyValue<D>)>,
        weights: &[Buffer<V, AttentionWeights<D, R>>; 2],
        d_context: &Buffer<V, (R, D::Embed)>,
        d_query: &mut Buffer<V, (R, D::Embed)>,
        d_key_value: &mut Buffer<V, (D::Tokens, KeyValue<D>)>,
    );
    normalize_backward<R>(
        normed: &Buffer<V, (R, D::Embed)>,
        scale: &Buffer<V, (R,)>,
        d_normed: &Buffer<V, (R, D::Embed)>,
        d_x: &mut Buffer<V, (R, D::Embed)>,
        store: Store,
    );
    embed_backward(
        layer: &Layer<L, PatchValues<D>, D::Embed>,
        patches: &Buffer<V, (D::Tokens, PatchValues<D>)>,
        d_stream: &mut Buffer<V, (D::Tokens, D::Embed)>,
    );
    cut_maps_backward(
        layer: &Layer<L, PatchValues<D>, D::Embed>,
        d_stream: &Buffer<V, (D::Tokens, D::Embed)>,
        d_patches: &mut Buffer<V, (D::Tokens, PatchValues<D>)>,
        d_map: &mut Buffer<V, Map<D>>,
    );
    stem_backward(
        layer: &Layer<L, StemValues<D>, D::StemChannels>,
        windows: &Buffer<V, (D::MapPixels, StemValues<D>)>,
        slope: &Buffer<V, Map<D>>,
        d_map: &mut Buffer<V, Map<D>>,
    );
}
