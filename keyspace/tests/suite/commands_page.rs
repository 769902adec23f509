//! docs/commands.md is the table of commands, for people. `UPDATE_DOCS=1` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use keyspace::table::{self, Command, Group, arguments, flags};

const GROUPS: [(Group, &str); 5] = [
    (Group::String, "Strings and counters"),
    (Group::Generic, "Keys"),
    (Group::Server, "Server"),
    (Group::Connection, "Connection"),
    (Group::Cluster, "Cluster"),
];

fn page() -> String {
    let mut page = String::from(
        "# Commands\n\nGenerated from the table in `keyspace/src/table`: do not edit. Replies and errors are \
         those of Redis 7.2, in RESP2 and RESP3. \"Since\" is the release of Redis that had a command \
         first; a command that writes travels in the log, one that reads is linearizable on every \
         node.\n",
    );
    for (group, title) in GROUPS {
        let _ = write!(
            page,
            "\n## {title}\n\n| Command | | Since | Cost | Flags | Categories |\n|---|---|---|---|---|---|\n"
        );
        let mut commands: Vec<&Command> = table::all()
            .filter(|command| command.group == group)
            .flat_map(|command| {
                // A container does nothing without its subcommands, COMMAND excepted.
                let container = !command.subcommands.is_empty() && command.name != "command";
                let own = (!container).then_some(command);
                own.into_iter().chain(command.subcommands)
            })
            .collect();
        commands.sort_by_key(|command| command.name);
        commands.iter().for_each(|command| line(command, &mut page));
    }
    page
}

fn line(command: &Command, page: &mut String) {
    let name = command.name.replace('|', " ").to_uppercase();
    let syntax = arguments::syntax(command.arguments).replace('|', "\\|");
    let names = flags::NAMES.into_iter().enumerate();
    let flags: Vec<&str> = names
        .filter_map(|(bit, name)| command.is(1 << bit).then_some(name))
        .collect();
    let categories: Vec<&str> = command.all_categories().collect();
    let _ = writeln!(
        page,
        "| `{}` | {} | {} | {} | {} | {} |",
        format!("{name} {syntax}").trim_end(),
        command.summary,
        command.since,
        command.complexity,
        flags.join(" "),
        categories.join(" ")
    );
}

#[test]
fn the_page_says_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/commands.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page(),
        "docs/commands.md is stale: UPDATE_DOCS=1 cargo nextest run --release -p keyspace the_page"
    );
}
