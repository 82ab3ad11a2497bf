//! The optimizer with parameter groups: members with optimizers of their own, and what they see of the whole.

use std::ops::Range;

use super::Group;
use crate::finite::all_finite;
use crate::rule::non_finite;
use crate::state::{self, Header, StateLayout};
use crate::{Error, NonFinitePolicy, Optimizer, ParamLayout, Schedule, StepOutcome, TensorLayout};

/// One optimizer and the part of the parameters that it has.
struct Member {
    /// The name under which its state is nested.
    key: String,
    optimizer: Box<dyn Optimizer>,
    /// Its tensors; neighbours are joined.
    ranges: Vec<Range<usize>>,
    /// Its step multiplier when that of the whole is one.
    native_multiplier: f32,
    /// Whether its decay is its own, whatever is set for the whole.
    has_own_decay: bool,
}

impl Member {
    /// Copies its part of `from` to the start of `to`, which is returned.
    fn gather<'a>(&self, from: &[f32], to: &'a mut [f32]) -> &'a mut [f32] {
        let mut end = 0;
        for range in &self.ranges {
            to[end..end + range.len()].copy_from_slice(&from[range.clone()]);
            end += range.len();
        }
        &mut to[..end]
    }

    /// Copies back what [`gather`](Self::gather) copied.
    fn scatter(&self, from: &[f32], to: &mut [f32]) {
        let mut start = 0;
        for range in &self.ranges {
            to[range.clone()].copy_from_slice(&from[start..start + range.len()]);
            start += range.len();
        }
    }
}

/// An optimizer with parameter groups.
pub struct Grouped {
    layout: ParamLayout,
    members: Vec<Member>,
    /// Room for the parameters and gradients of one member.
    params: Vec<f32>,
    grads: Vec<f32>,
    steps_taken: u64,
    steps_skipped: u64,
    step_multiplier: f32,
    weight_decay: f32,
    horizon: Option<u64>,
    schedule: Schedule,
    policy: NonFinitePolicy,
}

impl Grouped {
    /// Groups of tensors, and an optimizer made by `inner` for those outside and for groups that name none.
    ///
    /// # Errors
    /// [`Error::InvalidHyperParameter`] naming the field, and what `inner` returns.
    pub fn new(
        layout: &ParamLayout,
        groups: &[Group],
        inner: impl Fn(&ParamLayout) -> Result<Box<dyn Optimizer>, Error>,
    ) -> Result<Self, Error> {
        let predicates = groups.iter().enumerate().map(|(index, group)| {
            let predicate = group.check().and_then(|()| group.tensors.predicate());
            predicate.map_err(|error| error.in_part(format!("groups[{index}]")))
        });
        let predicates = predicates.collect::<Result<Vec<_>, _>>()?;
        let owner = |tensor: &TensorLayout| predicates.iter().position(|selects| selects(tensor));
        let mut members = Vec::new();
        let (mut weight_decay, mut longest) = (0.0, 0);
        for index in (0..groups.len()).map(Some).chain([None]) {
            let tensors: Vec<_> = layout.tensors().iter().filter(|tensor| owner(tensor) == index).collect();
            let part = ParamLayout::new(tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.shape.clone())))?;
            let group = index.map(|index| &groups[index]);
            if part.is_empty() || group.is_some_and(|group| group.frozen) {
                continue;
            }
            let own = index.and_then(|index| Some((index, groups[index].optimizer.as_ref()?)));
            let mut optimizer = match own {
                Some((index, config)) => {
                    config.build(&part).map_err(|error| error.in_part(format!("groups[{index}].optimizer")))?
                }
                None => inner(&part)?,
            };
            let native_multiplier = group.map_or(1.0, |group| group.rate) * optimizer.step_multiplier();
            optimizer.set_step_multiplier(native_multiplier);
            let own_decay = group.and_then(|group| group.weight_decay);
            match own_decay {
                Some(coefficient) => optimizer.set_weight_decay(coefficient),
                None => weight_decay = optimizer.weight_decay(),
            }
            longest = longest.max(part.len());
            members.push(Member {
                key: index.map_or("inner".to_owned(), |index| format!("group_{index}")),
                optimizer,
                ranges: joined(&tensors),
                native_multiplier,
                has_own_decay: own_decay.is_some(),
            });
        }
        Ok(Self {
            layout: layout.clone(),
            members,
            params: vec![0.0; longest],
            grads: vec![0.0; longest],
            steps_taken: 0,
            steps_skipped: 0,
            step_multiplier: 1.0,
            weight_decay,
            horizon: None,
            schedule: Schedule::Constant,
            policy: NonFinitePolicy::default(),
        })
    }

    /// The names of the tensors that take steps, by optimizer; frozen ones are missing.
    pub fn members(&self) -> impl Iterator<Item = (&dyn Optimizer, Vec<&str>)> {
        self.members.iter().map(|member| {
            let optimizer = member.optimizer.as_ref();
            (optimizer, optimizer.layout().tensors().iter().map(|tensor| tensor.name.as_str()).collect())
        })
    }

    /// Skips one step of every member, so that their schedules keep pace with one another.
    fn skip(&mut self) -> Result<StepOutcome, Error> {
        self.grads.fill(f32::NAN);
        for member in &mut self.members {
            let len = member.optimizer.layout().len();
            member.optimizer.step(&mut self.params[..len], &self.grads[..len], f32::NAN)?;
        }
        self.steps_skipped += 1;
        Ok(StepOutcome::Skipped)
    }

    fn for_all(&mut self, set: impl Fn(&mut dyn Optimizer)) {
        self.members.iter_mut().for_each(|member| set(member.optimizer.as_mut()));
    }
}

/// The ranges of these tensors, neighbours joined.
fn joined(tensors: &[&TensorLayout]) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for tensor in tensors.iter().filter(|tensor| !tensor.is_empty()) {
        match ranges.last_mut() {
            Some(last) if last.end == tensor.range.start => last.end = tensor.range.end,
            _ => ranges.push(tensor.range.clone()),
        }
    }
    ranges
}

impl Optimizer for Grouped {
    fn layout(&self) -> &ParamLayout {
        &self.layout
    }

    fn name(&self) -> &str {
        "grouped"
    }

    fn step(&mut self, params: &mut [f32], grads: &[f32], loss: f32) -> Result<StepOutcome, Error> {
        self.layout.check_len("params", params.len())?;
        self.layout.check_len("grads", grads.len())?;
        if !all_finite(grads) || (self.reads_loss() && !loss.is_finite()) {
            return match self.policy {
                NonFinitePolicy::Skip => self.skip(),
                NonFinitePolicy::Error => Err(non_finite(&self.layout, grads, self.steps_taken)),
            };
        }
        let (mut applied, mut accumulated) = (self.members.is_empty(), false);
        for member in &mut self.members {
            let outcome = if let [range] = member.ranges.as_slice() {
                member.optimizer.step(&mut params[range.clone()], &grads[range.clone()], loss)?
            } else {
                let own_grads = member.gather(grads, &mut self.grads);
                let own_params = member.gather(params, &mut self.params);
                let outcome = member.optimizer.step(own_params, own_grads, loss)?;
                member.scatter(&self.params, params);
                outcome
            };
            applied |= outcome == StepOutcome::Applied;
            accumulated |= outcome == StepOutcome::Accumulated;
        }
        if !applied && !accumulated {
            self.steps_skipped += 1;
            return Ok(StepOutcome::Skipped);
        }
        self.steps_taken += 1;
        Ok(if applied { StepOutcome::Applied } else { StepOutcome::Accumulated })
    }

    fn reads_loss(&self) -> bool {
        self.members.iter().any(|member| member.optimizer.reads_loss())
    }

    fn steps_taken(&self) -> u64 {
        self.steps_taken
    }

    fn steps_skipped(&self) -> u64 {
        self.steps_skipped
    }

    fn step_multiplier(&self) -> f32 {
        self.step_multiplier
    }

    fn set_step_multiplier(&mut self, multiplier: f32) {
        self.step_multiplier = multiplier;
        for member in &mut self.members {
            member.optimizer.set_step_multiplier(multiplier * member.native_multiplier);
        }
    }

    fn weight_decay(&self) -> f32 {
        self.weight_decay
    }

    fn set_weight_decay(&mut self, coefficient: f32) {
        self.weight_decay = coefficient;
        for member in self.members.iter_mut().filter(|member| !member.has_own_decay) {
            member.optimizer.set_weight_decay(coefficient);
        }
    }

    fn horizon(&self) -> Option<u64> {
        self.horizon
    }

    fn set_horizon(&mut self, horizon: Option<u64>) {
        self.horizon = horizon;
        self.for_all(|optimizer| optimizer.set_horizon(horizon));
    }

    fn schedule(&self) -> Schedule {
        self.schedule
    }

    fn set_schedule(&mut self, schedule: Schedule) {
        self.schedule = schedule;
        self.for_all(|optimizer| optimizer.set_schedule(schedule));
    }

    fn set_non_finite_policy(&mut self, policy: NonFinitePolicy) {
        self.policy = policy;
        self.for_all(|optimizer| optimizer.set_non_finite_policy(policy));
    }

    fn evaluation_params(&self, params: &[f32], out: &mut [f32]) -> Result<(), Error> {
        self.layout.check_len("params", params.len())?;
        self.layout.check_len("out", out.len())?;
        out.copy_from_slice(params);
        let (mut own, mut evaluated) = (vec![0.0; self.params.len()], vec![0.0; self.params.len()]);
        for member in &self.members {
            let own = member.gather(params, &mut own);
            let evaluated = &mut evaluated[..own.len()];
            member.optimizer.evaluation_params(own, evaluated)?;
            member.scatter(evaluated, out);
        }
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        self.members.iter().map(|member| member.optimizer.state_bytes()).sum()
    }

    fn save_state(&self) -> Vec<u8> {
        let header = Header {
            rule: self.name().to_owned(),
            steps_taken: self.steps_taken,
            steps_skipped: self.steps_skipped,
            step_multiplier: self.step_multiplier,
            weight_decay: self.weight_decay,
            horizon: self.horizon,
            schedule: self.schedule,
        };
        let mut file = state::write(&header, &StateLayout::default(), &[]);
        for member in &self.members {
            let own = state::open(&member.optimizer.save_state()).expect("an optimizer can read what it saves");
            file.nest(&member.key, own);
        }
        file.to_bytes()
    }

    fn load_state(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut file = state::open(bytes)?;
        let parts: Vec<_> = self.members.iter().map(|member| file.take_nested(&member.key).to_bytes()).collect();
        let (header, _) = state::read(&file, self.name(), &StateLayout::default())?;
        let before: Vec<_> = self.members.iter().map(|member| member.optimizer.save_state()).collect();
        let mut members = self.members.iter_mut().zip(parts);
        if let Err(error) = members.try_for_each(|(member, part)| member.optimizer.load_state(&part)) {
            for (member, state) in self.members.iter_mut().zip(before) {
                member.optimizer.load_state(&state).expect("an optimizer can read what it saves");
            }
            return Err(error);
        }
        self.steps_taken = header.steps_taken;
        self.steps_skipped = header.steps_skipped;
        self.step_multiplier = header.step_multiplier;
        self.weight_decay = header.weight_decay;
        self.horizon = header.horizon;
        self.schedule = header.schedule;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::Selector;
    use crate::hand_designed::{AdamWConfig, SgdConfig};
    use crate::registry::OptimizerConfig;

    fn layout() -> ParamLayout {
        let tensors = [("embedding", vec![2, 1]), ("kernel", vec![1, 2]), ("bias", vec![1]), ("head", vec![1, 1])];
        ParamLayout::new(tensors).unwrap()
    }

    /// Gradient descent with a rate of one in groups.
    fn grouped(groups: &[Group]) -> Result<Grouped, Error> {
        let sgd = OptimizerConfig::Sgd(SgdConfig { learning_rate: 1.0, ..Default::default() });
        Grouped::new(&layout(), groups, |layout| sgd.build(layout))
    }

    /// The parameters after one step from zero with gradients -1.
    fn after_one_step(optimizer: &mut Grouped) -> Vec<f32> {
        let mut params = vec![0.0; 6];
        optimizer.step(&mut params, &[-1.0; 6], 0.0).unwrap();
        params
    }

    #[test]
    fn every_tensor_steps_at_the_rate_of_the_first_group_that_selects_it() {
        let groups = [
            Group { rate: 0.25, ..Group::new(Selector::Embeddings) },
            Group { rate: 0.5, ..Group::new(Selector::Vectors) },
            Group { frozen: true, ..Group::new(Selector::Named("^(head|bias)$".into())) },
        ];
        let mut optimizer = grouped(&groups).unwrap();
        assert_eq!(after_one_step(&mut optimizer), [0.25, 0.25, 1.0, 1.0, 0.5, 0.0]);
        optimizer.set_step_multiplier(2.0);
        assert_eq!(after_one_step(&mut optimizer), [0.5, 0.5, 2.0, 2.0, 1.0, 0.0]);
        let members: Vec<_> = optimizer.members().map(|(_, tensors)| tensors).collect();
        assert_eq!(members, [["embedding"], ["bias"], ["kernel"]]);
    }

    #[test]
    fn tensors_that_lie_apart_are_stepped_as_one_group() {
        let groups = [Group { rate: 0.5, ..Group::new(Selector::Named("embedding|bias".into())) }];
        let mut optimizer = grouped(&groups).unwrap();
        assert_eq!(after_one_step(&mut optimizer), [0.5, 0.5, 1.0, 1.0, 0.5, 1.0]);
        assert_eq!(optimizer.members().count(), 2);
    }

    #[test]
    fn a_group_keeps_its_decay_whatever_the_others_are_set_to() {
        let groups = [Group { weight_decay: Some(0.125), ..Group::new(Selector::Vectors) }];
        let mut optimizer = grouped(&groups).unwrap();
        optimizer.set_weight_decay(0.5);
        let decays: Vec<_> = optimizer.members().map(|(member, _)| member.weight_decay()).collect();
        assert_eq!((optimizer.weight_decay(), decays), (0.5, vec![0.125, 0.5]));
    }

    #[test]
    fn a_skipped_step_is_a_skipped_step_of_every_member() {
        let mut optimizer = grouped(&[Group::new(Selector::Vectors)]).unwrap();
        let (mut params, mut grads) = ([0.0; 6], [1.0; 6]);
        grads[4] = f32::NAN;
        assert_eq!(optimizer.step(&mut params, &grads, 0.0).unwrap(), StepOutcome::Skipped);
        assert_eq!(params, [0.0; 6]);
        assert!(optimizer.members().all(|(member, _)| member.steps_skipped() == 1));
    }

    #[test]
    fn state_that_only_some_members_can_read_changes_none_of_them() {
        let matrices_by = |optimizer| [Group { optimizer: Some(optimizer), ..Group::new(Selector::Matrices) }];
        let mut here = grouped(&matrices_by(OptimizerConfig::AdamW(AdamWConfig::default()))).unwrap();
        let adam_inside = OptimizerConfig::from_name("adam").unwrap();
        let groups = matrices_by(OptimizerConfig::AdamW(AdamWConfig::default()));
        let mut there = Grouped::new(&layout(), &groups, |layout| adam_inside.build(layout)).unwrap();
        after_one_step(&mut there);
        let before = here.save_state();
        assert!(here.load_state(&there.save_state()).is_err());
        assert_eq!(here.save_state(), before);
    }

    #[test]
    fn a_broken_pattern_is_refused_by_name() {
        let error = grouped(&[Group::new(Selector::Named("(".into()))]).err().unwrap();
        assert!(error.to_string().starts_with("groups[0].tensors is \"(\" ("), "{error}");
    }
}
