//! Chooses a few images of all classes.

use std::collections::BTreeMap;

/// Returns the positions of at most `most` of these labels, spread over the classes: those of the first image of each
/// class, then those of the second, and so on. If the last of these rounds has too many classes, it takes classes at
/// even distances.
pub(crate) fn of_all_classes(labels: &[u16], most: usize) -> Vec<usize> {
    let mut classes: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for (position, &label) in labels.iter().enumerate() {
        classes.entry(label).or_default().push(position);
    }
    let mut chosen = Vec::new();
    for round in 0.. {
        let images: Vec<usize> = classes.values().filter_map(|class| class.get(round).copied()).collect();
        let wanted = images.len().min(most - chosen.len());
        if wanted == 0 {
            break;
        }
        chosen.extend((0..wanted).map(|place| images[place * images.len() / wanted]));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_spread_and_images_the_first_ones() {
        let ten = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9];
        assert_eq!(of_all_classes(&ten, 8), [0, 2, 3, 4, 6, 7, 8, 9]);
        assert_eq!(of_all_classes(&ten, 11), [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1]);
        assert_eq!(of_all_classes(&ten, 99).len(), 12);
        let hundred: Vec<u16> = (0..100).rev().collect();
        let labels = of_all_classes(&hundred, 8).into_iter().map(|position| hundred[position]);
        assert_eq!(labels.collect::<Vec<_>>(), [0, 12, 25, 37, 50, 62, 75, 87]);
    }

    #[test]
    fn few_classes_give_several_images_each() {
        assert_eq!(of_all_classes(&[5, 5, 5, 5, 7, 7, 9], 8), [0, 4, 6, 1, 5, 2, 3]);
        assert_eq!(of_all_classes(&[5, 5, 5, 5, 7, 7, 9], 4), [0, 4, 6, 1]);
        assert_eq!(of_all_classes(&[1, 1, 0], 2), [2, 0]);
        assert_eq!(of_all_classes(&[], 8), [0_usize; 0]);
        assert_eq!(of_all_classes(&[3], 0), [0_usize; 0]);
    }
}
