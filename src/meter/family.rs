//! The table of all metrics, and values under their names, as Prometheus text and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use schemars::JsonSchema;
use serde::Serialize;

/// What a number does over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

use Kind::{Counter, Gauge, Histogram};

/// Every metric: name, kind, what it says. In the order in which they are written.
pub(super) const FAMILIES: [(&str, Kind, &str); 27] = [
    ("dipeo_build_info", Gauge, "Always 1; the label names the version."),
    ("dipeo_executions", Gauge, "Executions in the database, by status."),
    ("dipeo_executions_running", Gauge, "Executions that this process runs now."),
    ("dipeo_executions_ended_total", Counter, "Executions that this process ran to their end, by status."),
    ("dipeo_execution_seconds", Histogram, "Seconds that executions ran until their end, pauses left out, by status."),
    ("dipeo_nodes_total", Counter, "What became of nodes in this process, by type and outcome."),
    ("dipeo_node_seconds", Histogram, "Seconds from the start of a node to its end, waiting included, by type."),
    ("dipeo_model_calls_total", Counter, "Calls of models, by service and outcome."),
    ("dipeo_model_tokens_total", Counter, "Tokens of model calls, by model and direction."),
    ("dipeo_model_cached_tokens_total", Counter, "Input tokens that the service had kept from earlier calls."),
    ("dipeo_model_cost_usd_total", Counter, "Cost of model calls in US dollars, where the price is known."),
    ("dipeo_model_unpriced_calls_total", Counter, "Model calls that cost something nobody knows."),
    ("dipeo_store_queue_depth", Gauge, "Pieces of work that wait for the database writer."),
    ("dipeo_store_commits_total", Counter, "Transactions that this process committed; each is one sync of the disk."),
    ("dipeo_store_commit_seconds", Histogram, "Seconds of a commit, the sync of the disk included."),
    ("dipeo_store_size_bytes", Gauge, "Size of the database file."),
    ("dipeo_store_free_bytes", Gauge, "Unused part of the database file."),
    ("dipeo_store_wal_bytes", Gauge, "Size of the write-ahead log beside the database file."),
    ("dipeo_http_requests_total", Counter, "Answers of the HTTP server, by class of their status."),
    ("dipeo_http_open_streams", Gauge, "Streams of events that are open."),
    ("dipeo_process_resident_memory_bytes", Gauge, "Memory of this process that is in RAM."),
    ("dipeo_process_virtual_memory_bytes", Gauge, "Address space of this process."),
    ("dipeo_process_cpu_seconds_total", Counter, "Processor time of this process, user and system."),
    ("dipeo_process_threads", Gauge, "Threads of this process."),
    ("dipeo_process_open_fds", Gauge, "Open file descriptors of this process."),
    ("dipeo_process_max_fds", Gauge, "File descriptors that this process may have open."),
    ("dipeo_process_start_time_seconds", Gauge, "When this process began to serve, in seconds since 1970."),
];

/// Whether the table has a metric of this name.
pub(super) fn is_named(name: &str) -> bool {
    FAMILIES.iter().any(|it| it.0 == name)
}

/// One value under the name that it has in the text.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Sample {
    /// The metric's name; of a histogram with `_bucket`, `_sum` or `_count` behind it.
    pub name: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// One metric with its values.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Family {
    pub name: &'static str,
    #[serde(rename = "type")]
    pub kind: Kind,
    pub help: &'static str,
    pub samples: Vec<Sample>,
}

/// Metrics with their values, in the order of the table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Families {
    pub metrics: Vec<Family>,
}

impl Families {
    /// Sorts samples under the metrics they belong to; what the table does not name is left out.
    pub(super) fn of(samples: Vec<Sample>) -> Self {
        let mut metrics: Vec<Family> =
            FAMILIES.iter().map(|(name, kind, help)| Family { name, kind: *kind, help, samples: Vec::new() }).collect();
        for sample in samples {
            if let Some(family) = metrics.iter_mut().find(|it| it.has(&sample.name)) {
                family.samples.push(sample);
            }
        }
        for family in &mut metrics {
            // Stable: the classes of a histogram stay in their order.
            family.samples.sort_by(|a, b| a.series().cmp(&b.series()));
        }
        Self { metrics }
    }

    /// Adds a value of a metric that is asked for instead of counted.
    pub fn add(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        assert!(is_named(name), "`{name}` is not in the table of metrics");
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let sample = Sample { name: name.to_owned(), labels, value };
        if self.metrics.is_empty() {
            *self = Self::of(Vec::new());
        }
        if let Some(family) = self.metrics.iter_mut().find(|it| it.name == name) {
            family.samples.push(sample);
        }
    }

    /// The text format of Prometheus, version 0.0.4. Metrics without a value are left out.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for family in self.metrics.iter().filter(|it| !it.samples.is_empty()) {
            let (name, kind) = (family.name, family.kind.name());
            // Writing to a text does not fail.
            let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", family.help);
            for sample in &family.samples {
                let _ = writeln!(text, "{}{} {}", sample.name, sample.label_text(), sample.value);
            }
        }
        text
    }
}

impl Family {
    fn has(&self, sample: &str) -> bool {
        sample.strip_prefix(self.name).is_some_and(|rest| match self.kind {
            Histogram => ["_bucket", "_sum", "_count"].contains(&rest),
            Counter | Gauge => rest.is_empty(),
        })
    }
}

impl Sample {
    /// What tells series apart: the labels, without the class of a histogram.
    fn series(&self) -> Vec<(&str, &str)> {
        self.plain_labels().collect()
    }

    fn plain_labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().filter(|(name, _)| *name != "le").map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// `{a="b",le="c"}`, the class last as usual; nothing when there are no labels.
    fn label_text(&self) -> String {
        let class = self.labels.get("le").map(|it| ("le", it.as_str()));
        let pairs: Vec<String> =
            self.plain_labels().chain(class).map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_and_json_hold_the_same_values() {
        let mut families = Families::default();
        families.add("dipeo_executions", &[("status", "a\"b\\c\nd")], 2.0);
        families.add("dipeo_build_info", &[], 1.0);
        assert_eq!(
            families.to_text(),
            "# HELP dipeo_build_info Always 1; the label names the version.\n# TYPE dipeo_build_info gauge\n\
             dipeo_build_info 1\n# HELP dipeo_executions Executions in the database, by status.\n\
             # TYPE dipeo_executions gauge\ndipeo_executions{status=\"a\\\"b\\\\c\\nd\"} 2\n"
        );
        let json = serde_json::to_value(&families).expect("JSON");
        assert_eq!(
            json["metrics"][1],
            json!({"name": "dipeo_executions", "type": "gauge", "help": "Executions in the database, by status.",
                   "samples": [{"name": "dipeo_executions", "labels": {"status": "a\"b\\c\nd"}, "value": 2.0}]})
        );
    }

    #[test]
    fn the_table_names_each_metric_once_and_by_the_rules() {
        for (n, (name, kind, help)) in FAMILIES.iter().enumerate() {
            assert!(name.starts_with("dipeo_") && help.ends_with('.'), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Counter, "{name}");
            assert!(FAMILIES[..n].iter().all(|it| it.0 != *name), "{name} twice");
        }
    }
}
