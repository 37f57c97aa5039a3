//! The paths that one file's production code names, resolved as far as names alone allow.

use std::collections::BTreeSet;

use crate::lexer::{Token, tokens};

/// One file's production code: what lies under `#[cfg(test)]` is gone.
pub(crate) struct Production<'a> {
    tokens: Vec<Token<'a>>,
    /// The modules in files of their own that this file declares.
    pub(crate) modules: Vec<Module<'a>>,
}

/// A module in a file of its own: `mod name;`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Module<'a> {
    pub(crate) name: &'a str,
    /// Its `#[path]`, if it has one: from the folder of the file that declares it.
    pub(crate) path: Option<&'a str>,
    /// Whether it is there for tests only.
    pub(crate) is_test: bool,
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A module or item of this crate, from the crate's root.
    Inside(Vec<String>),
    /// Another crate, its name first.
    Outside(Vec<String>),
}

/// One path and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) line: usize,
    pub(crate) target: Target,
}

impl<'a> Production<'a> {
    pub(crate) fn read(source: &'a str) -> Self {
        let all = tokens(source);
        let mut production = Self { tokens: vec![], modules: vec![] };
        let mut at = 0;
        while let Some(&token) = all.get(at) {
            if is_test_attribute(&all, at) {
                let end = item_end(&all, at);
                production.modules.extend(modules(all.get(at..end).unwrap_or_default(), true));
                at = end;
            } else {
                production.tokens.push(token);
                at += 1;
            }
        }
        production.modules.extend(modules(&production.tokens, false));
        production
    }

    /// Returns every path named in the module `home`. Of names without `crate`, `self` or `super`
    /// in front only those of `crates`, and of modules declared here, are known.
    pub(crate) fn mentions(&self, home: &[String], crates: &BTreeSet<String>) -> Vec<Mention> {
        let children = self.children();
        let mut reader = Reader { tokens: &self.tokens, found: vec![] };
        let mut inline: Vec<(usize, &str)> = vec![];
        let (mut depth, mut at, mut mentions) = (0_usize, 0, vec![]);
        while let Some(token) = self.tokens.get(at) {
            match token.text {
                "{" => depth += 1,
                "}" => {
                    depth = depth.saturating_sub(1);
                    inline.retain(|(opened, _)| *opened < depth);
                }
                "mod" if reader.text(at + 2) == "{" => inline.push((depth, reader.text(at + 1))),
                _ => {}
            }
            let end = reader.path_at(at);
            for (line, path) in reader.found.drain(..) {
                let inside = inline.iter().map(|(_, module)| (*module).to_owned());
                let module: Vec<_> = home.iter().cloned().chain(inside).collect();
                let target = resolve(&path, &module, &children, crates);
                mentions.extend(target.map(|target| Mention { line, target }));
            }
            at = end.max(at + 1);
        }
        mentions
    }

    fn children(&self) -> BTreeSet<&'a str> {
        self.tokens
            .windows(2)
            .filter_map(|pair| match pair {
                [first, name] if first.text == "mod" => Some(name.text),
                _ => None,
            })
            .collect()
    }
}

/// The keywords that a path can follow.
const KEYWORDS: &[&str] = &[
    "as", "break", "const", "dyn", "else", "for", "if", "impl", "in", "let", "match", "move",
    "mut", "pub", "ref", "return", "static", "type", "unsafe", "use", "where", "while", "yield",
];

struct Reader<'a> {
    tokens: &'a [Token<'a>],
    /// Line and segments; a leading `::` is an empty first segment.
    found: Vec<(usize, Vec<&'a str>)>,
}

impl<'a> Reader<'a> {
    fn text(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |t| t.text)
    }

    /// Reads the path that starts at `at`, if one does, and returns where to go on.
    fn path_at(&mut self, at: usize) -> usize {
        let before = at.checked_sub(1).map_or("", |i| self.text(i));
        let imports = before == "use" || self.is_extern_crate(at);
        let is_start = self.text(at + 1) == "::" && self.is_name(at) && before != "::";
        match self.text(at) {
            "::" if imports || !self.ends_a_segment(at) => self.tree(at + 1, &[""]),
            _ if imports || is_start => self.tree(at, &[]),
            _ => at,
        }
    }

    fn is_name(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|t| t.is_word() && !KEYWORDS.contains(&t.text))
    }

    /// Whether what stands before `at`, a name or generic arguments, can be followed by a `::`.
    fn ends_a_segment(&self, at: usize) -> bool {
        let back = |n| at.checked_sub(n).map_or("", |i| self.text(i));
        let is_arrow = back(1) == ">" && ["-", "="].contains(&back(2));
        (back(1) == ">" && !is_arrow) || at.checked_sub(1).is_some_and(|i| self.is_name(i))
    }

    fn is_extern_crate(&self, at: usize) -> bool {
        at >= 2 && self.text(at - 1) == "crate" && self.text(at - 2) == "extern"
    }

    /// Reads `a::b`, `a::{b, c::*}` and the like; returns the position after it.
    fn tree(&mut self, at: usize, prefix: &[&'a str]) -> usize {
        let Some(token) = self.tokens.get(at) else { return at };
        if token.text == "{" {
            return self.group(at + 1, prefix);
        }
        if !token.is_word() && token.text != "*" {
            return at;
        }
        let path: Vec<_> = prefix.iter().copied().chain([token.text]).collect();
        let next = self.tokens.get(at + 2);
        if self.text(at + 1) == "::"
            && next.is_some_and(|t| t.is_word() || ["{", "*"].contains(&t.text))
        {
            return self.tree(at + 2, &path);
        }
        self.found.push((token.line, path));
        at + 1
    }

    fn group(&mut self, mut at: usize, prefix: &[&'a str]) -> usize {
        loop {
            match self.text(at) {
                "" => return at,
                "}" => return at + 1,
                "as" => at += 2,
                _ => at = self.tree(at, prefix).max(at + 1),
            }
        }
    }
}

fn is_test_attribute(all: &[Token<'_>], at: usize) -> bool {
    let starts = |words: &[&str]| {
        words.iter().enumerate().all(|(i, w)| all.get(at + i).is_some_and(|t| t.text == *w))
    };
    starts(&["#", "[", "cfg", "(", "test", ")"])
        || starts(&["#", "[", "cfg", "(", "all", "(", "test"])
}

/// The position after the item whose attributes start at `at`: its `;`, or its closing brace.
fn item_end(all: &[Token<'_>], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(token) = all.get(at) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth == 0 => return at,
            ")" | "]" | "}" => {
                depth -= 1;
                if depth == 0 && token.text == "}" {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
        at += 1;
    }
    at
}

fn modules<'a>(tokens: &[Token<'a>], is_test: bool) -> Vec<Module<'a>> {
    let mut path = None;
    let mut found = vec![];
    for three in tokens.windows(3) {
        match three.iter().map(|t| t.text).collect::<Vec<_>>()[..] {
            ["path", "=", text] => path = Some(text.trim_matches('"')),
            ["mod", name, ";"] => found.push(Module { name, path: path.take(), is_test }),
            [_, ";" | "{" | "}", _] => path = None,
            _ => {}
        }
    }
    found
}

fn resolve(
    path: &[&str],
    module: &[String],
    children: &BTreeSet<&str>,
    crates: &BTreeSet<String>,
) -> Option<Target> {
    let path = path.strip_suffix(&["self"]).filter(|rest| !rest.is_empty()).unwrap_or(path);
    let join = |base: &[String], rest: &[&str]| {
        Target::Inside(base.iter().cloned().chain(rest.iter().map(|s| (*s).to_owned())).collect())
    };
    let (first, rest) = path.split_first()?;
    match *first {
        "" => Some(Target::Outside(rest.iter().map(|s| (*s).to_owned()).collect())),
        "crate" => Some(join(&[], rest)),
        "self" | "super" => {
            let ups = path.iter().take_while(|s| **s == "super").count();
            let rest = path.iter().skip_while(|s| ["self", "super"].contains(s));
            let base = module.get(..module.len().saturating_sub(ups))?;
            Some(join(base, &rest.copied().collect::<Vec<_>>()))
        }
        name if children.contains(name) => Some(join(module, path)),
        name if crates.contains(name) => {
            Some(Target::Outside(path.iter().map(|s| (*s).to_owned()).collect()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mentions(source: &str) -> Vec<String> {
        let home = ["ports".to_owned(), "clock".to_owned()];
        let crates = ["std", "tokio", "bytes"].map(str::to_owned).into();
        Production::read(source)
            .mentions(&home, &crates)
            .into_iter()
            .map(|m| match m.target {
                Target::Inside(path) => format!("{} crate::{}", m.line, path.join("::")),
                Target::Outside(path) => format!("{} {}", m.line, path.join("::")),
            })
            .collect()
    }

    #[test]
    fn a_grouped_import_names_each_of_its_leaves() {
        let source = "use crate::{\n a::{self, b as c},\n super_name::*,\n};\nuse std::fmt;";

        let expected = ["2 crate::a", "2 crate::a::b", "3 crate::super_name::*", "5 std::fmt"];
        assert_eq!(mentions(source), expected);
    }

    #[test]
    fn a_path_inside_an_expression_or_an_attribute_is_seen() {
        let source = "#[tokio::test]\nfn f(x: u8) { g(x as u8, tokio::spawn(y)); bytes::Bytes }";

        assert_eq!(mentions(source), ["1 tokio::test", "2 tokio::spawn", "2 bytes::Bytes"]);
    }

    #[test]
    fn a_leading_double_colon_and_an_extern_crate_name_another_crate() {
        assert_eq!(
            mentions("use ::tokio::a; fn f() { return ::bytes::x() }"),
            ["1 tokio::a", "1 bytes::x"]
        );
        assert_eq!(mentions("extern crate tokio;"), ["1 tokio"]);
        assert_eq!(mentions("use tokio as other;"), ["1 tokio"]);
    }

    #[test]
    fn a_module_of_another_crate_is_not_a_crate_of_that_name() {
        assert_eq!(
            mentions("fn f() { std::tokio::x(); <T as A>::bytes::y() }"),
            ["1 std::tokio::x"]
        );
    }

    #[test]
    fn super_and_self_are_resolved_also_inside_an_inline_module() {
        let source = "use super::a; mod m { use super::super::b; fn f() {} } use self::c;";

        let expected = ["1 crate::ports::a", "1 crate::ports::b", "1 crate::ports::clock::c"];
        assert_eq!(mentions(source), expected);
    }

    #[test]
    fn a_declared_module_shadows_a_crate_of_the_same_name() {
        assert_eq!(mentions("mod tokio; use tokio::x;"), ["1 crate::ports::clock::tokio::x"]);
    }

    #[test]
    fn test_code_names_nothing_and_what_follows_it_does() {
        let source = "#[cfg(test)]\n#[path = \"x\"]\nmod tests { use tokio::a; }\nuse tokio::b;\n\
                      #[cfg(test)] use tokio::c;\n#[cfg(all(test, unix))] fn f(x: [u8; 2]) { \
                      tokio::d() }\nuse tokio::e;";

        assert_eq!(mentions(source), ["4 tokio::b", "7 tokio::e"]);
    }

    #[test]
    fn a_module_in_its_own_file_is_known_with_its_path_and_whether_it_is_for_tests() {
        let source = "#[cfg(test)]\nmod tests;\npub mod real;\n\
                      #[cfg(test)]\n#[path = \"x_tests.rs\"]\nmod more;\nmod inline {}";

        let expected = [
            Module { name: "tests", path: None, is_test: true },
            Module { name: "more", path: Some("x_tests.rs"), is_test: true },
            Module { name: "real", path: None, is_test: false },
        ];
        assert_eq!(Production::read(source).modules, expected);
    }
}
