//! Sentences about scenes: captions, and questions with their answers, in eight languages.
//!
//! What is said is decided first, as a [`Meaning`]; only then it is worded by the grammar of a language, in one of
//! several ways. An object is mentioned only if it is seen well enough, is named by words that fit no other visible
//! object, and comparisons are made only beyond a margin. A caption mentions some of the objects, so it determines its
//! scene only so far. `check` re-derives every answer by a path of its own.

pub(crate) mod check;
mod facts;
mod languages;

pub use facts::{Fact, facts};

use serde::{Deserialize, Serialize};

use crate::description::{Collision, Color, Language, Material, Scene, Shape, Size};
use crate::random::Stream;
use facts::{DEPTH_MARGIN, SIDE_MARGIN};
use languages::{Role, color_name, french_de, grammar, list, material_name, noun, phrase, size_name};

/// Words that pick out objects; what is absent fits everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pattern {
    /// The word for the size.
    pub size: Option<Size>,
    /// The word for the colour.
    pub color: Option<Color>,
    /// The word for the material.
    pub material: Option<Material>,
    /// The word for the shape.
    pub shape: Option<Shape>,
}

/// Comparisons as the first camera sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relation {
    /// Further left in the picture.
    Left,
    /// Further right in the picture.
    Right,
    /// At a smaller depth.
    Closer,
    /// At a larger depth.
    Farther,
}

impl Relation {
    const ALL: [Self; 4] = [Self::Left, Self::Right, Self::Closer, Self::Farther];
}

/// What a sentence says or asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Meaning {
    /// These are in the picture.
    Shows(Vec<Pattern>),
    /// One is related to another; as a question: is it?
    Relates(Pattern, Relation, Pattern),
    /// How many are there?
    Count(Pattern),
    /// Is there one?
    Exists(Pattern),
    /// What colour is it?
    ColorOf(Pattern),
    /// What is it made of?
    MaterialOf(Pattern),
    /// What shape is it?
    ShapeOf(Pattern),
    /// How large is it?
    SizeOf(Pattern),
    /// Do they collide during the clip?
    Collide(Pattern, Pattern),
    /// What is written, from left to right?
    Reading,
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Yes or no.
    Truth(bool),
    /// A number.
    Number(usize),
    /// A colour.
    Color(Color),
    /// A material.
    Material(Material),
    /// A shape.
    Shape(Shape),
    /// A size.
    Size(Size),
    /// What is written.
    Text(String),
}

/// One sentence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sentence {
    /// Its language.
    pub language: Language,
    /// Its words.
    pub text: String,
    /// What it says or asks.
    pub meaning: Meaning,
    /// The answer, if it is a question.
    pub answer: Option<Answer>,
    /// The answer in words.
    pub answer_text: Option<String>,
}

/// The texts of a scene.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Texts {
    /// The frame of the first camera that they speak about.
    pub frame: usize,
    /// What may be said.
    pub facts: Vec<Fact>,
    /// Captions and questions.
    pub sentences: Vec<Sentence>,
}

/// Writes the texts of a scene about the facts of `frame`.
pub fn write(scene: &Scene, facts: Vec<Fact>, frame: usize, settings: &crate::description::Text) -> Texts {
    let mut sentences = Vec::new();
    for &language in &settings.languages {
        // One stream per language: adding a language leaves the others as they were.
        let mut stream = Stream::new(scene.seed, &format!("text {}", language.name()), 0);
        let writer = Writer { scene, facts: &facts, language };
        for _ in 0..settings.captions {
            sentences.extend(writer.caption(&mut stream));
        }
        let mut asked: Vec<Meaning> = Vec::new();
        for _ in 0..settings.questions {
            // Some draws have nothing to ask about; the number of tries is bounded.
            let fresh = (0..20).find_map(|_| writer.question(&mut stream).filter(|s| !asked.contains(&s.meaning)));
            if let Some(sentence) = fresh {
                asked.push(sentence.meaning.clone());
                sentences.push(sentence);
            }
        }
    }
    Texts { frame, facts, sentences }
}

struct Writer<'a> {
    scene: &'a Scene,
    facts: &'a [Fact],
    language: Language,
}

impl Writer<'_> {
    fn clear(&self) -> Vec<&Fact> {
        self.facts.iter().filter(|fact| fact.is_clear).collect()
    }

    /// Words that fit this object and no other one that is seen, as few as a random order of words allows.
    fn unique(&self, fact: &Fact, without: Option<usize>, stream: &mut Stream) -> Option<Pattern> {
        let mut order = [0usize, 1, 2, 3];
        for i in (1..4).rev() {
            order.swap(i, stream.below(i + 1));
        }
        // A noun is part of most phrases.
        if without != Some(3) && stream.chance(0.8) {
            order.sort_by_key(|&word| word != 3);
        }
        let mut pattern = Pattern::default();
        let is_unique = |p: &Pattern| self.facts.iter().filter(|f| f.is_seen && f.fits(p)).count() == 1;
        for word in order.into_iter().filter(|word| Some(*word) != without) {
            if is_unique(&pattern) && pattern != Pattern::default() {
                break;
            }
            match word {
                0 => pattern.size = fact.size,
                1 => pattern.color = fact.color,
                2 => pattern.material = Some(fact.material),
                _ => pattern.shape = Some(fact.shape),
            }
        }
        is_unique(&pattern).then_some(pattern)
    }

    /// Two different clear objects with words of their own.
    fn two(&self, stream: &mut Stream) -> Option<[(&Fact, Pattern); 2]> {
        let clear = self.clear();
        if clear.len() < 2 {
            return None;
        }
        let first = stream.below(clear.len());
        let second = (first + 1 + stream.below(clear.len() - 1)) % clear.len();
        let (a, b) = (clear[first], clear[second]);
        Some([(a, self.unique(a, None, stream)?), (b, self.unique(b, None, stream)?)])
    }

    fn holds(&self, a: &Fact, relation: Relation, b: &Fact) -> Option<bool> {
        let margin = SIDE_MARGIN * self.scene.image.width as f64;
        let (difference, margin) = match relation {
            Relation::Left => (b.x - a.x, margin),
            Relation::Right => (a.x - b.x, margin),
            Relation::Closer => (b.depth - a.depth, DEPTH_MARGIN * a.depth.min(b.depth)),
            Relation::Farther => (a.depth - b.depth, DEPTH_MARGIN * a.depth.min(b.depth)),
        };
        (difference.abs() > margin).then_some(difference > 0.0)
    }

    fn caption(&self, stream: &mut Stream) -> Option<Sentence> {
        if stream.chance(0.35)
            && let Some([(a, pa), (b, pb)]) = self.two(stream)
        {
            let relation = *stream.pick(&Relation::ALL);
            if self.holds(a, relation, b) == Some(true) {
                return Some(self.sentence(Meaning::Relates(pa, relation, pb), None, stream));
            }
        }
        let mut clear = self.clear();
        let wanted = 1 + stream.below(3);
        while clear.len() > wanted {
            clear.remove(stream.below(clear.len()));
        }
        if clear.is_empty() {
            return None;
        }
        let some_words = |fact: &&Fact| Pattern {
            size: fact.size.filter(|_| stream.chance(0.4)),
            color: fact.color.filter(|_| stream.chance(0.7)),
            material: Some(fact.material).filter(|m| *m != Material::Paper && stream.chance(0.3)),
            shape: Some(fact.shape),
        };
        let patterns = clear.iter().map(some_words).collect();
        Some(self.sentence(Meaning::Shows(patterns), None, stream))
    }

    /// A question of a random family. The answer is drawn first, evenly from those that questions of the family can have in
    /// this scene, so that none is likelier than another; a family with one possible answer is not asked.
    fn question(&self, stream: &mut Stream) -> Option<Sentence> {
        let clear = self.clear();
        let candidates: Vec<(Meaning, Answer)> = match stream.below(9) {
            0 | 1 => {
                let is_count = stream.chance(0.5);
                let patterns: Vec<_> = (0..8).map(|_| self.any_pattern(stream)).collect();
                // What is seen but not clearly would make the number a matter of opinion.
                let is_plain = |p: &Pattern| !self.facts.iter().any(|f| f.is_seen && !f.is_clear && f.fits(p));
                let asked = |p: Pattern| {
                    let count = clear.iter().filter(|f| f.fits(&p)).count();
                    if is_count {
                        (Meaning::Count(p), Answer::Number(count))
                    } else {
                        (Meaning::Exists(p), Answer::Truth(count > 0))
                    }
                };
                patterns.into_iter().filter(is_plain).map(asked).collect()
            }
            word @ 2..=5 => {
                let asked = |fact: &&Fact| {
                    let pattern = self.unique(fact, Some(word - 2), stream)?;
                    Some(match word {
                        2 => (Meaning::SizeOf(pattern), Answer::Size(fact.size?)),
                        3 => (Meaning::ColorOf(pattern), Answer::Color(fact.color?)),
                        4 => (Meaning::MaterialOf(pattern), Answer::Material(fact.material)),
                        _ => (Meaning::ShapeOf(pattern), Answer::Shape(fact.shape)),
                    })
                };
                clear.iter().filter_map(asked).collect()
            }
            6 => {
                let relation = *stream.pick(&Relation::ALL);
                let asked = |(a, pa): &(&Fact, Pattern), (b, pb): &(&Fact, Pattern)| {
                    Some((Meaning::Relates(*pa, relation, *pb), Answer::Truth(self.holds(a, relation, b)?)))
                };
                self.pairs(asked, stream)
            }
            7 if self.scene.video.frames > 1 => {
                let last = (self.scene.video.frames - 1) as f64;
                let asked = |(a, pa): &(&Fact, Pattern), (b, pb): &(&Fact, Pattern)| {
                    let ids = [a.id.min(b.id), a.id.max(b.id)];
                    let meets = |c: &Collision| c.ids == ids && c.frame >= 0.0 && c.frame <= last;
                    Some((Meaning::Collide(*pa, *pb), Answer::Truth(self.scene.collisions.iter().any(meets))))
                };
                self.pairs(asked, stream)
            }
            8 => return self.reading(stream),
            _ => return None,
        };
        let (meaning, answer) = evenly(candidates, stream)?;
        Some(self.sentence(meaning, Some(answer), stream))
    }

    /// What can be asked about two different clear objects with words of their own, in both orders.
    fn pairs(
        &self,
        asked: impl Fn(&(&Fact, Pattern), &(&Fact, Pattern)) -> Option<(Meaning, Answer)>,
        stream: &mut Stream,
    ) -> Vec<(Meaning, Answer)> {
        let named: Vec<_> =
            self.clear().into_iter().filter_map(|fact| Some((fact, self.unique(fact, None, stream)?))).collect();
        let all = named.iter().flat_map(|a| named.iter().map(move |b| (a, b)));
        all.filter(|(a, b)| a.0.id != b.0.id).filter_map(|(a, b)| asked(a, b)).collect()
    }

    /// What is written, if all of it can be read.
    fn reading(&self, stream: &mut Stream) -> Option<Sentence> {
        let mut signs: Vec<_> = self.facts.iter().filter(|f| f.shape == Shape::Sign && f.is_seen).collect();
        if signs.is_empty() {
            return None;
        }
        signs.sort_by(|a, b| a.x.total_cmp(&b.x));
        let words: Option<Vec<_>> = signs.iter().map(|sign| sign.text.clone()).collect();
        Some(self.sentence(Meaning::Reading, Some(Answer::Text(words?.join(" "))), stream))
    }

    /// Words of some object, or of none.
    fn any_pattern(&self, stream: &mut Stream) -> Pattern {
        let (shape, color) = if self.facts.is_empty() {
            (*stream.pick(Shape::ALL), None)
        } else {
            (stream.pick(self.facts).shape, stream.pick(self.facts).color)
        };
        let color = if stream.chance(0.3) { Some(*stream.pick(Color::ALL)) } else { color };
        let has_colors = self.facts.iter().all(|f| f.color.is_some());
        Pattern {
            shape: Some(shape).filter(|_| stream.chance(0.8)),
            color: color.filter(|_| has_colors && stream.chance(0.6)),
            ..Pattern::default()
        }
    }

    /// Words a meaning in one of several ways.
    fn sentence(&self, meaning: Meaning, answer: Option<Answer>, stream: &mut Stream) -> Sentence {
        let grammar = grammar(self.language);
        let the = |p: &Pattern| phrase(self.language, p, Role::The);
        let is_question = answer.is_some();
        let pick = |templates: &[&'static str], stream: &mut Stream| (*stream.pick(templates)).to_owned();
        let text = match &meaning {
            Meaning::Shows(patterns) => {
                let phrases: Vec<_> = patterns.iter().map(|p| phrase(self.language, p, Role::Some)).collect();
                pick(grammar.shows, stream).replace("{list}", &list(self.language, &phrases))
            }
            Meaning::Relates(a, relation, b) => {
                let templates = if is_question { grammar.asks_relation } else { grammar.relates };
                pick(templates, stream)
                    .replace("{relation}", grammar.relations[*relation as usize])
                    .replace("{a}", &the(a))
                    .replace("{than b}", &phrase(self.language, b, Role::Than))
                    .replace("{b}", &the(b))
            }
            Meaning::Count(p) => {
                let many = phrase(self.language, p, Role::Many);
                let is_feminine = noun(self.language, p.shape).gender == languages::Gender::Feminine;
                pick(grammar.asks_count, stream)
                    .replace("{how_many}", grammar.how_many[usize::from(is_feminine)])
                    .replace("{de n}", &french_de(&many))
                    .replace("{n}", &many)
            }
            Meaning::Exists(p) => {
                pick(grammar.asks_existence, stream).replace("{p}", &phrase(self.language, p, Role::Some))
            }
            Meaning::ColorOf(p) => pick(grammar.asks_color, stream).replace("{a}", &the(p)),
            Meaning::MaterialOf(p) => pick(grammar.asks_material, stream).replace("{a}", &the(p)),
            Meaning::ShapeOf(p) => pick(grammar.asks_shape, stream).replace("{a}", &the(p)),
            Meaning::SizeOf(p) => pick(grammar.asks_size, stream).replace("{a}", &the(p)),
            Meaning::Collide(a, b) => {
                pick(grammar.asks_collision, stream).replace("{a}", &the(a)).replace("{b}", &the(b))
            }
            Meaning::Reading => pick(grammar.asks_reading, stream),
        };
        let answer_text = answer.as_ref().map(|answer| self.answer_text(answer));
        Sentence { language: self.language, text: capitalised(&text), meaning, answer, answer_text }
    }

    fn answer_text(&self, answer: &Answer) -> String {
        match answer {
            Answer::Truth(truth) => grammar(self.language).yes_no[usize::from(!truth)].to_owned(),
            Answer::Number(number) => number.to_string(),
            Answer::Color(color) => color_name(self.language, *color),
            Answer::Material(material) => material_name(self.language, *material),
            Answer::Shape(shape) => noun(self.language, Some(*shape)).one.to_owned(),
            Answer::Size(size) => size_name(self.language, *size),
            Answer::Text(text) => text.clone(),
        }
    }
}

/// One of the candidates: first an answer, evenly from the different ones, then one of those that have it. Nothing unless
/// there are two answers.
fn evenly(candidates: Vec<(Meaning, Answer)>, stream: &mut Stream) -> Option<(Meaning, Answer)> {
    let mut answers: Vec<&Answer> = Vec::new();
    for (_, answer) in &candidates {
        if !answers.contains(&answer) {
            answers.push(answer);
        }
    }
    if answers.len() < 2 {
        return None;
    }
    let answer = *stream.pick(&answers);
    let those: Vec<_> = candidates.iter().filter(|candidate| candidate.1 == *answer).collect();
    Some((*stream.pick(&those)).clone())
}

/// With a capital first letter, behind an inverted question mark if there is one.
fn capitalised(text: &str) -> String {
    let start = text.find(|c: char| c != '¿').unwrap_or(0);
    let (mark, rest) = text.split_at(start);
    let mut letters = rest.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{mark}{first}{}", letters.as_str())
}
