//! The mixture of procedural task families that a run draws from.
//!
//! Configurations name families with weights; an empty list stands for all of them, equally often.

use velo_tasks::family::{Component, Mixture, families};
use velo_tasks::{Task, TaskConfig, TaskFamily};

use crate::Error;
use crate::unroll::TaskSource;

/// A mixture whose families have numbers.
#[derive(Debug)]
pub struct Families {
    names: Vec<String>,
    mixture: Mixture,
}

impl Families {
    /// The named families.
    ///
    /// # Errors
    /// [`Error::Tasks`] for an unknown name, with the nearest one, and for a weight that is not above zero.
    pub fn new(components: &[Component]) -> Result<Self, Error> {
        if components.is_empty() {
            let all: Vec<Component> =
                families().iter().map(|family| Component { family: family.name().to_owned(), weight: 1.0 }).collect();
            return Self::new(&all);
        }
        let mixture = Mixture::new(components)?;
        Ok(Self { names: components.iter().map(|component| component.family.clone()).collect(), mixture })
    }

    /// The configuration drawn for `seed`; its name is that of its family.
    pub fn sample(&self, seed: u64) -> TaskConfig {
        self.mixture.sample(seed)
    }
}

impl TaskSource for Families {
    fn families(&self) -> Vec<String> {
        self.names.clone()
    }

    fn draw(&self, seed: u64) -> Result<(usize, Box<dyn Task>), Error> {
        let config = self.sample(seed);
        let family = self.names.iter().position(|name| *name == config.name);
        Ok((family.expect("a mixture draws from its own families"), config.build()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_names_stand_for_all_families_and_each_is_drawn() {
        let all = Families::new(&[]).unwrap();
        let mut drawn = vec![0; all.families().len()];
        for seed in 0..200 {
            let name = all.sample(seed).name;
            drawn[all.names.iter().position(|known| *known == name).unwrap()] += 1;
        }
        assert!(drawn.len() >= 4 && drawn.iter().all(|&count| count > 20), "{drawn:?}");
    }
}
