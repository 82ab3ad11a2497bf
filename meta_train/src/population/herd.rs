//! Particles that several workers take turns with.
//!
//! Whoever is free takes the particle that has waited longest, so that all of them get on equally often, however
//! unequal the workers or the costs of their windows are: nothing is learned more from what is cheap. Only while a
//! window runs do the others overtake it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::unroll::{Particle, Setting};

/// A queue of particles that remembers how many are out or not told of.
#[derive(Default)]
pub struct Herd {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    home: VecDeque<Particle>,
    out: usize,
    gate: Gate,
}

/// Who may take particles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Gate {
    /// Nobody, until they are let out.
    #[default]
    Shut,
    /// Workers.
    Open,
    /// Nobody any more.
    Gone,
}

impl Herd {
    /// Takes the particle that has waited longest of those that the stage of `generation` has a use for, waiting for
    /// one to come home if need be; the others idle. `None` when there will be none any more.
    pub fn take(&self, generation: u64, setting: &Setting) -> Option<Particle> {
        let pairs = setting.stage(generation).pairs;
        let mut state = self.lock();
        loop {
            if state.gate == Gate::Gone {
                return None;
            }
            if let Some(place) = state.home.iter().position(|particle| particle.index < pairs)
                && state.gate == Gate::Open
            {
                let idle = state.home.iter_mut().filter(|particle| particle.index >= pairs && particle.live.is_some());
                idle.for_each(|particle| particle.idle(setting));
                state.out += 1;
                return state.home.remove(place);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Brings a particle home, for others to take. Who had it still has to tell of it: see [`told`](Self::told).
    pub fn give_back(&self, particle: Particle) {
        self.lock().home.push_back(particle);
        self.changed.notify_all();
    }

    /// Says that the learner was sent what came of a particle that is home again.
    pub fn told(&self) {
        self.lock().out -= 1;
        self.changed.notify_all();
    }

    /// Waits until all are home and told of, and takes them out; workers wait meanwhile.
    pub fn gather(&self) -> Vec<Particle> {
        let mut state = self.lock();
        state.gate = Gate::Shut;
        while state.out > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut particles: Vec<Particle> = state.home.drain(..).collect();
        particles.sort_by_key(|particle| particle.index);
        particles
    }

    /// Lets `particles` out.
    pub fn let_out(&self, mut particles: Vec<Particle>) {
        // Those that are behind come first: a particle that others overtook, or that idled.
        particles.sort_by_key(|particle| particle.window);
        let mut state = self.lock();
        state.home.extend(particles);
        state.gate = Gate::Open;
        self.changed.notify_all();
    }

    /// Sends every worker away that waits for a particle, now or later.
    pub fn close(&self) {
        self.lock().gate = Gate::Gone;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn whoever_waited_longest_is_next_and_all_get_on_equally_often() {
        let setting = Config::default().check().unwrap().setting;
        let herd = Herd::default();
        herd.let_out((0..4).map(Particle::new).collect());
        let mut taken = Vec::new();
        for _ in 0..6 {
            let particle = herd.take(0, &setting).unwrap();
            taken.push(particle.index);
            herd.give_back(particle);
            herd.told();
        }
        assert_eq!(taken, [0, 1, 2, 3, 0, 1]);
        assert_eq!(herd.gather().iter().map(|particle| particle.index).collect::<Vec<_>>(), [0, 1, 2, 3]);
        herd.close();
        assert!(herd.take(0, &setting).is_none());
    }
}
