//! An image for containers: the static program and nothing else, as an OCI image layout in a tar file.
//!
//! `podman load -i`, `docker load -i`, `skopeo copy oci-archive:…` and `ctr image import` take it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::package::{HOME, LICENCE, Package, SUMMARY, VERSION};
use super::tar;
use super::target::Processor;

/// What `--cap-add` must give: packaging/xvrrp.service has the same, and what scripts need besides.
const CAPABILITIES: &str = "NET_ADMIN,NET_RAW,BPF,PERFMON,SYS_NICE,IPC_LOCK";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Users that programs ask for; a static one asks this file alone.
const PASSWD: &str = "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\n";

/// Writes the image into `dist`, and says where it is.
///
/// # Errors
/// When files cannot be written.
pub(crate) fn write(package: &Package, program: &Path, dist: &Path) -> Result<PathBuf> {
    let processor = match package.processor {
        Processor::X86 => "amd64",
        Processor::Arm => "arm64",
    };
    let name = format!("xvrrp-{VERSION}-oci-{processor}");
    let layout = dist.join(&name);
    let root = dist.join(format!("{name}.root"));
    for directory in [&layout, &root] {
        if directory.exists() {
            fs::remove_dir_all(directory)
                .with_context(|| format!("cannot remove {}", directory.display()))?;
        }
    }
    fill(&root, program).with_context(|| format!("cannot fill {}", root.display()))?;
    let layer = dist.join(format!("{name}.layer"));
    tar::pack(&root, ".", &layer, package.time, tar::Packing::Plain)?;
    let layer_bytes = fs::read(&layer).with_context(|| format!("cannot read {}", layer.display()))?;
    let image = Image { layout: &layout };
    let layer_blob = image.blob(&layer_bytes, LAYER)?;
    let config = image.json(&config(processor, &layer_blob), CONFIG)?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer_blob],
    });
    let mut manifest = image.json(&manifest, MANIFEST)?;
    manifest["annotations"] = json!({
        "org.opencontainers.image.ref.name": VERSION,
        "io.containerd.image.name": format!("localhost/xvrrp:{VERSION}"),
    });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest] });
    image.file("index.json", index.to_string().as_bytes())?;
    image.file("oci-layout", json!({ "imageLayoutVersion": "1.0.0" }).to_string().as_bytes())?;
    let archive = dist.join(format!("{name}.tar"));
    tar::pack(&layout, ".", &archive, package.time, tar::Packing::Plain)?;
    fs::remove_file(&layer)?;
    fs::remove_dir_all(&root)?;
    fs::remove_dir_all(&layout)?;
    Ok(archive)
}

/// The files of the image.
fn fill(root: &Path, program: &Path) -> std::io::Result<()> {
    for directory in ["usr/sbin", "etc/keepalived", "run/xvrrp", "var/lib/xvrrp", "sys/fs/bpf", "tmp"] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::copy(program, root.join("usr/sbin/xvrrp"))?;
    fs::write(root.join("etc/passwd"), PASSWD)?;
    fs::write(root.join("etc/group"), GROUP)
}

fn config(processor: &str, layer: &Value) -> Value {
    json!({
        "architecture": processor,
        "os": "linux",
        "config": {
            "Entrypoint": ["/usr/sbin/xvrrp"],
            "Cmd": ["run"],
            "StopSignal": "SIGTERM",
            "Labels": {
                "org.opencontainers.image.title": "xvrrp",
                "org.opencontainers.image.description": SUMMARY,
                "org.opencontainers.image.version": VERSION,
                "org.opencontainers.image.source": HOME,
                "org.opencontainers.image.licenses": LICENCE,
                "xvrrp.capabilities": CAPABILITIES,
                "xvrrp.run": format!(
                    "--network host --cap-drop ALL {} --ulimit memlock=-1 -v /sys/fs/bpf:/sys/fs/bpf \
                     -v /run/xvrrp:/run/xvrrp -v /etc/keepalived:/etc/keepalived:ro",
                    CAPABILITIES.split(',').map(|one| format!("--cap-add {one}")).collect::<Vec<_>>().join(" ")
                ),
            },
        },
        "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
        "history": [{ "created_by": "cargo xtask dist" }],
    })
}

/// An image layout that is being written.
struct Image<'a> {
    layout: &'a Path,
}

impl Image<'_> {
    /// Keeps `bytes` under their digest, and describes them.
    fn blob(&self, bytes: &[u8], media_type: &str) -> Result<Value> {
        let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        self.file(&format!("blobs/sha256/{digest}"), bytes)?;
        Ok(json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() }))
    }

    fn json(&self, value: &Value, media_type: &str) -> Result<Value> {
        self.blob(value.to_string().as_bytes(), media_type)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.layout.join(name);
        let directory = path.parent().unwrap_or(self.layout);
        fs::create_dir_all(directory)
            .and_then(|()| fs::write(&path, bytes))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::needs::Needs;
    use super::*;
    use crate::sys;

    #[test]
    fn the_image_is_what_its_digests_say_and_the_same_every_time() {
        let dist = std::env::temp_dir().join(format!("xvrrp-oci-{}", std::process::id()));
        fs::create_dir_all(&dist).expect("a directory");
        let program = dist.join("program");
        fs::write(&program, b"program").expect("a file");
        let package = Package { processor: Processor::X86, needs: Needs::Nothing, time: 1_700_000_000 };
        let build = || fs::read(write(&package, &program, &dist).expect("an image")).expect("readable");
        let first = build();
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let second = build();
        let archive = dist.join(format!("xvrrp-{VERSION}-oci-amd64.tar"));
        sys::output(sys::tool("tar").arg("-xf").arg(&archive).arg("-C").arg(&dist)).expect("unpacked");
        let read = |name: &str| fs::read(dist.join(name)).expect("it is there");
        let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");
        let follow = |descriptor: &Value| {
            let digest =
                descriptor["digest"].as_str().expect("a digest").trim_start_matches("sha256:").to_owned();
            let bytes = read(&format!("blobs/sha256/{digest}"));
            assert_eq!(descriptor["size"], bytes.len());
            bytes
        };
        let manifest = parse(&follow(&parse(&read("index.json"))["manifests"][0]));
        let config = parse(&follow(&manifest["config"]));
        let layer = follow(&manifest["layers"][0]);
        let _ = fs::remove_dir_all(&dist);
        assert!(first == second, "two runs differ");
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        assert!(layer.windows(15).any(|name| name == b"/usr/sbin/xvrrp"), "no program");
        let label = &config["config"]["Labels"]["xvrrp.run"];
        assert!(label.as_str().is_some_and(|label| label.contains("--cap-add BPF ")), "{label}");
    }

    #[test]
    fn the_unit_gives_every_capability_of_the_image() {
        let unit =
            fs::read_to_string(sys::workspace_root().join("packaging/xvrrp.service")).expect("readable");
        for capability in CAPABILITIES.split(',') {
            assert!(unit.contains(&format!("CAP_{capability} ")), "{capability}");
        }
    }
}
