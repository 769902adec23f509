//! Precedence, and the exact text of every error: people act on it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use consensus::NodeId;

use super::setting::{Flags, SETTINGS, Setting};
use super::{ClusterId, Config, Engine, HostPort, Layers, LogFormat, Mode};

/// What a node cannot do without.
const LEAST: [(&str, &str); 2] = [("node", "1"), ("dir", "d")];

fn load(
    flags: &[(&str, &str)],
    variables: &[(&str, &str)],
    file: Option<&str>,
) -> Result<Config, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lockstep.toml");
    if let Some(text) = file {
        std::fs::write(&path, text).unwrap();
    }
    let config = file.map(|_| path.as_path());
    let key = |key: &str| Setting::find(key).unwrap().key;
    let flags = flags.iter().map(|(k, v)| (key(k), (*v).to_owned()));
    let variables = variables
        .iter()
        .map(|(k, v)| (OsString::from(k), OsString::from(v)));
    Layers::collect(config, &Flags(flags.collect()), variables)
        .and_then(|layers| Config::from_layers(&layers))
        .map_err(|error| {
            let name = format!("{}/", directory.path().display());
            error.to_string().replace(&name, "")
        })
}

fn with(flags: &[(&str, &str)]) -> Result<Config, String> {
    let mut all = LEAST.to_vec();
    all.retain(|(key, _)| flags.iter().all(|(given, _)| given != key));
    all.extend_from_slice(flags);
    load(&all, &[], None)
}

#[test]
fn defaults_are_what_the_help_says() {
    let config = load(&LEAST, &[], None).unwrap();
    assert_eq!(config.node, NodeId(1));
    assert_eq!(config.cluster, ClusterId::named("lockstep"));
    assert_eq!(config.engine, Engine::Memory);
    assert_eq!(config.mode, Mode::Raft);
    assert_eq!(config.client_listen.to_string(), "127.0.0.1:6379");
    assert_eq!(config.client_advertise.to_string(), "127.0.0.1:6379");
    assert_eq!(config.peer_listen.to_string(), "127.0.0.1:7379");
    assert_eq!(config.admin_listen.to_string(), "127.0.0.1:8379");
    assert!(config.peers.is_empty());
    assert!(!config.cluster_enabled);
    assert_eq!(config.requirepass, None);
    assert_eq!(config.hold, Duration::from_secs(2));
    assert_eq!(config.heartbeat, Duration::from_millis(50));
    assert_eq!(config.election_timeout, Duration::from_millis(300));
    assert_eq!(config.limits.maxclients, 10_000);
    assert_eq!(config.limits.proto_max_bulk_len, 32 << 20);
    assert_eq!(config.limits.client_output_buffer_limit, 64 << 20);
    assert_eq!(config.databases, 16);
    assert_eq!(config.log_level, "info");
    assert_eq!(config.log_format, LogFormat::Text);
}

#[test]
fn flags_beat_variables_beat_the_file_beat_defaults() {
    let flag = ("maxclients", "1");
    let variable = ("LOCKSTEP_MAXCLIENTS", "2");
    let file = "maxclients = 3";
    let max = |flags: &[_], variables: &[_], file| {
        let flags = [&LEAST, flags].concat();
        load(&flags, variables, file).unwrap().limits.maxclients
    };
    assert_eq!(max(&[flag], &[variable], Some(file)), 1);
    assert_eq!(max(&[], &[variable], Some(file)), 2);
    assert_eq!(max(&[], &[], Some(file)), 3);
    assert_eq!(max(&[], &[], None), 10_000);
}

#[test]
fn every_setting_can_be_given_in_each_layer() {
    let values: BTreeMap<&str, &str> = [
        ("node", "2"),
        ("cluster", "c"),
        ("dir", "d"),
        ("engine", "memory"),
        ("engine-memory", "64mb"),
        ("log-keep", "1mb"),
        ("persist-after", "2mb"),
        ("mode", "raft"),
        ("client-listen", "127.0.0.1:1"),
        ("client-advertise", "h:2"),
        ("peer-listen", "127.0.0.1:3"),
        ("admin-listen", "127.0.0.1:4"),
        ("peers", "1=a:5/b:6"),
        ("cluster-enabled", "yes"),
        ("requirepass", "p"),
        ("insecure", "yes"),
        ("hold-ms", "0"),
        ("heartbeat-ms", "20"),
        ("election-timeout-ms", "100"),
        ("disk-patience-ms", "900"),
        ("maxclients", "8"),
        ("proto-max-bulk-len", "1kb"),
        ("client-output-buffer-limit", "2kb"),
        ("databases", "1"),
        ("log-level", "debug"),
        ("log-format", "json"),
    ]
    .into();
    let given: Vec<(&str, &str)> = values.into_iter().collect();
    let missing = SETTINGS
        .iter()
        .filter(|s| given.iter().all(|(key, _)| *key != s.key));
    let missing: Vec<&str> = missing.map(|setting| setting.key).collect();
    assert_eq!(missing, ["requirepass-file"], "has tests of its own");

    let variables: Vec<(String, &str)> = given
        .iter()
        .map(|(key, value)| (Setting::find(key).unwrap().variable(), *value))
        .collect();
    let variables: Vec<(&str, &str)> = variables.iter().map(|(k, v)| (k.as_str(), *v)).collect();
    let file: String = given
        .iter()
        .map(|(key, value)| format!("{key} = {value:?}\n"))
        .collect();
    let all = [
        load(&given, &[], None).unwrap(),
        load(&[], &variables, None).unwrap(),
        load(&[], &[], Some(&file)).unwrap(),
    ];
    for config in all {
        assert_eq!(config.node, NodeId(2));
        assert_eq!(config.cluster.name, "c");
        assert_eq!(config.client_advertise.to_string(), "h:2");
        assert_eq!(config.members().len(), 2);
        assert!(config.cluster_enabled);
        assert_eq!(config.requirepass.as_ref().unwrap().reveal(), "p");
        assert_eq!(config.hold, Duration::ZERO);
        assert_eq!(config.election_timeout, Duration::from_millis(100));
        assert_eq!(config.disk_patience, Duration::from_millis(900));
        assert_eq!(config.limits.client_output_buffer_limit, 2_048);
        assert_eq!(config.log_format, LogFormat::Json);
    }
}

#[test]
fn errors_name_the_key_the_value_its_origin_and_what_to_do() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (
            &[("node", "0")],
            r#"node = "0" (flag --node): expected a number from 1"#,
        ),
        (
            &[("node", "one")],
            r#"node = "one" (flag --node): expected a number from 1"#,
        ),
        (
            &[("cluster", "")],
            r#"cluster = "" (flag --cluster): expected a name or 32 hex digits"#,
        ),
        (
            &[("dir", "")],
            r#"dir = "" (flag --dir): expected a directory"#,
        ),
        #[cfg(not(feature = "rocksdb"))]
        (
            &[("engine", "rocksdb")],
            r#"engine = "rocksdb" (flag --engine): this binary was built without it; build it with --features rocksdb, or use --engine memory"#,
        ),
        (
            &[("engine", "disk")],
            r#"engine = "disk" (flag --engine): expected memory, rocksdb or fjall"#,
        ),
        (
            &[("mode", "paxos")],
            r#"mode = "paxos" (flag --mode): planned, not in this release; use --mode raft"#,
        ),
        (
            &[("mode", "gossip")],
            r#"mode = "gossip" (flag --mode): expected raft"#,
        ),
        (
            &[("client-listen", "localhost")],
            r#"client-listen = "localhost" (flag --client-listen): expected an IP address and a port, such as 127.0.0.1:6379"#,
        ),
        (
            &[("admin-listen", "127.0.0.1:0")],
            r#"admin-listen = "127.0.0.1:0" (flag --admin-listen): expected an IP address and a port, such as 127.0.0.1:6379"#,
        ),
        (
            &[("client-advertise", "nowhere")],
            r#"client-advertise = "nowhere" (flag --client-advertise): expected HOST:PORT"#,
        ),
        (
            &[("peers", "2=10.0.0.2:7379")],
            r#"peers = "2=10.0.0.2:7379" (flag --peers): expected NODE=PEER/CLIENT, such as 2=10.0.0.2:7379/10.0.0.2:6379"#,
        ),
        (
            &[("peers", "2=a:1/a:2,2=b:1/b:2")],
            r#"peers = "2=b:1/b:2" (flag --peers): node 2 is listed twice; give each node one number"#,
        ),
        (
            &[("cluster-enabled", "perhaps")],
            r#"cluster-enabled = "perhaps" (flag --cluster-enabled): expected yes or no"#,
        ),
        (
            &[("hold-ms", "2s")],
            r#"hold-ms = "2s" (flag --hold-ms): expected milliseconds, at most 3600000"#,
        ),
        (
            &[("heartbeat-ms", "0")],
            r#"heartbeat-ms = "0" (flag --heartbeat-ms): expected milliseconds, from 1 to 3600000"#,
        ),
        (
            &[("election-timeout-ms", "100")],
            r#"election-timeout-ms = "100" (flag --election-timeout-ms): must be at least three times heartbeat-ms (50), or one late heartbeat starts an election"#,
        ),
        (
            &[("maxclients", "-1")],
            r#"maxclients = "-1" (flag --maxclients): expected a number from 1"#,
        ),
        (
            &[("proto-max-bulk-len", "1tb")],
            r#"proto-max-bulk-len = "1tb" (flag --proto-max-bulk-len): expected bytes, such as 1048576 or 1mb, at least 1kb"#,
        ),
        (
            &[("databases", "16385")],
            r#"databases = "16385" (flag --databases): expected a number from 1 to 16384"#,
        ),
        (
            &[("log-level", "=")],
            r#"log-level = "=" (flag --log-level): expected a level or a filter, such as info or info,consensus_raft=debug"#,
        ),
        (
            &[("log-level", "inof")],
            r#"log-level = "inof" (flag --log-level): expected a level or a filter, such as info or info,consensus_raft=debug"#,
        ),
        (
            &[("log-format", "xml")],
            r#"log-format = "xml" (flag --log-format): expected text or json"#,
        ),
        (
            &[("peer-listen", "127.0.0.1:6379")],
            r#"peer-listen = "127.0.0.1:6379" (flag --peer-listen): client-listen is the same address; give each its own port"#,
        ),
    ];
    for (flags, expected) in cases {
        assert_eq!(with(flags).unwrap_err(), *expected);
    }
}

#[test]
fn what_is_missing_is_named_in_all_its_spellings() {
    assert_eq!(
        load(&[("dir", "d")], &[], None).unwrap_err(),
        "node is not set: give --node N, LOCKSTEP_NODE, or node in the configuration file"
    );
    assert_eq!(
        load(&[("node", "1")], &[], None).unwrap_err(),
        "dir is not set: give --dir DIR, LOCKSTEP_DIR, or dir in the configuration file"
    );
}

#[test]
fn every_origin_is_named() {
    let file = "# limits\n\nmaxclients = 0\n";
    assert_eq!(
        load(&LEAST, &[], Some(file)).unwrap_err(),
        r#"maxclients = "0" (lockstep.toml:3): expected a number from 1"#
    );
    assert_eq!(
        load(&LEAST, &[("LOCKSTEP_MAXCLIENTS", "0")], Some(file)).unwrap_err(),
        r#"maxclients = "0" (variable LOCKSTEP_MAXCLIENTS): expected a number from 1"#
    );
    let peers = "[peers]\n1 = \"a:1/a:2\"\n2 = \"b:1\"\n";
    assert_eq!(
        load(&LEAST, &[], Some(peers)).unwrap_err(),
        r#"peers = "2=b:1" (lockstep.toml:3): expected NODE=PEER/CLIENT, such as 2=10.0.0.2:7379/10.0.0.2:6379"#
    );
}

#[test]
fn unknown_names_are_errors_with_the_nearest_known_one() {
    assert_eq!(
        load(&LEAST, &[], Some("\nmax-clients = 3\n")).unwrap_err(),
        "max-clients (lockstep.toml:2): there is no such setting; did you mean maxclients?; lockstep start --help lists them"
    );
    assert_eq!(
        load(&LEAST, &[("LOCKSTEP_REQUIREPAS", "x")], None).unwrap_err(),
        "LOCKSTEP_REQUIREPAS (variable LOCKSTEP_REQUIREPAS): there is no such setting; did you mean LOCKSTEP_REQUIREPASS?; lockstep start --help lists them"
    );
    assert_eq!(
        load(&LEAST, &[("LOCKSTEP_COLOUR", "x")], None).unwrap_err(),
        "LOCKSTEP_COLOUR (variable LOCKSTEP_COLOUR): there is no such setting; lockstep start --help lists them"
    );
    assert!(load(&LEAST, &[("LOCKSTEPPED", "x"), ("PATH", "x")], None).is_ok());
}

#[test]
fn files_that_are_no_configuration() {
    assert_eq!(
        load(&LEAST, &[], Some("node = 1\nnode = 2\n")).unwrap_err(),
        "lockstep.toml:2: not TOML: duplicate key"
    );
    assert_eq!(
        load(&LEAST, &[], Some("maxclients = 1.5\n")).unwrap_err(),
        r#"maxclients = "float" (lockstep.toml:1): expected text, a decimal number, true or false for N"#
    );
    assert_eq!(
        load(&LEAST, &[], Some("[maxclients]\nx = 1\n")).unwrap_err(),
        r#"maxclients = "table" (lockstep.toml:1): expected text, a decimal number, true or false for N"#
    );
    let error = Layers::collect(Some(Path::new("/nowhere/l.toml")), &Flags::default(), []);
    assert_eq!(
        error.unwrap_err().to_string(),
        "cannot read the configuration file /nowhere/l.toml (flag --config): No such file or directory (os error 2); give a TOML file that this user may read"
    );
    assert_eq!(
        load(&LEAST, &[("LOCKSTEP_CONFIG", "/nowhere/l.toml")], None).unwrap_err(),
        "cannot read the configuration file /nowhere/l.toml (variable LOCKSTEP_CONFIG): No such file or directory (os error 2); give a TOML file that this user may read"
    );
}

#[test]
fn a_variable_names_the_file_and_the_flag_beats_it() {
    let variable = [("LOCKSTEP_CONFIG", "/nowhere/l.toml")];
    let config = load(&LEAST, &variable, Some("maxclients = 3")).unwrap();
    assert_eq!(config.limits.maxclients, 3);
}

#[test]
fn beyond_loopback_only_when_insecure_is_said() {
    for (key, exposed) in [
        ("client-listen", "every key"),
        ("peer-listen", "the replicated log, and a say in it,"),
        ("admin-listen", "metrics and status"),
    ] {
        let address = (key, "10.0.0.1:9999");
        assert_eq!(
            with(&[address]).unwrap_err(),
            format!(
                "{key} = \"10.0.0.1:9999\" (flag --{key}): not loopback: without encryption this \
                 exposes {exposed} to anybody who reaches it; TLS comes with a later release; \
                 listen on 127.0.0.1, or give --insecure if the network itself is trusted"
            )
        );
        assert!(with(&[address, ("insecure", "no")]).is_err());
        assert!(with(&[address, ("insecure", "yes")]).is_ok());
        assert!(with(&[(key, "127.7.7.7:9999")]).is_ok());
        assert!(with(&[(key, "[::1]:9999")]).is_ok());
    }
}

#[test]
fn clients_are_told_an_address_they_can_use() {
    let advertised = |flags: &[_]| with(flags).map(|config| config.client_advertise.to_string());
    let listed = ("peers", "1=n1.example:7379/n1.example:6379");
    assert_eq!(advertised(&[listed]).unwrap(), "n1.example:6379");
    let said = ("client-advertise", "[2001:db8::1]:6380");
    assert_eq!(advertised(&[listed, said]).unwrap(), "[2001:db8::1]:6380");
    let any = [("client-listen", "0.0.0.0:6379"), ("insecure", "yes")];
    assert_eq!(
        advertised(&any).unwrap_err(),
        "client-listen = \"0.0.0.0:6379\" (flag --client-listen): clients cannot connect to that; give --client-advertise HOST:PORT too"
    );
    assert_eq!(
        advertised(&[any[0], any[1], listed]).unwrap(),
        "n1.example:6379"
    );
}

#[test]
fn one_list_of_nodes_serves_all_of_them() {
    let file = "[peers]\n1 = \"a:1/a:2\"\n2 = \"b:1/b:2\"\n3 = \"[::1]:1/c:2\"\n";
    let config = load(&[("node", "2"), ("dir", "d")], &[], Some(file)).unwrap();
    assert_eq!(
        config.peers.keys().copied().collect::<Vec<_>>(),
        [NodeId(1), NodeId(3)]
    );
    assert_eq!(config.members().len(), 3);
    assert_eq!(config.client_advertise.to_string(), "b:2");
    let third = &config.peers[&NodeId(3)];
    assert_eq!((third.peer.host.as_str(), third.peer.port), ("::1", 1));
    // A list given with more right replaces the whole list.
    let flags = [("node", "2"), ("dir", "d"), ("peers", "4=d:1/d:2")];
    let config = load(&flags, &[], Some(file)).unwrap();
    assert_eq!(
        config.peers.keys().copied().collect::<Vec<_>>(),
        [NodeId(4)]
    );
}

#[test]
fn passwords_come_from_a_file_and_never_come_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    std::fs::write(&path, "sesame\n").unwrap();
    let file = ("requirepass-file", path.to_str().unwrap());
    let config = with(&[file]).unwrap();
    assert_eq!(config.requirepass.as_ref().unwrap().reveal(), "sesame");
    assert!(!format!("{config:?}").contains("sesame"));

    let both = with(&[("requirepass", "open"), file]).unwrap_err();
    assert!(
        both.ends_with("requirepass is given too (flag --requirepass); give one of the two"),
        "{both}"
    );
    // Given with different right they are no contradiction.
    let variable = [("LOCKSTEP_REQUIREPASS", "open")];
    let config = load(&[LEAST[0], LEAST[1], file], &variable, None).unwrap();
    assert_eq!(config.requirepass.unwrap().reveal(), "sesame");
    let toml = format!("requirepass-file = {:?}", path.to_str().unwrap());
    let config = load(&LEAST, &variable, Some(&toml)).unwrap();
    assert_eq!(config.requirepass.unwrap().reveal(), "open");

    assert_eq!(
        with(&[("requirepass", "")]).unwrap_err(),
        r#"requirepass = "(hidden)" (flag --requirepass): a password cannot be empty; leave it out for none"#
    );
    std::fs::write(&path, "\n").unwrap();
    assert!(
        with(&[file])
            .unwrap_err()
            .ends_with("its first line is empty; write the password there")
    );
    let gone = with(&[("requirepass-file", "/nowhere/p")]).unwrap_err();
    assert_eq!(
        gone,
        r#"requirepass-file = "/nowhere/p" (flag --requirepass-file): cannot be read: No such file or directory (os error 2); give a file that this user may read"#
    );
}

#[test]
fn a_secret_of_the_wrong_kind_is_not_repeated() {
    let error = load(&LEAST, &[], Some("requirepass = [\"sesame\"]\n")).unwrap_err();
    assert_eq!(
        error,
        r#"requirepass = "(hidden)" (lockstep.toml:1): expected text, a decimal number, true or false for PASSWORD"#
    );
}

#[test]
fn a_cluster_is_its_name_wherever_it_is_hashed() {
    // Fixed for ever: directories and handshakes carry it.
    assert_eq!(
        ClusterId::named("lockstep").id,
        ClusterId::named("lockstep").id
    );
    assert_eq!(
        ClusterId::named("").id,
        0x6c62_272e_07bb_0142_62b8_2175_6295_c58d
    );
    assert_eq!(
        ClusterId::named("a").id,
        0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964
    );
    let hex = "000102030405060708090a0b0c0d0e0f";
    assert_eq!(
        ClusterId::named(hex).id,
        0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f
    );
    // A sign would be taken by the number parser, and is not hex.
    assert_ne!(
        ClusterId::named("+00102030405060708090a0b0c0d0e0f").id,
        0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f
    );
}

#[test]
fn hosts_and_ports() {
    for good in [
        "a:1",
        "node-1.example.com:6379",
        "10.0.0.1:65535",
        "[::1]:7",
    ] {
        assert_eq!(HostPort::parse(good).unwrap().to_string(), good);
    }
    for bad in [
        "", "a", ":1", "a:0", "a:65536", "::1:7", "[a]:1", "a b:1", "a:1/2", "a:-1",
    ] {
        assert_eq!(HostPort::parse(bad), None, "{bad}");
    }
}

/// The README's table of settings is the list in the code.
#[test]
fn the_readme_lists_every_setting() {
    let readme = include_str!("../../../README.md");
    for setting in SETTINGS {
        let default = match setting.default {
            "" => "-".to_owned(),
            text => format!("`{text}`"),
        };
        let row = format!(
            "| `{}` | {default} | {} |",
            setting.key,
            setting.help.replace('|', "\\|")
        );
        assert!(readme.contains(&row), "README.md lacks this row:\n{row}");
    }
}
