//! What is said of commands that nobody knows, and to those who ask for help.

use resp::{Request, encode};

use crate::refusal::Refusal;
use crate::table::{self, Command};

/// As much of an argument as C would print of it, at most `most` bytes.
pub(super) fn printable(arg: &[u8], most: usize) -> &[u8] {
    let text = arg.split(|byte| *byte == 0).next().unwrap_or_default();
    text.get(..most).unwrap_or(text)
}

#[cold]
pub(super) fn unknown_command(name: &[u8], request: &Request<'_>) -> Refusal {
    const SHOWN_MAX: usize = 128;
    let mut args = Vec::new();
    for arg in request.args().skip(1) {
        if args.len() >= SHOWN_MAX {
            break;
        }
        let shown = printable(arg, SHOWN_MAX - args.len());
        args.extend_from_slice(&[b"'", shown, b"' "].concat());
    }
    Refusal::Owned(
        [
            b"ERR unknown command '",
            printable(name, SHOWN_MAX),
            b"', with args beginning with: ",
            &args,
        ]
        .concat(),
    )
}

#[cold]
pub(super) fn unknown_subcommand(container: &Command, name: &[u8]) -> Refusal {
    Refusal::Owned(
        [
            b"ERR unknown subcommand '",
            printable(name, 128),
            b"'. Try ",
            container.name.to_ascii_uppercase().as_bytes(),
            b" HELP.",
        ]
        .concat(),
    )
}

/// What a container's HELP says: its subcommands, from the table.
pub(super) fn help(container: &str, reply: &mut Vec<u8>) {
    let Some(command) = table::lookup(container.as_bytes()) else {
        return;
    };
    let mut lines = vec![format!(
        "{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        container.to_ascii_uppercase()
    )];
    for subcommand in command.subcommands {
        let name = subcommand.short_name().to_ascii_uppercase();
        let syntax = table::arguments::syntax(subcommand.arguments);
        lines.push(format!("{name} {syntax}").trim_end().to_string());
        lines.push(format!("    {}", subcommand.summary));
    }
    encode::array(reply, lines.len());
    lines.iter().for_each(|line| encode::simple(reply, line));
}
