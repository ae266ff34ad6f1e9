//! Tests of reading, merging and reporting a whole configuration.

use std::fs;
use std::path::PathBuf;

use config_faults::Fault;
use serde_json::json;

use super::{Draft, Inputs, Setting};
use crate::config::{AuditTo, Destination, Origin};

fn inputs(file: &str, variables: &[(&str, &str)], flags: Vec<Setting>) -> (tempfile::TempDir, Inputs) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("genesys-kafka.toml"), file).unwrap();
    let environment = variables
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    let folders = vec![PathBuf::from("/nonexistent"), folder.path().to_path_buf()];
    (
        folder,
        Inputs {
            file: None,
            folders,
            environment,
            flags,
        },
    )
}

fn to_lines() -> Setting {
    Setting {
        flag: "--to",
        key: "delivery.to",
        value: json!("lines"),
    }
}

fn report(inputs: &Inputs, folder: &tempfile::TempDir) -> Vec<String> {
    let faults = Draft::read(inputs).build().unwrap_err();
    assert!(!faults.is_retryable());
    let folder = format!("{}/", folder.path().display());
    faults
        .to_string()
        .lines()
        .map(|line| line.replace(&folder, ""))
        .collect()
}

#[test]
fn no_file_is_needed_to_write_lines() {
    let inputs = Inputs {
        flags: vec![to_lines()],
        ..Inputs::default()
    };
    let (config, effective) = Draft::read(&inputs).build().unwrap();
    assert_eq!(
        (config.delivery.to, config.audit.to),
        (Destination::Lines, AuditTo::Lines)
    );
    assert_eq!(config.delivery.max_in_flight_records, 10_000);
    assert_eq!(config.source.config, json!({}));
    assert_eq!(effective.origin("delivery.to"), Origin::Flag("--to"));
    assert_eq!(effective.origin("delivery.drain_ms"), Origin::Default);
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let file = "[delivery]\nto = \"kafka\"\ndrain_ms = 1\nmax_in_flight_records = 2\n[kafka]\nbootstrap_servers = \"a:1\"\n";
    let variables = [
        ("GENESYS_KAFKA__DELIVERY__DRAIN_MS", "3"),
        ("GENESYS_KAFKA__DELIVERY__TO", "kafka"),
    ];
    let (folder, inputs) = inputs(file, &variables, vec![to_lines()]);
    let (config, effective) = Draft::read(&inputs).build().unwrap();
    assert_eq!(config.delivery.to, Destination::Lines);
    assert_eq!(
        (config.delivery.drain_ms, config.delivery.max_in_flight_records),
        (3, 2)
    );
    assert_eq!(
        effective.origin("delivery.drain_ms"),
        Origin::Environment("GENESYS_KAFKA__DELIVERY__DRAIN_MS".into())
    );
    let path = folder.path().join("genesys-kafka.toml");
    assert_eq!(
        effective.origin("delivery.max_in_flight_records"),
        Origin::File { path, line: 4 }
    );
}

#[test]
fn every_fault_of_every_layer_and_of_the_plugin_is_in_one_report() {
    let file = "[delivery]\nto = \"webhok\"\nguarantee = \"exactly_onec\"\ndrain_mss = 1\n\
                [kafka.librdkafka]\n\"bootstrap.servers\" = \"a:1\"\n[source.config]\nregion = \"mars\"\n[sink]\n";
    let variables = [
        ("GENESYS_KAFKA__KAFKA__PARTITIONS", "many"),
        ("GENESYS_KAFKA__KAFKA__", "x"),
    ];
    let flag = Setting {
        flag: "--bootstrap-servers",
        key: "kafka.bootstrap_servers",
        value: json!("a:x"),
    };
    let (folder, inputs) = inputs(file, &variables, vec![flag]);
    let mut draft = Draft::read(&inputs);
    assert!(draft.is_readable());
    draft.add_of_plugin(vec![
        Fault::new("region", "unknown region"),
        Fault::new("", "no credentials"),
    ]);
    let folder = format!("{}/", folder.path().display());
    let report = draft.build().unwrap_err().to_string().replace(&folder, "");
    assert_eq!(
        report.lines().collect::<Vec<_>>(),
        [
            "genesys-kafka.toml:2: delivery.to: expected one of `kafka`, `webhook`, `lines`, found `webhok`; did you \
             mean `webhook`?",
            "genesys-kafka.toml:3: delivery.guarantee: expected one of `at_least_once`, `exactly_once`, found \
             `exactly_onec`; did you mean `exactly_once`?",
            "genesys-kafka.toml:4: delivery.drain_mss: unknown key; did you mean `drain_ms`? known keys here: \
             `drain_ms`, `guarantee`, `max_in_flight_bytes`, `max_in_flight_records`, `to`",
            "genesys-kafka.toml:6: kafka.librdkafka.\"bootstrap.servers\": is set by the adapter: the adapter has \
             its own key; use `kafka.bootstrap_servers` instead",
            "genesys-kafka.toml:7: source.config: no credentials",
            "genesys-kafka.toml:8: source.config.region: unknown region",
            "genesys-kafka.toml:9: sink: unknown key; known keys here: `audit`, `control`, `dead_letter`, \
             `delivery`, `kafka`, `operations`, `source`, `webhook`",
            "environment variable GENESYS_KAFKA__KAFKA__: the name leads to no key; write GENESYS_KAFKA__SECTION__KEY",
            "environment variable GENESYS_KAFKA__KAFKA__PARTITIONS: kafka.partitions: expected integer, found string",
            "--bootstrap-servers: kafka.bootstrap_servers: expected a comma-separated list of host:port; write \
             `broker-1:9092,broker-2:9092`",
        ]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_the_only_fault() {
    let (folder, broken) = inputs("[delivery\n", &[], vec![]);
    let report = report(&broken, &folder);
    assert_eq!(report.len(), 1);
    assert!(
        report[0].starts_with("genesys-kafka.toml:1: not TOML: "),
        "{report:?}"
    );
    let inputs = Inputs {
        file: Some("/nonexistent/x.toml".into()),
        ..broken
    };
    let draft = Draft::read(&inputs);
    assert!(!draft.is_readable());
    assert_eq!(
        draft.build().unwrap_err().to_string(),
        "configuration file `/nonexistent/x.toml` does not exist; name an existing file with --config"
    );
}

#[test]
fn the_plugin_is_asked_with_what_is_written_even_beside_other_faults() {
    let (_folder, inputs) = inputs(
        "[source]\nlibrary = \"./x.so\"\n[source.config]\na = 1\n[nope]\n",
        &[],
        vec![],
    );
    let draft = Draft::read(&inputs);
    assert_eq!(draft.library(), Some(PathBuf::from("./x.so")));
    assert_eq!(draft.plugin_config(), r#"{"a":1}"#);
    let wrong = Setting {
        flag: "--library",
        key: "source.library",
        value: json!(""),
    };
    let draft = Draft::read(&Inputs {
        flags: vec![wrong],
        ..Inputs::default()
    });
    assert_eq!((draft.library(), draft.plugin_config().as_str()), (None, "{}"));
}

#[test]
fn the_shards_name_goes_down_to_a_plugin_that_has_one_and_never_over_its_own() {
    let named = |file: &str, schema: serde_json::Value| {
        let (_folder, inputs) = inputs(file, &[], Vec::new());
        let mut draft = Draft::read(&inputs);
        draft.name_source(&schema);
        serde_json::from_str::<serde_json::Value>(&draft.plugin_config()).unwrap()
    };
    let schema = serde_json::json!({"properties": {"name": {"type": "string"}}});
    assert_eq!(named("[source]\nname = \"emea\"", schema.clone())["name"], "emea");
    assert_eq!(
        named("[source]\nname = \"emea\"\nconfig.name = \"own\"", schema.clone())["name"],
        "own"
    );
    assert_eq!(
        named("[source]\nlibrary = \"x.so\"", schema),
        serde_json::json!({})
    );
    assert_eq!(
        named("[source]\nname = \"emea\"", serde_json::json!({})),
        serde_json::json!({})
    );
}
