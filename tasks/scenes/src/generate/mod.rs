//! From a configuration and a seed to a scene.
//!
//! Objects are drawn group by group and put where nothing else is; clutter settles; then everything is simulated once,
//! however many cameras look. Each purpose has its own stream of random numbers ([`crate::random`]).

mod appearance;
mod cameras;
mod placement;
mod surroundings;

use crate::Error;
use crate::assets::MeshLibrary;
use crate::description::{
    BodyState, Camera, Collision, GENERATOR_VERSION, GeneratorConfig, Motion, SCHEMA_VERSION, Scene, World,
};
use crate::geometry::Solid;
use crate::physics::{self, Body};
use crate::random::Stream;
use crate::vector::Vec3;
use placement::Placed;

/// Scenes drawn anew, with other random numbers, before a placement counts as impossible.
pub(crate) const SCENE_ATTEMPTS: u32 = 20;

/// A checked configuration, ready to draw from.
#[derive(Debug, Clone)]
pub struct Generator {
    config: GeneratorConfig,
    hash: String,
    meshes: MeshLibrary,
}

/// A scene with the surfaces of its objects.
#[derive(Debug, Clone)]
pub struct Drawn {
    /// The scene.
    pub scene: Scene,
    /// Surfaces by id.
    pub solids: Vec<Solid>,
    /// Times that all objects were placed anew because one had found no place or got lost.
    pub retries: u32,
}

impl Generator {
    /// Checks the configuration and reads the meshes it names.
    ///
    /// # Errors
    /// [`Error::InvalidField`], [`Error::SchemaVersion`], [`Error::Mesh`], [`Error::File`].
    pub fn new(config: GeneratorConfig) -> Result<Self, Error> {
        config.check()?;
        let meshes = MeshLibrary::load(config.objects.iter().flat_map(|group| &group.meshes))?;
        let hash = config.hash()?;
        Ok(Self { config, hash, meshes })
    }

    /// The configuration.
    pub fn config(&self) -> &GeneratorConfig {
        &self.config
    }

    /// Hash of the configuration, of the meshes it names and of the generator's version.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The scene of a seed: a function of (generator version, configuration, seed).
    ///
    /// # Errors
    /// [`Error::InvalidField`] for a seed of no split, [`Error::Placement`] if no free places are found,
    /// [`Error::AllHeldOut`], [`Error::Diverged`].
    pub fn draw(&self, seed: u64) -> Result<Drawn, Error> {
        let Some(split) = self.config.splits.of(seed) else {
            return Err(Error::invalid("seed", seed, format!("a seed of one of {:?}", self.config.splits)));
        };
        let world = surroundings::draw(&self.config, seed);
        let mut attempt = 0;
        let (objects, motion) = loop {
            match self.objects(seed, attempt, split, &world) {
                Err(Error::Placement { .. } | Error::Diverged { .. }) if attempt + 1 < SCENE_ATTEMPTS => attempt += 1,
                outcome => break outcome?,
            }
        };
        let cameras: Vec<Camera> = cameras::draw(&self.config, seed);
        let shutter = Stream::new(seed, "shutter", 0).between(0.0, self.config.image.shutter);
        let (objects, solids) = objects.into_iter().map(|placed| (placed.object, placed.solid)).unzip();
        let scene = Scene {
            version: SCHEMA_VERSION,
            generator: GENERATOR_VERSION,
            config: self.config.name.clone(),
            config_hash: self.hash.clone(),
            seed,
            split,
            video: self.config.video.clone(),
            image: self.config.image.clone(),
            shutter,
            world,
            objects,
            cameras,
            trajectory: motion.trajectory,
            collisions: motion.collisions,
        };
        Ok(Drawn { scene, solids, retries: attempt })
    }

    fn objects(
        &self,
        seed: u64,
        attempt: u32,
        split: crate::description::Split,
        world: &World,
    ) -> Result<(Vec<Placed>, Moved), Error> {
        let mut placed: Vec<Placed> = Vec::new();
        let mut touching = Vec::new();
        let groups = || self.config.objects.iter().enumerate();
        // What is thrown is placed last, where the settled clutter has left room.
        for (index, group) in groups().filter(|(_, group)| group.motion != Motion::Tossed) {
            placement::place(&mut placed, group, index, seed, attempt, split, world, self)?;
        }
        let settles = placed.iter().any(|p| p.motion == Motion::Settled);
        if settles && self.config.video.settle_frames > 0 {
            let (bodies, ids) = bodies(&placed);
            let frames = self.config.video.settle_frames;
            let settled = physics::simulate(&bodies, world, &self.config.video, frames, &[], true)
                .map_err(|lost| physics::diverged(seed, lost))?;
            drop(bodies);
            let last = settled.frames.last().expect("the first state is always there").clone();
            for (&id, state) in ids.iter().zip(last) {
                placed[id].state = BodyState { velocity: Vec3::ZERO, angular_velocity: Vec3::ZERO, ..state };
            }
            touching = settled.touching.iter().map(|pair| renumber(pair, &ids)).collect();
        }
        for (index, group) in groups().filter(|(_, group)| group.motion == Motion::Tossed) {
            placement::place(&mut placed, group, index, seed, attempt, split, world, self)?;
        }
        let moved = self.simulate(seed, &placed, world, &touching)?;
        Ok((placed, moved))
    }

    fn simulate(&self, seed: u64, placed: &[Placed], world: &World, touching: &[[u16; 2]]) -> Result<Moved, Error> {
        let video = &self.config.video;
        let frames = video.frames + 1;
        let (bodies, ids) = bodies(placed);
        let is_active = bodies.iter().any(|body| !body.object.is_static);
        // Sprites drift along straight lines; bodies overwrite their own column below.
        let mut trajectory: Vec<Vec<BodyState>> = (0..=frames)
            .map(|frame| {
                let seconds = frame as f64 / f64::from(video.frame_rate);
                let at = |p: &Placed| {
                    let mut state = p.state;
                    state.pose.position = state.pose.position + state.velocity * seconds;
                    state
                };
                placed.iter().map(at).collect()
            })
            .collect();
        if !is_active {
            return Ok(Moved { trajectory, collisions: vec![] });
        }
        let local = |id: u16| ids.iter().position(|&i| i + 1 == usize::from(id)).map_or(0, |i| i as u16 + 1);
        let known: Vec<_> = touching.iter().map(|pair| pair.map(local)).collect();
        let outcome = physics::simulate(&bodies, world, video, frames, &known, false)
            .map_err(|lost| physics::diverged(seed, lost))?;
        for (row, states) in trajectory.iter_mut().zip(&outcome.frames) {
            for (&id, state) in ids.iter().zip(states) {
                row[id] = *state;
            }
        }
        let mut collisions = outcome.collisions;
        for collision in &mut collisions {
            collision.ids = renumber(&collision.ids, &ids);
            // The simulation begins one frame before the first picture.
            collision.frame -= 1.0;
        }
        Ok(Moved { trajectory, collisions })
    }
}

struct Moved {
    trajectory: Vec<Vec<BodyState>>,
    collisions: Vec<Collision>,
}

/// What takes part in the simulation, and where it is in the list of objects.
fn bodies(placed: &[Placed]) -> (Vec<Body<'_>>, Vec<usize>) {
    let taking_part = placed.iter().enumerate().filter(|(_, p)| p.motion != Motion::Drifting);
    taking_part.map(|(id, p)| (Body { object: &p.object, parts: &p.parts, state: p.state }, id)).unzip()
}

/// From numbers in a simulation to ids in the scene; 0 stays the floor.
fn renumber(pair: &[u16; 2], ids: &[usize]) -> [u16; 2] {
    pair.map(|number| if number == 0 { 0 } else { ids[usize::from(number) - 1] as u16 + 1 })
}
