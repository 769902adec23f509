//! The notation in which the table says what arguments a command takes, and what COMMAND DOCS
//! makes of it.
//!
//! ```text
//! argument = '[' argument ']'                  optional
//!          | name [':' type] ['(' argument … ')'] ['=' TOKEN] ['#' key] ['@' since] ['*' | '+']
//! ```
//!
//! Without a type it is a pure token. `*` repeats the argument, `+` the token with it; `#0` says
//! which of the command's key specifications the key belongs to. Read only when somebody asks.

use resp::encode;

/// Appends the array of arguments that `notation` describes, as COMMAND DOCS has it.
pub fn describe(notation: &str, out: &mut Vec<u8>) {
    let mut rest = notation;
    let arguments = parse(&mut rest);
    list(&arguments, out);
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Argument<'a> {
    name: &'a str,
    kind: &'a str,
    token: Option<&'a str>,
    key: Option<i64>,
    since: Option<&'a str>,
    optional: bool,
    multiple: bool,
    multiple_token: bool,
    inner: Vec<Argument<'a>>,
}

fn parse<'a>(rest: &mut &'a str) -> Vec<Argument<'a>> {
    let mut arguments = Vec::new();
    loop {
        *rest = rest.trim_start();
        if rest.is_empty() || eat(rest, ')') {
            return arguments;
        }
        let optional = eat(rest, '[');
        let mut argument = parse_one(rest);
        argument.optional = optional;
        if optional {
            eat(rest, ']');
        }
        arguments.push(argument);
    }
}

fn parse_one<'a>(rest: &mut &'a str) -> Argument<'a> {
    let mut argument = Argument {
        name: word(rest),
        kind: "pure-token",
        ..Argument::default()
    };
    if eat(rest, ':') {
        argument.kind = word(rest);
    }
    if eat(rest, '(') {
        argument.inner = parse(rest);
    }
    if eat(rest, '=') {
        argument.token = Some(word(rest));
    }
    if eat(rest, '#') {
        argument.key = word(rest).parse().ok();
    }
    if eat(rest, '@') {
        argument.since = Some(word(rest));
    }
    argument.multiple_token = eat(rest, '+');
    argument.multiple = argument.multiple_token || eat(rest, '*');
    argument
}

fn eat(rest: &mut &str, expected: char) -> bool {
    match rest.strip_prefix(expected) {
        Some(after) => {
            *rest = after;
            true
        }
        None => false,
    }
}

fn word<'a>(rest: &mut &'a str) -> &'a str {
    let end = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)))
        .unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    *rest = after;
    word
}

fn list(arguments: &[Argument<'_>], out: &mut Vec<u8>) {
    encode::array(out, arguments.len());
    for argument in arguments {
        let flags: Vec<&str> = [
            (argument.optional, "optional"),
            (argument.multiple, "multiple"),
            (argument.multiple_token, "multiple_token"),
        ]
        .into_iter()
        .filter_map(|(set, flag)| set.then_some(flag))
        .collect();
        let fields = 2
            + usize::from(argument.key.is_some())
            + usize::from(argument.token.is_some())
            + usize::from(argument.since.is_some())
            + usize::from(!flags.is_empty())
            + usize::from(!argument.inner.is_empty());
        encode::map(out, fields);
        encode::bulk(out, "name");
        encode::bulk(out, argument.name);
        encode::bulk(out, "type");
        encode::bulk(out, argument.kind);
        if let Some(key) = argument.key {
            encode::bulk(out, "key_spec_index");
            encode::integer(out, key);
        }
        if let Some(token) = argument.token {
            encode::bulk(out, "token");
            encode::bulk(out, token);
        }
        if let Some(since) = argument.since {
            encode::bulk(out, "since");
            encode::bulk(out, since);
        }
        if !flags.is_empty() {
            encode::bulk(out, "flags");
            encode::array(out, flags.len());
            flags.iter().for_each(|flag| encode::simple(out, flag));
        }
        if !argument.inner.is_empty() {
            encode::bulk(out, "arguments");
            list(&argument.inner, out);
        }
    }
}

/// The arguments as a person reads them: `key value [NX | XX] …`.
#[must_use]
pub fn syntax(notation: &str) -> String {
    let mut rest = notation;
    let arguments = parse(&mut rest);
    let words: Vec<String> = arguments.iter().map(read_aloud).collect();
    words.join(" ")
}

fn read_aloud(argument: &Argument<'_>) -> String {
    let inner: Vec<String> = argument.inner.iter().map(read_aloud).collect();
    let own = match argument.kind {
        "pure-token" => String::new(),
        "oneof" => inner.join(" | "),
        "block" => inner.join(" "),
        _ => argument.name.to_string(),
    };
    let mut text = match argument.token {
        Some(token) if own.is_empty() => token.to_string(),
        Some(token) => format!("{token} {own}"),
        None => own,
    };
    if argument.multiple {
        text = format!("{text} [{text} ...]");
    }
    if argument.optional {
        text = format!("[{text}]");
    } else if argument.kind == "oneof" {
        text = format!("<{text}>");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::all;

    #[test]
    fn the_notation_reads_as_redis_documents_its_commands() {
        let set = crate::table::lookup(b"set").unwrap();
        assert_eq!(
            syntax(set.arguments),
            "key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
             PXAT unix-time-milliseconds | KEEPTTL]"
        );
        let mset = crate::table::lookup(b"mset").unwrap();
        assert_eq!(syntax(mset.arguments), "key value [key value ...]");
    }

    #[test]
    fn every_row_is_written_in_the_notation() {
        for command in all().flat_map(|c| std::iter::once(c).chain(c.subcommands)) {
            let mut rest = command.arguments;
            let arguments = parse(&mut rest);
            assert_eq!(rest, "", "{}", command.name);
            let mut open = arguments;
            while let Some(argument) = open.pop() {
                assert!(!argument.name.is_empty(), "{}", command.name);
                let aggregate = matches!(argument.kind, "oneof" | "block");
                assert_eq!(aggregate, !argument.inner.is_empty(), "{}", command.name);
                assert!(aggregate || argument.token.is_some() || argument.kind != "pure-token");
                open.extend(argument.inner);
            }
            let mut out = Vec::new();
            describe(command.arguments, &mut out);
            assert_eq!(
                resp::reply_len(&out),
                Ok(Some(out.len())),
                "{}",
                command.name
            );
        }
    }
}
