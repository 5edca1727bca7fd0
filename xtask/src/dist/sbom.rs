//! What the program is made of: a CycloneDX document (ECMA-424) from what cargo resolves.
//!
//! All packages that are linked into it, and those of the eBPF program in it; not what only the build runs. Written here:
//! the libraries for it weigh more than all of xtask.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::package::VERSION;
use super::target::Target;
use crate::sys;

/// The program, and what is embedded in it.
const ROOTS: [&str; 2] = ["ha-userspace", "ha-ebpf"];

/// Writes the document for `target` into `dist`, and says where it is.
///
/// # Errors
/// When cargo fails, or the file cannot be written.
pub(crate) fn write(target: Target, dist: &Path) -> Result<PathBuf> {
    let mut metadata = sys::cargo();
    metadata.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", target.triple()]);
    let metadata = serde_json::from_str(&sys::output(&mut metadata)?)?;
    let time = sys::output(sys::tool("git").args(["log", "-1", "--format=%cI"])).unwrap_or_default();
    let text = serde_json::to_string_pretty(&document(&metadata, target, time.trim())?)? + "\n";
    let file = dist.join(format!("xvrrp-{VERSION}-{}.cdx.json", target.triple()));
    fs::create_dir_all(dist).with_context(|| format!("cannot make {}", dist.display()))?;
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

fn document(metadata: &Value, target: Target, time: &str) -> Result<Value> {
    let packages: BTreeMap<&str, &Value> = list(&metadata["packages"])
        .iter()
        .filter_map(|package| Some((package["id"].as_str()?, package)))
        .collect();
    let links = links(metadata);
    let named = |root: &&str| packages.values().find(|package| package["name"] == **root);
    let roots: Vec<&str> =
        ROOTS.iter().filter_map(named).filter_map(|package| package["id"].as_str()).collect();
    let subject_id = roots.first().context("cargo knows no ha-userspace")?;
    let program = packages.get(subject_id).context("cargo knows no ha-userspace")?;
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    let mut next = roots.clone();
    while let Some(id) = next.pop() {
        if reached.insert(id) {
            next.extend(links.get(id).into_iter().flatten());
        }
    }
    let of = |ids: &mut dyn Iterator<Item = &str>| {
        let mut urls: Vec<String> =
            ids.filter_map(|id| packages.get(id)).map(|package| purl(package)).collect();
        urls.sort();
        urls
    };
    let mut components: Vec<Value> = reached
        .iter()
        .filter(|id| **id != *subject_id)
        .filter_map(|id| packages.get(id))
        .map(|one| component(one))
        .collect();
    components.sort_by_key(|component| component["bom-ref"].to_string());
    let mut dependencies: Vec<Value> = reached
        .iter()
        .filter_map(|id| Some((packages.get(id)?, id)))
        .map(|(package, id)| {
            let mut on: Vec<&str> = links.get(id).into_iter().flatten().copied().collect();
            if *id == *subject_id {
                on.extend(roots.iter().skip(1));
            }
            json!({ "ref": purl(package), "dependsOn": of(&mut on.into_iter()) })
        })
        .collect();
    dependencies.sort_by_key(|dependency| dependency["ref"].to_string());
    let mut subject = component(program);
    subject["type"] = json!("application");
    subject["name"] = json!("xvrrp");
    subject["properties"] = json!([{ "name": "cargo:target", "value": target.triple() }]);
    let mut about = json!({ "component": subject });
    if !time.is_empty() {
        about["timestamp"] = json!(time);
    }
    Ok(json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": about, "components": components, "dependencies": dependencies,
    }))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What each package is linked with.
fn links(metadata: &Value) -> BTreeMap<&str, Vec<&str>> {
    list(&metadata["resolve"]["nodes"])
        .iter()
        .filter_map(|node| {
            let linked = list(&node["deps"]).iter().filter(|dependency| is_linked(dependency));
            Some((node["id"].as_str()?, linked.filter_map(|one| one["pkg"].as_str()).collect()))
        })
        .collect()
}

/// No kind is the ordinary one; others are `build` and `dev`.
fn is_linked(dependency: &Value) -> bool {
    list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null())
}

fn purl(package: &Value) -> String {
    let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
    format!("pkg:cargo/{}@{}", text("name"), text("version").replace('+', "%2B"))
}

fn component(package: &Value) -> Value {
    let purl = purl(package);
    let mut component = json!({
        "type": "library", "bom-ref": purl, "purl": purl, "name": package["name"], "version": package["version"],
    });
    if let Some(licence) = package["license"].as_str() {
        // An older way of writing OR.
        component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
    }
    if let Some(repository) = package["repository"].as_str() {
        component["externalReferences"] = json!([{ "type": "vcs", "url": repository }]);
    }
    component
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> Value {
        let package =
            |id: &str| json!({ "id": id, "name": id, "version": "1.0.0", "license": "MIT/Apache-2.0" });
        let link = |id: &str, kind: Value| json!({ "pkg": id, "dep_kinds": [{ "kind": kind }] });
        let packages = ["ha-userspace", "ha-ebpf", "far", "near", "builder", "tester"].map(package);
        json!({
            "packages": packages,
            "resolve": { "nodes": [
                { "id": "ha-userspace", "deps": [
                    link("near", Value::Null), link("builder", json!("build")), link("tester", json!("dev")),
                ] },
                { "id": "near", "deps": [link("far", Value::Null)] },
                { "id": "ha-ebpf", "deps": [] },
            ] },
        })
    }

    #[test]
    fn what_is_linked_is_listed_and_nothing_else() {
        let document = document(&made(), Target::X86Gnu, "2026-01-01T00:00:00+00:00").expect("a document");
        let names: Vec<&str> =
            list(&document["components"]).iter().filter_map(|one| one["name"].as_str()).collect();
        assert_eq!(names, ["far", "ha-ebpf", "near"]);
        assert_eq!(document["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(document["metadata"]["component"]["name"], "xvrrp");
        let dependencies = list(&document["dependencies"]);
        let subject = dependencies.iter().find(|one| one["ref"] == "pkg:cargo/ha-userspace@1.0.0");
        let on = subject.map(|one| &one["dependsOn"]);
        assert_eq!(on, Some(&json!(["pkg:cargo/ha-ebpf@1.0.0", "pkg:cargo/near@1.0.0"])));
    }

    #[test]
    fn this_workspace_has_a_document() {
        let dist = std::env::temp_dir().join(format!("xvrrp-sbom-{}", std::process::id()));
        let file = write(Target::X86Musl, &dist).expect("a document");
        let document: Value = serde_json::from_slice(&fs::read(file).expect("readable")).expect("JSON");
        let _ = fs::remove_dir_all(&dist);
        let has = |name: &str| list(&document["components"]).iter().any(|one| one["name"] == name);
        assert!(has("ha-common") && has("tokio") && has("aya-ebpf") && !has("proptest") && !has("aya-build"));
    }
}
