//! Fixed tasks on real data, by name. Meta-training never sees them.

use crate::Error;
use crate::config::TaskConfig;
use crate::data::DataConfig;
use crate::models::{Activation, Loss, MlpConfig, ModelConfig};

/// One row of the table of fixed tasks.
struct Entry {
    name: &'static str,
    summary: &'static str,
    data: DataConfig,
    hidden: &'static [usize],
    activation: Activation,
    loss: Loss,
}

/// Rows of a batch in every fixed task.
const BATCH_SIZE: usize = 64;

const fn entry(
    name: &'static str,
    summary: &'static str,
    data: DataConfig,
    hidden: &'static [usize],
    activation: Activation,
    loss: Loss,
) -> Entry {
    Entry { name, summary, data, hidden, activation, loss }
}

const TASKS: &[Entry] = {
    use Activation::{Relu, Silu, Tanh};
    use DataConfig::{BreastCancer, Diabetes, Digits, Wine};
    use Loss::{AutoEncoding, MeanSquaredError, SoftmaxCrossEntropy};
    &[
        entry("digits_logistic", "digits, linear 64-10", Digits, &[], Relu, SoftmaxCrossEntropy),
        entry("digits_mlp", "digits, 64-32-10 ReLU", Digits, &[32], Relu, SoftmaxCrossEntropy),
        entry(
            "digits_tanh_deep",
            "digits, 64-128-128-128-10 tanh",
            Digits,
            &[128, 128, 128],
            Tanh,
            SoftmaxCrossEntropy,
        ),
        entry("digits_autoencoder", "digits, 64-32-8-32-64 ReLU", Digits, &[32, 8, 32], Relu, AutoEncoding),
        entry("breast_cancer_mlp", "breast cancer, 30-32-2 ReLU", BreastCancer, &[32], Relu, SoftmaxCrossEntropy),
        entry("wine_mlp", "wine, 13-32-3 ReLU", Wine, &[32], Relu, SoftmaxCrossEntropy),
        entry("diabetes_mlp", "diabetes, 10-32-1 SiLU", Diabetes, &[32], Silu, MeanSquaredError),
    ]
};

/// Names and one-line descriptions of all fixed tasks.
pub fn named_tasks() -> impl Iterator<Item = (&'static str, &'static str)> {
    TASKS.iter().map(|task| (task.name, task.summary))
}

/// The fixed task of that name.
///
/// # Errors
/// [`Error::UnknownName`] with the nearest name and all of them.
pub fn named(name: &str) -> Result<TaskConfig, Error> {
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        let names: Vec<_> = TASKS.iter().map(|task| task.name).collect();
        return Err(Error::unknown("task", name, &names));
    };
    Ok(TaskConfig {
        name: name.to_owned(),
        data: task.data.clone(),
        model: ModelConfig::Mlp(MlpConfig::new(task.hidden, task.activation)),
        loss: task.loss,
        batch_size: BATCH_SIZE,
        augmentations: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_task_has_the_parameters_its_name_promises() {
        let counts = named_tasks().map(|(name, _)| (name, named(name).unwrap().build().unwrap().layout().len()));
        let expected = [
            ("digits_logistic", 650),
            ("digits_mlp", 2410),
            ("digits_tanh_deep", 42_634),
            ("digits_autoencoder", 4744),
            ("breast_cancer_mlp", 1058),
            ("wine_mlp", 547),
            ("diabetes_mlp", 385),
        ];
        assert_eq!(counts.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_unknown_task_is_refused_with_the_nearest_name_and_the_list() {
        let message = named("digits_mpl").unwrap_err().to_string();
        assert!(message.starts_with("there is no task \"digits_mpl\"; did you mean \"digits_mlp\"?"), "{message}");
        assert!(message.contains("known: digits_logistic, digits_mlp, "), "{message}");
    }
}
