//! The name of a project, in the forms that its files need.

use heck::{ToKebabCase, ToUpperCamelCase};

/// The name of a project: that of its packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(String);

/// Names that cargo refuses for packages, or that mean something else in the project: Rust's keywords, crates that come
/// with the compiler, folders of a target directory, and the crates that the project uses.
#[rustfmt::skip]
const RESERVED: [&str; 65] = [
    "abstract", "alloc", "as", "async", "await", "become", "box", "break", "build", "const", "continue", "core", "crate",
    "deps", "do", "dyn", "else", "enum", "examples", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in",
    "incremental", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "proc-macro", "pub", "ref",
    "return", "self", "serve", "static", "std", "struct", "super", "test", "trait", "true", "try", "type", "typeof",
    "union", "unsafe", "unsized", "use", "virtual", "vit-boards", "vit-link", "vit-nostd", "vit-train", "where", "while",
];

/// Types that the project uses, whose names its network therefore cannot have.
const TYPES: [&str; 8] = ["Board", "Command", "ExitCode", "Model", "Path", "Program", "Scratch", "Some"];

/// The largest number of characters.
const MAX_LEN: usize = 40;

impl Name {
    /// Checks a name. The error says what a name may be.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let is_word = |word: &str| {
            !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        };
        let is_name = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.split(['-', '_']).all(is_word)
            && text.len() <= MAX_LEN;
        let name = Self(text.to_owned());
        if !is_name {
            Err(format!(
                "{text:?} cannot be the name of a crate: it must begin with a lower-case letter, and have only lower-case \
                 letters and digits, with single - or _ between them, at most {MAX_LEN} characters in all"
            ))
        } else if RESERVED.contains(&text) || TYPES.contains(&name.network().as_str()) {
            Err(format!(
                "{text:?} cannot be the name of the project, because the name has another meaning in it"
            ))
        } else {
            Ok(name)
        }
    }

    /// Returns the name of the packages.
    pub(crate) fn package(&self) -> &str {
        &self.0
    }

    /// Returns the name as a part of identifiers.
    pub(crate) fn identifier(&self) -> String {
        self.0.replace('-', "_")
    }

    /// Returns the name of the network's type.
    pub(crate) fn network(&self) -> String {
        self.0.to_upper_camel_case()
    }

    /// Returns the name of the run, which is that of the network on the command line.
    pub(crate) fn run(&self) -> String {
        self.network().to_kebab_case()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_forms_that_files_need() {
        for (text, identifier, network, run) in [
            ("gestures", "gestures", "Gestures", "gestures"),
            ("road-signs", "road_signs", "RoadSigns", "road-signs"),
            ("road_signs", "road_signs", "RoadSigns", "road-signs"),
            ("v2-model3", "v2_model3", "V2Model3", "v2-model3"),
        ] {
            let name = Name::new(text).unwrap();
            assert_eq!(name.package(), text);
            assert_eq!(
                (name.identifier(), name.network(), name.run()),
                (identifier.to_owned(), network.to_owned(), run.to_owned())
            );
        }
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for text in
            ["", "Gestures", "2signs", "road signs", "-a", "a-", "a--b", "a.b", "übung", &"x".repeat(41)]
        {
            let fault = Name::new(text).unwrap_err();
            assert!(
                fault.contains("cannot be the name of a crate") && fault.contains("lower-case"),
                "{fault}"
            );
        }
        for text in ["test", "match", "vit-nostd", "vit-link", "model", "exit-code", "exit_code"] {
            let fault = Name::new(text).unwrap_err();
            assert!(fault.contains("another meaning"), "{fault}");
        }
    }
}
