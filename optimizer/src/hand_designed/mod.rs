//! Optimizers designed by people, one rule a file.
//!
//! A rule is a configuration, a few slots of state and one update; what several share is in modules of its own:
//! `step_size` (a direction becomes a step), `moments` (the Adam family), `layerwise` (one rate per tensor),
//! `schedule_free` (averaging), `reductions` (sums over tensors) and `checks` (domains of hyper-parameters).

mod adabelief;
mod adadelta;
mod adafactor;
mod adagrad;
mod adam;
mod adamax;
mod adan;
mod ademamix;
mod adopt;
mod amsgrad;
pub(crate) mod checks;
mod dadapt_adamw;
mod eigen;
mod lamb;
mod lars;
mod layerwise;
mod lion;
mod moments;
mod muon;
mod nadam;
mod normalised_adam;
mod novograd;
mod opt_list_nadamw;
mod prodigy;
mod radam;
pub(crate) mod reductions;
mod rmsprop;
mod schedule_free;
mod schedule_free_adamw;
mod schedule_free_sgd;
mod sgd;
mod shampoo;
mod sm3;
mod soap;
mod step_size;
mod yogi;

pub use adabelief::{AdaBelief, AdaBeliefConfig, AdaBeliefRule};
pub use adadelta::{AdaDelta, AdaDeltaConfig, AdaDeltaRule};
pub use adafactor::{Adafactor, AdafactorConfig, AdafactorRule};
pub use adagrad::{AdaGrad, AdaGradConfig, AdaGradRule};
pub use adam::{Adam, AdamConfig, AdamRule, AdamW, AdamWConfig, AdamWRule};
pub use adamax::{Adamax, AdamaxConfig, AdamaxRule};
pub use adan::{Adan, AdanConfig, AdanRule};
pub use ademamix::{AdEmaMix, AdEmaMixConfig, AdEmaMixRule};
pub use adopt::{Adopt, AdoptConfig, AdoptRule};
pub use amsgrad::{AmsGrad, AmsGradConfig, AmsGradRule};
pub use dadapt_adamw::{DAdaptAdamW, DAdaptAdamWConfig, DAdaptAdamWRule};
pub use lamb::{Lamb, LambConfig, LambRule};
pub use lars::{Lars, LarsConfig, LarsRule};
pub use lion::{Lion, LionConfig, LionRule};
pub use muon::{Muon, MuonConfig, MuonRule};
pub use nadam::{NAdam, NAdamConfig, NAdamRule, NAdamW, NAdamWConfig, NAdamWRule};
pub use normalised_adam::{NormalisedAdam, NormalisedAdamConfig, NormalisedAdamRule};
pub use novograd::{NovoGrad, NovoGradConfig, NovoGradRule};
pub use opt_list_nadamw::{OptListNAdamW, OptListNAdamWConfig, OptListNAdamWRule};
pub use prodigy::{Prodigy, ProdigyConfig, ProdigyRule};
pub use radam::{RAdam, RAdamConfig, RAdamRule};
pub use rmsprop::{RmsProp, RmsPropConfig, RmsPropRule};
pub use schedule_free_adamw::{ScheduleFreeAdamW, ScheduleFreeAdamWConfig, ScheduleFreeAdamWRule};
pub use schedule_free_sgd::{ScheduleFreeSgd, ScheduleFreeSgdConfig, ScheduleFreeSgdRule};
pub use sgd::{Sgd, SgdConfig, SgdRule};
pub use shampoo::{Grafting, Shampoo, ShampooConfig, ShampooRule};
pub use sm3::{Sm3, Sm3Config, Sm3Rule};
pub use soap::{Soap, SoapConfig, SoapRule};
pub use yogi::{Yogi, YogiConfig, YogiRule};
