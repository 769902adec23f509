//! The configuration file.
//!
//! Checked: any text is a configuration or is refused in one line that names the file, the setting or
//! the line; a password is in no message and in no debug output; and what stands in the file means the
//! same when flags say it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::layers::{Layers, parse_file};
use crate::config::setting::{Flags, PEERS, SETTINGS};
use crate::config::{Config, ConfigError};

/// As long as a file's name that nothing else in a message looks like.
const FILE: &str = "the-configuration.toml";
/// A password shorter than that is found in any message.
const PASSWORD_MIN: usize = 12;

/// The text of a configuration file.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // It names a file of this machine, which is none of a fuzzer's business.
    if text.contains("requirepass-file") {
        return;
    }
    let layers = match parse_file(Path::new(FILE), text) {
        Ok(layers) => layers,
        Err(error) => return explained(&error),
    };
    let said: BTreeMap<&'static str, String> = (SETTINGS.iter())
        .filter_map(|setting| {
            let texts: Vec<_> = layers.all(setting.key).iter().map(|s| &*s.text).collect();
            let text = texts.join(if setting.key == PEERS { "," } else { "" });
            (!texts.is_empty()).then_some((setting.key, text))
        })
        .collect();
    let password = said.get("requirepass").filter(|p| p.len() >= PASSWORD_MIN);
    // A value that stands elsewhere too may be shown there.
    let password = password.filter(|password| text.matches(&***password).count() == 1);
    let from_file = Config::from_layers(&over_defaults(&layers));
    let shown = match &from_file {
        Ok(config) => format!("{config:?}"),
        Err(error) => {
            explained(error);
            error.to_string()
        }
    };
    if let Some(password) = password {
        assert!(!shown.contains(&**password), "the password is shown");
    }
    let flags = Layers::collect(None, &Flags(said), []);
    let from_flags = flags.and_then(|layers| Config::from_layers(&layers));
    assert_eq!(from_file.is_ok(), from_flags.is_ok(), "flags say otherwise");
    if let (Ok(file), Ok(flags)) = (from_file, from_flags) {
        assert_eq!(format!("{file:?}"), format!("{flags:?}"));
    }
}

/// What the file says, and the defaults for what it does not.
fn over_defaults(file: &Layers) -> Layers {
    match Layers::collect(None, &Flags::default(), []) {
        Ok(mut layers) => {
            layers.extend(file.clone());
            layers
        }
        Err(error) => panic!("the defaults: {error}"),
    }
}

/// One line that says what is wrong, and where.
fn explained(error: &ConfigError) {
    let text = error.to_string();
    assert!(!text.contains('\n'), "more than a line: {text:?}");
    let place = text.contains(FILE) || text.contains("is not set") || text.contains("the default");
    assert!(place, "where? {text}");
}
