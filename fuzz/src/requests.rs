//! The RESP codec: what a client sends, and replies as anybody may send them.
//!
//! Checked: where the stream is cut does not matter; a request encoded again is the same request;
//! memory follows what has arrived; errors have a reply of their own; a value encoded again is the
//! same value, a part of one is waited for; translating between RESP2 and RESP3 twice changes
//! nothing more.

use resp::{
    Limits, ProtocolError, RequestDecoder, Value, decode_value, downgrade, encode, is_http,
    reply_len, upgrade,
};

use crate::within;

/// More inputs than that are cut in a few places only: cutting everywhere is quadratic.
const CUT_EVERYWHERE: usize = 128;

/// The first byte chooses the limits.
pub(crate) fn run(data: &[u8]) {
    let Some((first, input)) = data.split_first() else {
        return;
    };
    requests(limits(*first), input);
    replies(input);
}

fn limits(choice: u8) -> Limits {
    let tight = Limits {
        max_args: 3,
        max_bulk: 24,
        max_inline: 16,
        max_request: 64,
        ..Limits::default()
    };
    match choice % 4 {
        0 => Limits::default(),
        1 => Limits::unauthenticated(),
        2 => tight,
        _ => Limits {
            unauthenticated: true,
            ..tight
        },
    }
}

/// What came of some input.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    requests: Vec<Vec<Vec<u8>>>,
    error: Option<ProtocolError>,
    left: usize,
}

/// Decodes pieces as they arrive.
fn decode<'p>(limits: Limits, pieces: impl IntoIterator<Item = &'p [u8]>) -> Outcome {
    let mut decoder = RequestDecoder::new(limits);
    let mut input = Vec::new();
    let mut outcome = Outcome::default();
    for piece in pieces {
        input.extend_from_slice(piece);
        let mut done = 0;
        loop {
            match decoder.decode(&input[done..]) {
                Ok(None) => break,
                Ok(Some(request)) => {
                    assert!(request.consumed() > 0, "a request takes input");
                    let args = request.args().map(<[u8]>::to_vec);
                    outcome.requests.push(args.collect());
                    done += request.consumed();
                }
                Err(error) => {
                    outcome.error = Some(error);
                    return outcome;
                }
            }
        }
        input.drain(..done);
        let arrived = input.len().max(16 << 10);
        assert!(decoder.wanted() <= arrived, "room for what has not come");
    }
    outcome.left = input.len();
    outcome
}

fn requests(limits: Limits, input: &[u8]) {
    // Positions of arguments take more than the shortest arguments do, and everything is there
    // twice: in the input's buffer and as arguments.
    let whole = within(4096 + 64 * input.len(), || decode(limits, [input]));
    let same = |pieces: Vec<&[u8]>| {
        assert_eq!(decode(limits, pieces), whole, "cut elsewhere");
    };
    same(input.chunks(1).collect());
    same(input.chunks(7).collect());
    if input.len() <= CUT_EVERYWHERE {
        for cut in 1..input.len() {
            let (first, second) = input.split_at(cut);
            same(vec![first, second]);
        }
    }
    if let Some(error) = whole.error {
        refusal(error);
    }
    for args in &whole.requests {
        assert!(args.len() <= limits.max_args.max(limits.max_inline));
        again(limits, args);
    }
}

/// What a client is told: one line, or nothing to a browser.
fn refusal(error: ProtocolError) {
    let mut reply = Vec::new();
    error.reply(&mut reply);
    if error == ProtocolError::Http {
        assert!(reply.is_empty());
        return;
    }
    assert!(reply.starts_with(b"-ERR Protocol error: "));
    assert_eq!(reply_len(&reply), Ok(Some(reply.len())));
}

/// The same request, as a client would send it.
fn again(limits: Limits, args: &[Vec<u8>]) {
    let mut bytes = Vec::new();
    encode::request(&mut bytes, args);
    let wide = Limits {
        unauthenticated: false,
        ..Limits::default()
    };
    let outcome = decode(wide, [&bytes[..]]);
    assert_eq!(outcome.left, 0);
    if args.first().is_some_and(|name| is_http(name)) {
        panic!("a browser's request was let through, under {limits:?}");
    }
    assert_eq!(outcome.error, None);
    assert_eq!(outcome.requests, [args]);
}

fn replies(input: &[u8]) {
    let length = within(1024, || reply_len(input));
    let decoded = within(4096 + 128 * input.len(), || decode_value(input));
    if let Ok(Some(length)) = length {
        assert!(length <= input.len());
        assert_eq!(reply_len(&input[..length]), Ok(Some(length)));
        assert_eq!(reply_len(&input[..length - 1]), Ok(None), "a part");
    }
    let (mut resp2, mut resp3) = (Vec::new(), Vec::new());
    downgrade(input, &mut resp2);
    upgrade(input, &mut resp3);
    if let Ok(Some((value, taken))) = decoded {
        assert_eq!(length, Ok(Some(taken)), "two opinions on where it ends");
        assert_eq!(decode_value(&input[..taken - 1]), Ok(None), "a part");
        same_again(&value);
    }
}

fn same_again(value: &Value) {
    let (mut once, mut twice) = (Vec::new(), Vec::new());
    value.encode(&mut once);
    let Ok(Some((again, taken))) = decode_value(&once) else {
        panic!("{value:?} does not come back");
    };
    assert_eq!(taken, once.len());
    // The bytes, since NaN equals nothing.
    again.encode(&mut twice);
    assert_eq!(once, twice);

    for translate in [downgrade, upgrade] {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        translate(&once, &mut first);
        assert_eq!(reply_len(&first), Ok(Some(first.len())));
        translate(&first, &mut second);
        assert_eq!(first, second, "translated twice");
    }
}
