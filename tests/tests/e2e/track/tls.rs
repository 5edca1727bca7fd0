//! HTTPS checks against nginx with a certificate of a CA of its own: whom a check trusts, and by which name.

use anyhow::{Result, ensure};
use ha_tests::lab::{Daemon, Lab};

use super::becomes;
use crate::harness::Test;
use crate::hostile::{VIP, ms, sound};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("track::https_is_trusted_by_ca_and_name", https)
            .needs([Daemon::XvrrpRfc])
            .needs_tool("nginx")
            .needs_tool("openssl"),
    ]
}

/// A CA, a certificate of it for `service.example`, and one for `self.example` that is signed with its own key.
const CERTIFICATES: &str = "set -e; mkdir -p /run/tls; cd /run/tls; key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
    -nodes'; openssl req -x509 $key -keyout ca.key -out ca.pem -days 2 -subj /CN=lab; openssl req $key -keyout key.pem \
    -out csr -subj /CN=service.example; echo subjectAltName=DNS:service.example > names; openssl x509 -req -in csr \
    -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem; openssl req -x509 $key -keyout self.key \
    -out self.pem -days 2 -subj /CN=self.example -addext subjectAltName=DNS:self.example";

/// Name, settings, what becomes of it, and a word of the reason.
const CHECKS: [(&str, &str, &str, &str); 7] = [
    ("trusted", "tls_ca /run/tls/ca.pem\n tls_name service.example\n body fine", "good", "status 200"),
    ("unverified", "tls_verify off", "good", "status 200"),
    ("stranger", "tls_name service.example", "bad", "TLS"),
    ("misnamed", "tls_ca /run/tls/ca.pem\n tls_name other.example", "bad", "other.example"),
    // A certificate that its own server has signed, as `openssl req -x509` makes it, and the CA of somebody else.
    ("itself", "tls_ca /run/tls/self.pem\n tls_name self.example\n body fine", "good", "status 200"),
    ("foreign", "tls_ca /run/tls/self.pem\n tls_name service.example", "bad", "TLS"),
    ("unreadable", "tls_ca /run/tls/missing.pem", "bad", "missing.pem"),
];

fn https(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    r1.output(&["sh", "-c", CERTIFICATES])?;
    let server = "listen 443 ssl;\n ssl_certificate /run/tls/cert.pem;\n ssl_certificate_key /run/tls/key.pem;\n \
                  location / { return 200 \"fine\\n\"; }";
    let _nginx = r1.nginx_server("tls", 443, server)?;
    let server = server.replace("443", "444").replace("cert.pem", "self.pem").replace("key.pem", "self.key");
    let _other = r1.nginx_server("self", 444, &server)?;
    let block = |(name, settings, ..): &(&str, &str, &str, &str)| {
        let port = if *name == "itself" { 444 } else { 443 };
        format!(
            "vrrp_check {name} {{\n http https://127.0.0.1:{port}/\n interval 500ms\n {settings}\n weight 1\n}}\n"
        )
    };
    let blocks: String = CHECKS.iter().map(block).collect();
    let names: String = CHECKS.iter().map(|(name, ..)| format!("  {name}\n")).collect();
    let config = format!(
        "{blocks}vrrp_instance VI_1 {{\n interface ens160\n version 3\n virtual_router_id 9\n priority 100\n \
         advert_int 0.1\n virtual_ipaddress {{ {VIP} }}\n track_check {{\n{names} }}\n}}\n"
    );
    let mut daemon = r1.start(Daemon::XvrrpRfc, &config)?;
    for (name, _, state, words) in CHECKS {
        let entry = becomes(r1, "check", name, state, ms(5_000))?;
        println!("{name}: {}", entry["detail"]);
        ensure!(entry["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{entry}");
    }
    ensure!(r1.xvrrp_status()?.instances[0].priority.effective == 103, "three checks are good");
    sound(&mut daemon, 30)
}
