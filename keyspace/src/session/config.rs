//! CONFIG: what clients may see and change of the settings.

use resp::{Request, encode};

use super::texts::{help, printable};
use crate::glob;
use crate::host::Host;
use crate::refusal::Refusal;
use crate::settings::SettingError;
use crate::table::Id;

pub(super) fn config<H: Host>(
    id: Id,
    request: &Request<'_>,
    host: &mut H,
    reply: &mut Vec<u8>,
) -> Result<(), Refusal> {
    match id {
        Id::ConfigGet => get(request, host, reply),
        Id::ConfigSet => {
            set(request, host)?;
            encode::simple(reply, "OK");
        }
        Id::ConfigResetStat => {
            host.reset_statistics();
            encode::simple(reply, "OK");
        }
        Id::ConfigRewrite => {
            return Err(Refusal::Text(
                "ERR The server is running without a config file",
            ));
        }
        _ => help("config", reply),
    }
    Ok(())
}

fn get<H: Host>(request: &Request<'_>, host: &H, reply: &mut Vec<u8>) {
    let mut entries = host.settings().entries();
    entries.retain(|(name, _)| {
        request
            .args()
            .skip(2)
            .any(|pattern| glob::matches(pattern, name.as_bytes(), true))
    });
    encode::map(reply, entries.len());
    for (name, value) in entries {
        encode::bulk(reply, name);
        encode::bulk(reply, value);
    }
}

/// All or nothing: everything is tried on a copy first.
fn set<H: Host>(request: &Request<'_>, host: &mut H) -> Result<(), Refusal> {
    if !request.len().is_multiple_of(2) {
        return Err(Refusal::Syntax);
    }
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut args = request.args().skip(2);
    while let (Some(name), Some(value)) = (args.next(), args.next()) {
        let lower = String::from_utf8_lossy(name).to_ascii_lowercase();
        if pairs.iter().any(|(known, _)| *known == lower) {
            return Err(failed(name, "duplicate parameter"));
        }
        pairs.push((lower, String::from_utf8_lossy(value).into_owned()));
    }
    let mut trial = host.settings().clone();
    for (name, value) in &pairs {
        trial
            .set(name, value)
            .map_err(|error| refusal(name, error))?;
    }
    for (name, value) in &pairs {
        host.set_setting(name, value)
            .map_err(|error| refusal(name, error))?;
    }
    Ok(())
}

fn refusal(name: &str, error: SettingError) -> Refusal {
    match error {
        SettingError::Unknown => Refusal::Owned(
            [
                b"ERR Unknown option or number of arguments for CONFIG SET - '",
                printable(name.as_bytes(), name.len()),
                b"'",
            ]
            .concat(),
        ),
        other => failed(name.as_bytes(), &other.to_string()),
    }
}

fn failed(name: &[u8], why: &str) -> Refusal {
    Refusal::Owned(
        [
            b"ERR CONFIG SET failed (possibly related to argument '",
            printable(name, name.len()),
            b"') - ",
            why.as_bytes(),
        ]
        .concat(),
    )
}
