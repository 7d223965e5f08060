use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn record(inspect: Value) -> ContainerRecord {
    let mounts = inspect["Mounts"].as_array().into_iter().flatten();
    let volumes = mounts.filter(|mount| mount["Type"] == "volume").map(|mount| {
        let text = |key: &str| mount[key].as_str().unwrap().to_owned();
        (text("Destination"), text("Name"))
    });
    let volumes = volumes.collect();
    ContainerRecord { id: ID.into(), name: "web".into(), volumes, inspect, ..ContainerRecord::default() }
}

fn names() -> Names {
    let db = ContainerRecord { id: "db-id".into(), name: "db".into(), ..ContainerRecord::default() };
    let facts = EngineFacts {
        default_runtime: "runc".into(),
        default_logging: "json-file".into(),
        ..EngineFacts::default()
    };
    Names {
        networks: [("net-id".to_owned(), "front".to_owned())].into(),
        facts,
        ..Names::of(&Side { containers: vec![db], ..Side::default() })
    }
}

#[test]
fn what_an_engine_chose_itself_is_left_to_the_other() {
    let inspect = json!({
        "Config": { "Hostname": ID[..12], "Env": ["A=1"], "Entrypoint": null, "Image": "app:1" },
        "HostConfig": {
            "NetworkMode": "net-id", "Runtime": "runc", "LogConfig": { "Type": "json-file", "Config": {} },
            "ConsoleSize": [0, 0], "ContainerIDFile": "/x"
        },
        "NetworkSettings": { "Networks": { "front": {
            "Aliases": ["site", ID[..12]], "IPAMConfig": { "IPv4Address": "10.0.0.2" },
            "IPAddress": "10.0.0.2", "MacAddress": "02:42", "NetworkID": "net-id"
        } } }
    });
    assert_eq!(
        body(&record(inspect), &names()),
        json!({
            "Env": ["A=1"], "Entrypoint": null, "Image": "app:1",
            "HostConfig": { "NetworkMode": "front" },
            "NetworkingConfig": { "EndpointsConfig": { "front": {
                "IPAMConfig": { "IPv4Address": "10.0.0.2" }, "Aliases": ["site"]
            } } }
        })
    );
}

#[test]
fn what_was_asked_for_stays() {
    let inspect = json!({
        "Config": { "Hostname": "shop" },
        "HostConfig": {
            "NetworkMode": "default", "Runtime": "nvidia",
            "LogConfig": { "Type": "json-file", "Config": { "max-size": "1m" } }
        },
        "NetworkSettings": { "Networks": { "bridge": { "IPAddress": "172.17.0.2" } } }
    });
    let body = body(&record(inspect.clone()), &names());
    assert_eq!(body["Hostname"], "shop");
    assert_eq!(body["HostConfig"], inspect["HostConfig"]);
    assert_eq!(body.get("NetworkingConfig"), None);
}

#[test]
fn others_are_called_by_name() {
    let inspect = json!({
        "Config": { "Hostname": "of-db", "ExposedPorts": { "80/tcp": {} } },
        "HostConfig": {
            "NetworkMode": "container:db-id", "PidMode": "container:db-id", "VolumesFrom": ["db-id:ro"],
            "Links": ["/db:/web/database"]
        }
    });
    let body = body(&record(inspect), &names());
    assert_eq!(
        body,
        json!({ "HostConfig": {
            "NetworkMode": "container:db", "PidMode": "container:db", "VolumesFrom": ["db:ro"],
            "Links": ["db:database"]
        } })
    );
    assert_eq!(references(&body).containers, BTreeSet::from(["db".to_owned()]));
}

#[test]
fn mounts_keep_their_content_and_the_hosts_names() {
    let volume = |name: &str, at: &str| json!({ "Type": "volume", "Name": name, "Destination": at });
    let inspect = json!({
        "HostConfig": {
            "Binds": ["data:/data", "/host_mnt/Users/me/src:/src:ro"],
            "Mounts": [
                { "Type": "volume", "Target": "/m" },
                { "Type": "bind", "Source": "/mnt/mac/Users/me", "Target": "/me" },
                { "Type": "tmpfs", "Target": "/t" }
            ]
        },
        "Mounts": [volume("data", "/data"), volume("5f2c", "/m"), volume("77aa", "/anonymous")]
    });
    let body = body(&record(inspect), &names());
    assert_eq!(
        body["HostConfig"]["Binds"],
        json!(["data:/data", "/Users/me/src:/src:ro", "77aa:/anonymous"])
    );
    assert_eq!(body["HostConfig"]["Mounts"][0]["Source"], "5f2c");
    assert_eq!(body["HostConfig"]["Mounts"][1]["Source"], "/Users/me");
    let found = references(&body);
    assert_eq!(found.volumes, ["data", "5f2c", "77aa"].map(str::to_owned).into());
    assert_eq!(found.host_paths, ["/Users/me/src", "/Users/me"].map(str::to_owned).into());
}

#[test]
fn only_differences_that_mean_something_count() {
    let one = json!({ "Image": "a", "Env": ["A=1"], "HostConfig": { "NetworkMode": "default", "Binds": ["v:/v"] } });
    let mut other = json!({
        "Image": "b", "Env": ["A=1"], "Tty": false, "HostConfig": {
            "NetworkMode": "bridge", "Binds": ["v:/v"], "CapAdd": null, "Memory": 0
        }
    });
    keep_empty(&mut other, &BTreeSet::from(["v".to_owned()]));
    assert_eq!(other["HostConfig"]["Binds"], json!(["v:/v:nocopy"]));
    assert_eq!(difference(&one, &other), None);
    other["HostConfig"]["Memory"] = json!(1);
    assert_eq!(difference(&one, &other).as_deref(), Some("HostConfig.Memory"));
}

#[test]
fn a_volume_is_kept_empty_once() {
    let mut body = json!({ "HostConfig": {
        "Binds": ["v:/a:ro", "v:/b:nocopy", "w:/c"], "Mounts": [{ "Type": "volume", "Source": "v" }]
    } });
    keep_empty(&mut body, &BTreeSet::from(["v".to_owned()]));
    assert_eq!(body["HostConfig"]["Binds"], json!(["v:/a:ro,nocopy", "v:/b:nocopy", "w:/c"]));
    assert_eq!(body["HostConfig"]["Mounts"][0]["VolumeOptions"], json!({ "NoCopy": true }));
}
