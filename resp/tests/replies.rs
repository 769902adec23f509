//! Each type of reply: as it is built, as a RESP2 connection gets it, as a RESP3 connection gets
//! it, and as a client reads it. All expectations are written by hand.

use resp::{MAX_DEPTH, ProtocolError, Value, decode_value, downgrade, encode, reply_len, upgrade};

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\r\\n", "|")
}

fn resp2(reply: &[u8]) -> Vec<u8> {
    // Behind what is there already, never over it.
    let mut out = b"before".to_vec();
    downgrade(reply, &mut out);
    out.split_off(6)
}

fn resp3(reply: &[u8]) -> Vec<u8> {
    let mut out = b"before".to_vec();
    upgrade(reply, &mut out);
    out.split_off(6)
}

type Build = fn(&mut Vec<u8>);

/// What is built; how it looks; how it looks in RESP2, when that is something else.
const REPLIES: &[(Build, &str, Option<&str>)] = &[
    (|out| encode::simple(out, "OK"), "+OK|", None),
    (|out| encode::simple(out, "a\r\nb"), "+a  b|", None),
    (|out| encode::error(out, "ERR no"), "-ERR no|", None),
    (
        |out| encode::error(out, b"ERR <\n\xff>"),
        "-ERR < \\xff>|",
        None,
    ),
    (|out| encode::integer(out, 0), ":0|", None),
    (|out| encode::integer(out, -7), ":-7|", None),
    (
        |out| encode::integer(out, i64::MIN),
        ":-9223372036854775808|",
        None,
    ),
    (|out| encode::bulk(out, ""), "$0||", None),
    (|out| encode::bulk(out, "a\r\n_\r\n"), "$6|a|_||", None),
    (|out| encode::bulk(out, "*-1\r\n"), "$5|*-1||", None),
    (encode::null, "_|", Some("$-1|")),
    (|out| encode::boolean(out, true), "#t|", Some(":1|")),
    (|out| encode::boolean(out, false), "#f|", Some(":0|")),
    (|out| encode::double(out, 3.25), ",3.25|", Some("$4|3.25|")),
    (
        |out| encode::double(out, f64::INFINITY),
        ",inf|",
        Some("$3|inf|"),
    ),
    (
        |out| encode::double(out, f64::NEG_INFINITY),
        ",-inf|",
        Some("$4|-inf|"),
    ),
    (
        |out| encode::double(out, f64::NAN),
        ",nan|",
        Some("$3|nan|"),
    ),
    (
        |out| encode::big_number(out, "-123456789012345678901234567890"),
        "(-123456789012345678901234567890|",
        Some("$31|-123456789012345678901234567890|"),
    ),
    (
        |out| encode::verbatim(out, *b"txt", "a\r\nb"),
        "=8|txt:a|b|",
        Some("$4|a|b|"),
    ),
    (
        |out| encode::bulk_error(out, "ERR a\r\nb"),
        "!8|ERR a|b|",
        Some("-ERR a  b|"),
    ),
    (|out| encode::array(out, 0), "*0|", None),
    (
        |out| {
            encode::array(out, 2);
            encode::bulk(out, "a");
            encode::null(out);
        },
        "*2|$1|a|_|",
        Some("*2|$1|a|$-1|"),
    ),
    (|out| encode::map(out, 0), "%0|", Some("*0|")),
    (
        |out| {
            encode::map(out, 2);
            encode::bulk(out, "a");
            encode::integer(out, 1);
            encode::bulk(out, "b");
            encode::boolean(out, true);
        },
        "%2|$1|a|:1|$1|b|#t|",
        Some("*4|$1|a|:1|$1|b|:1|"),
    ),
    (
        |out| {
            encode::set(out, 2);
            encode::bulk(out, "a");
            encode::double(out, 0.5);
        },
        "~2|$1|a|,0.5|",
        Some("*2|$1|a|$3|0.5|"),
    ),
    (
        |out| {
            encode::push(out, 1);
            encode::bulk(out, "invalidate");
        },
        ">1|$10|invalidate|",
        Some("*1|$10|invalidate|"),
    ),
    (
        |out| {
            encode::attribute(out, 1);
            encode::simple(out, "ttl");
            encode::array(out, 2);
            encode::null(out);
            encode::map(out, 1);
            encode::simple(out, "k");
            encode::simple(out, "v");
            encode::integer(out, 7);
        },
        "|1|+ttl|*2|_|%1|+k|+v|:7|",
        Some(":7|"),
    ),
    // An attribute in the middle, with an attribute of its own.
    (
        |out| {
            encode::array(out, 3);
            encode::integer(out, 1);
            encode::attribute(out, 1);
            encode::attribute(out, 1);
            encode::simple(out, "a");
            encode::simple(out, "b");
            encode::simple(out, "c");
            encode::simple(out, "d");
            encode::integer(out, 2);
            encode::integer(out, 3);
        },
        "*3|:1||1||1|+a|+b|+c|+d|:2|:3|",
        Some("*3|:1|:2|:3|"),
    ),
    // Everything inside of everything.
    (
        |out| {
            encode::array(out, 2);
            encode::map(out, 1);
            encode::bulk(out, "k");
            encode::set(out, 2);
            encode::push(out, 1);
            encode::null(out);
            encode::verbatim(out, *b"mkd", "");
            encode::array(out, 1);
            encode::map(out, 0);
        },
        "*2|%1|$1|k|~2|>1|_|=4|mkd:|*1|%0|",
        Some("*2|*2|$1|k|*2|*1|$-1|$0||*1|*0|"),
    ),
];

#[test]
fn every_type_has_its_form_in_either_protocol() {
    for (build, in_resp3, in_resp2) in REPLIES {
        let mut reply = Vec::new();
        build(&mut reply);
        assert_eq!(text(&reply), *in_resp3);
        assert_eq!(text(&resp3(&reply)), *in_resp3);
        assert_eq!(text(&resp2(&reply)), in_resp2.unwrap_or(in_resp3));
    }
}

#[test]
fn null_arrays_keep_what_they_are_until_the_protocol_is_known() {
    let mut reply = Vec::new();
    encode::null_array(&mut reply);
    assert_eq!(resp2(&reply), b"*-1\r\n");
    assert_eq!(resp3(&reply), b"_\r\n");

    encode::array(&mut reply, 4);
    encode::null_array(&mut reply);
    encode::null(&mut reply);
    encode::bulk(&mut reply, "*-1\r\n");
    encode::null_array(&mut reply);
    assert_eq!(
        text(&resp2(&reply)),
        "*-1|*4|*-1|$-1|$5|*-1||*-1|",
        "RESP2 has both"
    );
    assert_eq!(
        text(&resp3(&reply)),
        "_|*4|_|_|$5|*-1||_|",
        "RESP3 has one, and strings are left alone"
    );
}

#[test]
fn replies_in_a_row_are_translated_in_a_row() {
    let (mut all, mut in_resp3, mut in_resp2) = (Vec::new(), String::new(), String::new());
    for (build, resp3, resp2) in REPLIES {
        build(&mut all);
        in_resp3 += resp3;
        in_resp2 += resp2.unwrap_or(resp3);
    }
    assert_eq!(text(&resp2(&all)), in_resp2);
    assert_eq!(text(&resp3(&all)), in_resp3);
    // And can be told apart again.
    let mut rest = &all[..];
    for (_, expected, _) in REPLIES {
        let (reply, others) = rest.split_at(reply_len(rest).unwrap().unwrap());
        assert_eq!(text(reply), *expected);
        rest = others;
    }
    assert_eq!(rest, b"");
}

#[test]
fn what_is_no_reply_is_copied_as_it_is() {
    for (bytes, expected) in [
        (&b""[..], &b""[..]),
        (b"garbage", b"garbage"),
        (b"_\r\n_\r", b"$-1\r\n_\r"),
        (b"#t\r\n$5\r\nabc", b":1\r\n$5\r\nabc"),
        (b"|1\r\n+a\r\n", b"|1\r\n+a\r\n"),
        (b"=3\r\ntxt\r\n", b"$0\r\n\r\n"),
        (b"%9223372036854775807\r\n", b"%9223372036854775807\r\n"),
    ] {
        assert_eq!(resp2(bytes), expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn depth_costs_no_stack() {
    const DEPTH: usize = 1_000_000;
    let mut reply = b"%1\r\n+k\r\n".repeat(DEPTH);
    encode::null_array(&mut reply);
    assert_eq!(reply_len(&reply), Ok(Some(reply.len())));
    let mut expected = b"*2\r\n+k\r\n".repeat(DEPTH);
    encode::null_array(&mut expected);
    assert!(resp2(&reply) == expected);
    assert!(resp3(&reply).ends_with(b"+k\r\n_\r\n"));
    assert_eq!(decode_value(&reply), Err(ProtocolError::TooDeep));
    // The attributes of a million attributes.
    let mut reply = b"|1\r\n+k\r\n".repeat(DEPTH);
    reply.extend_from_slice(&b"+v\r\n".repeat(DEPTH + 1));
    assert_eq!(reply_len(&reply), Ok(Some(reply.len())));
    assert_eq!(resp2(&reply), b"+v\r\n");
    assert_eq!(decode_value(&reply), Err(ProtocolError::TooDeep));
}

#[test]
fn clients_read_what_servers_build() {
    let bulk = |text: &str| Value::Bulk(text.into());
    for (reply, expected) in [
        ("+OK|", Value::Simple("OK".into())),
        ("+|", Value::Simple("".into())),
        ("-ERR no|", Value::Error("ERR no".into())),
        (":-7|", Value::Integer(-7)),
        (":+7|", Value::Integer(7)),
        (":9223372036854775807|", Value::Integer(i64::MAX)),
        ("$3|a|", bulk("a\r\n")),
        ("$0||", bulk("")),
        ("$-1|", Value::Null),
        ("_|", Value::Null),
        ("*-1|", Value::NullArray),
        ("#t|", Value::Boolean(true)),
        ("#f|", Value::Boolean(false)),
        (",3.25|", Value::Double(3.25)),
        (",10|", Value::Double(10.0)),
        (",1e+20|", Value::Double(1e20)),
        (",inf|", Value::Double(f64::INFINITY)),
        (",-inf|", Value::Double(f64::NEG_INFINITY)),
        ("(-12|", Value::BigNumber("-12".into())),
        ("=6|txt:ab|", Value::Verbatim(*b"txt", "ab".into())),
        ("!5|ERR a|", Value::BulkError("ERR a".into())),
        ("*0|", Value::Array(vec![])),
        ("%0|", Value::Map(vec![])),
        ("~1|:1|", Value::Set(vec![Value::Integer(1)])),
        (
            ">2|+a|*1|_|",
            Value::Push(vec![
                Value::Simple("a".into()),
                Value::Array(vec![Value::Null]),
            ]),
        ),
        (
            "%1|$1|k|*2|:1|*-1|",
            Value::Map(vec![(
                bulk("k"),
                Value::Array(vec![Value::Integer(1), Value::NullArray]),
            )]),
        ),
        (
            "*1|^1|+k|+v|:7|",
            Value::Array(vec![Value::Attributed(
                vec![(Value::Simple("k".into()), Value::Simple("v".into()))],
                Box::new(Value::Integer(7)),
            )]),
        ),
    ] {
        let mut bytes = reply.replace('|', "\r\n").replace('^', "|").into_bytes();
        // "$3|a|" is the string "a\r\n" with its own line end missing.
        if expected == bulk("a\r\n") {
            bytes.extend_from_slice(b"\r\n");
        }
        let len = bytes.len();
        bytes.extend_from_slice(b"+next\r\n");
        assert_eq!(decode_value(&bytes), Ok(Some((expected, len))), "{reply}");
        assert_eq!(reply_len(&bytes), Ok(Some(len)), "{reply}");
        for cut in 0..len {
            assert_eq!(decode_value(&bytes[..cut]), Ok(None), "{reply} at {cut}");
            assert_eq!(reply_len(&bytes[..cut]), Ok(None), "{reply} at {cut}");
        }
    }
}

#[test]
fn a_double_that_is_no_number_is_read_too() {
    let (value, _) = decode_value(b",nan\r\n").unwrap().unwrap();
    assert!(matches!(value, Value::Double(value) if value.is_nan()));
}

#[test]
fn malformed_replies_are_refused() {
    // The byte at which the item begins that is wrong.
    for (reply, at) in [
        ("x|", 0),
        ("OK|", 0),
        ("|", 0),
        ("*1|x|", 4),
        ("*1|*2|:1|$-2|", 12),
        ("$|", 0),
        ("$a|", 0),
        ("$-2|", 0),
        ("$01|a|", 0),
        ("$+1|a|", 0),
        ("$1|ab|", 0),
        ("$99999999999999999999|", 0),
        ("$?|", 0),
        ("*?|", 0),
        ("*-2|", 0),
        ("~-1|", 0),
        ("%-1|", 0),
        (">-1|", 0),
        ("=-1|", 0),
        ("!-1|", 0),
        ("%4611686018427387904|", 0),
        ("%9223372036854775807|", 0),
        ("+a\rb|", 0),
    ] {
        let bytes = reply.replace('|', "\r\n").into_bytes();
        let malformed = ProtocolError::MalformedReply(at);
        assert_eq!(decode_value(&bytes), Err(malformed), "{reply}");
        assert_eq!(reply_len(&bytes), Err(malformed), "{reply}");
    }
    // Structure alone does not tell that these are wrong.
    for reply in [
        ":|",
        ":a|",
        ":1.5|",
        ":9223372036854775808|",
        ":+-1|",
        "#x|",
        "#|",
        ",|",
        ",a|",
        "(|",
        "(-|",
        "(1a|",
        "_a|",
        "=3|txt|",
        "=4|txt-|",
    ] {
        let bytes = reply.replace('|', "\r\n").into_bytes();
        let malformed = ProtocolError::MalformedReply(0);
        assert_eq!(decode_value(&bytes), Err(malformed), "{reply}");
    }
}

#[test]
fn claims_cost_nothing() {
    // Each claims 2^62 values; together they overflow.
    let bytes = b"*4611686018427387904\r\n".repeat(8);
    assert!(matches!(
        reply_len(&bytes),
        Err(ProtocolError::MalformedReply(_))
    ));
    assert_eq!(decode_value(&bytes), Ok(None));
    for claim in [
        "$9223372036854775807|",
        "%4611686018427387903|:1|",
        "*9223372036854775807|:1|",
    ] {
        let bytes = claim.replace('|', "\r\n").into_bytes();
        assert_eq!(decode_value(&bytes), Ok(None));
        assert_eq!(reply_len(&bytes), Ok(None));
    }
}

#[test]
fn values_nest_up_to_the_limit() {
    for kind in [
        &b"*1\r\n"[..],
        b"~1\r\n",
        b">1\r\n",
        b"%1\r\n+k\r\n",
        b"|0\r\n",
    ] {
        let nested = |depth| [&kind.repeat(depth)[..], b":1\r\n"].concat();
        assert!(decode_value(&nested(MAX_DEPTH)).unwrap().is_some());
        let error = decode_value(&nested(MAX_DEPTH + 1));
        assert_eq!(error, Err(ProtocolError::TooDeep));
    }
}

#[test]
fn values_can_be_asked_and_printed() {
    let bytes = b"*6\r\n:1\r\n$2\r\n42\r\n-ERR 7\r\n_\r\n%1\r\n+k\r\n#t\r\n~1\r\n$2\r\n\xff\"\r\n";
    let (value, _) = decode_value(bytes).unwrap().unwrap();
    assert_eq!(
        format!("{value:?}"),
        r#"[:1, "42", -ERR 7, _, {+k: #t}, ~["\xff\""]]"#
    );
    let values = value.as_values().unwrap();
    let integers: Vec<_> = values.iter().map(Value::as_integer).collect();
    assert_eq!(integers, [Some(1), Some(42), None, None, None, None]);
    assert_eq!(values[2].as_bytes(), Some(&b"ERR 7"[..]));
    assert!(values[2].is_error() && values[3].is_null());
    assert!(!values[0].is_error() && !values[0].is_null());
}
