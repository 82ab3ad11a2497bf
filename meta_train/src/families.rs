//! The mixtures of procedural task families that a run draws from, one per stage.
//!
//! Configurations name a mixture of the tasks crate, or families with weights; an empty list stands for all of them,
//! equally often. A family has the same number in every stage. Tasks that are given back are kept for the next draw of the same seed, which
//! only happens when the run has a pool.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use velo_tasks::family::{Component, Mixture, MixtureConfig};
use velo_tasks::{Task, TaskConfig, TaskFamily};

use crate::Error;
use crate::unroll::TaskSource;

/// A mixture with time budgets and disguises, by what names it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum MixtureSource {
    /// One that comes with the tasks crate.
    Named(String),
    /// A RON file.
    File(PathBuf),
    /// The mixture itself.
    Inline(Box<MixtureConfig>),
}

impl MixtureSource {
    /// The mixture.
    ///
    /// # Errors
    /// [`Error::Tasks`] for an unknown name, with the nearest one, and for a file that is no mixture.
    pub fn config(&self) -> Result<MixtureConfig, Error> {
        match self {
            Self::Named(name) => Ok(MixtureConfig::named(name)?),
            Self::File(path) => Ok(MixtureConfig::read(path)?),
            Self::Inline(config) => Ok(MixtureConfig::clone(config)),
        }
    }

    /// The same without the need for a file.
    ///
    /// # Errors
    /// [`Error::Tasks`] for a file that is no mixture.
    pub fn inlined(self) -> Result<Self, Error> {
        match self {
            Self::File(path) => Ok(Self::Inline(Box::new(MixtureConfig::read(&path)?))),
            other => Ok(other),
        }
    }

    /// Families with weights, without budgets and disguises.
    pub fn families(components: &[Component]) -> Self {
        Self::Inline(Box::new(MixtureConfig { families: components.to_vec(), ..MixtureConfig::default() }))
    }
}

/// Built tasks that wait to be drawn again, by stage and seed.
type Shelf = HashMap<(usize, u64), (usize, Box<dyn Task>)>;

/// Mixtures whose families have numbers.
pub struct Families {
    names: Vec<String>,
    mixtures: Vec<Mixture>,
    shelf: Option<Mutex<Shelf>>,
}

impl Families {
    /// One mixture per stage; `keep` is for runs that draw the same seeds again.
    ///
    /// # Errors
    /// [`Error::Tasks`] for an unknown name, with the nearest one, and for a weight that is not above zero.
    pub fn new(stages: &[MixtureSource], keep: bool) -> Result<Self, Error> {
        let mut names: Vec<String> = Vec::new();
        let mut mixtures = Vec::with_capacity(stages.len());
        for source in stages {
            let mixture = source.config()?.check()?;
            for family in mixture.family_names() {
                if !names.iter().any(|name| name == family) {
                    names.push(family.to_owned());
                }
            }
            mixtures.push(mixture);
        }
        Ok(Self { names, mixtures, shelf: keep.then(Mutex::default) })
    }

    /// The configuration drawn for `seed` in a stage; its name is that of its family.
    pub fn sample(&self, stage: usize, seed: u64) -> TaskConfig {
        self.mixtures[stage].sample(seed)
    }

    fn shelf(&self) -> Option<std::sync::MutexGuard<'_, Shelf>> {
        self.shelf.as_ref().map(|shelf| shelf.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl TaskSource for Families {
    fn families(&self) -> Vec<String> {
        self.names.clone()
    }

    fn draw(&self, seed: u64) -> Result<(usize, Box<dyn Task>), Error> {
        self.draw_in(self.mixtures.len() - 1, seed)
    }

    fn draw_in(&self, stage: usize, seed: u64) -> Result<(usize, Box<dyn Task>), Error> {
        if let Some(kept) = self.shelf().and_then(|mut shelf| shelf.remove(&(stage, seed))) {
            return Ok(kept);
        }
        let config = self.sample(stage, seed);
        let family = self.names.iter().position(|name| *name == config.name);
        Ok((family.expect("a mixture draws from its own families"), config.build()?))
    }

    fn config(&self, stage: usize, seed: u64) -> Option<TaskConfig> {
        Some(self.sample(stage, seed))
    }

    fn give_back(&self, stage: usize, seed: u64, family: usize, task: Box<dyn Task>) {
        if let Some(mut shelf) = self.shelf() {
            shelf.insert((stage, seed), (family, task));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_names_stand_for_all_families_and_each_is_drawn() {
        let all = Families::new(&[MixtureSource::families(&[])], false).unwrap();
        let mut drawn = vec![0; all.families().len()];
        for seed in 0..100 * drawn.len() as u64 {
            let name = all.sample(0, seed).name;
            drawn[all.names.iter().position(|known| *known == name).unwrap()] += 1;
        }
        assert!(drawn.len() >= 4 && drawn.iter().all(|&count| count > 50), "{drawn:?}");
    }

    #[test]
    fn a_mixture_of_the_tasks_crate_goes_by_its_name() {
        let small = Families::new(&[MixtureSource::Named("small".into())], false).unwrap();
        assert!(small.families().contains(&"mlp_teacher".to_owned()));
        let (family, _) = small.draw(3).unwrap();
        assert_eq!(small.families()[family], small.sample(0, 3).name);
        let error = Families::new(&[MixtureSource::Named("smal".into())], false).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("small"), "{error}");
    }

    #[test]
    fn a_family_has_the_same_number_in_every_stage() {
        let component = |family: &str| Component::new(family, 1.0);
        let first = MixtureSource::families(&[component("mlp_teacher")]);
        let second = MixtureSource::families(&[component("mlp_mixture"), component("mlp_teacher")]);
        let stages = Families::new(&[first, second], true).unwrap();
        assert_eq!(stages.families(), ["mlp_teacher", "mlp_mixture"]);
        for seed in 0..20 {
            let (family, task) = stages.draw_in(1, seed).unwrap();
            assert_eq!(stages.families()[family], task.name());
            assert_eq!(stages.draw_in(0, seed).unwrap().0, 0);
        }
    }

    #[test]
    fn a_task_that_was_given_back_computes_what_a_new_one_does() {
        let stages = Families::new(&[MixtureSource::families(&[])], true).unwrap();
        let loss = |task: &mut dyn Task| {
            let mut params = vec![0.0; task.layout().len()];
            task.init(3, &mut params);
            let mut grads = params.clone();
            let batch = velo_tasks::Batch { seed: 1, split: velo_tasks::Split::Train, index: 5 };
            (task.loss_and_grad(&params, batch, &mut grads), grads)
        };
        for seed in 0..10 {
            let (family, mut task) = stages.draw(seed).unwrap();
            let first = loss(task.as_mut());
            stages.give_back(0, seed, family, task);
            let (again, mut kept) = stages.draw(seed).unwrap();
            assert_eq!((again, loss(kept.as_mut())), (family, first));
        }
    }
}
