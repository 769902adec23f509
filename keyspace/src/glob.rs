//! Redis' glob patterns: `*`, `?`, `[a-z]`, `[^a]` and `\` before a character taken literally.
//!
//! Without recursion: only the last `*` is ever returned to, so that matching is at worst the
//! product of both lengths (the recursive form is exponential, CVE-2022-36021).

/// Whether `text` matches `pattern`.
pub(crate) fn matches(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    // Redis begins with comparing, and nothing is there to compare: not even a star matches.
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut pattern, mut text) = (pattern, text);
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            retry = Some((rest, text));
            pattern = rest;
            continue;
        }
        if let Some((byte, text_rest)) = text.split_first() {
            if let Some(rest) = matches_one(pattern, *byte, ignore_case) {
                (pattern, text) = (rest, text_rest);
                continue;
            }
        } else if pattern.is_empty() {
            return true;
        }
        // Let the last star take one byte more.
        let Some((after_star, from)) = retry else {
            return false;
        };
        let Some((_, from)) = from.split_first() else {
            return false;
        };
        retry = Some((after_star, from));
        (pattern, text) = (after_star, from);
    }
}

/// What is left of the pattern once its first element has matched `byte`.
fn matches_one(pattern: &[u8], byte: u8, ignore_case: bool) -> Option<&[u8]> {
    let fold = |byte: u8| {
        if ignore_case {
            byte.to_ascii_lowercase()
        } else {
            byte
        }
    };
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => {
            let (class, rest) = class(rest, fold(byte), fold);
            class.then_some(rest)
        }
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => {
            (fold(*literal) == fold(byte)).then_some(rest)
        }
    }
}

/// Whether the class at the head of `pattern`, behind its bracket, holds `byte`; and what follows.
fn class(pattern: &[u8], byte: u8, fold: impl Fn(u8) -> u8) -> (bool, &[u8]) {
    let (negated, mut pattern) = match pattern {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    loop {
        pattern = match pattern {
            [] => return (found != negated, pattern),
            [b']', rest @ ..] => return (found != negated, rest),
            [b'\\', literal, rest @ ..] => {
                found |= fold(*literal) == byte;
                rest
            }
            [from, b'-', to, rest @ ..] => {
                let (from, to) = (fold(*from), fold(*to));
                found |= (from.min(to)..=from.max(to)).contains(&byte);
                rest
            }
            [literal, rest @ ..] => {
                found |= fold(*literal) == byte;
                rest
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, expected) in [
            ("*", "", false),
            ("*", "anything", true),
            ("", "", true),
            ("", "a", false),
            ("h?llo", "hello", true),
            ("h*llo", "heeeello", true),
            ("h*llo", "heeeell", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h\\*llo", "h*llo", true),
            ("h\\*llo", "hello", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("[", "[", false),
            ("*max*", "maxmemory-policy", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes(), false),
                expected,
                "{pattern} {text}"
            );
        }
        assert!(matches(b"H[A-C]LLO", b"hbllo", true));
        assert!(!matches(b"H*", b"h", false));
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        let pattern = "a*".repeat(200) + "b";
        assert!(!matches(pattern.as_bytes(), &[b'a'; 5_000], false));
    }
}
