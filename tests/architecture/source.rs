//! The production code of a crate as `syn` reads it: its modules, and every path that they name.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use proc_macro2::{Ident, Punct, Spacing, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::visit::{self, Visit};
use syn::{Attribute, UseTree};

/// The segments of a path; that of a module begins with `crate`.
pub(crate) type Path = Vec<String>;

/// A path as it is written.
pub(crate) struct Mention {
    pub(crate) file: String,
    pub(crate) line: usize,
    /// The module that names it.
    pub(crate) home: Path,
    path: Path,
}

pub(crate) struct Module {
    pub(crate) file: String,
    /// What its `use` items bring into scope, by name.
    imports: BTreeMap<String, Path>,
}

#[derive(Default)]
pub(crate) struct Crate {
    pub(crate) modules: BTreeMap<Path, Module>,
    pub(crate) mentions: Vec<Mention>,
    test_modules: BTreeSet<Path>,
    dependencies: BTreeSet<String>,
}

impl Crate {
    /// Reads files that are given as name and text; `root` is the folder of the crate's root, and
    /// `dependencies` are the crates whose names are known.
    pub(crate) fn read(
        root: &str,
        files: &[(String, String)],
        dependencies: &BTreeSet<String>,
    ) -> Self {
        let mut found = Self { dependencies: dependencies.clone(), ..Self::default() };
        for (file, text) in files {
            let path = file.strip_prefix(root).unwrap_or(file).trim_end_matches(".rs");
            let segments = path.split('/').filter(|s| !["", "lib", "main", "mod"].contains(s));
            let home: Path = ["crate"].into_iter().chain(segments).map(str::to_owned).collect();
            let parsed = syn::parse_file(text).map_err(|e| format!("{file}: {e}"));
            let mut reader = Reader { file, home: vec![], found: &mut found };
            reader.enter(home);
            reader.visit_file(&parsed.expect("what compiles can be parsed"));
        }
        let tests = mem::take(&mut found.test_modules);
        let is_production = |path: &Path| !tests.iter().any(|test| path.starts_with(test));
        found.modules.retain(|path, _| is_production(path));
        found.mentions.retain(|mention| is_production(&mention.home));
        found
    }

    /// Where a mention leads: first as it is written, then as every import and re-export on the way
    /// says. A path of another crate begins with that crate's name.
    pub(crate) fn targets(&self, mention: &Mention) -> Vec<Path> {
        let mut found: Vec<Path> = vec![];
        let mut next = self.absolute(&mention.home, &mention.path, None);
        while let Some(path) = next.filter(|path| !found.contains(path)) {
            next = self.behind_import(&path);
            found.push(path);
        }
        found
    }

    /// The module of the file that holds what a path leads to, and that file; nothing outside of the
    /// crate.
    pub(crate) fn file_of<'a>(&'a self, path: &'a [String]) -> Option<(&'a [String], &'a str)> {
        let mut module = self.module_of(path)?;
        let file = self.modules.get(module)?.file.as_str();
        while let Some((_, parent)) = module.split_last()
            && self.modules.get(parent).is_some_and(|parent| parent.file == file)
        {
            module = parent;
        }
        Some((module, file))
    }

    fn module_of<'a>(&self, path: &'a [String]) -> Option<&'a [String]> {
        let prefixes = (1..=path.len()).rev().filter_map(|length| path.get(..length));
        prefixes.into_iter().find(|prefix| self.modules.contains_key(*prefix))
    }

    fn behind_import(&self, path: &[String]) -> Option<Path> {
        let module = self.module_of(path)?;
        let (name, rest) = path.get(module.len()..)?.split_first()?;
        let import = self.modules.get(module)?.imports.get(name)?;
        Some([self.absolute(module, import, Some(name))?.as_slice(), rest].concat())
    }

    /// `importing` is the name that the path is imported by: `use bytes::{self}` means no module or
    /// import `bytes` of its own module.
    fn absolute(&self, home: &[String], path: &[String], importing: Option<&str>) -> Option<Path> {
        let is_relative = |segment: &&String| ["self", "super"].contains(&segment.as_str());
        let relative: Path = path.iter().skip_while(is_relative).cloned().collect();
        if relative.len() < path.len() {
            let parents = path.iter().filter(|segment| *segment == "super").count();
            let base = home.get(..home.len().checked_sub(parents)?)?;
            return Some([base, &relative].concat());
        }
        let (first, rest) = path.split_first()?;
        let inside = [home, path].concat();
        let is_here = importing != Some(first)
            && (self.modules.get(home).is_some_and(|home| home.imports.contains_key(first))
                || inside.get(..=home.len()).is_some_and(|m| self.modules.contains_key(m)));
        match first.as_str() {
            // `<T>::x` begins with a `::` as well.
            "" => rest.first().filter(|c| self.dependencies.contains(*c)).map(|_| rest.to_vec()),
            _ if is_here => Some(inside),
            name if name == "crate" || self.dependencies.contains(name) => Some(path.to_vec()),
            _ => None,
        }
    }
}

/// Walks through one file.
struct Reader<'a> {
    file: &'a str,
    home: Path,
    found: &'a mut Crate,
}

impl Reader<'_> {
    fn enter(&mut self, home: Path) {
        let module = Module { file: self.file.to_owned(), imports: BTreeMap::new() };
        self.found.modules.entry(home.clone()).or_insert(module);
        self.home = home;
    }

    fn mention(&mut self, line: usize, path: Path) {
        let (file, home) = (self.file.to_owned(), self.home.clone());
        self.found.mentions.push(Mention { file, line, home, path });
    }

    fn import(&mut self, prefix: &[String], tree: &UseTree) {
        match tree {
            UseTree::Path(path) => self.import(&joined(prefix, &path.ident), &path.tree),
            UseTree::Name(name) => self.import_one(prefix, &name.ident, None),
            UseTree::Rename(renamed) => {
                self.import_one(prefix, &renamed.ident, Some(&renamed.rename));
            }
            UseTree::Glob(glob) => {
                self.mention(glob.star_token.span.start().line, prefix.to_vec());
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(prefix, tree)),
        }
    }

    fn import_one(&mut self, prefix: &[String], ident: &Ident, rename: Option<&Ident>) {
        let path = if ident == "self" { prefix.to_vec() } else { joined(prefix, ident) };
        let name = rename.map(name_of).or_else(|| path.last().cloned()).unwrap_or_default();
        if let Some(module) = self.found.modules.get_mut(&self.home) {
            module.imports.insert(name, path.clone());
        }
        self.mention(ident.span().start().line, path);
    }

    /// Finds the paths among the tokens of a macro or attribute.
    fn tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut line, mut colons) = (vec![], 0, 0);
        let end = TokenTree::Punct(Punct::new(',', Spacing::Alone));
        for token in tokens.into_iter().chain([end]) {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) if colons == 2 && !path.is_empty() => {
                    path.push(name_of(&ident));
                    colons = 0;
                }
                other => {
                    if path.len() > 1 {
                        self.mention(line, mem::take(&mut path));
                    }
                    (path, line, colons) = (vec![], other.span().start().line, 0);
                    match other {
                        TokenTree::Ident(ident) => path.push(name_of(&ident)),
                        TokenTree::Group(group) => self.tokens(group.stream()),
                        _ => {}
                    }
                }
            }
        }
    }
}

/// Leaves out what is compiled for tests only.
macro_rules! visit_production {
    ($($visit:ident: $node:ident),* $(,)?) => {
        $(fn $visit(&mut self, node: &'ast syn::$node) {
            if !is_test_only(&node.attrs) {
                visit::$visit(self, node);
            }
        })*
    };
}

impl<'ast> Visit<'ast> for Reader<'_> {
    visit_production! {
        visit_field: Field, visit_impl_item_const: ImplItemConst, visit_impl_item_fn: ImplItemFn,
        visit_item_const: ItemConst, visit_item_enum: ItemEnum, visit_item_fn: ItemFn,
        visit_item_impl: ItemImpl, visit_item_macro: ItemMacro, visit_item_static: ItemStatic,
        visit_item_struct: ItemStruct, visit_item_trait: ItemTrait, visit_item_type: ItemType,
        visit_local: Local, visit_variant: Variant,
    }

    fn visit_item_mod(&mut self, node: &'ast syn::ItemMod) {
        let module = joined(&self.home, &node.ident);
        if is_test_only(&node.attrs) {
            self.found.test_modules.insert(module);
        } else if node.content.is_some() {
            let outer = mem::take(&mut self.home);
            self.enter(module);
            visit::visit_item_mod(self, node);
            self.home = outer;
        }
    }

    fn visit_item_use(&mut self, node: &'ast syn::ItemUse) {
        if !is_test_only(&node.attrs) {
            let prefix = if node.leading_colon.is_some() { vec![String::new()] } else { vec![] };
            self.import(&prefix, &node.tree);
        }
    }

    fn visit_item_extern_crate(&mut self, node: &'ast syn::ItemExternCrate) {
        self.import_one(&[String::new()], &node.ident, node.rename.as_ref().map(|(_, name)| name));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let leading = path.leading_colon.as_ref().map(|_| String::new());
        let segments = path.segments.iter().map(|segment| name_of(&segment.ident));
        let named: Path = leading.into_iter().chain(segments).collect();
        if let Some(first) = path.segments.first().filter(|_| named.len() > 1) {
            self.mention(first.ident.span().start().line, named);
        }
        visit::visit_path(self, path);
    }

    fn visit_token_stream(&mut self, tokens: &'ast TokenStream) {
        self.tokens(tokens.clone());
    }

    // `pub(in crate::cli)` names nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

fn is_test_only(attributes: &[Attribute]) -> bool {
    let conditions = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    conditions.filter_map(|cfg| cfg.meta.require_list().ok()).any(|cfg| {
        let condition = cfg.tokens.to_string().replace(' ', "");
        condition == "test" || condition.starts_with("all(test,")
    })
}

fn joined(prefix: &[String], ident: &Ident) -> Path {
    [prefix, &[name_of(ident)]].concat()
}

fn name_of(ident: &Ident) -> String {
    ident.unraw().to_string()
}
