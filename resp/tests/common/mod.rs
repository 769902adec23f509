//! Feeds a decoder as a connection does: bytes arrive, requests are taken, the rest stays.

use resp::{Limits, ProtocolError, RequestDecoder};

/// What came of some input.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The arguments of each request; an empty request has none.
    pub(crate) requests: Vec<Vec<Vec<u8>>>,
    /// What ended it.
    pub(crate) error: Option<ProtocolError>,
    /// Bytes that belong to a request that is not complete.
    pub(crate) left: usize,
}

/// Decodes pieces as they arrive.
pub(crate) fn decode<'p>(limits: Limits, pieces: impl IntoIterator<Item = &'p [u8]>) -> Outcome {
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
                    let args: Vec<Vec<u8>> = request.args().map(<[u8]>::to_vec).collect();
                    assert_eq!(request.len(), args.len());
                    assert_eq!(request.is_empty(), args.is_empty());
                    for (i, arg) in args.iter().enumerate() {
                        assert_eq!(request.arg(i), Some(&arg[..]));
                    }
                    assert_eq!(request.arg(args.len()), None);
                    assert!(request.consumed() > 0, "a request takes input");
                    outcome.requests.push(args);
                    done += request.consumed();
                }
                Err(error) => {
                    outcome.error = Some(error);
                    return outcome;
                }
            }
        }
        input.drain(..done);
    }
    outcome.left = input.len();
    outcome
}

/// Decodes `input` whole, byte by byte, and cut in two at every byte; it must not matter.
pub(crate) fn decode_every_way(limits: Limits, input: &[u8]) -> Outcome {
    let whole = decode(limits, [input]);
    assert_eq!(decode(limits, input.chunks(1)), whole, "byte by byte");
    for cut in 0..=input.len() {
        let (first, second) = input.split_at(cut);
        assert_eq!(decode(limits, [first, second]), whole, "cut at {cut}");
    }
    whole
}
