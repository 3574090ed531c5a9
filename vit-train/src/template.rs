//! Fills templates of files.

/// Returns a template with its values, in which `@name@` stands for a value. Values are not templates: what looks like a
/// placeholder in them stays.
pub(crate) fn filled(template: &str, values: &[(&'static str, String)]) -> String {
    let mut text = String::new();
    let mut parts = template.split('@');
    text += parts.next().unwrap_or_default();
    // A name stands between two placeholders' signs, and other text may, too.
    let mut is_name = true;
    for part in parts {
        match values.iter().find(|(name, _)| is_name && *name == part) {
            Some((_, value)) => {
                text += value;
                is_name = false;
            }
            None => {
                if is_name {
                    text.push('@');
                }
                text += part;
                is_name = true;
            }
        }
    }
    text
}
