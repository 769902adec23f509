//! Nothing is allocated for a request or a reply once the buffers have grown to their size.

use allocation_counter::measure;
use resp::{Limits, RequestDecoder, downgrade, encode, reply_len, upgrade};

/// Decodes everything in `input`, up to an error; returns the number of arguments.
fn decode(decoder: &mut RequestDecoder, input: &[u8]) -> usize {
    let (mut at, mut args) = (0, 0);
    while let Ok(Some(request)) = decoder.decode(&input[at..]) {
        args += request.args().filter(|arg| !arg.is_empty()).count();
        at += request.consumed();
    }
    args
}

fn build(reply: &mut Vec<u8>) {
    encode::array(reply, 9);
    encode::simple(reply, "OK");
    encode::error(reply, "ERR no");
    encode::integer(reply, i64::MIN);
    encode::bulk(reply, "value");
    encode::double(reply, -1.0 / 3.0);
    encode::double(reply, 1e300);
    encode::map(reply, 1);
    encode::null(reply);
    encode::null_array(reply);
    encode::verbatim(reply, *b"txt", "text");
    encode::big_number(reply, "12345678901234567890");
}

#[test]
fn the_counter_counts() {
    let info = measure(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(10))));
    assert_eq!(info.count_total, 1);
}

#[test]
fn decoding_allocates_nothing_once_warm() {
    let mut input = Vec::new();
    encode::request(&mut input, &["SET", "key", &"v".repeat(256)]);
    encode::request(&mut input, &["key"; 1_000]);
    input.extend_from_slice(b"SET \"k\\x41\" 'v'\r\n\r\n*0\r\n");
    let mut decoder = RequestDecoder::new(Limits::default());
    assert_eq!(decode(&mut decoder, &input), 1_006);
    let info = measure(|| {
        for _ in 0..100 {
            assert_eq!(decode(&mut decoder, &input), 1_006);
        }
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn building_and_translating_allocate_nothing_once_warm() {
    let (mut reply, mut out) = (Vec::new(), Vec::new());
    let mut work = || {
        reply.clear();
        out.clear();
        build(&mut reply);
        assert_eq!(reply_len(&reply), Ok(Some(reply.len())));
        downgrade(&reply, &mut out);
        upgrade(&reply, &mut out);
    };
    work();
    let info = measure(|| (0..100).for_each(|_| work()));
    assert_eq!(info.count_total, 0);
}

#[test]
fn a_claim_allocates_nothing() {
    let mut decoder = RequestDecoder::new(Limits::default());
    let info = measure(|| {
        assert!(
            decoder
                .decode(b"*1048576\r\n$536870912\r\n")
                .unwrap()
                .is_none()
        );
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn a_huge_request_costs_no_memory_afterwards() {
    let mut decoder = RequestDecoder::new(Limits::default());
    let mut huge = Vec::new();
    encode::request(&mut huge, &vec!["a"; 1_000_000]);
    let info = measure(|| {
        assert!(decoder.decode(&huge).unwrap().is_some());
        // As a connection's loop does, until it is told that there is no more.
        assert!(decoder.decode(b"").unwrap().is_none());
    });
    assert!(info.bytes_max >= 8_000_000, "{info:?}");
    assert_eq!(info.bytes_current, 0);
}
