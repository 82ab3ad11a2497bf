//! A report as one HTML file: inline styles, inline SVG, no network, light and dark, readable on a phone.
//!
//! Blocks are shown in the order in which they are added; figures that follow each other share a grid. The look
//! is in `page.html` beside this file.

use std::path::Path;

use minijinja::value::Serde;
use minijinja::{Environment, Value, context};
use serde::Serialize;

use crate::table::Table;
use crate::{Error, atomic_file};

#[derive(Debug, Clone, Serialize)]
struct Figure {
    svg: String,
    caption: String,
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Block {
    Section { text: String, anchor: String },
    Paragraph { text: String },
    Preformatted { text: String },
    Table { html: String },
    Figures { figures: Vec<Figure> },
}

/// A report under construction.
///
/// ```
/// use velo_comparison::Page;
/// let html = Page::new("First run").section("Result").paragraph("losses fell by 2 < 3").render();
/// assert!(html.contains("<p>losses fell by 2 &lt; 3</p>"));
/// ```
#[derive(Debug, Clone)]
pub struct Page {
    title: String,
    reload_seconds: Option<u32>,
    blocks: Vec<Block>,
}

impl Page {
    /// An empty page.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), reload_seconds: None, blocks: Vec::new() }
    }

    /// Lets a browser load the page again every so many seconds: it will be written anew.
    pub fn reloading(mut self, seconds: u32) -> Self {
        self.reload_seconds = Some(seconds);
        self
    }

    /// Begins a section with a heading.
    pub fn section(mut self, heading: impl Into<String>) -> Self {
        let anchor = format!("section-{}", self.headings().count() + 1);
        self.blocks.push(Block::Section { text: heading.into(), anchor });
        self
    }

    /// Adds a paragraph of plain text.
    pub fn paragraph(mut self, text: impl Into<String>) -> Self {
        self.blocks.push(Block::Paragraph { text: text.into() });
        self
    }

    /// Adds text whose spaces and line breaks matter, such as a configuration.
    pub fn preformatted(mut self, text: impl Into<String>) -> Self {
        self.blocks.push(Block::Preformatted { text: text.into() });
        self
    }

    /// Adds a table, sortable by a click on a column's head.
    pub fn table(mut self, table: &Table) -> Self {
        self.blocks.push(Block::Table { html: table.to_html() });
        self
    }

    /// Adds a figure made by [`crate::figure`] with the sentence that explains it.
    pub fn figure(mut self, svg: impl Into<String>, caption: impl Into<String>) -> Self {
        let figure = Figure { svg: svg.into(), caption: caption.into() };
        match self.blocks.last_mut() {
            Some(Block::Figures { figures }) => figures.push(figure),
            _ => self.blocks.push(Block::Figures { figures: vec![figure] }),
        }
        self
    }

    fn headings(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(|block| matches!(block, Block::Section { .. }))
    }

    /// The page as HTML.
    pub fn render(&self) -> String {
        let mut environment = Environment::new();
        environment.add_template("page.html", include_str!("page.html")).expect("the template is part of this crate");
        let headings = Value::from(Serde(self.headings().collect::<Vec<_>>()));
        let blocks = Value::from(Serde(&self.blocks));
        environment
            .get_template("page.html")
            .and_then(|template| {
                template.render(
                    context! { title => self.title.as_str(), reload_seconds => self.reload_seconds, headings, blocks },
                )
            })
            .expect("the template uses only what it is given")
    }

    /// Writes the page in one step.
    ///
    /// # Errors
    /// [`Error::Io`] naming the path.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        atomic_file::write(path, self.render())
    }

    /// Writes every figure into `folder` as a file of its own, on white, named after its section and its place
    /// there: `learning-curves-2.svg`.
    ///
    /// # Errors
    /// [`Error::Io`] naming the path.
    pub fn write_figures(&self, folder: impl AsRef<Path>) -> Result<(), Error> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.to_owned(), source })?;
        let (mut section, mut place) = ("figure".to_owned(), 0);
        for block in &self.blocks {
            match block {
                Block::Section { text, .. } => (section, place) = (file_name(text), 0),
                Block::Figures { figures } => {
                    for figure in figures {
                        place += 1;
                        let path = folder.join(format!("{section}-{place}.svg"));
                        atomic_file::write(path, on_white(&figure.svg))?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Lower-case words joined by dashes.
fn file_name(heading: &str) -> String {
    let words = heading.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

/// A figure that brings its own paper and ink, where no page gives it any.
fn on_white(svg: &str) -> String {
    match svg.split_once('>') {
        Some((opening, rest)) => {
            format!("{opening} color=\"#1a1d21\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>{rest}")
        }
        None => svg.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Align;

    #[test]
    fn a_page_holds_its_blocks_in_order_and_nothing_from_the_network() {
        let mut table = Table::new([("task", Align::Left)]);
        table.push(vec!["digits".into()]);
        let html =
            Page::new("a & b").section("First").paragraph("text").table(&table).figure("<svg></svg>", "c").render();
        let places: Vec<usize> = ["<h1>a &amp; b</h1>", "First</h2>", "<p>text</p>", "digits", "<svg></svg>"]
            .iter()
            .map(|part| html.find(part).unwrap_or_else(|| panic!("{part} is missing")))
            .collect();
        assert!(places.is_sorted(), "{places:?}");
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!html.contains(outside), "{outside}");
        }
    }

    #[test]
    fn figures_are_written_on_white_and_named_after_their_section() {
        let folder = tempfile::tempdir().unwrap();
        let page =
            Page::new("t").section("Learning curves!").figure("<svg a=\"1\"><g/></svg>", "a").figure("<svg>", "b");
        page.write_figures(folder.path().join("figures")).unwrap();
        let first = std::fs::read_to_string(folder.path().join("figures/learning-curves-1.svg")).unwrap();
        assert!(first.starts_with("<svg a=\"1\" color=\"#1a1d21\">\n<rect"), "{first}");
        assert!(first.ends_with("<g/></svg>"), "{first}");
        assert!(folder.path().join("figures/learning-curves-2.svg").exists());
    }

    #[test]
    fn neighbouring_figures_share_a_grid() {
        let page = Page::new("t").figure("<svg/>", "a").figure("<svg/>", "b").paragraph("p").figure("<svg/>", "c");
        assert_eq!(page.render().matches("class=\"figures\"").count(), 2);
    }
}
