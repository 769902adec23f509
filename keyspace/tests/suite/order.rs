//! DESIGN 2.10: in which order a connection's commands take effect and are answered.

use keyspace::{Access, Outcome, Wait};

use crate::harness::{Asked, Client, shown};

fn accesses(client: &Client) -> Vec<Access> {
    let access = |asked: &Asked| match asked {
        Asked::Command(_, access, _) => *access,
        Asked::Wait(..) => panic!("a wait was not expected"),
    };
    client.node.asked.iter().map(access).collect()
}

#[test]
fn reads_run_side_by_side() {
    let mut client = Client::default();
    client.feed(b"GET a\r\nGET b\r\nGET c\r\n");
    assert_eq!(accesses(&client), [Access::Read; 3]);
    assert!(!client.session.is_blocked());
}

#[test]
fn writes_do_not_wait_for_each_other() {
    let mut client = Client::default();
    client.feed(b"SET a 1\r\nSET b 2\r\nINCR a\r\n");
    assert_eq!(accesses(&client), [Access::Write; 3]);
}

#[test]
fn a_read_behind_an_unanswered_write_travels_in_the_log() {
    let mut client = Client::default();
    client.feed(b"SET a 1\r\nGET a\r\n");
    assert_eq!(accesses(&client), [Access::Write; 2]);
    client.settle();
    assert_eq!(shown(&client.output()), "+OK $1 1");
    client.feed(b"GET a\r\n");
    assert_eq!(
        accesses(&client),
        [Access::Read],
        "nothing is unanswered any more"
    );
}

#[test]
fn a_write_behind_unanswered_reads_waits_for_all_of_them() {
    let mut client = Client::default();
    client.feed(b"GET a\r\nGET b\r\nSET a 1\r\nGET a\r\n");
    assert_eq!(accesses(&client), [Access::Read; 2]);
    assert!(client.session.is_blocked() && !client.session.can_continue());
    client.complete(1);
    assert!(!client.session.can_continue());
    client.complete(0);
    assert!(client.session.can_continue());
    client.go_on();
    assert_eq!(accesses(&client), [Access::Write; 2]);
    assert!(!client.session.is_blocked());
    client.settle();
    assert_eq!(shown(&client.output()), "$-1 $-1 +OK $1 1");
}

#[test]
fn a_write_behind_a_read_in_the_log_does_not_wait() {
    let mut client = Client::default();
    client.feed(b"SET a 1\r\nGET a\r\nSET a 2\r\nGET a\r\n");
    assert_eq!(accesses(&client), [Access::Write; 4]);
    client.settle();
    assert_eq!(shown(&client.output()), "+OK $1 1 +OK $1 2");
}

#[test]
fn replies_keep_their_order_whatever_order_the_commands_complete_in() {
    let mut client = Client::default();
    client.say("MSET a 1 b 2 c 3");
    client.feed(b"GET a\r\nGET b\r\nPING\r\nGET c\r\n");
    client.complete(2);
    client.complete(1);
    assert_eq!(shown(&client.output()), "");
    client.complete(0);
    assert_eq!(shown(&client.output()), "$1 1 $1 2 +PONG $1 3");
}

#[test]
fn a_local_reply_waits_for_those_before_it() {
    let mut client = Client::default();
    client.feed(b"PING\r\nGET a\r\nPING x\r\n");
    assert_eq!(shown(&client.output()), "+PONG");
    client.settle();
    assert_eq!(shown(&client.output()), "$-1 $1 x");
}

#[test]
fn an_error_waits_for_the_replies_before_it() {
    let mut client = Client::default();
    client.feed(b"GET a\r\nNOPE\r\nGET\r\n");
    assert_eq!(shown(&client.output()), "");
    client.settle();
    assert_eq!(
        shown(&client.output()),
        "$-1 -ERR unknown command 'NOPE', with args beginning with:  \
         -ERR wrong number of arguments for 'get' command"
    );
}

#[test]
fn a_reply_is_rendered_in_the_protocol_that_its_command_was_received_in() {
    let mut client = Client::default();
    client.feed(b"GET a\r\nHELLO 3\r\nGET a\r\nHELLO 2\r\nGET a\r\n");
    client.settle();
    let replies = shown(&client.output());
    assert!(replies.starts_with("$-1 %7 $6 server"), "{replies}");
    assert!(replies.contains(" *0 _ *14 $6 server"), "{replies}");
    assert!(replies.ends_with(" *0 $-1"), "{replies}");
}

#[test]
fn suppressed_replies_leave_the_others_in_order() {
    let mut client = Client::default();
    client.feed(
        b"SET a 1\r\nCLIENT REPLY SKIP\r\nSET a 2\r\nGET a\r\nCLIENT REPLY OFF\r\nGET a\r\nPING\r\n\
          NOPE\r\nCLIENT REPLY SKIP\r\nCLIENT REPLY ON\r\nGET a\r\n",
    );
    for at in (0..client.node.asked.len()).rev() {
        client.complete(at);
    }
    // Executed from the last to the first, so the reads say what they found then.
    assert_eq!(shown(&client.output()), "+OK $-1 +OK $-1");
}

#[test]
fn reset_lets_replies_through_again() {
    let mut client = Client::default();
    assert_eq!(client.say("CLIENT REPLY OFF"), "");
    assert_eq!(client.say("PING"), "");
    assert_eq!(client.say("RESET"), "+RESET");
    assert_eq!(client.say("PING"), "+PONG");
}

#[test]
fn wait_waits_for_the_writes_before_it_and_everything_waits_for_it() {
    let mut client = Client::default();
    client.feed(b"SET a 1\r\nWAIT 2 1000\r\nPING\r\n");
    assert_eq!(accesses(&client), [Access::Write]);
    assert!(client.session.is_blocked() && !client.session.can_continue());
    client.complete(0);
    assert!(client.session.can_continue());
    client.go_on();
    let wait = Wait {
        index: Some(1),
        local: false,
        replicas: 2,
        timeout: Some(std::time::Duration::from_secs(1)),
    };
    assert!(matches!(client.node.asked[0], Asked::Wait(_, asked) if asked == wait));
    assert!(client.session.is_waiting() && client.session.is_blocked());
    assert_eq!(shown(&client.output()), "+OK");
    client.settle();
    assert_eq!(shown(&client.output()), ":2 +PONG");
}

#[test]
fn waitaof_says_who_holds_it() {
    let mut client = Client::default();
    assert_eq!(client.say("WAITAOF 1 2 0"), "*2 :1 :2");
    client.feed(b"WAITAOF 1 2 0\r\n");
    let wait = Wait {
        index: None,
        local: true,
        replicas: 2,
        timeout: None,
    };
    assert!(matches!(client.node.asked[0], Asked::Wait(_, asked) if asked == wait));
}

#[test]
fn wait_counts_writes_and_not_reads() {
    let mut client = Client::default();
    client.say("SET a 1");
    client.feed(b"SET a 2\r\nGET a\r\n");
    client.settle();
    client.feed(b"WAIT 0 0\r\n");
    assert_eq!(client.node.index, 3);
    assert!(
        matches!(client.node.asked[0], Asked::Wait(_, wait) if wait.index == Some(2)),
        "{:?}",
        client.node.asked
    );
}

#[test]
fn arguments_of_wait_are_checked() {
    let mut client = Client::default();
    for (line, expected) in [
        ("WAIT x 0", "-ERR value is not an integer or out of range"),
        ("WAIT 1 x", "-ERR timeout is not an integer or out of range"),
        ("WAIT 1 -1", "-ERR timeout is negative"),
        (
            "WAIT 1",
            "-ERR wrong number of arguments for 'wait' command",
        ),
        (
            "WAITAOF 2 0 0",
            "-ERR value is out of range, must be between 0 and 1",
        ),
        (
            "WAITAOF 1 -1 0",
            "-ERR value is out of range, must be positive",
        ),
    ] {
        assert_eq!(client.say(line), expected, "{line}");
    }
}

#[test]
fn what_became_of_a_command_is_told_as_it_is() {
    let cases: [(&[u8], Outcome<'_>, &str); 5] = [
        (
            b"SET a 1\r\n",
            Outcome::Unknown,
            "-UNKNOWN outcome not known: ",
        ),
        (b"GET a\r\n", Outcome::Unknown, "-TRYAGAIN "),
        (b"SET a 1\r\n", Outcome::NoLeader, "-CLUSTERDOWN "),
        (b"GET a\r\n", Outcome::NoLeader, "-CLUSTERDOWN "),
        (b"SET a 1\r\n", Outcome::NotExecuted, "-TRYAGAIN "),
    ];
    for (line, outcome, expected) in cases {
        let mut client = Client::default();
        client.feed(line);
        let Some(Asked::Command(slot, ..)) = client.node.asked.pop_front() else {
            panic!("nothing was asked for");
        };
        client.session.complete(slot, None, outcome);
        let reply = shown(&client.output());
        assert!(reply.starts_with(expected), "{reply}");
        assert!(!client.session.closing());
        assert_eq!(client.say("PING"), "+PONG", "the connection stays");
        assert_eq!(client.session.take_counters().errors, 1);
    }
}

#[test]
fn quit_answers_what_came_before_it_and_nothing_after() {
    let mut client = Client::default();
    client.feed(b"GET a\r\nQUIT\r\nPING\r\n");
    assert!(client.input.is_empty());
    assert!(!client.session.closing(), "a reply is still awaited");
    client.settle();
    assert!(client.session.closing());
    assert_eq!(shown(&client.output()), "$-1 +OK");
}

#[test]
fn a_client_that_never_reads_is_not_served_without_bound() {
    let mut client = Client::default();
    client.say(&format!("SET k {}", "x".repeat(60_000)));
    client.input.extend(b"GET k\r\n".repeat(5_000));
    let mut most = 0;
    loop {
        client.go_on();
        assert!(client.session.is_blocked());
        client.settle();
        most = most.max(client.session.output().len());
        if !client.session.can_continue() {
            break;
        }
    }
    assert!(most < 33 << 20, "{most}");
    // Reading lets it go on, to the last reply.
    let mut replies = 0;
    while client.session.is_blocked() {
        replies += client.output().len();
        assert!(client.session.can_continue());
        client.go_on();
        client.settle();
    }
    replies += client.output().len();
    assert_eq!(replies, 5_000 * 60_010);
}

#[test]
fn unanswered_commands_are_bounded_in_number_and_in_bytes() {
    let mut client = Client::default();
    // Small replies first, so that their size does not bound anything.
    for _ in 0..300 {
        client.say("SET k v");
    }
    client.feed(&b"SET k v\r\n".repeat(20_000));
    assert_eq!(
        client.session.outstanding(),
        keyspace::session::OUTSTANDING_MAX
    );
    client.settle();
    assert_eq!(client.output(), b"+OK\r\n".repeat(20_000));

    let value = vec![b'x'; 20 << 20];
    let set = crate::harness::request(&[b"SET", b"k", &value]);
    client.feed(&set.repeat(6));
    assert_eq!(client.session.outstanding(), 4);
    client.settle();
    assert_eq!(client.output(), b"+OK\r\n".repeat(6));
}
