//! Optimizers designed by people, one rule a file.

mod adabelief;
mod adadelta;
mod adagrad;
mod adam;
mod adamax;
mod adan;
mod ademamix;
mod adopt;
mod amsgrad;
mod checks;
mod lion;
mod moments;
mod nadam;
mod normalised_adam;
mod opt_list_nadamw;
mod radam;
mod reductions;
mod sgd;
mod step_size;
mod yogi;

pub use adabelief::{AdaBelief, AdaBeliefConfig, AdaBeliefRule};
pub use adadelta::{AdaDelta, AdaDeltaConfig, AdaDeltaRule};
pub use adagrad::{AdaGrad, AdaGradConfig, AdaGradRule};
pub use adam::{Adam, AdamConfig, AdamRule, AdamW, AdamWConfig, AdamWRule};
pub use adamax::{Adamax, AdamaxConfig, AdamaxRule};
pub use adan::{Adan, AdanConfig, AdanRule};
pub use ademamix::{AdEmaMix, AdEmaMixConfig, AdEmaMixRule};
pub use adopt::{Adopt, AdoptConfig, AdoptRule};
pub use amsgrad::{AmsGrad, AmsGradConfig, AmsGradRule};
pub use lion::{Lion, LionConfig, LionRule};
pub use nadam::{NAdam, NAdamConfig, NAdamRule, NAdamW, NAdamWConfig, NAdamWRule};
pub use normalised_adam::{NormalisedAdam, NormalisedAdamConfig, NormalisedAdamRule};
pub use opt_list_nadamw::{OptListNAdamW, OptListNAdamWConfig, OptListNAdamWRule};
pub use radam::{RAdam, RAdamConfig, RAdamRule};
pub use sgd::{Sgd, SgdConfig, SgdRule};
pub use yogi::{Yogi, YogiConfig, YogiRule};
