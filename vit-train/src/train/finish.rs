//! The end of a run, after the last epoch: both model files, their test, their comparison with dfdx, and the report.

use super::progress::Progress;
use crate::{
    data::{Dataset, Splits},
    error::Error,
    files::write_atomically,
    formats::{checkpoint::Checkpoint, model_bytes::ModelBytes, vit::float_model},
    inference::{check_logits, nostd_logits},
    network::Trainable,
    quantize::{
        layer_errors::{layer_errors, FEW_IMAGES},
        quantize_and_score, spread,
    },
    run::{folder::RunFolder, record::TestScores, report::Report, samples},
    score::Score,
    verify::{verify, Files},
};
use std::path::Path;
use vit_nostd::float;

/// The number of images for which the final comparison with dfdx uses the canonical order of operations.
const EXACT_IMAGES: usize = 100;

/// Tests and exports the kept parameters of a run on `data`, writes everything to `directory`, and returns the
/// completed `report`. The run was trained on the images `train_indices` of `data.train`, and validated on
/// `validation_indices`.
///
/// If the network cannot be quantized, there is neither an integer model nor samples of it, and the report says why.
///
/// # Errors
/// Returns [`Error::Io`] if a file cannot be written, and [`Error::Output`] if the network computes NaN or infinity.
pub(super) fn finish<N: Trainable>(
    mut report: Report,
    kept: &mut Checkpoint,
    (data, train_indices, validation_indices): (&Splits, &[usize], &[usize]),
    directory: &Path,
    progress: &mut impl Progress,
) -> Result<Report, Error> {
    progress.stage("testing");
    let path = RunFolder::float_model(directory);
    let (file, logits) = export_and_score::<N>(kept, &data.test, &path)?;
    kept.save(&RunFolder::checkpoint(directory))?;
    write_atomically(&path, &file)?;

    progress.stage("quantizing");
    let int8_path = RunFolder::int8_model(directory);
    let quantized = match quantize_and_score::<N>(kept, (&data.train, train_indices), &data.test, &int8_path)
    {
        // Training has succeeded nevertheless, and the float model can be used.
        Err(Error::Unquantizable { error, .. }) => Err(error.to_string()),
        quantized => Ok(quantized?),
    };
    let int8_logits = quantized.as_ref().map(|(_, logits)| logits.as_slice()).map_err(Clone::clone);
    let mut test = TestScores::new(data, &logits, int8_logits);
    let int8_file = quantized.as_ref().ok().map(|(file, _)| &**file);
    if let Some(file) = int8_file {
        samples::write_with_model::<N>(directory, file, &data.test)?;
        let images = (train_indices, &*spread(validation_indices, FEW_IMAGES));
        test.int8_warning = layer_errors::<N>(kept, file, &data.train, images, &int8_path)?.warning();
    }
    report.test = Some(test);
    report.write_grids(directory, data, &logits)?;

    progress.stage("comparing dfdx with vit-nostd");
    let files = Files { f32: (&path, &file), int8: int8_file.map(|file| (int8_path.as_path(), file)) };
    report.verify = Some(verify::<N>(&kept.parameters, files, &data.test, EXACT_IMAGES)?);
    report.write(directory)?;
    Ok(report)
}

/// Returns the float model of a checkpoint, and the logits (`images x classes`) that it computes for the images `test`.
/// The accuracy on these images is stored in the file and in the checkpoint.
fn export_and_score<N: Trainable>(
    checkpoint: &mut Checkpoint,
    test: &Dataset,
    path: &Path,
) -> Result<(ModelBytes, Vec<f32>), Error> {
    let file = float_model::<N>(checkpoint, path)?;
    let model = float::Model::<N>::from_bytes(&file);
    let model = model.map_err(|error| Error::Model { path: path.to_owned(), error })?;
    let logits = nostd_logits(&model, test, test.len());
    check_logits(&logits, path)?;
    if let Some(description) = &mut checkpoint.description {
        let score = Score::new(&logits, test.labels().iter().copied());
        description.test_accuracy = Some(score.acc as f32);
    }
    Ok((float_model::<N>(checkpoint, path)?, logits))
}
