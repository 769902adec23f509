//! What holds for any bytes at all.

mod common;

use std::time::{Duration, Instant};

use common::{decode, decode_every_way};
use proptest::collection::vec;
use proptest::prelude::*;
use resp::{
    Limits, ProtocolError, RequestDecoder, Value, decode_value, downgrade, encode, reply_len,
    upgrade,
};

/// Bytes that mean something to the codec, so that random input gets past the first one.
fn almost_resp() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static [u8]> = vec![
        b"*",
        b"$",
        b"%",
        b"~",
        b">",
        b"|",
        b"+",
        b"-",
        b":",
        b"_",
        b"#",
        b",",
        b"(",
        b"=",
        b"!",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b"0",
        b"1",
        b"2",
        b"3",
        b"9",
        b"-1",
        b"9223372036854775807",
        b"4611686018427387904",
        b" ",
        b"\t",
        b"\"",
        b"'",
        b"\\",
        b"\\x4",
        b"a",
        b"*1\r\n",
        b"*2\r\n",
        b"$1\r\na\r\n",
        b"$3\r\n",
        b"+OK\r\n",
        b":1\r\n",
        b"_\r\n",
        b"%1\r\n",
        b"|1\r\n",
        b"*-1\r\n",
        b"$-1\r\n",
        b"#t\r\n",
        b",1.5\r\n",
        b"\x16\x03",
        b"POST",
    ];
    vec(proptest::sample::select(words), 0..40).prop_map(|words| words.concat())
}

fn value() -> impl Strategy<Value = Value> {
    let bytes = || vec(any::<u8>(), 0..20);
    let line = || "[^\r\n]{0,20}".prop_map(String::into_bytes);
    let scalar = prop_oneof![
        line().prop_map(Value::Simple),
        line().prop_map(Value::Error),
        any::<i64>().prop_map(Value::Integer),
        bytes().prop_map(Value::Bulk),
        Just(Value::Null),
        Just(Value::NullArray),
        any::<bool>().prop_map(Value::Boolean),
        any::<f64>()
            .prop_filter("NaN equals nothing", |d| !d.is_nan())
            .prop_map(Value::Double),
        "-?[0-9]{1,40}".prop_map(|digits| Value::BigNumber(digits.into_bytes())),
        (any::<[u8; 3]>(), bytes()).prop_map(|(format, text)| Value::Verbatim(format, text)),
        bytes().prop_map(Value::BulkError),
    ];
    scalar.prop_recursive(6, 60, 6, |inner| {
        let pairs = || vec((inner.clone(), inner.clone()), 0..4);
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            vec(inner.clone(), 0..6).prop_map(Value::Set),
            vec(inner.clone(), 0..6).prop_map(Value::Push),
            pairs().prop_map(Value::Map),
            (pairs(), inner.clone())
                .prop_map(|(pairs, value)| Value::Attributed(pairs, Box::new(value))),
        ]
    })
}

/// A second opinion on `downgrade`: what a RESP2 client should read.
fn in_resp2(value: Value) -> Value {
    let all = |values: Vec<Value>| Value::Array(values.into_iter().map(in_resp2).collect());
    match value {
        Value::Boolean(value) => Value::Integer(i64::from(value)),
        Value::Double(value) => {
            let mut text = Vec::new();
            encode::double(&mut text, value);
            Value::Bulk(text[1..text.len() - 2].to_vec())
        }
        Value::BigNumber(text) | Value::Verbatim(_, text) => Value::Bulk(text),
        Value::BulkError(mut text) => {
            text.iter_mut()
                .filter(|byte| matches!(byte, b'\r' | b'\n'))
                .for_each(|byte| *byte = b' ');
            Value::Error(text)
        }
        Value::Array(values) | Value::Set(values) | Value::Push(values) => all(values),
        Value::Map(pairs) => all(pairs.into_iter().flat_map(|(k, v)| [k, v]).collect()),
        Value::Attributed(_, value) => in_resp2(*value),
        other => other,
    }
}

/// What a RESP3 client should read: one kind of null.
fn in_resp3(value: Value) -> Value {
    let all = |values: Vec<Value>| values.into_iter().map(in_resp3).collect();
    let both = |pairs: Vec<(Value, Value)>| {
        let pairs = pairs.into_iter();
        pairs.map(|(k, v)| (in_resp3(k), in_resp3(v))).collect()
    };
    match value {
        Value::NullArray => Value::Null,
        Value::Array(values) => Value::Array(all(values)),
        Value::Set(values) => Value::Set(all(values)),
        Value::Push(values) => Value::Push(all(values)),
        Value::Map(pairs) => Value::Map(both(pairs)),
        Value::Attributed(pairs, value) => {
            Value::Attributed(both(pairs), Box::new(in_resp3(*value)))
        }
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn requests_come_back_as_they_were_sent(
        requests in vec(vec(vec(any::<u8>(), 0..40), 1..5), 1..5),
    ) {
        let mut input = Vec::new();
        requests.iter().for_each(|args| encode::request(&mut input, args));
        let outcome = decode_every_way(Limits::default(), &input);
        let http = |args: &Vec<Vec<u8>>| resp::is_http(&args[0]);
        if !requests.iter().any(http) {
            prop_assert_eq!(outcome.error, None);
            prop_assert_eq!(outcome.left, 0);
            prop_assert_eq!(outcome.requests, requests);
        }
    }

    #[test]
    fn quoted_words_come_back_as_they_were(words in vec(vec(any::<u8>(), 0..20), 1..6)) {
        let hex = |word: &Vec<u8>| word.iter().map(|b| format!("\\x{b:02x}")).collect::<String>();
        let line: Vec<_> = words.iter().map(|word| format!("\"{}\"", hex(word))).collect();
        let outcome = decode(Limits::default(), [line.join(" ").as_bytes(), b"\r\n"]);
        prop_assert!(resp::is_http(&words[0]) || outcome.requests == [words]);
    }

    #[test]
    fn values_come_back_as_they_were_sent(value in value()) {
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        let len = bytes.len();
        prop_assert_eq!(reply_len(&bytes), Ok(Some(len)));
        prop_assert_eq!(decode_value(&bytes), Ok(Some((value.clone(), len))));

        let mut resp2 = Vec::new();
        downgrade(&bytes, &mut resp2);
        let expected = (in_resp2(value.clone()), resp2.len());
        prop_assert_eq!(decode_value(&resp2), Ok(Some(expected)));

        let mut resp3 = Vec::new();
        upgrade(&bytes, &mut resp3);
        let expected = (in_resp3(value), resp3.len());
        prop_assert_eq!(decode_value(&resp3), Ok(Some(expected)));
    }

    #[test]
    fn an_incomplete_value_is_waited_for(value in value()) {
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        for cut in 0..bytes.len() {
            prop_assert_eq!(reply_len(&bytes[..cut]), Ok(None));
            prop_assert_eq!(decode_value(&bytes[..cut]), Ok(None));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn no_bytes_cause_a_panic_or_depend_on_where_they_are_cut(
        input in prop_oneof![almost_resp(), vec(any::<u8>(), 0..60)],
    ) {
        decode_every_way(Limits::default(), &input);
        let tight = Limits { max_args: 2, max_bulk: 4, max_inline: 8, max_request: 24, ..Limits::default() };
        decode_every_way(tight, &input);
        decode_every_way(Limits { unauthenticated: true, ..tight }, &input);

        let mut out = Vec::new();
        downgrade(&input, &mut out);
        upgrade(&input, &mut out);
        let len = reply_len(&input);
        if let Ok(Some((_, taken))) = decode_value(&input) {
            prop_assert_eq!(len, Ok(Some(taken)));
        }
        if let Ok(Some(len)) = len {
            prop_assert_eq!(reply_len(&input[..len]), Ok(Some(len)));
            prop_assert_eq!(reply_len(&input[..len - 1]), Ok(None));
        }
    }

    #[test]
    fn what_is_downgraded_stays_so(value in value()) {
        let (mut reply, mut once, mut twice) = (Vec::new(), Vec::new(), Vec::new());
        value.encode(&mut reply);
        downgrade(&reply, &mut once);
        downgrade(&once, &mut twice);
        prop_assert_eq!(once, twice);
    }
}

/// Far above what linear work takes here (a second, even on a busy machine), far below what
/// quadratic work would (ten minutes or more).
const LINEAR: Duration = Duration::from_secs(30);

/// A line so long that looking for its end again and again takes minutes at memory's speed.
const LONG: usize = 8 << 20;

#[test]
fn a_pipeline_of_a_million_requests_takes_linear_time() {
    let start = Instant::now();
    for request in [&b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"[..], b"GET 'key'\r\n"] {
        let input = request.repeat(1_000_000);
        let mut decoder = RequestDecoder::new(Limits::default());
        let (mut at, mut requests) = (0, 0);
        while let Some(request) = decoder.decode(&input[at..]).unwrap() {
            assert_eq!(request.arg(1), Some(&b"key"[..]));
            at += request.consumed();
            requests += 1;
        }
        assert_eq!((at, requests), (input.len(), 1_000_000));
    }
    assert!(start.elapsed() < LINEAR, "{:?}", start.elapsed());
}

#[test]
fn requests_in_many_pieces_take_linear_time() {
    let start = Instant::now();
    let mut many_args = Vec::new();
    encode::request(&mut many_args, &vec![b"argument"; 200_000]);
    let mut large_arg = Vec::new();
    encode::request(&mut large_arg, &[&vec![b'x'; 8 << 20]]);
    let mut long_line = vec![b'x'; LONG];
    long_line.push(b'\n');
    let long_header = [b"*", &vec![b'1'; LONG][..], b"\r\n"].concat();
    let boundless = Limits {
        max_inline: 1 << 30,
        ..Limits::default()
    };
    for (input, requests, error) in [
        (many_args, 1, None),
        (large_arg, 1, None),
        (long_line, 1, None),
        (long_header, 0, Some(ProtocolError::InvalidMultibulkLength)),
    ] {
        // As a socket hands it over, some bytes more each time, in one buffer.
        let mut decoder = RequestDecoder::new(boundless);
        let mut outcome = (0, None);
        for end in 0..=input.len() {
            // Not only at the end, which quadratic work would not reach.
            assert!(end % 65_536 != 0 || start.elapsed() < LINEAR, "{end}");
            match decoder.decode(&input[..end]) {
                Ok(None) => {}
                Ok(Some(request)) => {
                    assert_eq!(request.consumed(), input.len());
                    outcome.0 += 1;
                }
                Err(error) => {
                    outcome.1 = Some(error);
                    break;
                }
            }
        }
        assert_eq!(outcome, (requests, error));
    }
}
