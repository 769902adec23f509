//! A run as a picture: one lane per node from left to right, messages as arrows between them,
//! faults as bands, reigns as thick stretches of a lane, commit indexes as small numbers under it.
//! One HTML file that needs nothing else; every mark says more when pointed at.

use std::fmt::Write as _;

use crate::queue::Time;
use crate::trace::{Record, Trace};

/// Room for a lane, in pixels.
const LANE: u64 = 110;
const TOP: u64 = 90;
const LEFT: u64 = 60;
/// The widest picture, in pixels.
const WIDTH_MAX: u64 = 14_000;

/// What is drawn.
struct Picture<'a> {
    from: Time,
    to: Time,
    width: u64,
    nodes: usize,
    records: &'a [Record],
    svg: String,
}

/// Draws the last `span` microseconds of a trace.
#[must_use]
pub fn draw(trace: &Trace, title: &str, nodes: usize, span: u64) -> String {
    let to = trace.records.iter().map(moment).max().unwrap_or_default();
    let to = to + span / 50;
    let from = Time(to.0.saturating_sub(span));
    let mut picture = Picture {
        from,
        to,
        width: (span / 200).clamp(1_200, WIDTH_MAX),
        nodes,
        records: &trace.records,
        svg: String::new(),
    };
    picture.axis();
    picture.lanes();
    picture.faults();
    picture.arrows();
    picture.marks();
    let (width, height) = (picture.width + 2 * LEFT, picture.lane(nodes) + 40);
    let svg = picture.svg;
    let title = escape(title);
    format!(
        "<!doctype html><html><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style></head>\
         <body><h1>{title}</h1>{LEGEND}<div class=\"scroll\"><svg width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">{svg}</svg></div><script>{SCRIPT}</script></body></html>\n"
    )
}

impl Picture<'_> {
    fn x(&self, at: Time) -> u64 {
        let at = at.clamp(self.from, self.to);
        LEFT + at.since(self.from) * self.width / self.to.since(self.from).max(1)
    }

    fn lane(&self, node: usize) -> u64 {
        TOP + node as u64 * LANE + LANE / 2
    }

    fn shows(&self, at: Time) -> bool {
        at >= self.from && at <= self.to
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        self.svg.write_fmt(element).unwrap_or_default();
        self.svg.push('\n');
    }

    /// Times, at about every hundred pixels.
    fn axis(&mut self) {
        let span = self.to.since(self.from);
        let steps = (self.width / 100).max(1);
        let bottom = self.lane(self.nodes);
        for step in 0..=steps {
            let at = self.from + span * step / steps;
            let x = self.x(at);
            self.add(format_args!(
                "<line class=\"grid\" x1=\"{x}\" y1=\"40\" x2=\"{x}\" y2=\"{bottom}\"/>\
                 <text class=\"time\" x=\"{x}\" y=\"34\">{at}</text>"
            ));
        }
    }

    /// A lane is thin while its process runs, thick while it leads, and missing while it is down.
    fn lanes(&mut self) {
        for node in 0..self.nodes {
            let y = self.lane(node);
            let name = node + 1;
            self.add(format_args!(
                "<text class=\"name\" x=\"12\" y=\"{}\">n{name}</text>",
                y + 5
            ));
            let (mut runs, mut leads) = (None, None);
            let mut stretches = Vec::new();
            for record in self.records {
                match record {
                    Record::Process {
                        at,
                        node: n,
                        runs: starts,
                    } if *n == node => {
                        if *starts {
                            runs = Some(*at);
                        } else if let Some(since) = runs.take() {
                            stretches.push(("runs", since, *at, String::new()));
                        }
                    }
                    Record::Leads { at, node: n, term } if *n == node => {
                        if let Some((since, term)) = leads.take() {
                            stretches.push(("leads", since, *at, format!("leads in term {term}")));
                        }
                        leads = term.map(|term| (*at, term));
                    }
                    _ => {}
                }
            }
            stretches.extend(runs.map(|since| ("runs", since, self.to, String::new())));
            let leading = leads
                .map(|(since, term)| ("leads", since, self.to, format!("leads in term {term}")));
            stretches.extend(leading);
            for (class, since, until, label) in stretches {
                if until < self.from {
                    continue;
                }
                let (x1, x2) = (self.x(since), self.x(until));
                self.add(format_args!(
                    "<line class=\"{class}\" x1=\"{x1}\" y1=\"{y}\" x2=\"{x2}\" y2=\"{y}\"><title>{label}</title></line>"
                ));
                if class == "leads" {
                    let (x, y) = (x1 + 4, y + 20);
                    self.add(format_args!(
                        "<text class=\"role\" x=\"{x}\" y=\"{y}\">{label}</text>"
                    ));
                }
            }
        }
    }

    /// Above the lanes; what is about one node is drawn over its lane too.
    fn faults(&mut self) {
        let mut row = 0;
        for record in self.records {
            let Record::Fault {
                at,
                until,
                node,
                label,
            } = record
            else {
                continue;
            };
            let until = until.unwrap_or(*at + 1);
            if until < self.from || *at > self.to {
                continue;
            }
            let (x, end) = (self.x(*at), self.x(until));
            let (top, height) = match node {
                Some(node) => (self.lane(*node) - 34, 68),
                None => (self.lane(0) - 40, LANE * self.nodes as u64),
            };
            let width = (end - x).max(3);
            let label = escape(label);
            let text = 50 + row * 12;
            row = (row + 1) % 3;
            self.add(format_args!(
                "<rect class=\"fault\" x=\"{x}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"><title>{label}</title></rect>\
                 <text class=\"faultname\" x=\"{x}\" y=\"{text}\">{label}</text>"
            ));
        }
    }

    fn arrows(&mut self) {
        for record in self.records {
            let Record::Arrow {
                from,
                to,
                sent,
                arrived,
                label,
            } = record
            else {
                continue;
            };
            if !self.shows(*arrived) {
                continue;
            }
            let (x1, x2) = (self.x(*sent), self.x(*arrived));
            let (y1, y2) = (self.lane(*from), self.lane(*to));
            let class = label.split([' ', '{']).next().unwrap_or_default();
            let label = escape(label);
            self.add(format_args!(
                "<line class=\"arrow {class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" marker-end=\"url(#tip)\">\
                 <title>n{} to n{}, {sent} to {arrived}: {label}</title></line>",
                from + 1,
                to + 1
            ));
        }
    }

    /// Commits, clients, and what was found.
    fn marks(&mut self) {
        self.add(format_args!(
            "<defs><marker id=\"tip\" markerWidth=\"7\" markerHeight=\"6\" refX=\"7\" refY=\"3\" orient=\"auto\">\
             <path d=\"M0,0 L7,3 L0,6 z\" fill=\"context-stroke\"/></marker></defs>"
        ));
        let mut written = vec![0; self.nodes];
        for record in self.records {
            match record {
                Record::Commit { at, node, index } if self.shows(*at) => {
                    let (x, y) = (self.x(*at), self.lane(*node));
                    self.add(format_args!(
                        "<circle class=\"commit\" cx=\"{x}\" cy=\"{y}\" r=\"3\"><title>committed up to {index} at {at}</title></circle>"
                    ));
                    if let Some(last) = written.get_mut(*node)
                        && x >= *last + 34
                    {
                        *last = x;
                        let y = y + 34;
                        self.add(format_args!(
                            "<text class=\"index\" x=\"{x}\" y=\"{y}\">{index}</text>"
                        ));
                    }
                }
                Record::Client { at, node, label } if self.shows(*at) => {
                    let (x, y) = (self.x(*at), self.lane(*node));
                    let label = escape(label);
                    let (top, left, right) = (y - 16, x - 3, x + 3);
                    self.add(format_args!(
                        "<path class=\"client\" d=\"M{left},{top} L{right},{top} L{x},{y} z\"><title>{at} {label}</title></path>"
                    ));
                }
                Record::Finding { at, label } => {
                    let x = self.x(*at);
                    let bottom = self.lane(self.nodes);
                    let label = escape(label);
                    self.add(format_args!(
                        "<line class=\"finding\" x1=\"{x}\" y1=\"0\" x2=\"{x}\" y2=\"{bottom}\"><title>{label}</title></line>\
                         <text class=\"found\" text-anchor=\"end\" x=\"{}\" y=\"16\">{label}</text>",
                        x - 6
                    ));
                }
                _ => {}
            }
        }
    }
}

fn moment(record: &Record) -> Time {
    match record {
        Record::Arrow { arrived: at, .. }
        | Record::Fault { at, .. }
        | Record::Process { at, .. }
        | Record::Leads { at, .. }
        | Record::Commit { at, .. }
        | Record::Client { at, .. }
        | Record::Finding { at, .. } => *at,
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

const STYLE: &str = "\
body{font:14px system-ui,sans-serif;margin:16px;color:#222;background:#fff}h1{font-size:16px}\
.scroll{overflow-x:auto;border:1px solid #ddd}text{font:11px ui-monospace,monospace}\
.grid{stroke:#eee}.time{fill:#888;text-anchor:middle}.name{font-size:15px;font-weight:bold}\
.runs{stroke:#9aa;stroke-width:2}.leads{stroke:#2a6;stroke-width:9;stroke-linecap:butt}.role{fill:#175}\
.fault{fill:#e33;fill-opacity:.10;stroke:#e33;stroke-opacity:.4}.faultname{fill:#b22}\
.arrow{stroke:#88a;stroke-width:1}.Append{stroke:#36c}.Acked{stroke:#69d}.Vote,.Voted{stroke:#c60;stroke-width:2}\
.PreVote,.PreVoted{stroke:#da6}.Heartbeat,.HeartbeatAck,.Commit{stroke:#ccd}.Rejected,.StaleTerm{stroke:#c33}\
.Forward,.Outcome,.Refused,.Failed{stroke:#93a}.ReadIndex,.ReadIndexed{stroke:#3aa}\
.commit{fill:#136}.index{fill:#136;text-anchor:middle}.client{fill:#93a}.finding{stroke:#d00;stroke-width:3}\
.found{fill:#d00;font-weight:bold;font-size:13px}.quiet .Heartbeat,.quiet .HeartbeatAck{display:none}\
label{margin-right:16px}.key{display:inline-block;margin-right:14px}.key i{display:inline-block;width:22px;height:0;border-top:3px solid;vertical-align:middle;margin-right:4px}";

const LEGEND: &str = "\
<p><label><input type=\"checkbox\" id=\"quiet\"> without heartbeats</label>\
<span class=\"key\" style=\"color:#36c\"><i></i>entries</span><span class=\"key\" style=\"color:#69d\"><i></i>acknowledgements</span>\
<span class=\"key\" style=\"color:#c60\"><i></i>votes</span><span class=\"key\" style=\"color:#93a\"><i></i>clients and forwarding</span>\
<span class=\"key\" style=\"color:#3aa\"><i></i>read index</span><span class=\"key\" style=\"color:#2a6\"><i></i>leads</span>\
<span class=\"key\" style=\"color:#b22\"><i></i>fault</span><span class=\"key\" style=\"color:#136\"><i></i>commit index</span></p>";

const SCRIPT: &str = "\
const s=document.querySelector('.scroll');s.scrollLeft=s.scrollWidth;\
document.getElementById('quiet').onchange=e=>s.classList.toggle('quiet',e.target.checked);";
