//! Writes `report.md`, the report for people.

use super::Report;
use crate::{
    recipe::Recipe,
    run::{
        folder::RunFolder,
        record::{Classified, TestScores},
    },
    verify::Verification,
};
use std::{
    fmt::{Display, Write},
    path::Path,
};

/// Returns the text of the report. During a run, it contains the epochs that are done.
pub(super) fn text(report: &Report) -> String {
    let mut text = format!("# Training of `{}`\n\n", report.preset);
    if report.synthetic {
        text += "**Trained and tested on built-in, machine-made images, not on real ones.**\n\n";
    }
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{} parameters, data set {}, seed {}, {} with {} threads.",
        report.params, report.dataset, report.seed, report.device, report.threads
    );
    if let Some(environment) = &report.environment {
        let _ = writeln!(text, "{environment}.");
    }
    if !report.skipped.is_empty() {
        let skipped = report.skipped.len();
        let _ = writeln!(
            text,
            "Files that cannot be read as pictures and were left out: {skipped} (report.json lists them)."
        );
    }
    if let Some(recipe) = &report.recipe {
        let _ = writeln!(text, "{}", settings(recipe));
    }
    epochs(&mut text, report);
    timing(&mut text, report);
    if let Some(test) = &report.test {
        engines(&mut text, test);
        classes(&mut text, test);
    }
    if let Some(verification) = &report.verify {
        verified(&mut text, verification);
    }
    text
}

fn settings(recipe: &Recipe) -> String {
    let Recipe {
        epochs,
        batch_size,
        lr,
        warmup,
        weight_decay,
        grad_clip,
        dropout,
        label_smoothing,
        augmentation,
        balance,
        seed: _,
        processor: _,
    } = recipe;
    format!(
        "{epochs} epochs, batches of {batch_size}, learning rate {lr} after {warmup} of warming up, weight decay \
         {weight_decay}, gradients clipped to {grad_clip}, dropout {dropout}, label smoothing {label_smoothing}, \
         {augmentation}{}.",
        if *balance { ", all classes equally often" } else { "" }
    )
}

fn epochs(text: &mut String, report: &Report) {
    *text +=
        "\n| epoch | train loss | train % | val loss | val % | val top-5 % | learning rate | seconds |\n";
    *text += "|---|---|---|---|---|---|---|---|\n";
    for e in &report.epochs {
        let mark = if e.epoch == report.kept_epoch { " *" } else { "" };
        let _ = writeln!(
            text,
            "| {}{mark} | {:.4} | {:.2} | {:.4} | {:.2} | {:.2} | {:.2e} | {:.1} |",
            e.epoch, e.train_loss, e.train_acc, e.val_loss, e.val_acc, e.val_top5, e.lr, e.seconds
        );
    }
    *text += "\n\\* the epoch whose parameters were kept\n\n";
    picture(text, "Loss, accuracy and learning rate over the epochs", &RunFolder::curves(Path::new("")));
}

fn timing(text: &mut String, report: &Report) {
    let t = report.timing;
    let _ = writeln!(
        text,
        "Training took {:.1} s ({:.1} s per epoch), the median step {:.1} ms; the speed was {:.0} images per second.",
        t.total_train_seconds, t.avg_epoch_seconds, t.median_step_ms, t.images_per_second
    );
}

fn engines(text: &mut String, test: &TestScores) {
    let float = test.f32;
    let _ = write!(
        text,
        "\n## Test\n\nTest set: accuracy **{:.2} %**, top-5 {:.2} %, loss {:.4}.",
        float.acc, float.top5, float.loss
    );
    if let Some(int8) = test.int8 {
        let _ = writeln!(text, " In integers: accuracy **{:.2} %**.\n", int8.acc);
        *text += "| test images | float | integers | difference |\n|---|---|---|---|\n";
        let _ = writeln!(
            text,
            "| accuracy | {:.2} % | {:.2} % | {:+.2} |\n| top-5 | {:.2} % | {:.2} % | {:+.2} |\n| loss | {:.4} | {:.4} | {:+.4} |",
            float.acc,
            int8.acc,
            int8.acc - float.acc,
            float.top5,
            int8.top5,
            int8.top5 - float.top5,
            float.loss,
            int8.loss,
            int8.loss - float.loss
        );
    }
    for warning in test.no_integers().iter().chain(&test.int8_warning) {
        let _ = writeln!(text, "\n\n**{}.**\n", cell(warning));
    }
    if let Some(disagreements) = test.disagreements {
        let _ = writeln!(
            text,
            "\nThe integer engine classifies {disagreements} of the {} test images differently.\n",
            test.images()
        );
    }
    if !test.classes.is_empty() {
        let directory = Path::new("");
        picture(text, "Some test images and their predictions", &RunFolder::predictions(directory));
        picture(text, "The worst mistakes", &RunFolder::mistakes(directory));
    }
}

fn classes(text: &mut String, test: &TestScores) {
    if test.classes.is_empty() {
        return;
    }
    *text += "## By class\n\n| class | images | float | integers | most often taken for |\n|---|---|---|---|---|\n";
    for (class, score) in test.classes.iter().enumerate() {
        let others = score.f32.predicted.iter().enumerate().filter(|&(other, _)| other != class);
        // `max_by_key` returns the last of equal ones: in reversed order, this is the first class.
        let rival = others.rev().max_by_key(|&(_, &images)| images).filter(|&(_, &images)| images > 0);
        let rival = rival.map(|(rival, images)| {
            format!(
                "{} ({images} {})",
                cell(&test.classes[rival].label),
                if *images == 1 { "image" } else { "images" }
            )
        });
        let percent = |classified: Option<&Classified>| {
            let classified = classified.filter(|_| score.images > 0);
            classified.map_or("-".to_owned(), |classified| format!("{:.2} %", classified.acc))
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            cell(&score.label),
            score.images,
            percent(Some(&score.f32)),
            percent(score.int8.as_ref()),
            rival.unwrap_or_default()
        );
    }
    *text += "\n";
    picture(text, "Confusion matrix", &RunFolder::confusion(Path::new("")));
}

fn verified(text: &mut String, v: &Verification) {
    let relative = v.dfdx_vs_nostd_f32_max_relative;
    let _ = writeln!(
        text,
        "## The library for the chip compared with dfdx\n\nOn {} images, the logits of vit-nostd and dfdx differ by at most \
         {:.2e}{}, and {} images are classified differently. On {} images for which dfdx adds in the canonical order, {} \
         logits differ in a bit.",
        v.images,
        v.dfdx_vs_nostd_f32_max_abs,
        relative
            .map_or(String::new(), |relative| format!(" ({relative:.2e} of the largest logit of the image)")),
        v.argmax_disagreements,
        v.exact_images,
        v.exact_mismatches
    );
    if let Some(int8) = v.int8 {
        let _ = writeln!(
            text,
            "In integers, {} of the logits of {} images differ.",
            int8.int8_mismatches, int8.int8_images
        );
    }
}

fn picture(text: &mut String, what: &str, path: &Path) {
    let _ = writeln!(text, "![{what}]({})\n", path.display());
}

/// Escapes text, so that it stays within a cell of a table.
fn cell(text: impl Display) -> String {
    text.to_string().replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::{super::tests, *};

    #[test]
    fn classes_have_rows() {
        let (data, [f32_logits, int8_logits]) = tests::two_classes();
        let mut report = tests::report(2);
        assert!(!text(&report).contains("By class"));
        report.test = Some(TestScores::new(&data, &f32_logits, Ok(&int8_logits)));
        let text = text(&report);
        assert!(text.contains("| cat | 2 | 100.00 % | 100.00 % |  |"), "{text}");
        assert!(text.contains("| &lt;dog & co> | 2 | 50.00 % | 0.00 % | cat (1 image) |"), "{text}");
        assert!(text.contains("| accuracy | 75.00 % | 50.00 % | -25.00 |"), "{text}");
        assert!(text.contains("classifies 1 of the 4 test images differently"), "{text}");
    }

    #[test]
    fn a_report_without_integers_states_the_reason() {
        let (data, [f32_logits, _]) = tests::two_classes();
        let mut report = tests::report(2);
        report.test = Some(TestScores::new(&data, &f32_logits, Err("the head is too large".to_owned())));
        let text = text(&report);
        assert!(text.contains("accuracy **75.00 %**"), "{text}");
        assert!(
            text.contains("**The network cannot be quantized because the head is too large.**"),
            "{text}"
        );
        assert!(text.contains("| &lt;dog & co> | 2 | 50.00 % | - | cat (1 image) |"), "{text}");
        assert!(text.contains("predictions.png") && !text.contains("differently"), "{text}");
    }
}
