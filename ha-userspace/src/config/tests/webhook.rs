//! `notify_webhook`: which URL counts, and what is no URL.

use super::*;

#[test]
fn a_webhook_has_a_url_its_own_or_that_of_global_defs() {
    let with = |global: &str, own: &str| {
        loaded(&format!(
            "global_defs {{\n{global}\n}}\nvrrp_instance V {{\ninterface e\nvirtual_router_id 1\n{own}\n\
             virtual_ipaddress {{ 192.0.2.1 }}\n}}\n"
        ))
    };
    let url = |global: &str, own: &str| {
        let loaded = with(global, own);
        assert_eq!(complaints(&loaded), [] as [&str; 0], "{global} {own}");
        let webhook = only(&loaded.config).notify.webhook.clone()?;
        let server = &webhook.url.server;
        Some((webhook.url.secure, server.host.clone(), server.port, webhook.url.path))
    };
    let of = |secure, host: &str, port, path: &str| Some((secure, host.to_owned(), port, path.to_owned()));
    let global = "notify_webhook https://hooks.example.com/T0/B0?x=1";
    assert_eq!(url("", ""), None);
    assert_eq!(url(global, ""), of(true, "hooks.example.com", 443, "/T0/B0?x=1"));
    assert_eq!(url(global, "notify_webhook http://[::1]:8080"), of(false, "::1", 8080, "/"));
    assert_eq!(url(global, "notify_webhook off"), None);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("url");
    std::fs::write(&path, "http://127.0.0.1/secret\n").expect("written");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
    let file = format!("notify_webhook file:{}", path.display());
    assert_eq!(url(&file, ""), of(false, "127.0.0.1", 80, "/secret"));
    let shown = format!("{:?}", only(&with(&file, "").config).notify.webhook);
    assert!(shown.contains("http://127.0.0.1/…") && !shown.contains("secret"), "{shown}");
}

#[test]
fn what_is_no_url_to_post_to_is_told_with_its_place() {
    for (word, why) in [
        ("ftp://a/b", "neither with http:// nor with https://"),
        ("hooks.example.com", "neither with http:// nor with https://"),
        ("http://", "no host"),
        ("http://:80/", "no host"),
        ("http://a:0/", "a port that is none"),
        ("http://a:99999/", "a port that is none"),
        ("http://[::1/", "no host"),
        ("http://u:p@a/", "a user or a password"),
        ("\"http://a/b#c\"", "behind a `#`"),
        ("\"http://a/b c\"", "with %"),
        ("http://a/\u{e9}", "with %"),
        ("http://a\u{e9}/", "no host"),
    ] {
        let text = format!("global_defs {{\n    notify_webhook {word}\n}}\n");
        let loaded = loaded(&text);
        let line = findings(&loaded).into_iter().find(|line| line.contains("no URL to post to"));
        let line = line.unwrap_or_else(|| panic!("{word}: {:?}", findings(&loaded)));
        assert!(line.contains(why) && line.contains("test.conf:2:20"), "{word}: {line}");
    }
    let unreadable = loaded("global_defs {\nnotify_webhook file:/nonexistent/url\n}\n");
    assert_eq!(complaints(&unreadable), ["XV0543"]);
}
