//! Collects settings as texts from flags, environment and file, each with its origin.
//!
//! A later layer replaces an earlier one setting by setting; `peers` as a whole, so that nobody
//! ends up with half of two clusters. A name that is not a setting is an error in every layer: a
//! misspelt limit that is silently not in force is found out at the worst moment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Origin};
use super::setting::{Flags, PEERS, SETTINGS, Setting, variable};

/// What every variable's name begins with.
pub(crate) const PREFIX: &str = "LOCKSTEP_";
/// Names the configuration file; not a setting, so not allowed in the file.
const CONFIG: &str = "config";

/// A text and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sourced {
    /// As it was written.
    pub(crate) text: String,
    /// Where.
    pub(crate) origin: Origin,
}

/// Settings as texts. Empty texts are values, not absences.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layers {
    /// One text per setting; one per node for `peers`.
    values: BTreeMap<&'static str, Vec<Sourced>>,
}

impl Layers {
    /// Collects from all layers. `config` is what `--config` said; `environment` is all of it.
    pub(crate) fn collect(
        config: Option<&Path>,
        flags: &Flags,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Layers, ConfigError> {
        let mut file = config.map(|path| (path.to_owned(), Origin::Flag(CONFIG.to_owned())));
        let mut variables = Layers::default();
        for (name, value) in environment {
            // A name that is not text cannot be ours: the prefix and every setting are ASCII.
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
                continue;
            };
            let text = value.into_string().map_err(|_| ConfigError::NotText {
                name: name.to_owned(),
            })?;
            let origin = Origin::Variable(name.to_owned());
            if name == variable(CONFIG) {
                file.get_or_insert((PathBuf::from(text), origin));
                continue;
            }
            let setting = SETTINGS.iter().find(|setting| setting.variable() == name);
            let setting =
                setting.ok_or_else(|| unknown(name, origin.clone(), Setting::variable))?;
            variables.put(setting.key, text, origin);
        }

        let mut layers = Layers::default();
        for setting in SETTINGS
            .iter()
            .filter(|setting| !setting.default.is_empty())
        {
            layers.put(setting.key, setting.default.to_owned(), Origin::Default);
        }
        if let Some((path, origin)) = file {
            layers.extend(read_file(&path, origin)?);
        }
        layers.extend(variables);
        for (key, text) in &flags.0 {
            let origin = Origin::Flag((*key).to_owned());
            layers.values.insert(
                key,
                vec![Sourced {
                    text: text.clone(),
                    origin,
                }],
            );
        }
        Ok(layers)
    }

    /// Puts what a later layer says in the place of what was said before.
    pub(crate) fn extend(&mut self, later: Layers) {
        self.values.extend(later.values);
    }

    /// What was said about `key`, if anything.
    pub(crate) fn get(&self, key: &'static str) -> Option<&Sourced> {
        self.all(key).first()
    }

    /// Everything that was said about `key`.
    pub(crate) fn all(&self, key: &'static str) -> &[Sourced] {
        self.values.get(key).map_or(&[], Vec::as_slice)
    }

    /// The value of `key`; `expected` completes "expected …".
    pub(crate) fn parse<T>(
        &self,
        key: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let said = self.get(key).ok_or(ConfigError::Missing { key })?;
        parse(said.text.trim()).ok_or_else(|| invalid(key, said, format!("expected {expected}")))
    }

    /// An error about the value of `key`.
    pub(crate) fn refuse(&self, key: &'static str, problem: impl Into<String>) -> ConfigError {
        match self.get(key) {
            Some(said) => invalid(key, said, problem.into()),
            None => ConfigError::Missing { key },
        }
    }

    fn put(&mut self, key: &'static str, text: String, origin: Origin) {
        self.values
            .entry(key)
            .or_default()
            .push(Sourced { text, origin });
    }
}

/// An error about what was `said` of `key`; never repeats a secret.
pub(crate) fn invalid(key: &'static str, said: &Sourced, problem: String) -> ConfigError {
    let hidden = Setting::find(key).is_some_and(Setting::secret);
    let value = if hidden { "(hidden)" } else { &said.text };
    ConfigError::Value {
        key,
        value: value.to_owned(),
        origin: said.origin.clone(),
        problem,
    }
}

/// `spell` gives a setting's name in the spelling of the layer in which `name` was found.
fn unknown(name: &str, origin: Origin, spell: impl Fn(&Setting) -> String) -> ConfigError {
    let nearest = SETTINGS
        .iter()
        .map(spell)
        .map(|known| (strsim::damerau_levenshtein(name, &known), known))
        .min()
        .filter(|(distance, known)| *distance <= 2.max(known.len() / 4));
    ConfigError::Unknown {
        name: name.to_owned(),
        origin,
        nearest: nearest.map(|(_, known)| known),
    }
}

fn read_file(path: &Path, origin: Origin) -> Result<Layers, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::File {
        path: path.to_owned(),
        origin,
        source,
    })?;
    parse_file(path, &text)
}

/// The settings in the text of the file at `path`.
pub(crate) fn parse_file(path: &Path, text: &str) -> Result<Layers, ConfigError> {
    let at = |offset: usize| Origin::File {
        path: path.to_owned(),
        line: line_of(text, offset),
    };
    let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        line: line_of(text, error.span().map_or(0, |span| span.start)),
        problem: error.message().to_owned(),
    })?;
    let mut layers = Layers::default();
    for (name, value) in table.get_ref() {
        let origin = at(name.span().start);
        let setting = Setting::find(name.get_ref())
            .ok_or_else(|| unknown(name.get_ref(), origin.clone(), |known| known.key.to_owned()))?;
        match value.get_ref() {
            DeValue::Table(peers) if setting.key == PEERS => {
                for (node, addresses) in peers {
                    let origin = at(node.span().start);
                    let addresses = text_of(setting, addresses, &origin)?;
                    layers.put(PEERS, format!("{}={addresses}", node.get_ref()), origin);
                }
            }
            _ => layers.put(setting.key, text_of(setting, value, &origin)?, origin),
        }
    }
    Ok(layers)
}

/// A value of the file as flags would spell it.
fn text_of(
    setting: &'static Setting,
    value: &Spanned<DeValue<'_>>,
    origin: &Origin,
) -> Result<String, ConfigError> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Boolean(on) => Ok(if *on { "yes" } else { "no" }.to_owned()),
        other => {
            let said = Sourced {
                text: other.type_str().to_owned(),
                origin: origin.clone(),
            };
            let problem = format!(
                "expected text, a decimal number, true or false for {}",
                setting.value
            );
            Err(invalid(setting.key, &said, problem))
        }
    }
}

/// The line of a byte of `text`, from 1.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
}
