use super::*;
use crate::testing::folder;

/// A kubeconfig whose user has the given members.
fn written(user: &str) -> String {
    format!(
        r#"{{"current-context": "c", "contexts": [{{"name": "c", "context": {{"cluster": "k", "user": "u", "namespace": "team"}}}}],
            "clusters": [{{"name": "k", "cluster": {{"server": "https://127.0.0.1:6443/", "certificate-authority": "ca.pem"}}}}],
            "users": [{{"name": "u", "user": {{{user}}}}}]}}"#
    )
}

#[test]
fn users_of_a_kubeconfig() {
    let place = folder("kubeconfig-users");
    let place = place.path();
    let file = place.join("config");
    let access = |user: &str| {
        std::fs::write(&file, written(user)).unwrap();
        read(&file)
    };
    let cluster = access(r#""token": "secret""#).unwrap();
    assert_eq!(cluster.token, Some(Secret::Literal("secret".into())));
    assert_eq!(cluster.connection.tls.ca_files, [place.join("ca.pem")]);
    assert!(cluster.connection.tls.private && cluster.connection.tls.identity.is_none());
    let cluster = access(r#""token": "secret", "tokenFile": "token""#).unwrap();
    assert_eq!(cluster.token, Some(Secret::File(place.join("token"))));
    let cluster = access(r#""client-certificate": "a.pem", "client-key-data": "a2V5""#).unwrap();
    let identity = cluster.connection.tls.identity.unwrap();
    assert_eq!(identity.certificate, Secret::File(place.join("a.pem")));
    assert_eq!(identity.key, Secret::Literal("key".into()));
    for (user, expected) in [
        (r#""exec": {"command": "aws"}"#, "`exec`, which is not supported"),
        (r#""auth-provider": {"name": "gcp"}"#, "`auth-provider`, which is not supported"),
        (r#""client-certificate": "a.pem""#, "only one of client certificate and client key"),
        (r#""client-key-data": "?""#, "client-key-data is not base64"),
    ] {
        let error = access(user).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("kubeconfig {}: ", file.display())) && error.contains(expected),
            "{error}"
        );
    }
}

#[test]
fn kubeconfigs_as_kubectl_writes_them() {
    let place = folder("kubeconfig-yaml");
    let file = place.path().join("config");
    let text = "apiVersion: v1\nclusters:\n- cluster:\n    insecure-skip-tls-verify: true\n    proxy-url: http://p:1\n\
                \x20   server: https://127.0.0.1:6443\n    tls-server-name: api\n  name: k\ncontexts:\n- context:\n    cluster: k\n\
                \x20   user: u\n  name: c\ncurrent-context: c\nkind: Config\npreferences: {}\nusers:\n- name: u\n  user:\n    token: '123'\n";
    // As an editor of Windows saves it, and with blanks at the ends of lines.
    std::fs::write(&file, text.replace('\n', "  \n")).unwrap();
    assert_eq!(&*read(&file).unwrap().server, "https://127.0.0.1:6443");
    std::fs::write(&file, format!("\u{feff}{}", text.replace('\n', "\r\n"))).unwrap();
    let cluster = read(&file).unwrap();
    assert_eq!((&*cluster.server, &*cluster.namespace), ("https://127.0.0.1:6443", "default"));
    assert_eq!(cluster.token, Some(Secret::Literal("123".into())));
    let tls = cluster.connection.tls;
    assert!(tls.insecure && !tls.private);
    assert_eq!(
        (tls.server_name.as_deref(), cluster.connection.proxy.as_deref()),
        (Some("api"), Some("http://p:1"))
    );
    for (from, to, expected) in [
        ("current-context: c", "current-context: d", "the current-context \"d\" is not in it"),
        ("cluster: k\n    user", "cluster: j\n    user", "cluster \"j\" is not in it"),
        ("user: u", "user: v", "user \"v\" is not in it"),
        ("https://127", "ftp://127", "server: not an http or https URL"),
        ("kind: Config", "\tkind", "line "),
        ("kind: Config", "\0", "is UTF-16 or holds NUL bytes: save it as UTF-8 text"),
    ] {
        std::fs::write(&file, text.replace(from, to)).unwrap();
        let error = read(&file).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    for order in [u16::to_le_bytes, u16::to_be_bytes] {
        let bytes: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(order).collect();
        std::fs::write(&file, bytes).unwrap();
        let error = read(&file).unwrap_err().to_string();
        assert!(error.ends_with("is UTF-16 or holds NUL bytes: save it as UTF-8 text"), "{error}");
    }
}
