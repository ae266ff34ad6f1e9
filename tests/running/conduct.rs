//! The WebSocket library whose conduct `ARCHITECTURE.md` vouches for is the one that is built in.

use support::workspace_root;

/// The version of a package in a lock file.
fn locked(lock: &str, package: &str) -> String {
    let entry = format!("[[package]]\nname = \"{package}\"\nversion = \"");
    let versions: Vec<&str> = lock
        .split(&entry)
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert_eq!(versions.len(), 1, "{package}: {versions:?}");
    versions[0].to_owned()
}

#[test]
fn the_architecture_names_the_websocket_library_that_is_built_in() {
    let read = |name: &str| std::fs::read_to_string(workspace_root().join(name)).unwrap();
    let (lock, page) = (read("Cargo.lock"), read("ARCHITECTURE.md"));
    for package in ["tungstenite", "tokio-tungstenite"] {
        let version = locked(&lock, package);
        let named = format!("`{package}` {version}");
        assert!(
            page.contains(&named),
            "ARCHITECTURE.md does not say {named}: see what the suite says of this version, then name it"
        );
    }
}
