//! The order of the training images in an epoch, and the balance of their classes.

use crate::{
    data::{Dataset, Splits},
    random::{stream, Purpose},
    recipe::Recipe,
};
use rand::seq::SliceRandom;
use std::collections::BTreeMap;

/// A data set is called unbalanced if its largest class has more than this many times as many images as its smallest.
const UNBALANCED: usize = 3;

/// Returns the images `indices` of `data` in the order in which they are used in `epoch` (from 1): see
/// [`EpochPlan::order`](super::state::EpochPlan::order).
pub(super) fn order(recipe: &Recipe, data: &Dataset, indices: &[usize], epoch: usize) -> Vec<usize> {
    let epoch = epoch as u64;
    let mut order = match recipe.balance {
        true => balanced(recipe.seed, data, indices, epoch),
        false => indices.to_vec(),
    };
    order.shuffle(&mut stream(Purpose::Order, [recipe.seed, epoch, 0]));
    order
}

/// Draws as many images as there are `indices`, the same number of each class. If the number is not a multiple of that
/// of the classes, some classes have one more. In a class, no image is drawn once more often than another.
fn balanced(seed: u64, data: &Dataset, indices: &[usize], epoch: u64) -> Vec<usize> {
    let mut random = stream(Purpose::Balance, [seed, epoch, 0]);
    let mut classes: Vec<_> = by_class(data, indices).into_values().collect();
    classes.shuffle(&mut random);
    let (share, more) = (indices.len() / classes.len(), indices.len() % classes.len());
    let draws = classes.iter_mut().enumerate().flat_map(|(place, class)| {
        class.shuffle(&mut random);
        let repeated = (0..)
            .step_by(data.len())
            .flat_map(|repetition| class.iter().map(move |index| index + repetition));
        repeated.take(share + usize::from(place < more)).collect::<Vec<_>>()
    });
    draws.collect()
}

/// Returns the images of each class among `indices`.
fn by_class(data: &Dataset, indices: &[usize]) -> BTreeMap<u16, Vec<usize>> {
    let mut classes: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    indices.iter().for_each(|&index| classes.entry(data.label(index)).or_default().push(index));
    classes
}

/// Returns a note, without a full stop, if the classes of the training images `indices` have very different numbers of
/// images.
pub(super) fn imbalance(data: &Splits, indices: &[usize]) -> Option<String> {
    let classes = by_class(&data.train, indices);
    let sizes =
        data.class_names.iter().zip(0..).map(|(name, label)| (classes.get(&label).map_or(0, Vec::len), name));
    let (smallest, few) = sizes.clone().min_by_key(|(size, _)| *size)?;
    let (largest, many) = sizes.max_by_key(|(size, _)| *size)?;
    (largest > UNBALANCED * smallest).then(|| {
        format!(
            "the classes are not balanced: {many} has {largest} training images, and {few} only {smallest}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::Format, train::snapshot::tests::data as digits};
    use std::path::Path;

    /// Returns a data set with these numbers of images of each class, in mixed order.
    fn unbalanced(sizes: &[usize]) -> Dataset {
        let mut labels: Vec<u16> =
            sizes.iter().zip(0..).flat_map(|(&size, label)| vec![label; size]).collect();
        labels.shuffle(&mut stream(Purpose::Show, [0; 3]));
        Dataset::new(Format::grey(1, sizes.len()), vec![0; labels.len()], labels, Path::new("x")).unwrap()
    }

    #[test]
    fn classes_have_equal_shares() {
        for sizes in [&[1, 7, 90][..], &[5, 5], &[100], &[2, 40, 9, 31, 1]] {
            let data = unbalanced(sizes);
            let images = data.len();
            let indices: Vec<usize> = (0..images).collect();
            let recipe = Recipe { balance: true, ..Recipe::default() };
            let mut longer = vec![0; sizes.len()];
            for epoch in 1..=40 {
                let order = order(&recipe, &data, &indices, epoch);
                assert_eq!(order.len(), images);
                assert_eq!(order, self::order(&recipe, &data, &indices, epoch));
                let mut sorted = order.clone();
                sorted.sort_unstable();
                sorted.dedup();
                assert_eq!(sorted.len(), images, "every repetition of an image has a number of its own");

                let mut times = vec![0; images];
                order.iter().for_each(|draw| times[draw % images] += 1);
                for (class, longer) in longer.iter_mut().enumerate() {
                    let own = indices.iter().filter(|&&index| usize::from(data.label(index)) == class);
                    let own: Vec<usize> = own.map(|&index| times[index]).collect();
                    let (share, all) = (images / sizes.len(), own.iter().sum::<usize>());
                    assert!(all == share || all == share + 1, "{sizes:?} {class}: {all}");
                    *longer += all - share;
                    assert!(own.iter().max().unwrap() - own.iter().min().unwrap() <= 1, "{own:?}");
                }
            }
            let rest = images % sizes.len();
            assert!(longer.iter().all(|&longer| (longer > 0) == (rest > 0)), "{longer:?}");
        }
    }

    #[test]
    fn epochs_and_seeds_differ() {
        let data = unbalanced(&[20, 50]);
        let indices: Vec<usize> = (0..data.len()).step_by(2).collect();
        let recipe = Recipe { balance: true, ..Recipe::default() };
        let first = order(&recipe, &data, &indices, 1);
        assert!(
            first.iter().all(|draw| (draw % data.len()).is_multiple_of(2)),
            "only these images are drawn"
        );
        let set = |order: &[usize]| order.iter().copied().collect::<std::collections::BTreeSet<_>>();
        assert_ne!(set(&first), set(&order(&recipe, &data, &indices, 2)));
        assert_ne!(set(&first), set(&order(&Recipe { seed: 1, ..recipe.clone() }, &data, &indices, 1)));
        // Without balancing, it is the order of earlier versions.
        let mut plain = indices.clone();
        plain.shuffle(&mut stream(Purpose::Order, [42, 7, 0]));
        assert_eq!(order(&Recipe::default(), &data, &indices, 7), plain);
    }

    #[test]
    fn imbalance_is_told() {
        let note = |sizes: &[usize]| {
            let train = unbalanced(sizes);
            let indices: Vec<usize> = (0..train.len()).collect();
            let class_names =
                ["ant", "bee", "cow"][..sizes.len()].iter().copied().map(str::to_owned).collect();
            imbalance(&Splits { class_names, train, ..digits(10) }, &indices)
        };
        assert_eq!(note(&[10, 30, 20]), None);
        let told = note(&[10, 31, 20]).unwrap();
        assert_eq!(told, "the classes are not balanced: bee has 31 training images, and ant only 10");
        assert!(note(&[1, 2, 0]).unwrap().contains("cow only 0"));
        assert_eq!(note(&[5]), None);
    }
}
