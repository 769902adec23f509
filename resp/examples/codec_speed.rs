//! How long the codec takes for the shapes that a server meets most. Prints nanoseconds each:
//! `cargo run --release -p resp --example codec_speed`.

use std::hint::black_box;
use std::time::Instant;

use resp::{Limits, RequestDecoder, downgrade, encode, reply_len, upgrade};

/// Runs of each case; the fastest counts, since everything else is somebody else's doing.
const RUNS: usize = 9;

fn main() {
    decoding("GET key(16)", &[b"GET", &[b'k'; 16]]);
    decoding(
        "SET key(16) value(256)",
        &[b"SET", &[b'k'; 16], &[b'v'; 256]],
    );
    decoding("MGET of 100 keys(16)", &[&b"kkkkkkkkkkkkkkkk"[..]; 101]);
    inline("inline: SET key value", b"SET key value\r\n");

    encoding("encode: simple OK", |out| encode::simple(out, "OK"));
    encoding("encode: null", encode::null);
    encoding("encode: integer 7", |out| {
        encode::integer(out, black_box(7))
    });
    encoding("encode: integer i64::MIN", |out| {
        encode::integer(out, black_box(i64::MIN));
    });
    encoding("encode: bulk of 256", |out| encode::bulk(out, [b'v'; 256]));
    encoding("encode: double 3.15", |out| {
        encode::double(out, black_box(3.15));
    });

    replying("+OK", |out| encode::simple(out, "OK"));
    replying("null", encode::null);
    replying("bulk of 256", |out| encode::bulk(out, [b'v'; 256]));
    replying("array of 100 bulks of 16", |out| {
        encode::array(out, 100);
        (0..100).for_each(|_| encode::bulk(out, [b'v'; 16]));
    });
    replying("map of 100 bulks to doubles", |out| {
        encode::map(out, 100);
        for n in 0..100 {
            encode::bulk(out, [b'v'; 16]);
            encode::double(out, f64::from(n) / 4.0);
        }
    });
}

fn decoding(name: &str, args: &[&[u8]]) {
    let mut request = Vec::new();
    encode::request(&mut request, args);
    inline(&format!("decode: {name}"), &request);
}

/// A pipeline of 1,000 requests in one buffer, as a busy connection delivers them.
fn inline(name: &str, request: &[u8]) {
    let pipeline = request.repeat(1_000);
    let mut decoder = RequestDecoder::new(Limits::default());
    time(name, 1_000, || {
        let mut rest = &pipeline[..];
        while let Ok(Some(request)) = decoder.decode(black_box(rest)) {
            request.args().for_each(|arg| {
                black_box(arg);
            });
            rest = &rest[request.consumed()..];
        }
        assert!(rest.is_empty(), "all of it was decoded");
    });
}

fn encoding(name: &str, encode: impl Fn(&mut Vec<u8>)) {
    let mut out = Vec::with_capacity(1 << 20);
    time(name, 1_000, || {
        out.clear();
        (0..1_000).for_each(|_| encode(black_box(&mut out)));
    });
}

fn replying(name: &str, build: impl Fn(&mut Vec<u8>)) {
    let (mut reply, mut out) = (Vec::new(), Vec::with_capacity(1 << 20));
    build(&mut reply);
    time(&format!("downgrade: {name}"), 1_000, || {
        for _ in 0..1_000 {
            out.clear();
            downgrade(black_box(&reply), &mut out);
        }
    });
    time(&format!("upgrade: {name}"), 1_000, || {
        for _ in 0..1_000 {
            out.clear();
            upgrade(black_box(&reply), &mut out);
        }
    });
    time(&format!("reply_len: {name}"), 1_000, || {
        for _ in 0..1_000 {
            assert!(reply_len(black_box(&reply)).is_ok(), "it is well-formed");
        }
    });
}

fn time(name: &str, operations: u32, mut work: impl FnMut()) {
    const REPEATS: u32 = 200;
    let fastest = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            (0..REPEATS).for_each(|_| work());
            start.elapsed()
        })
        .min()
        .unwrap_or_default();
    let each = fastest.as_secs_f64() * 1e9 / f64::from(REPEATS * operations);
    println!("{name:44} {each:9.1} ns");
}
