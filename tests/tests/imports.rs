//! Tests that imports point only downwards. ARCHITECTURE.md lists the modules of both crates in layers, and these tests
//! read the `use` declarations in their files. Unit tests inside the files are exempt.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[test]
fn vit_nostd_imports_only_downwards() {
    assert_eq!(faults("vit-nostd"), [""; 0]);
}

#[test]
fn vit_train_imports_only_downwards() {
    assert_eq!(faults("vit-train"), [""; 0]);
}

/// Returns the faults in the imports of a crate, each as a message.
fn faults(name: &str) -> Vec<String> {
    let mut source = Source::default();
    source.read(&[], &Path::new(ROOT).join(name).join("src/lib.rs"));
    let imports = source.imports();
    let mut faults = wrong_layers(name, &source, &imports);
    faults.extend(circles(&imports));
    faults
}

/// A module's path in its crate. It is empty for the root.
type Module = Vec<String>;

/// The files that each file imports.
type Imports = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

/// The files of a crate.
#[derive(Default)]
struct Source {
    /// The files of each module. A module has several files if a condition chooses among them.
    files: BTreeMap<Module, Vec<PathBuf>>,
    /// The module of each file, and the paths that it imports, as they are written.
    uses: BTreeMap<PathBuf, (Module, Vec<Module>)>,
    /// The file of each macro that the crate exports. Paths of such macros begin at the root, wherever they are
    /// defined.
    macros: BTreeMap<String, PathBuf>,
}

impl Source {
    /// Reads a file and the files of all modules that it declares.
    fn read(&mut self, module: &[String], file: &Path) {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let file = file.canonicalize().unwrap();
        let tokens = without_tests(tokens(&text));
        self.files.entry(module.to_vec()).or_default().push(file.clone());

        let stem = file.file_stem().unwrap().to_str().unwrap();
        let folder = file.parent().unwrap();
        let folder = if ["lib", "mod"].contains(&stem) { folder.to_owned() } else { folder.join(stem) };
        let mut uses = vec![];
        // The inline modules around the current token, each with the number of braces that are open around it.
        let mut inline: Vec<(String, usize)> = vec![];
        let (mut braces, mut paths) = (0, vec![]);
        for (at, token) in tokens.iter().enumerate() {
            match token.as_str() {
                "{" => braces += 1,
                "}" => {
                    braces -= 1;
                    inline.pop_if(|(_, outside)| *outside == braces);
                    paths.clear();
                }
                // The file in an attribute with `path = "file"`.
                "path" if tokens[at + 1] == "=" => paths.push(tokens[at + 2].trim_matches('"').to_owned()),
                "macro_export" => {
                    let after = at + tokens[at..].iter().position(|token| token == "macro_rules").unwrap();
                    self.macros.insert(tokens[after + 2].clone(), file.clone());
                }
                "mod" if tokens[at + 2] == "{" => inline.push((tokens[at + 1].clone(), braces)),
                "mod" if tokens[at + 2] == ";" => {
                    let name = &tokens[at + 1];
                    if paths.is_empty() {
                        let alone = format!("{name}.rs");
                        let is_folder = !folder.join(&alone).exists();
                        paths.push(if is_folder { format!("{name}/mod.rs") } else { alone });
                    }
                    for path in paths.drain(..) {
                        self.read(&child(module, name), &folder.join(path));
                    }
                }
                "use" => {
                    let mut place = module.to_vec();
                    place.extend(inline.iter().map(|(name, _)| name.clone()));
                    let end = at + tokens[at..].iter().position(|token| token == ";").unwrap();
                    uses.extend(
                        paths_of(&tokens[at + 1..end]).into_iter().map(|path| absolute(&place, path)),
                    );
                }
                ";" => paths.clear(),
                _ => {}
            }
        }
        self.uses.insert(file, (module.to_vec(), uses));
    }

    /// Returns the files that the imported paths lead to.
    fn imports(&self) -> Imports {
        let mut imports = Imports::new();
        for (file, (module, uses)) in &self.uses {
            let imported = imports.entry(file.clone()).or_default();
            for path in uses {
                // A path may begin at the root of the crate, or with a child module. Other paths lead to other crates.
                let path = match path.split_first() {
                    Some((first, rest)) if first == "crate" => rest.to_vec(),
                    Some((first, _)) if self.files.contains_key(&child(module, first)) => {
                        [&module[..], path].concat()
                    }
                    _ => continue,
                };
                if let Some(macro_file) = self.macros.get(&path.join("::")).filter(|other| *other != file) {
                    imported.insert(macro_file.clone());
                    continue;
                }
                imported.extend(self.find(&path).iter().filter(|other| *other != file).cloned());
            }
        }
        imports
    }

    /// Returns the files of the module that contains the item at a path, which begins at the root. An item that the
    /// root re-exports belongs to the module that it comes from.
    fn find(&self, path: &[String]) -> &[PathBuf] {
        let len = (0..=path.len()).rev().find(|len| self.files.contains_key(&path[..*len])).unwrap();
        let files = &self.files[&path[..len]];
        if let (0, [name]) = (len, path) {
            let (_, uses) = &self.uses[&files[0]];
            if let Some(exported) = uses.iter().find(|path| path.len() > 1 && path.last() == Some(name)) {
                return self.find(exported);
            }
        }
        files
    }
}

/// Returns the path of the child module `name`.
fn child(module: &[String], name: &str) -> Module {
    let mut child = module.to_vec();
    child.push(name.to_owned());
    child
}

/// Returns the tokens of a source: words, literals and punctuation, without comments. `::` is one token.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = vec![];
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").unwrap() + 2
        } else if let Some(raw) = rest.strip_prefix('r').filter(|raw| raw.starts_with(['"', '#'])) {
            let hashes = raw.len() - raw.trim_start_matches('#').len();
            let end = format!("\"{}", "#".repeat(hashes));
            match raw[hashes..].strip_prefix('"').and_then(|inside| inside.find(&end)) {
                Some(inside) => 1 + hashes + 1 + inside + end.len(),
                None => 1,
            }
        } else if first == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.unwrap() + 2
        } else if first == '\'' {
            // This is a character literal or the quote of a lifetime.
            let mut chars = rest.char_indices().skip(1);
            match (chars.next(), chars.next()) {
                (Some((_, '\\')), Some((at, _))) => at + 1 + rest[at + 1..].find('\'').unwrap() + 1,
                (Some(_), Some((at, '\''))) => at + 1,
                _ => 1,
            }
        } else if rest.starts_with("::") {
            2
        } else if first.is_alphanumeric() || first == '_' {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(len);
        if !token.starts_with("//") && !token.starts_with("/*") && !token.trim().is_empty() {
            tokens.push(token.to_owned());
        }
        rest = after;
    }
    tokens
}

/// Returns the tokens without the items after `#[cfg(test)]`.
fn without_tests(tokens: Vec<String>) -> Vec<String> {
    const CFG_TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = vec![];
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..].iter().zip(CFG_TEST).filter(|(token, expected)| token == expected).count() == 7 {
            // The item ends at the first semicolon, or with the first block in braces.
            let mut depth = 0;
            at += CFG_TEST.len();
            loop {
                let token = tokens[at].as_str();
                depth += usize::from(["{", "(", "["].contains(&token));
                depth -= usize::from(["}", ")", "]"].contains(&token));
                at += 1;
                if depth == 0 && [";", "}"].contains(&token) {
                    break;
                }
            }
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// Returns all paths of a `use` declaration, with groups expanded. A path that ends in `self` stands for the path
/// before it.
fn paths_of(tokens: &[String]) -> Vec<Module> {
    let (mut paths, mut path) = (vec![], vec![]);
    // The prefixes of the open groups.
    let mut before: Vec<Module> = vec![vec![]];
    // True if `path` is complete so far. It is false between a trailing comma and the end of a group.
    let mut is_path = false;
    let mut is_name = false;
    for token in tokens {
        match token.as_str() {
            "::" => {}
            "{" => {
                before.push(path.clone());
                is_path = false;
            }
            "}" | "," => {
                if is_path {
                    paths.push(path);
                }
                if token == "}" {
                    before.pop();
                }
                (path, is_path, is_name) = (before.last().unwrap().clone(), false, false);
            }
            "as" => is_name = true,
            _ if is_name => {}
            "self" if !path.is_empty() => is_path = true,
            name => {
                path.push(name.to_owned());
                is_path = true;
            }
        }
    }
    if is_path {
        paths.push(path);
    }
    paths
}

/// Converts a path that begins with `self` or `super`, in the module `place`, to one that begins with `crate`. Returns
/// other paths unchanged.
fn absolute(place: &[String], path: Module) -> Module {
    let supers = path.iter().take_while(|segment| *segment == "super").count();
    let own = usize::from(path.first().is_some_and(|first| first == "self"));
    if supers + own == 0 {
        return path;
    }
    let mut absolute = vec!["crate".to_owned()];
    absolute.extend_from_slice(&place[..place.len() - supers]);
    absolute.extend_from_slice(&path[supers + own..]);
    absolute
}

/// Returns a message for each import of a module that is not in an earlier line of the table in ARCHITECTURE.md, and
/// for each disagreement between the table and the files.
fn wrong_layers(name: &str, source: &Source, imports: &Imports) -> Vec<String> {
    let text = fs::read_to_string(Path::new(ROOT).join("ARCHITECTURE.md")).unwrap();
    let heading = format!("```text {name}/src\n");
    let (_, table) = text.split_once(&heading).expect("ARCHITECTURE.md has a table for the crate");
    let (table, _) = table.split_once("```").unwrap();
    let mut layers = BTreeMap::<Module, usize>::new();
    for (layer, line) in table.lines().enumerate() {
        // A line has modules, and after two spaces a description.
        for path in line.split("  ").next().unwrap().split(' ') {
            layers.insert(path.split("::").map(str::to_owned).collect(), layer);
        }
    }

    let mut faults = vec![];
    for module in layers.keys().filter(|module| !source.files.contains_key(*module)) {
        faults.push(format!("ARCHITECTURE.md lists {}, which does not exist", module.join("::")));
    }
    // A module that is not listed belongs to its nearest listed ancestor. The root may import everything.
    let layer_of = |module: &Module| match module.len() {
        0 => Some((vec![], usize::MAX)),
        len => (1..=len).rev().find_map(|len| Some((module[..len].to_vec(), *layers.get(&module[..len])?))),
    };
    for (file, imported) in imports {
        let (module, _) = &source.uses[file];
        let Some((of, layer)) = layer_of(module) else {
            faults.push(format!("ARCHITECTURE.md does not list {}", module.join("::")));
            continue;
        };
        for other in imported {
            let (other, _) = &source.uses[other];
            match layer_of(other) {
                Some((of_other, other_layer)) if of_other != of && other_layer >= layer => {
                    faults.push(format!("{} imports {}", module.join("::"), other.join("::")));
                }
                _ => {}
            }
        }
    }
    faults
}

/// Returns a message for each group of files that import each other in a circle.
fn circles(imports: &Imports) -> Vec<String> {
    let reach = |from: &PathBuf| {
        let mut found = BTreeSet::new();
        let mut open: Vec<&PathBuf> = imports[from].iter().collect();
        while let Some(file) = open.pop() {
            if found.insert(file) {
                open.extend(&imports[file]);
            }
        }
        found
    };
    let reached: BTreeMap<_, _> = imports.keys().map(|file| (file, reach(file))).collect();
    let root = Path::new(ROOT).canonicalize().unwrap();
    let groups: BTreeSet<Vec<String>> = reached
        .iter()
        .filter(|(file, found)| found.contains(*file))
        .map(|(file, found)| {
            let group = found.iter().filter(|other| reached[**other].contains(*file));
            group.map(|file| file.strip_prefix(&root).unwrap().display().to_string()).collect()
        })
        .collect();
    groups.into_iter().map(|group| format!("a circle of imports: {}", group.join(", "))).collect()
}
