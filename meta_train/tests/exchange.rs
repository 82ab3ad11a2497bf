//! The conformance suite of exchanges: what [`velo_meta_train::exchange`] promises, held by every implementation.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, unbounded};
use velo_meta_train::Error;
use velo_meta_train::estimator::{Method, Position, add_contribution};
use velo_meta_train::exchange::gather::{Gathered, Gatherer, Received};
use velo_meta_train::exchange::in_process::in_process;
use velo_meta_train::exchange::{Contribution, Delivery, Entrance, LearnerPort, Published, WorkerPort};
use velo_meta_train::noise::Noise;
use velo_meta_train::unroll::{SegmentGap, WindowReport};

/// Both sides of an exchange.
type Open = fn() -> (Box<dyn LearnerPort>, Box<dyn Entrance>);

const EXCHANGES: [(&str, Open); 2] = [
    ("in process", || {
        let (learner, entrance) = in_process();
        (Box::new(learner), Box::new(entrance))
    }),
    ("a stuttering transport", || {
        let (learner, entrance) = in_process();
        (Box::new(Stutter { learner, again: None }), Box::new(entrance))
    }),
];

/// Delivers every contribution twice, as a transport does that was not sure the first time.
struct Stutter<L> {
    learner: L,
    again: Option<Delivery>,
}

impl<L: LearnerPort> LearnerPort for Stutter<L> {
    fn publish(&mut self, newest: Published) -> Result<(), Error> {
        self.learner.publish(newest)
    }

    fn admit(&mut self, windows: u64) -> Result<(), Error> {
        self.learner.admit(windows)
    }

    fn receive(&mut self, patience: Duration) -> Result<Option<Delivery>, Error> {
        if let Some(again) = self.again.take() {
            return Ok(Some(again));
        }
        let delivery = self.learner.receive(patience)?;
        self.again = delivery.clone().filter(|delivery| matches!(delivery, Delivery::Contribution(_)));
        Ok(delivery)
    }
}

fn for_every_exchange(fact: fn(Open)) {
    for (name, open) in EXCHANGES {
        println!("{name}");
        fact(open);
    }
}

fn published(generation: u64) -> Published {
    Published { generation, theta: [generation as f32].into() }
}

/// What `worker` says about a window of the particle of the same number.
fn contribution(worker: u64, sequence: u64, newest: &Published) -> Contribution {
    assert_eq!(*newest.theta, [newest.generation as f32], "generation and theta belong together");
    Contribution {
        worker,
        sequence,
        generation: newest.generation,
        particle: worker,
        window: sequence,
        busy_seconds: 0.0,
        outcome: Ok(WindowReport::default()),
    }
}

/// A worker that submits up to `most` contributions and leaves; gives how many there were.
fn diligent(entrance: &dyn Entrance, most: u64) -> JoinHandle<u64> {
    let mut port = entrance.enter().unwrap();
    thread::spawn(move || {
        for sequence in 0..most {
            let Some(newest) = port.fetch().unwrap() else {
                return sequence;
            };
            port.submit(contribution(port.worker(), sequence, &newest)).unwrap();
        }
        most
    })
}

/// Everything for the outer step after `generation`; `left` counts the workers that left.
fn gather(gatherer: &mut Gatherer, generation: u64, reports: u64, left: &mut usize) -> Gathered {
    gatherer.publish(published(generation), reports).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !gatherer.is_full() {
        assert!(Instant::now() < deadline, "the run is blocked");
        if let Received::Left(_) = gatherer.receive(Duration::from_millis(100)).unwrap() {
            *left += 1;
        }
    }
    gatherer.take()
}

/// Waits for a thread that has to end by itself.
fn join<T>(thread: JoinHandle<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !thread.is_finished() {
        assert!(Instant::now() < deadline, "a worker does not end");
        thread::sleep(Duration::from_millis(1));
    }
    thread.join().unwrap()
}

#[test]
fn nothing_is_lost_and_nothing_counts_twice() {
    for_every_exchange(|open| {
        let (learner, entrance) = open();
        let mut gatherer = Gatherer::new(learner, 3, Vec::new());
        let workers: Vec<_> = (0..4).map(|_| diligent(entrance.as_ref(), 100)).collect();
        let (mut seen, mut duplicates, mut left) = (HashSet::new(), 0, 0);
        for generation in 0.. {
            gatherer.publish(published(generation), 16).unwrap();
            while !gatherer.is_full() && left < workers.len() {
                match gatherer.receive(Duration::from_secs(60)).unwrap() {
                    Received::Nothing => panic!("the run is blocked"),
                    Received::Contribution => (),
                    Received::Left(_) => left += 1,
                }
            }
            let gathered = gatherer.take();
            assert!(
                gathered.contributions.len() == 16 || left == workers.len(),
                "an outer step has all of its reports"
            );
            for contribution in gathered.contributions.iter().chain(&gathered.stale) {
                assert!(seen.insert((contribution.worker, contribution.sequence)), "{contribution:?} counted twice");
            }
            duplicates += gathered.duplicates;
            if left == workers.len() && gathered.contributions.is_empty() {
                break;
            }
        }
        // Those that were judged too old are among them, however many a busy machine makes too old.
        assert_eq!(seen.len(), 400);
        assert_eq!(workers.into_iter().map(join).sum::<u64>(), 400);
        assert!([0, 400].contains(&duplicates), "{duplicates}");
    });
}

#[test]
fn a_worker_sees_the_theta_that_was_published_before_its_admission() {
    for_every_exchange(|open| {
        let (learner, entrance) = open();
        let mut gatherer = Gatherer::new(learner, 0, Vec::new());
        let workers: Vec<_> = (0..3).map(|_| diligent(entrance.as_ref(), u64::MAX)).collect();
        for generation in 0..200 {
            let gathered = gather(&mut gatherer, generation, 5, &mut 0);
            assert!(gathered.contributions.iter().all(|contribution| contribution.generation == generation));
            assert_eq!((gathered.contributions.len(), gathered.stale.len()), (5, 0), "no work is done in vain");
        }
        drop(gatherer);
        assert_eq!(workers.into_iter().map(join).sum::<u64>(), 1000);
    });
}

/// A worker that begins a window, says so, and ends it when it is told to.
fn slow(entrance: &dyn Entrance, begun: Sender<()>, go: Receiver<()>) -> JoinHandle<()> {
    let mut port = entrance.enter().unwrap();
    thread::spawn(move || {
        let newest = port.fetch().unwrap().unwrap();
        begun.send(()).unwrap();
        go.recv().unwrap();
        port.submit(contribution(port.worker(), 0, &newest)).unwrap();
    })
}

#[test]
fn what_a_slow_worker_says_too_late_is_discarded_and_counted_and_the_run_goes_on_meanwhile() {
    for_every_exchange(|open| {
        let staleness = 2;
        let (learner, entrance) = open();
        let mut gatherer = Gatherer::new(learner, staleness, Vec::new());
        let ((begun, has_begun), (go, wait)) = (unbounded(), unbounded());
        let mut slow = Some(slow(entrance.as_ref(), begun, wait));
        gatherer.publish(published(0), 4).unwrap();
        // The slow one has begun before anybody else is there.
        has_begun.recv().unwrap();
        let fast: Vec<_> = (0..2).map(|_| diligent(entrance.as_ref(), u64::MAX)).collect();
        let mut stale = Vec::new();
        for generation in 0..30 {
            let gathered = gather(&mut gatherer, generation, 4, &mut 0);
            let ages = gathered.contributions.iter().map(|contribution| generation - contribution.generation);
            assert!(ages.max().unwrap() <= staleness);
            stale.extend(gathered.stale);
            if generation == 10 {
                // Its word is on its way before the others may go on: they would be done before it woke up.
                go.send(()).unwrap();
                join(slow.take().unwrap());
            }
        }
        drop(gatherer);
        for worker in fast {
            join(worker);
        }
        assert!(stale.iter().all(|contribution| contribution.worker == 0 || contribution.sequence > 0));
        assert_eq!(stale.iter().filter(|contribution| contribution.worker == 0).count(), 1, "the slow one, once");
    });
}

#[test]
fn a_worker_that_dies_with_a_window_does_not_block_those_that_wait_for_it() {
    for_every_exchange(|open| {
        let (learner, entrance) = open();
        // Staleness zero: the outer step cannot do without the window that the dead one had begun.
        let mut gatherer = Gatherer::new(learner, 0, Vec::new());
        gatherer.publish(published(0), 2).unwrap();
        for _ in 0..2 {
            let mut port = entrance.enter().unwrap();
            let dead = thread::spawn(move || {
                port.fetch().unwrap().unwrap();
                panic!("this worker dies on purpose");
            });
            assert!(dead.join().is_err());
        }
        let survivor = diligent(entrance.as_ref(), u64::MAX);
        let mut left = 0;
        for generation in 0..20 {
            assert_eq!(gather(&mut gatherer, generation, 2, &mut left).contributions.len(), 2);
        }
        assert_eq!(left, 2, "the learner was told of both");
        drop(gatherer);
        assert_eq!(join(survivor), 40);
    });
}

#[test]
fn when_the_learner_goes_every_worker_ends_whether_it_waits_or_works() {
    for_every_exchange(|open| {
        let (learner, entrance) = open();
        let mut gatherer = Gatherer::new(learner, 4, Vec::new());
        let ((begun, has_begun), (go, wait)) = (unbounded(), unbounded());
        let busy = slow(entrance.as_ref(), begun, wait);
        gatherer.publish(published(0), 1).unwrap();
        has_begun.recv().unwrap();
        let waiting: Vec<_> = (0..3).map(|_| diligent(entrance.as_ref(), u64::MAX)).collect();
        // Four of the five admissions are used up by those that wait for more then.
        gather(&mut gatherer, 0, 1, &mut 0);
        drop(gatherer);
        for worker in waiting {
            join(worker);
        }
        go.send(()).unwrap();
        join(busy);
    });
}

#[test]
fn contributions_that_waited_through_an_interruption_are_used_first_or_grow_too_old() {
    let waiting = |generation| contribution(7, generation, &published(generation));
    let (learner, _entrance) = in_process();
    let mut gatherer = Gatherer::new(Box::new(learner), 1, vec![waiting(3), waiting(5), waiting(6), waiting(6)]);
    gatherer.publish(published(6), 2).unwrap();
    assert!(gatherer.is_full());
    let gathered = gatherer.take();
    let generations = |contributions: &[Contribution]| {
        contributions.iter().map(|contribution| contribution.generation).collect::<Vec<_>>()
    };
    assert_eq!((generations(&gathered.contributions), generations(&gathered.stale)), (vec![5, 6], vec![3]));
    assert_eq!(generations(gatherer.waiting()), [6]);
    gatherer.forget_before(7);
    assert_eq!(generations(gatherer.waiting()), Vec::<u64>::new(), "that theta was bad: no checkpoint keeps it");
    gatherer.publish(published(7), 2).unwrap();
    assert_eq!(generations(&gatherer.take().stale), [6]);
}

/// The meta-loss `L(θ) = a·θ`, whose antithetic gap under `± σ n` is `2 σ a·n` wherever theta is.
const SLOPE: [f32; 5] = [0.5, -1.0, 0.25, 2.0, -0.125];

fn linear_report(particle: u64, noise: &Noise, sigma: f32) -> WindowReport {
    let position = Position { particle, episode: 0, window: 0, episode_start: 0, stage: 0 };
    let mut n = [0.0; 5];
    Method::Nres.estimator().perturbation(&mut n, position, noise);
    let gap = 2.0 * sigma * n.iter().zip(SLOPE).map(|(n, a)| n * a).sum::<f32>();
    let segment = SegmentGap { position, family: 0, steps: 1, gap, meta_loss: 0.0 };
    WindowReport { steps: 1, segments: vec![segment], ended: Vec::new() }
}

fn mean_gradient<'a>(reports: impl Iterator<Item = &'a WindowReport>, noise: &Noise, sigma: f32) -> [f32; 5] {
    let (mut sum, mut count) = ([0.0; 5], 0);
    for segment in reports.flat_map(|report| &report.segments) {
        let mut direction = [0.0; 5];
        Method::Nres.estimator().direction(&mut direction, segment.position, noise);
        add_contribution(&mut sum, &direction, segment.gap, &[sigma; 5]);
        count += 1;
    }
    sum.map(|g| g / count as f32)
}

#[test]
fn without_staleness_the_mean_gradient_of_a_linear_problem_is_that_of_the_synchronous_mode_and_near_its_slope() {
    for_every_exchange(|open| {
        let (particles, sigma) = (4000, 0.1);
        let noise = Arc::new(Noise::new(5, vec![true; 5]));
        let serial: Vec<_> = (0..particles).map(|particle| linear_report(particle, &noise, sigma)).collect();
        let (learner, entrance) = open();
        let mut gatherer = Gatherer::new(learner, 0, Vec::new());
        let (numbers, next) = unbounded();
        (0..particles).for_each(|particle| numbers.send(particle).unwrap());
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let (mut port, next, noise) = (entrance.enter().unwrap(), next.clone(), Arc::clone(&noise));
                thread::spawn(move || {
                    let mut sequence = 0;
                    while let Some(newest) = port.fetch().unwrap() {
                        let particle = next.recv().unwrap();
                        let outcome = Ok(linear_report(particle, &noise, sigma));
                        let told = contribution(port.worker(), sequence, &newest);
                        port.submit(Contribution { particle, outcome, ..told }).unwrap();
                        sequence += 1;
                    }
                })
            })
            .collect();
        let gathered = gather(&mut gatherer, 0, particles, &mut 0);
        drop(gatherer);
        workers.into_iter().for_each(join);
        let reports = gathered.contributions.iter().flat_map(|contribution| &contribution.outcome);
        let (exchanged, serial) = (mean_gradient(reports, &noise, sigma), mean_gradient(serial.iter(), &noise, sigma));
        assert_eq!(exchanged, serial, "in the order of particles the sum is the same");
        // The mean of n (a·n) is a; its entries have a standard error of about |a| / sqrt(4000).
        let error = SLOPE.iter().map(|a| a * a).sum::<f32>().sqrt() / (particles as f32).sqrt();
        assert!(exchanged.iter().zip(SLOPE).all(|(g, a)| (g - a).abs() < 5.0 * error), "{exchanged:?}");
    });
}

/// Every implementation can be sent to the thread that uses it.
#[test]
fn ports_move_between_threads() {
    fn moves<T: Send + ?Sized>() {}
    moves::<dyn WorkerPort>();
    moves::<dyn LearnerPort>();
    moves::<dyn Entrance>();
}
