//! Each file against the findings that it is known to have.

use ha_userspace::config::model::{Config, Weight};
use ha_userspace::config::{self, report};
use libtest_mimic::{Failed, Trial};

use super::{codes, directory, files, header, options, verdict};

/// The tutorial's files, which are kept verbatim.
const TUTORIAL: &[(&str, &str)] = &[
    ("tutorial-two-node-master.conf", "0"),
    ("tutorial-two-node-backup.conf", "0"),
    ("tutorial-two-node-master-unicast.conf", "0"),
    ("tutorial-two-node-backup-unicast.conf", "0"),
    // Words behind the script; two passwords that are cut; two weights that are too small.
    ("tutorial-multi-service-as-published.conf", "5 XV0306 XV0406 XV0406 XV0701 XV0701"),
    ("tutorial-multi-service-corrected.conf", "5 XV0406 XV0406 XV0701 XV0701"),
    ("tutorial-multi-service-max-auto-priority.conf", "0 XV0308"),
];

pub(super) fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = files()
        .into_iter()
        .map(|path| {
            let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
            Trial::test(format!("corpus::{name}"), move || {
                let text = std::fs::read(&path)?;
                let tutorial =
                    TUTORIAL.iter().find(|(file, _)| *file == name).map(|(_, want)| (*want).to_owned());
                let want = header(&text, "expect").or(tutorial).ok_or("the file says nothing to expect")?;
                let loaded = config::load(&path, &options());
                let mut got = verdict(&loaded).code().to_string();
                for code in codes(&loaded) {
                    got.push(' ');
                    got.push_str(&code);
                }
                if got == want {
                    Ok(())
                } else {
                    Err(format!("expected {want}\n     got {got}\n{}", report::text(&loaded, false, None))
                        .into())
                }
            })
        })
        .collect();
    trials.push(Trial::test("tutorial_two_node_values", two_node));
    trials.push(Trial::test("tutorial_multi_service_values", multi_service));
    trials.push(Trial::test("as_published_points_at_the_words_behind_the_script", words_behind));
    trials.push(Trial::test("small_weights_are_explained_with_numbers", numbers));
    trials.push(Trial::test("definitions_expand", definitions));
    trials.push(Trial::test("xvrrp_lines_apply", xvrrp_lines));
    trials
}

fn config(name: &str) -> Config {
    config::load(&directory().join(name), &options()).config
}

fn two_node() -> Result<(), Failed> {
    for (file, priority, master, peer) in [
        ("tutorial-two-node-master.conf", 101, true, None),
        ("tutorial-two-node-backup.conf", 99, false, None),
        ("tutorial-two-node-master-unicast.conf", 101, true, Some("172.16.1.2")),
        ("tutorial-two-node-backup-unicast.conf", 99, false, Some("172.16.1.1")),
    ] {
        let config = config(file);
        let [instance] = config.instances.as_slice() else { return Err(file.into()) };
        assert_eq!((instance.name.as_str(), instance.interface.as_str()), ("VI_1", "ens160"));
        // Statement of the language: `09` is nine.
        assert_eq!(instance.vrid.get(), 9);
        assert_eq!((instance.priority.get(), instance.starts_as_master), (priority, master));
        assert_eq!(instance.interval.get(), 100);
        assert_eq!(instance.auth, ha_common::packet::Auth::Password(*b"1111\0\0\0\0"));
        let vips: Vec<_> = instance.vips.iter().map(|vip| (vip.address.to_string(), vip.prefix)).collect();
        assert_eq!(vips, [("172.16.1.25".to_owned(), 32)]);
        let peers = instance
            .unicast
            .as_ref()
            .map(|unicast| unicast.peers.iter().map(|p| p.address.to_string()).collect::<Vec<_>>());
        assert_eq!(peers, peer.map(|peer| vec![peer.to_owned()]));
    }
    Ok(())
}

fn multi_service() -> Result<(), Failed> {
    let config = config("tutorial-multi-service-as-published.conf");
    assert!(config.global.script_security);
    assert_eq!(config.scripts[0].argv, ["/etc/keepalived/check_serviceA.sh"]);
    assert_eq!(config.scripts[0].interval.as_secs(), 2);
    assert_eq!(config.scripts[0].timeout.as_secs(), 2);
    assert_eq!(config.instances[0].track_scripts[0].weight, Weight { value: 2, reverse: false });
    assert_eq!(config.instances[0].auth, ha_common::packet::Auth::Password(*b"serviceA"));
    Ok(())
}

fn words_behind() -> Result<(), Failed> {
    let loaded = config::load(&directory().join("tutorial-multi-service-as-published.conf"), &options());
    let found: Vec<_> = loaded.diagnostics.iter().filter(|f| f.code == config::codes::EXTRA_WORDS).collect();
    let [finding] = found.as_slice() else { return Err("not exactly one finding".into()) };
    let place = loaded.diagnostics.sources.place(finding.span);
    assert_eq!((place.line, place.column), (44, 48));
    let text = loaded.diagnostics.render(false);
    assert!(text.contains("^^^^^^^^^^^^^^^^^^^^^^^^^ ignored: the script gets no such arguments"), "{text}");
    Ok(())
}

fn numbers() -> Result<(), Failed> {
    for file in ["tutorial-multi-service-as-published.conf", "tutorial-multi-service-corrected.conf"] {
        let loaded = config::load(&directory().join(file), &options());
        let text = loaded.diagnostics.render(false);
        for part in [
            "script `check_serviceA` with weight 2 can never hand `VI_A` to a peer of priority 98 or less",
            "the priority is 102 while it succeeds and 100 while it fails",
            "99 or more (99 + 2 = 101 > 100); one of priority 90 reaches 92 and never does",
            "script `check_serviceB` with weight 2",
        ] {
            assert!(text.contains(part), "`{part}` is missing in\n{text}");
        }
    }
    Ok(())
}

fn definitions() -> Result<(), Failed> {
    let config = config("definitions.conf");
    let seen: Vec<_> =
        config.instances.iter().map(|i| (i.name.as_str(), i.vrid.get(), i.priority.get())).collect();
    assert_eq!(seen, [("VI_1", 1, 120), ("VI_2", 2, 120), ("VI_S", 77, 100)]);
    let vips: Vec<_> = config.instances[2].vips.iter().map(|vip| vip.address.to_string()).collect();
    assert_eq!(vips, ["10.9.0.1", "10.9.1.1", "10.9.2.1", "10.9.3.1", "10.8.0.9", "10.8.0.7", "10.8.0.5"]);
    Ok(())
}

fn xvrrp_lines() -> Result<(), Failed> {
    let config = config("xvrrp_lines.conf");
    assert_eq!(config.global.xdp_mode, config::model::XdpMode::Generic);
    assert_eq!(config.instances[0].xdp_mode, config::model::XdpMode::Off);
    assert_eq!(config.global.router_id.as_deref(), Some("both"));
    Ok(())
}
