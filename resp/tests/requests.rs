//! What a server accepts and what it refuses, in tables. Each row is decoded whole, byte by byte
//! and cut at every byte. The rows that Redis can answer at all were compared with what a Redis
//! server answers (see `examples/against_redis.rs`).

mod common;

use common::{Outcome, decode, decode_every_way};
use resp::{Limits, ProtocolError, RequestDecoder};

/// The requests in `input`, which must be good and complete; words joined by `|`.
fn accepted(input: &[u8]) -> Vec<String> {
    let outcome = decode_every_way(Limits::default(), input);
    assert_eq!(
        (outcome.error, outcome.left),
        (None, 0),
        "{}",
        input.escape_ascii()
    );
    outcome
        .requests
        .iter()
        .map(|args| args.join(&b"|"[..]).escape_ascii().to_string())
        .collect()
}

fn refused(limits: Limits, input: &[u8]) -> Option<ProtocolError> {
    decode_every_way(limits, input).error
}

#[test]
fn requests_are_arrays_of_bulk_strings() {
    for (input, expected) in [
        (&b"*1\r\n$4\r\nPING\r\n"[..], &["PING"][..]),
        (b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n", &["GET|key"]),
        (b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n", &["GET|"]),
        // Any byte may stand in an argument.
        (
            b"*2\r\n$4\r\nECHO\r\n$6\r\n\r\n\0\xff*1\r\n",
            &["ECHO|\\r\\n\\x00\\xff*1"],
        ),
        // A pipeline, inline requests among others.
        (b"*1\r\n$1\r\na\r\nb\r\n*1\r\n$1\r\nc\r\n", &["a", "b", "c"]),
        // Nothing to do, but consumed.
        (b"*0\r\n", &[""]),
        (b"*-1\r\n", &[""]),
        (b"*-9223372036854775808\r\nPING\r\n", &["", "PING"]),
        // As lax as Redis: what stands in place of LF, or of the CR LF behind an argument.
        (b"*1\rX$4\rXPINGXX*1\r\n$1\r\na\r\n", &["PING", "a"]),
        // A length that is too short leaves the rest for an inline request.
        (b"*1\r\n$3\r\nfoobar\r\n", &["foo", "r"]),
    ] {
        assert_eq!(accepted(input), expected, "{}", input.escape_ascii());
    }
}

#[test]
fn inline_requests_are_split_as_a_shell_would() {
    for (input, expected) in [
        (&b"PING\r\n"[..], &["PING"][..]),
        (b"PING\n", &["PING"]),
        (b"SET key value\r\n", &["SET|key|value"]),
        (b"  SET\t key \x0b\x0c value  \r\n", &["SET|key|value"]),
        (b"\r\n", &[""]),
        (b"\n", &[""]),
        (b" \t \r\n", &[""]),
        (b"\r\n\nPING\r\n", &["", "", "PING"]),
        (b"SET key \"\"\r\n", &["SET|key|"]),
        (b"SET key \"a b\"\r\n", &["SET|key|a b"]),
        (b"SET key 'a b'\r\n", &["SET|key|a b"]),
        (b"SET k'e y' \"a\"\r\n", &["SET|ke y|a"]),
        (b"a \"\\x41\\xfF\\x00\"\n", &["a|A\\xff\\x00"]),
        // Not two hexadecimal digits: an escaped x.
        (b"a \"\\x4\" \"\\xg1\" \"\\x\"\n", &["a|x4|xg1|x"]),
        (
            b"a \"\\n\\r\\t\\b\\a\\\\\\\"\\q\"\n",
            &["a|\\n\\r\\t\\x08\\x07\\\\\\\"q"],
        ),
        (b"a 'it\\'s' '\\n' '\"'\n", &["a|it\\'s|\\\\n|\\\""]),
        // Outside of quotes a backslash is a backslash.
        (b"a \\n\\x41\n", &["a|\\\\n\\\\x41"]),
        // A bare CR ends a word; vertical tabs and form feeds only separate them.
        (b"a\rb c\x0bd \x0ce\r\n", &["a|b|c\\x0bd|e"]),
        (b"a\r\r\n", &["a"]),
        (b"\xc3\xa4 \xff\xfe\n", &["\\xc3\\xa4|\\xff\\xfe"]),
        (b"$3\r\n:1\r\n", &["$3", ":1"]),
        (b"GET / HTTP/1.1\r\n", &["GET|/|HTTP/1.1"]),
    ] {
        assert_eq!(accepted(input), expected, "{}", input.escape_ascii());
    }
}

#[test]
fn hostile_requests_are_refused_in_redis_words() {
    use ProtocolError as E;
    for (input, expected) in [
        // Counts.
        (&b"*\r\n"[..], E::InvalidMultibulkLength),
        (b"*a\r\n", E::InvalidMultibulkLength),
        (b"*1a\r\n", E::InvalidMultibulkLength),
        (b"* 1\r\n", E::InvalidMultibulkLength),
        (b"*1 \r\n", E::InvalidMultibulkLength),
        (b"*+1\r\n", E::InvalidMultibulkLength),
        (b"*+0\r\n", E::InvalidMultibulkLength),
        (b"*-0\r\n", E::InvalidMultibulkLength),
        (b"*-\r\n", E::InvalidMultibulkLength),
        (b"*00\r\n", E::InvalidMultibulkLength),
        (b"*01\r\n", E::InvalidMultibulkLength),
        (b"*1048577\r\n", E::InvalidMultibulkLength),
        (b"*2147483648\r\n", E::InvalidMultibulkLength),
        (b"*4294967297\r\n", E::InvalidMultibulkLength),
        (b"*9223372036854775807\r\n", E::InvalidMultibulkLength),
        (b"*9223372036854775808\r\n", E::InvalidMultibulkLength),
        (b"*18446744073709551617\r\n", E::InvalidMultibulkLength),
        (b"*99999999999999999999\r\n", E::InvalidMultibulkLength),
        (b"*-9223372036854775809\r\n", E::InvalidMultibulkLength),
        (b"*1\0\r\n", E::InvalidMultibulkLength),
        (b"*\xff\r\n", E::InvalidMultibulkLength),
        (b"*1\n$4\nPING\n\r\n", E::InvalidMultibulkLength),
        // Lengths.
        (b"*1\r\n$\r\n", E::InvalidBulkLength),
        (b"*1\r\n$-1\r\n", E::InvalidBulkLength),
        (b"*1\r\n$-2\r\n", E::InvalidBulkLength),
        (b"*1\r\n$+4\r\nPING\r\n", E::InvalidBulkLength),
        (b"*1\r\n$+0\r\n", E::InvalidBulkLength),
        (b"*1\r\n$-0\r\n", E::InvalidBulkLength),
        (b"*1\r\n$04\r\nPING\r\n", E::InvalidBulkLength),
        (b"*1\r\n$0x4\r\nPING\r\n", E::InvalidBulkLength),
        (b"*1\r\n$536870913\r\n", E::InvalidBulkLength),
        (b"*1\r\n$4294967300\r\nPING\r\n", E::InvalidBulkLength),
        (b"*1\r\n$9223372036854775807\r\n", E::InvalidBulkLength),
        (b"*1\r\n$9223372036854775808\r\n", E::InvalidBulkLength),
        (b"*1\r\n$99999999999999999999\r\n", E::InvalidBulkLength),
        (b"*1\r\n$-9223372036854775808\r\n", E::InvalidBulkLength),
        (b"*2\r\n$1\r\na\r\n$-1\r\n", E::InvalidBulkLength),
        // Types that requests do not have; nesting above all.
        (b"*1\r\nPING\r\n", E::ExpectedBulk(b'P')),
        (b"*1\r\n:1\r\n", E::ExpectedBulk(b':')),
        (b"*1\r\n*1\r\n*1\r\n", E::ExpectedBulk(b'*')),
        (b"*1\r\n\r\n", E::ExpectedBulk(b'\r')),
        (b"*1\r\n\n\r\n", E::ExpectedBulk(b'\n')),
        (b"*1\r\n\0\r\n", E::ExpectedBulk(0)),
        (b"*1\r\n\xff\r\n", E::ExpectedBulk(0xff)),
        // A length that is too long swallows the next header.
        (b"*2\r\n$3\r\na\r\n$1\r\nb\r\n", E::ExpectedBulk(b'\r')),
        // Quotes.
        (b"a \"b\r\n", E::UnbalancedQuotes),
        (b"a 'b\n", E::UnbalancedQuotes),
        (b"\"\r\n", E::UnbalancedQuotes),
        (b"a \"b\"c\r\n", E::UnbalancedQuotes),
        (b"a 'b'c\r\n", E::UnbalancedQuotes),
        (b"a \"b\"\"c\"\r\n", E::UnbalancedQuotes),
        (b"a \"b\\\"\r\n", E::UnbalancedQuotes),
        (b"a 'b\\'\r\n", E::UnbalancedQuotes),
        // Not RESP at all.
        (b"a\0b\r\n", E::NulInInline),
        (b"\0\0\0\x10", E::NulInInline),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", E::Tls),
        (b"\x16\x03\x03", E::Tls),
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\nFLUSHALL\r\n", E::Http),
        (b"Host: localhost\r\n", E::Http),
        (b"*2\r\n$4\r\npOsT\r\n$1\r\n/\r\n", E::Http),
        (b"*1\r\n$5\r\nhOST:\r\n", E::Http),
    ] {
        assert_eq!(
            refused(Limits::default(), input),
            Some(expected),
            "{}",
            input.escape_ascii()
        );
    }
}

#[test]
fn a_request_before_a_bad_one_still_counts() {
    let outcome = decode_every_way(Limits::default(), b"PING\r\n*x\r\nPING\r\n");
    assert_eq!(outcome.requests, [[b"PING"]]);
    assert_eq!(outcome.error, Some(ProtocolError::InvalidMultibulkLength));
}

#[test]
fn what_has_not_ended_is_waited_for() {
    for input in [
        &b""[..],
        b"*",
        b"*1",
        b"*1\r",
        b"*1\r\n",
        b"*1\r\n$",
        b"*1\r\n$4\r",
        b"*1\r\n$4\r\nPIN",
        b"*1\r\n$4\r\nPING",
        b"*1\r\n$4\r\nPING\r",
        b"*1\r\n$536870912\r\nabc",
        // As in Redis a bad header is bad only once its line has ended.
        b"*zzz",
        b"*1\r\nPING",
        b"PING",
        b"PING\r",
        b"\x16",
    ] {
        let outcome = decode_every_way(Limits::default(), input);
        let left = input.len();
        assert_eq!(
            outcome,
            Outcome {
                left,
                ..Outcome::default()
            }
        );
    }
}

#[test]
fn unauthenticated_clients_get_ten_arguments_of_16_kib() {
    let limits = Limits::unauthenticated();
    for (input, expected) in [
        (
            &b"*11\r\n"[..],
            ProtocolError::UnauthenticatedMultibulkLength,
        ),
        (
            b"*1048576\r\n",
            ProtocolError::UnauthenticatedMultibulkLength,
        ),
        (b"*1048577\r\n", ProtocolError::InvalidMultibulkLength),
        (
            b"*1\r\n$16385\r\n",
            ProtocolError::UnauthenticatedBulkLength,
        ),
        (
            b"*1\r\n$536870912\r\n",
            ProtocolError::UnauthenticatedBulkLength,
        ),
        (b"*1\r\n$536870913\r\n", ProtocolError::InvalidBulkLength),
    ] {
        assert_eq!(refused(limits, input), Some(expected));
    }
    let arg = [b'x'; 16 * 1024];
    let mut request = Vec::new();
    resp::encode::request(&mut request, &[&arg; 10]);
    assert_eq!(decode(limits, [&request[..]]).requests, [vec![arg; 10]]);
}

#[test]
fn limits_can_change_between_requests_and_within_one() {
    let mut decoder = RequestDecoder::new(Limits::unauthenticated());
    let request = b"*1\r\n$16385\r\n";
    assert_eq!(decoder.decode(&request[..4]).unwrap().map(|_| ()), None);
    decoder.set_limits(Limits::default());
    assert_eq!(decoder.decode(request).unwrap().map(|_| ()), None);
}

#[test]
fn a_request_as_a_whole_is_bounded() {
    let limits = Limits {
        max_request: 100,
        ..Limits::default()
    };
    let mut fits = Vec::new();
    resp::encode::request(&mut fits, &[&[b'x'; 30][..], &[b'y'; 30], &[b'z'; 15]]);
    assert_eq!(fits.len(), 100);
    assert_eq!(decode_every_way(limits, &fits).requests.len(), 1);
    // Refused by what it claims: the last argument has not arrived.
    let mut too_big = Vec::new();
    resp::encode::request(&mut too_big, &[&[b'x'; 30][..], &[b'y'; 30], &[b'z'; 16]]);
    too_big.truncate(too_big.len() - 18);
    assert_eq!(
        refused(limits, &too_big),
        Some(ProtocolError::TooBigRequest)
    );
    // The claim alone, far beyond what a position can express.
    let boundless = Limits {
        max_bulk: usize::MAX,
        max_request: usize::MAX,
        ..Limits::default()
    };
    for claim in ["4294967295", "4294967296", "9223372036854775807"] {
        let input = format!("*1\r\n${claim}\r\n");
        let error = refused(boundless, input.as_bytes());
        assert_eq!(error, Some(ProtocolError::TooBigRequest));
    }
}

#[test]
fn lines_that_do_not_end_are_refused_at_their_limit() {
    let limits = Limits {
        max_inline: 10,
        ..Limits::default()
    };
    for (before, filler, error) in [
        (&b""[..], b'a', ProtocolError::TooBigInline),
        (b"", b' ', ProtocolError::TooBigInline),
        (b"*", b'1', ProtocolError::TooBigMultibulkCount),
        (b"*", b'a', ProtocolError::TooBigMultibulkCount),
        (b"*1\r\n$", b'1', ProtocolError::TooBigBulkCount),
        (b"*1\r\n", b'a', ProtocolError::TooBigBulkCount),
    ] {
        let line_starts = if before.len() > 1 { 4 } else { 0 };
        let mut input = before.to_vec();
        input.resize(line_starts + 10, filler);
        let outcome = decode_every_way(limits, &input);
        assert_eq!((outcome.error, outcome.left), (None, input.len()));
        input.push(filler);
        assert_eq!(refused(limits, &input), Some(error));
        // The same when the end comes along with it.
        input.extend_from_slice(b"\r\n");
        assert_eq!(refused(limits, &input), Some(error));
    }
    // A header of usual length is never too long, whole or in pieces.
    let tiny = Limits {
        max_inline: 4,
        ..Limits::default()
    };
    let input = b"*1\r\n$123456789\r\nx";
    let outcome = decode_every_way(tiny, input);
    assert_eq!((outcome.error, outcome.left), (None, input.len()));
    // At Redis' own limit: 64 KiB without a line end are fine, one byte more is not.
    let mut line = vec![b'a'; 64 * 1024];
    let default = Limits::default();
    assert_eq!(decode(default, [&line[..], b"\n"]).requests.len(), 1);
    line.push(b'a');
    let error = decode(default, [&line[..]]).error;
    assert_eq!(error, Some(ProtocolError::TooBigInline));
}

#[test]
fn errors_are_answered_as_redis_does() {
    use ProtocolError as E;
    for (error, expected) in [
        (E::TooBigInline, "too big inline request"),
        (E::UnbalancedQuotes, "unbalanced quotes in request"),
        (E::InvalidMultibulkLength, "invalid multibulk length"),
        (
            E::UnauthenticatedMultibulkLength,
            "unauthenticated multibulk length",
        ),
        (E::TooBigMultibulkCount, "too big mbulk count string"),
        (E::InvalidBulkLength, "invalid bulk length"),
        (E::UnauthenticatedBulkLength, "unauthenticated bulk length"),
        (E::TooBigBulkCount, "too big bulk count string"),
        (E::ExpectedBulk(b'x'), "expected '$', got 'x'"),
        (E::ExpectedBulk(b'\r'), "expected '$', got ' '"),
        (E::TooBigRequest, "too big request"),
        (E::NulInInline, "NUL byte in inline request"),
        (E::Tls, "this port does not speak TLS"),
    ] {
        let mut out = Vec::new();
        error.reply(&mut out);
        let expected = format!("-ERR Protocol error: {expected}\r\n");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
    let mut out = Vec::new();
    E::ExpectedBulk(0xff).reply(&mut out);
    assert_eq!(out, b"-ERR Protocol error: expected '$', got '\xff'\r\n");
    out.clear();
    E::Http.reply(&mut out);
    assert_eq!(out, b"", "a browser gets no answer");
}

#[test]
fn room_is_asked_for_as_data_arrives_not_as_it_is_claimed() {
    const CLAIM: usize = 100 << 20;
    let mut decoder = RequestDecoder::new(Limits::default());
    assert_eq!(decoder.wanted(), 0);
    let mut input = format!("*1\r\n${CLAIM}\r\n").into_bytes();
    let total = input.len() + CLAIM + 2;
    let mut reads = 0;
    while decoder.decode(&input).unwrap().is_none() {
        let wanted = decoder.wanted();
        assert!(wanted > 0, "more is known to come");
        assert!(wanted <= input.len().max(16 * 1024), "{wanted}");
        input.resize(input.len() + wanted, b'x');
        reads += 1;
    }
    assert_eq!(input.len(), total, "never more than the argument needs");
    assert!(reads < 20, "{reads} reads");
    assert_eq!(decoder.wanted(), 0);
    // Nothing is known of a line that has not ended.
    assert!(decoder.decode(b"*1").unwrap().is_none());
    assert_eq!(decoder.wanted(), 0);
}

#[test]
fn a_decoder_starts_over_after_an_error() {
    let mut decoder = RequestDecoder::new(Limits::default());
    assert!(decoder.decode(b"*2\r\n$1\r\na\r\n$-1\r\n").is_err());
    let request = decoder.decode(b"*1\r\n$1\r\nb\r\n").unwrap().unwrap();
    assert_eq!(request.args().collect::<Vec<_>>(), [b"b"]);
}

#[test]
#[should_panic(expected = "only grows")]
fn bytes_of_an_incomplete_request_cannot_be_taken_away() {
    let mut decoder = RequestDecoder::new(Limits::default());
    assert!(decoder.decode(b"*1\r\n$4\r\nPI").unwrap().is_none());
    let _ = decoder.decode(b"PING\r\n");
}
