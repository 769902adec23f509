//! Random commands, of which many make sense.

use super::Command;

/// What chance decides, from a seed (splitmix64).
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Chance(seed.wrapping_mul(0x2545_F491_4F6C_DD1D))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// What each command takes: `k` key, `v` value, `i` integer, `f` fraction, `o` offset, `d` database,
/// `g` pattern, `s` seconds from now, `m` milliseconds from now, `S` and `M` since 1970, `c` a
/// condition of EXPIRE; `?` before what may be left out, `*` before what may be repeated, capitals
/// in words stand for themselves, and `SET`, `GETEX`, `COPY`, `LCS`, `SCAN` for those commands'
/// options.
const COMMANDS: [(&str, &str); 60] = [
    ("GET", "k"),
    ("SET", "k v ?SET"),
    ("SET", "k v"),
    ("SET", "k v SET"),
    ("SETNX", "k v"),
    ("SETEX", "k s v"),
    ("PSETEX", "k m v"),
    ("GETSET", "k v"),
    ("GETDEL", "k"),
    ("GETEX", "k ?GETEX"),
    ("MGET", "k *k"),
    ("MSET", "k v *kv"),
    ("MSETNX", "k v *kv"),
    ("APPEND", "k v"),
    ("APPEND", "k v"),
    ("STRLEN", "k"),
    ("GETRANGE", "k o o"),
    ("SUBSTR", "k o o"),
    ("SETRANGE", "k o v"),
    ("SETRANGE", "k o v"),
    ("INCR", "k"),
    ("DECR", "k"),
    ("INCRBY", "k i"),
    ("DECRBY", "k i"),
    ("INCRBYFLOAT", "k f"),
    ("INCRBYFLOAT", "k f"),
    ("LCS", "k k ?LCS"),
    ("DEL", "k *k"),
    ("UNLINK", "k *k"),
    ("TOUCH", "k *k"),
    ("EXISTS", "k *k"),
    ("TYPE", "k"),
    ("RENAME", "k k"),
    ("RENAMENX", "k k"),
    ("COPY", "k k ?COPY"),
    ("COPY", "k k COPY"),
    ("MOVE", "k d"),
    ("KEYS", "g"),
    ("SCAN", "SCAN"),
    ("RANDOMKEY", ""),
    ("SELECT", "d"),
    ("SELECT", "d"),
    ("SWAPDB", "d d"),
    ("EXPIRE", "k s ?c"),
    ("PEXPIRE", "k m ?c"),
    ("EXPIREAT", "k S ?c"),
    ("PEXPIREAT", "k M ?c"),
    ("TTL", "k"),
    ("PTTL", "k"),
    ("EXPIRETIME", "k"),
    ("PEXPIRETIME", "k"),
    ("PERSIST", "k"),
    ("OBJECT", "ENCODING k"),
    ("OBJECT", "REFCOUNT k"),
    ("OBJECT", "FREQ k"),
    ("OBJECT", "IDLETIME k"),
    ("OBJECT", "NOPE k"),
    ("OBJECT", "ENCODING"),
    ("FLUSHDB", "?FLUSH"),
    ("FLUSHALL", "?FLUSH"),
];

const KEYS: [&[u8]; 12] = [
    b"a",
    b"b",
    b"c",
    b"d",
    b"{a}1",
    b"{a}2",
    b"counter",
    b"float",
    b"",
    b"k\0\xff\r\n",
    b"*",
    b"a key that is longer than most of the others are",
];

const VALUES: [&[u8]; 22] = [
    b"",
    b"0",
    b"1",
    b"-1",
    b"42",
    b"9999",
    b"10000",
    b"007",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"3.14",
    b"1e3",
    b"abc",
    b"abcdefabc",
    b"ohmytext",
    b"mynewtext",
    b"\0\x01\xff\r\n",
    b" 1",
    b"1 ",
    b"forty-four bytes are embedded by Redis, whic",
    b"forty-five bytes are not embedded by Redis, s",
];

const HOSTILE: [&[u8]; 16] = [
    b"",
    b"abc",
    b"1.5",
    b" 1",
    b"1 ",
    b"+1",
    b"-0",
    b"01",
    b"0x10",
    b"99999999999999999999",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775",
    b"-1",
    b"0",
    b"1\0",
];

const FRACTIONS: [&[u8]; 34] = [
    b"0.1",
    b"-0.1",
    b"1",
    b"3.0e3",
    b"1e-17",
    b"1e-18",
    b"5e-18",
    b"1e17",
    b"1e18",
    b"1e19",
    b"1e30",
    b"-1e30",
    b"1e300",
    b"1e4932",
    b"-1e4932",
    b"1.18973149535723176502e+4932",
    b"1e-4950",
    b"1e-5000",
    b"1e5000",
    b"inf",
    b"-inf",
    b"Infinity",
    b"nan",
    b"nan(1)",
    b"0x1p3",
    b"0x1.8P-2",
    b"0x",
    b".5",
    b"5.",
    b".",
    b"1e",
    b"",
    b" 1",
    b"18446744073709551615.5",
];

const PATTERNS: [&[u8]; 20] = [
    b"*", b"a*", b"?", b"[abc]", b"[^abc]", b"[a-c]", b"[c-a]", b"{a}*", b"\\*", b"*\\", b"[",
    b"[a", b"[]a]", b"*o*t*", b"", b"**", b"k?*", b"[^", b"a[", b"[\\]a]",
];

/// Every key that a command may name, by mistake too.
pub(super) fn all_keys() -> impl Iterator<Item = Vec<u8>> {
    const NAMES: [&[u8]; 2] = [b"GET", b"get"];
    let words = KEYS.iter().chain(&VALUES).chain(&HOSTILE);
    words.chain(&NAMES).map(|key| key.to_vec())
}

/// The next command.
pub(super) fn command(chance: &mut Chance) -> Command {
    let (name, shape) = loop {
        let (name, shape) = chance.of(&COMMANDS);
        // Empty databases show little, and swapped ones are soon the same.
        let rare = name.starts_with("FLUSH") || name == "SWAPDB";
        if !rare || chance.one_in(20) {
            break (name, shape);
        }
    };
    let mut command = vec![cased(chance, name)];
    for part in shape.split_whitespace() {
        argument(chance, part, &mut command);
    }
    // Now and then one argument too many, too few, or a wrong one. A SCAN would then show how an
    // iteration is cut.
    match chance.below(60) {
        _ if name == "SCAN" => {}
        0 => command.push(word(chance)),
        1 if command.len() > 1 => {
            command.pop();
        }
        2 if command.len() > 1 => {
            let at = 1 + chance.below(command.len() - 1);
            command[at] = word(chance);
        }
        _ => {}
    }
    command
}

fn word(chance: &mut Chance) -> Vec<u8> {
    match chance.below(3) {
        0 => chance.of(&HOSTILE).to_vec(),
        1 => chance.of(&VALUES).to_vec(),
        _ => cased(chance, "GET"),
    }
}

fn cased(chance: &mut Chance, text: &str) -> Vec<u8> {
    match chance.below(4) {
        0 => text.to_lowercase().into_bytes(),
        _ => text.into(),
    }
}

fn argument(chance: &mut Chance, part: &str, command: &mut Command) {
    if let Some(part) = part.strip_prefix('?') {
        if chance.one_in(2) {
            argument(chance, part, command);
        }
        return;
    }
    if let Some(parts) = part.strip_prefix('*') {
        for _ in 0..chance.below(3) {
            parts
                .chars()
                .for_each(|part| command.push(value(chance, part)));
        }
        return;
    }
    let mut option = |chance: &mut Chance, name: &str, part: Option<char>| {
        command.push(cased(chance, name));
        if let Some(part) = part {
            command.push(value(chance, part));
        }
    };
    let options: &[(&str, Option<char>)] = match part {
        "SET" => &[
            ("NX", None),
            ("XX", None),
            ("GET", None),
            ("KEEPTTL", None),
            ("EX", Some('s')),
            ("PX", Some('m')),
            ("EXAT", Some('S')),
            ("PXAT", Some('M')),
        ],
        "GETEX" => &[
            ("PERSIST", None),
            ("EX", Some('s')),
            ("PX", Some('m')),
            ("EXAT", Some('S')),
            ("PXAT", Some('M')),
        ],
        "COPY" => &[("DB", Some('d')), ("REPLACE", None)],
        "LCS" => &[
            ("LEN", None),
            ("IDX", None),
            ("MINMATCHLEN", Some('i')),
            ("WITHMATCHLEN", None),
        ],
        "FLUSH" => &[("SYNC", None), ("ASYNC", None), ("NOW", None)],
        "c" => &[
            ("NX", None),
            ("XX", None),
            ("GT", None),
            ("LT", None),
            ("NO", None),
        ],
        "SCAN" => {
            // All of it in one call: how the rest is cut differs.
            command.push(if chance.one_in(20) {
                word_cursor(chance)
            } else {
                b"0".to_vec()
            });
            command.push(b"COUNT".to_vec());
            command.push(if chance.one_in(10) {
                scan_count(chance)
            } else {
                b"9999".to_vec()
            });
            if chance.one_in(2) {
                command.push(cased(chance, "MATCH"));
                command.push(value(chance, 'g'));
            }
            if chance.one_in(4) {
                command.push(cased(chance, "TYPE"));
                command.push(chance.of(&[&b"string"[..], b"list", b"STRING"]).to_vec());
            }
            return;
        }
        word if word.len() > 1 => {
            command.push(cased(chance, word));
            return;
        }
        _ => &[],
    };
    if options.is_empty() {
        part.chars()
            .for_each(|part| command.push(value(chance, part)));
        return;
    }
    for _ in 0..1 + chance.below(2) + chance.below(2) {
        let (name, part) = chance.of(options);
        option(chance, name, part);
    }
}

/// Cursors and counts that are refused: others would show how an iteration is cut.
fn word_cursor(chance: &mut Chance) -> Vec<u8> {
    chance
        .of(&[&b"abc"[..], b"1.5", b"99999999999999999999", b"1 "])
        .to_vec()
}

fn scan_count(chance: &mut Chance) -> Vec<u8> {
    chance
        .of(&[&b"0"[..], b"-5", b"abc", b"", b"9223372036854775808"])
        .to_vec()
}

fn value(chance: &mut Chance, part: char) -> Vec<u8> {
    let hostile = chance.one_in(12);
    let text = |number: u64| number.to_string().into_bytes();
    match part {
        'k' => chance.of(&KEYS).to_vec(),
        'v' if chance.one_in(20) => vec![b'x'; chance.below(3_000)],
        'v' => chance.of(&VALUES).to_vec(),
        'f' => chance.of(&FRACTIONS).to_vec(),
        'g' => chance.of(&PATTERNS).to_vec(),
        _ if hostile => chance.of(&HOSTILE).to_vec(),
        'i' => {
            let number = chance.below(30) as i64 - 10;
            number.to_string().into_bytes()
        }
        'o' => {
            let number = chance.below(60) as i64 - 30;
            let far = [-1, 100, 3_000, 536_870_912, i64::MAX, i64::MIN];
            let number = if chance.one_in(10) {
                chance.of(&far)
            } else {
                number
            };
            number.to_string().into_bytes()
        }
        'd' => (chance.below(5) as i64 - i64::from(chance.one_in(20)))
            .to_string()
            .into(),
        // So far apart that no two of them come near each other while the test runs.
        's' => text(10_000 + chance.next() % 1_000_000_000),
        'm' => text(10_000_000 + chance.next() % 1_000_000_000_000),
        'S' if chance.one_in(8) => text(1 + chance.next() % 1_000_000_000),
        'S' => text(3_000_000_000 + chance.next() % 1_000_000_000),
        'M' if chance.one_in(8) => text(1 + chance.next() % 1_000_000_000_000),
        _ => text(3_000_000_000_000 + chance.next() % 1_000_000_000_000),
    }
}
