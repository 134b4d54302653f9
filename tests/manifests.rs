//! The files of `packaging/kubernetes`, before a real kube-apiserver: its types, its rights, its
//! standards for pods.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::kubernetes::{ApiServer, Namespace};
use crate::support::{SOON, Test, wait_for};

const NAMESPACE: &str = "event-router";
const FILES: [&str; 7] =
    ["namespace", "secret", "deployment", "cluster", "with-ref", "with-sinkbinding", "containersource"];

/// The documents of a file.
fn documents(file: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/kubernetes");
    let text = std::fs::read_to_string(folder.join(format!("{file}.yaml"))).unwrap();
    text.split("\n---\n").map(str::to_string).collect()
}

/// The path at which an object of the document's kind is made.
fn path(document: &str) -> String {
    let member = |name: &str| {
        let lines = document.lines();
        lines.filter_map(|line| line.strip_prefix(name)).next().unwrap().trim().to_string()
    };
    let (api_version, kind) = (member("apiVersion:"), member("kind:"));
    let prefix = if api_version.contains('/') { "apis" } else { "api" };
    let plural = format!("{}s", kind.to_lowercase());
    match kind.as_str() {
        "Namespace" => format!("/{prefix}/{api_version}/{plural}"),
        _ => {
            assert!(document.contains(&format!("\n  namespace: {NAMESPACE}\n")), "{document}");
            format!("/{prefix}/{api_version}/namespaces/{NAMESPACE}/{plural}")
        }
    }
}

/// What the server makes of a document; it refuses unknown members and wrong types.
fn make(server: &ApiServer, document: &str, dry: bool) -> Value {
    let dry = if dry { "&dryRun=All" } else { "" };
    let path = format!("{}?fieldValidation=Strict{dry}", path(document));
    let (status, answer) = server.ask_with("POST", &path, "application/yaml", document.as_bytes());
    assert_eq!(status, 201, "{path}: {answer}\n{document}");
    answer
}

/// One test, since all of it happens in one namespace.
#[test]
#[ignore = "needs kube-apiserver: run tests/run"]
fn manifests_are_what_the_api_server_takes_and_do_what_they_say() {
    let server = ApiServer::get();
    for kind in ["SinkBinding", "ContainerSource"] {
        server.define("sources.knative.dev", "v1", kind);
    }
    documents("namespace").iter().for_each(|document| drop(make(server, document, false)));
    let mut objects = Vec::new();
    for file in &FILES[1..] {
        objects.extend(documents(file).iter().map(|document| make(server, document, true)));
    }
    let of = |kind: &str| objects.iter().filter(|object| object["kind"] == kind).collect::<Vec<_>>();

    // Pods of both templates, by the standard that the namespace enforces.
    server.create(&format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts"), &account("event-router"));
    wait_for("the account that pods have by default", SOON, || {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
        let (status, _) = server.ask("POST", &path, Some(&account("default")));
        (status == 201 || status == 409).then_some(())
    });
    let templates = ["Deployment", "StatefulSet", "ContainerSource"].into_iter().flat_map(of);
    for object in templates {
        let (template, claims) = (&object["spec"]["template"], &object["spec"]["volumeClaimTemplates"]);
        let mut spec = template["spec"].clone();
        for claim in claims.as_array().into_iter().flatten() {
            // As the controller makes it.
            let name = &claim["metadata"]["name"];
            let volume =
                json!({"name": name, "persistentVolumeClaim": {"claimName": format!("trial-{name}")}});
            spec["volumes"].as_array_mut().unwrap().push(volume);
        }
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "spec": spec,
            "metadata": {"name": "trial", "labels": template["metadata"]["labels"]},
        });
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All&fieldValidation=Strict");
        let (status, answer) = server.ask("POST", &path, Some(&pod));
        assert_eq!(status, 201, "{}: {answer}", object["kind"]);
        let container = &answer["spec"]["containers"][0];
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        let paths: Vec<_> =
            ["livenessProbe", "readinessProbe"].map(|probe| &container[probe]["httpGet"]["path"]).into();
        let ready = if claims.is_array() { "/readyz?exclude=routes" } else { "/readyz" };
        assert_eq!(paths, ["/livez", ready]);
        assert!(container["resources"]["limits"]["memory"].is_string());
    }
    let configurations: Vec<&str> =
        of("ConfigMap").iter().map(|object| object["data"]["router.toml"].as_str().unwrap()).collect();
    assert_eq!(configurations.len(), 3);
    for text in configurations {
        router_takes(text);
    }
    router_may_read_its_broker_and_nothing_else();
    router_may_share_its_routes();
}

/// The role of the cluster, made for good.
fn router_may_share_its_routes() {
    let test = Test::new("sharing");
    let namespace = Namespace::called(NAMESPACE);
    for document in documents("cluster").iter().filter(|document| document.contains("kind: Role")) {
        make(namespace.server, document, false);
    }
    let token = namespace.token_of("event-router", "sharing");
    let kubeconfig = namespace.kubeconfig(&test, &json!({"token": token}));
    test.write(
        "router.toml",
        &format!(
            "[cluster]\nengine = \"kubernetes\"\nkubeconfig = \"{}\"\n[source.vc]\ntype = \"vcenter\"\n\
             address = \"vc01.corp.example\"\nusername = \"u\"\npassword = \"p\"\n[processor.b]\ntype = \"stdout\"\n",
            kubeconfig.display()
        ),
    );
    let checked = test.router(&["check", "-c", "router.toml"]);
    let good = format!("ok   cluster: leases and configmaps of namespace {NAMESPACE} can be used");
    assert!(checked.stdout.contains(&good), "{checked:?}");
}

fn account(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
}

/// The router itself finds the file right, where a pod would have what it names.
fn router_takes(text: &str) {
    let test = Test::new("manifests");
    ["vc01.password", "metrics.password"].iter().for_each(|name| test.write(name, "secret"));
    let kubeconfig = Namespace::called(NAMESPACE).kubeconfig(&test, &json!({"token": "none"}));
    let text = text.replace("/etc/event-router/", &format!("{}/", test.path("").display()));
    let text = text.replace("\nref = ", &format!("\nkubeconfig = \"{}\"\nref = ", kubeconfig.display()));
    test.write("router.toml", &text);
    let bound = [("K_SINK", "http://broker.example/default")];
    let checked = test.start_with(&["check", "--offline", "-c", "router.toml"], &bound).wait_exit(SOON);
    assert_eq!(checked.code, Some(0), "{checked:?}\n{text}");
}

/// The role and its binding, made for good.
fn router_may_read_its_broker_and_nothing_else() {
    let test = Test::new("rights");
    let namespace = Namespace::called(NAMESPACE);
    for document in documents("with-ref").iter().filter(|document| document.contains("kind: Role")) {
        make(namespace.server, document, false);
    }
    for name in ["default", "other"] {
        let status = json!({"address": {"url": "http://127.0.0.1:9/"}});
        namespace.addressable("eventing.knative.dev/v1", "Broker", name, &status);
    }
    let token = namespace.token_of("event-router", "rights");
    let kubeconfig = namespace.kubeconfig(&test, &json!({"token": token}));
    for (name, found) in [("default", true), ("other", false)] {
        test.write(
            "router.toml",
            &format!(
                "[source.vc]\ntype = \"vcenter\"\naddress = \"vc01.corp.example\"\nusername = \"u\"\npassword = \"p\"\n\
                 [processor.b]\ntype = \"knative\"\nkubeconfig = \"{}\"\n\
                 ref = {{ apiVersion = \"eventing.knative.dev/v1\", kind = \"Broker\", name = \"{name}\" }}\n",
                kubeconfig.display()
            ),
        );
        let checked = test.router(&["check", "-c", "router.toml"]);
        let resolved = checked.stdout.contains("ok   processor b: events go to http://127.0.0.1:9/");
        assert_eq!(resolved, found, "{checked:?}");
    }
}
