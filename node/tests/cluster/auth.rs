//! A password is asked for, once per connection, before anything else is answered.

use crate::support::{Client, Cluster, NODES, Options, Reply, reply};

const PASSWORD: &str = "correct horse";

fn cluster() -> Cluster {
    Cluster::start(Options::plain().password(PASSWORD))
}

fn assert_serves(client: &mut Client) {
    assert_eq!(client.call(["SET", "k", "v"]), "OK");
    assert_eq!(client.call(["GET", "k"]), "v");
}

#[test]
fn nothing_is_answered_before_auth() {
    let cluster = cluster();
    for node in 0..NODES {
        let mut client = cluster.connect(node);
        let strangers: [&[&str]; 8] = [
            &["GET", "k"],
            &["SET", "k", "v"],
            &["PING"],
            &["INFO"],
            &["CONFIG", "GET", "requirepass"],
            &["CLIENT", "LIST"],
            &["CLUSTER", "NODES"],
            &["COMMAND"],
        ];
        for command in strangers {
            let answer = client.call(command);
            assert!(
                answer.is_error("NOAUTH"),
                "node {node}: {command:?} answered {answer:?}"
            );
        }
        assert!(client.call(["HELLO", "3"]).is_error("NOAUTH"));
        // Refused, but not cut off.
        assert_eq!(client.call(["AUTH", PASSWORD]), "OK");
        assert_serves(&mut client);
    }
}

#[test]
fn a_wrong_password_opens_nothing() {
    let cluster = cluster();
    let mut client = cluster.connect(0);
    for wrong in [
        "",
        "wrong",
        "correct hors",
        "correct horse ",
        "CORRECT HORSE",
    ] {
        let answer = client.call(["AUTH", wrong]);
        assert!(
            answer.is_error("WRONGPASS"),
            "{wrong:?} answered {answer:?}"
        );
        assert!(client.call(["GET", "k"]).is_error("NOAUTH"));
    }
    assert!(
        client
            .call(["AUTH", "default", "wrong"])
            .is_error("WRONGPASS")
    );
    assert!(
        client
            .call(["AUTH", "somebody", PASSWORD])
            .is_error("WRONGPASS")
    );
    assert!(
        client
            .call(["HELLO", "3", "AUTH", "default", "wrong"])
            .is_error("WRONGPASS")
    );
    assert!(client.call(["AUTH", "a", "b", "c"]).is_error("ERR"));
    assert_eq!(client.call(["AUTH", "default", PASSWORD]), "OK");
    assert_serves(&mut client);
}

#[test]
fn hello_authenticates_and_reset_forgets() {
    let cluster = cluster();
    for node in 0..NODES {
        let mut client = cluster.connect(node);
        let hello = client.call(["HELLO", "3", "AUTH", "default", PASSWORD, "SETNAME", "me"]);
        let Reply::Map(fields) = hello else {
            panic!("HELLO 3 answered {hello:?}")
        };
        assert!(
            fields
                .iter()
                .any(|(name, value)| *name == "proto" && *value == 3)
        );
        assert_serves(&mut client);
        assert_eq!(client.call(["CLIENT", "GETNAME"]), "me");
        assert_eq!(client.call(["RESET"]), reply("RESET"));
        assert!(client.call(["GET", "k"]).is_error("NOAUTH"));
    }
}

#[test]
fn a_pipeline_is_judged_command_by_command() {
    let cluster = cluster();
    let mut client = cluster.connect(1);
    let commands: Vec<Vec<u8>> = [
        &["GET", "k"][..],
        &["AUTH", "wrong"],
        &["AUTH", PASSWORD],
        &["SET", "k", "v"],
        &["GET", "k"],
    ]
    .map(crate::support::client::encode)
    .into();
    let replies = client.pipeline(&commands).expect("replies");
    assert!(
        replies[0].is_error("NOAUTH") && replies[1].is_error("WRONGPASS"),
        "{replies:?}"
    );
    assert_eq!(
        replies[2..],
        [reply("OK"), reply("OK"), Reply::Bulk(b"v".to_vec())]
    );
}

#[test]
fn without_a_password_auth_is_an_error() {
    let cluster = Cluster::start(Options::plain());
    let mut client = cluster.connect(0);
    let answer = client.call(["AUTH", "anything"]);
    assert!(matches!(answer, Reply::Error(_)), "{answer:?}");
    assert_serves(&mut client);
}
