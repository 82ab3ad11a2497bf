//! Grammars: nouns with their genders and forms, adjectives with their endings, and templates of sentences.
//!
//! Templates are chosen so that noun phrases stand in the nominative wherever a language allows it; what remains of
//! agreement (gender, number, article, elision, genitive plurals in Russian, ablatives in Turkish) is done here.
//! Places in templates: `{a}`, `{b}` definite phrases, `{than b}` the standard of a comparison, `{p}` an indefinite
//! phrase, `{n}` things to be counted, `{de n}` the same after French `de`, `{how_many}`, `{relation}`, `{list}`.

mod english;
mod french;
mod german;
mod italian;
mod portuguese;
mod russian;
mod spanish;
mod turkish;

use super::Pattern;
use crate::description::{Color, Language, Material, Shape, Size};

/// Grammatical gender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gender {
    Masculine,
    Feminine,
    Neuter,
}

/// A word for a shape.
#[derive(Debug)]
pub(super) struct Noun {
    pub(super) gender: Gender,
    pub(super) one: &'static str,
    /// After "how many".
    pub(super) many: &'static str,
    /// As the standard of a comparison, where that is a form of its own.
    pub(super) than: &'static str,
}

/// Forms: masculine, feminine, neuter singular (in German those after an indefinite article); masculine, feminine
/// plural.
#[derive(Debug)]
pub(super) struct Adjective(pub(super) [&'static str; 5]);

/// All that is needed to write in a language; arrays are in the order of the enums of [`crate::description`].
#[derive(Debug)]
pub(super) struct Grammar {
    pub(super) nouns: [Noun; 17],
    pub(super) colors: [Adjective; 8],
    pub(super) sizes: [Adjective; 2],
    /// "of rubber", as it stands in a noun phrase.
    pub(super) of_material: [&'static str; 3],
    pub(super) material_names: [&'static str; 3],
    pub(super) and_: &'static str,
    pub(super) yes_no: [&'static str; 2],
    /// Masculine and feminine.
    pub(super) how_many: [&'static str; 2],
    /// Left, right, closer, farther.
    pub(super) relations: [&'static str; 4],
    pub(super) shows: &'static [&'static str],
    pub(super) relates: &'static [&'static str],
    pub(super) asks_count: &'static [&'static str],
    pub(super) asks_existence: &'static [&'static str],
    pub(super) asks_color: &'static [&'static str],
    pub(super) asks_material: &'static [&'static str],
    pub(super) asks_shape: &'static [&'static str],
    pub(super) asks_size: &'static [&'static str],
    pub(super) asks_relation: &'static [&'static str],
    pub(super) asks_collision: &'static [&'static str],
    pub(super) asks_reading: &'static [&'static str],
}

/// The grammar of a language.
pub(super) fn grammar(language: Language) -> &'static Grammar {
    match language {
        Language::English => &english::ENGLISH,
        Language::German => &german::GERMAN,
        Language::French => &french::FRENCH,
        Language::Spanish => &spanish::SPANISH,
        Language::Italian => &italian::ITALIAN,
        Language::Portuguese => &portuguese::PORTUGUESE,
        Language::Turkish => &turkish::TURKISH,
        Language::Russian => &russian::RUSSIAN,
    }
}

/// The role of a noun phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// "a red cube"
    Some,
    /// "the red cube"
    The,
    /// "than the red cube"
    Than,
    /// "red cubes"
    Many,
}

pub(super) fn noun(language: Language, shape: Option<Shape>) -> &'static Noun {
    &grammar(language).nouns[shape.unwrap_or(Shape::Custom) as usize]
}

fn starts_with_vowel(word: &str) -> bool {
    word.chars().next().is_some_and(|c| "aeiouéèêàœAEIOUÉ".contains(c))
}

/// An adjective in the form that its noun and role ask for.
fn inflected(language: Language, adjective: &Adjective, gender: Gender, role: Role) -> &'static str {
    let [masculine, feminine, neuter, many_masculine, many_feminine] = adjective.0;
    match (role, gender) {
        (Role::Many, Gender::Feminine) => many_feminine,
        (Role::Many, _) => many_masculine,
        // After the definite article German adjectives end in -e whatever the gender.
        (Role::The | Role::Than, _) if language == Language::German => feminine,
        (_, Gender::Masculine) => masculine,
        (_, Gender::Feminine) => feminine,
        (_, Gender::Neuter) => neuter,
    }
}

/// The article of a phrase that goes on with `next`, with the space or apostrophe behind it.
fn article(language: Language, gender: Gender, role: Role, next: &str) -> &'static str {
    use Gender::{Feminine, Masculine, Neuter};
    let vowel = starts_with_vowel(next);
    match (language, role) {
        (Language::Turkish | Language::Russian, _) | (_, Role::Many) => "",
        (Language::English, Role::Some) => {
            if vowel {
                "an "
            } else {
                "a "
            }
        }
        (Language::English, _) => "the ",
        (Language::German, Role::Some) => {
            if gender == Feminine {
                "eine "
            } else {
                "ein "
            }
        }
        (Language::German, _) => match gender {
            Masculine => "der ",
            Feminine => "die ",
            Neuter => "das ",
        },
        (Language::French, Role::Some) => {
            if gender == Feminine {
                "une "
            } else {
                "un "
            }
        }
        (Language::French, _) if vowel => "l’",
        (Language::French, _) => {
            if gender == Feminine {
                "la "
            } else {
                "le "
            }
        }
        (Language::Spanish, Role::Some) => {
            if gender == Feminine {
                "una "
            } else {
                "un "
            }
        }
        (Language::Spanish, _) => {
            if gender == Feminine {
                "la "
            } else {
                "el "
            }
        }
        (Language::Italian, Role::Some) => match gender {
            Feminine if vowel => "un’",
            Feminine => "una ",
            _ => "un ",
        },
        (Language::Italian, Role::Than) if vowel => "dell’",
        (Language::Italian, Role::Than) => {
            if gender == Feminine {
                "della "
            } else {
                "del "
            }
        }
        (Language::Italian, _) if vowel => "l’",
        (Language::Italian, _) => {
            if gender == Feminine {
                "la "
            } else {
                "il "
            }
        }
        (Language::Portuguese, Role::Some) => {
            if gender == Feminine {
                "uma "
            } else {
                "um "
            }
        }
        (Language::Portuguese, _) => {
            if gender == Feminine {
                "a "
            } else {
                "o "
            }
        }
    }
}

/// A pattern as a noun phrase.
pub(super) fn phrase(language: Language, pattern: &Pattern, role: Role) -> String {
    let grammar = grammar(language);
    let noun = noun(language, pattern.shape);
    let gender = noun.gender;
    let word = match role {
        Role::Many => noun.many,
        Role::Than if !noun.than.is_empty() => noun.than,
        _ => noun.one,
    };
    let size = pattern.size.map(|size| inflected(language, &grammar.sizes[size as usize], gender, role));
    let color = pattern.color.map(|color| inflected(language, &grammar.colors[color as usize], gender, role));
    let material = pattern.material.map(|material| grammar.of_material[material as usize]);
    let one = (language == Language::Turkish && role == Role::Some).then_some("bir");
    let word = Some(word);
    let order = match language {
        Language::English => [size, color, material, word, None],
        Language::Turkish => [size, color, material, one, word],
        Language::German | Language::Russian => [size, color, word, material, None],
        Language::French => [size, word, color, material, None],
        Language::Spanish | Language::Italian | Language::Portuguese => [word, color, size, material, None],
    };
    let text = order.into_iter().flatten().collect::<Vec<_>>().join(" ");
    format!("{}{text}", article(language, gender, role, &text))
}

/// Phrases joined by commas and "and".
pub(super) fn list(language: Language, phrases: &[String]) -> String {
    match phrases {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} {} {last}", first.join(", "), grammar(language).and_),
    }
}

/// "de" before things to be counted, elided before vowels.
pub(super) fn french_de(phrase: &str) -> String {
    if starts_with_vowel(phrase) { format!("d’{phrase}") } else { format!("de {phrase}") }
}

/// The word for a colour alone.
pub(super) fn color_name(language: Language, color: Color) -> String {
    let form = grammar(language).colors[color as usize].0[0];
    // The German citation form has no ending.
    if language == Language::German { form.strip_suffix("er").unwrap_or(form).to_owned() } else { form.to_owned() }
}

/// The word for a size alone.
pub(super) fn size_name(language: Language, size: Size) -> String {
    let form = grammar(language).sizes[size as usize].0[0];
    if language == Language::German { form.strip_suffix("er").unwrap_or(form).to_owned() } else { form.to_owned() }
}

/// The word for a material alone.
pub(super) fn material_name(language: Language, material: Material) -> String {
    grammar(language).material_names[material as usize].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(shape: Shape) -> Pattern {
        Pattern {
            size: Some(Size::Large),
            color: Some(Color::Red),
            material: Some(Material::Metal),
            shape: Some(shape),
        }
    }

    #[test]
    fn phrases_agree_in_every_language() {
        use Language::*;
        let table = [
            (English, Shape::Cube, Role::Some, "a large red metal cube"),
            (German, Shape::Sphere, Role::Some, "eine große rote Kugel aus Metall"),
            (German, Shape::Cube, Role::Some, "ein großer roter Würfel aus Metall"),
            (German, Shape::Cube, Role::The, "der große rote Würfel aus Metall"),
            (German, Shape::Gear, Role::Some, "ein großes rotes Zahnrad aus Metall"),
            (French, Shape::Star, Role::The, "la grande étoile rouge en métal"),
            (Spanish, Shape::Sphere, Role::Many, "esferas rojas grandes de metal"),
            (Italian, Shape::Torus, Role::Than, "dell’anello rosso grande di metallo"),
            (Italian, Shape::Sphere, Role::Than, "della sfera rossa grande di metallo"),
            (Portuguese, Shape::Torus, Role::Many, "anéis vermelhos grandes de metal"),
            (Turkish, Shape::Cube, Role::Some, "büyük kırmızı metal bir küp"),
            (Turkish, Shape::Sphere, Role::Than, "büyük kırmızı metal küreden"),
            (Russian, Shape::Torus, Role::The, "большое красное кольцо из металла"),
            (Russian, Shape::Star, Role::Many, "больших красных звёзд из металла"),
        ];
        for (language, shape, role, expected) in table {
            assert_eq!(phrase(language, &of(shape), role), expected, "{language:?}");
        }
    }

    #[test]
    fn articles_elide() {
        let any = Pattern::default();
        assert_eq!(phrase(Language::French, &any, Role::The), "l’objet");
        assert_eq!(phrase(Language::English, &any, Role::Some), "an object");
        assert_eq!(phrase(Language::Italian, &any, Role::The), "l’oggetto");
        assert_eq!(french_de(&phrase(Language::French, &any, Role::Many)), "d’objets");
    }
}
