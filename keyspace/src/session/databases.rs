//! The numbers of databases in commands' arguments: how many there are is a setting, which must not
//! reach the machine.

use resp::Request;

use crate::number;
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::table::Id;

/// Refuses a command that names a database which does not exist, or one that the cluster's clients
/// may not use. Whatever else is wrong with it is left to the machine.
pub(super) fn check(id: Id, request: &Request<'_>, settings: &Settings) -> Result<(), Refusal> {
    match id {
        Id::Move if settings.cluster_enabled => {
            Err(Refusal::Text("ERR MOVE is not allowed in cluster mode"))
        }
        Id::SwapDb if settings.cluster_enabled => {
            Err(Refusal::Text("ERR SWAPDB is not allowed in cluster mode"))
        }
        Id::Move => exists(request.arg(2), settings),
        Id::SwapDb => {
            // One that cannot be read is refused first, whichever it is.
            let both = [1, 2].map(|at| readable(request.arg(at)));
            if both.contains(&None) {
                return Ok(());
            }
            exists(request.arg(1), settings).and_then(|()| exists(request.arg(2), settings))
        }
        Id::Copy => copy(request, settings),
        _ => Ok(()),
    }
}

fn copy(request: &Request<'_>, settings: &Settings) -> Result<(), Refusal> {
    let mut options = request.args().skip(3);
    while let Some(option) = options.next() {
        if option.eq_ignore_ascii_case(b"DB") {
            let named = options.next();
            if readable(named).is_none() {
                return Ok(());
            }
            exists(named, settings)?;
        } else if !option.eq_ignore_ascii_case(b"REPLACE") {
            return Ok(());
        }
    }
    Ok(())
}

fn readable(arg: Option<&[u8]>) -> Option<i32> {
    let number = arg.and_then(number::parse)?;
    i32::try_from(number).ok()
}

fn exists(arg: Option<&[u8]>, settings: &Settings) -> Result<(), Refusal> {
    let Some(named) = readable(arg) else {
        return Ok(());
    };
    if u16::try_from(named).is_ok_and(|database| database < settings.databases.max(1)) {
        Ok(())
    } else {
        Err(Refusal::Text("ERR DB index is out of range"))
    }
}
