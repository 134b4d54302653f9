//! The types of sources and processors that a file can name, and their keys.
//!
//! A new type is a row in the table and a function that asks for its keys. All keys are read before
//! the first `?`, so that every problem of a section is found.

use std::time::Duration;

use super::aws::{AwsKeys, RuleArn};
use super::knative::knative;
use super::reader::{Table, Value};
use super::values::refuse_table;
use super::{
    BasicAuth, ConnectionConfig, EventbridgeConfig, GatewayAuth, MetricsConfig, OpenfaasConfig,
    ProcessorConfig, ProcessorKind, SourceConfig, SourceKind, TlsConfig, VcenterConfig,
};
use crate::limits;

type ReadSource = fn(&Table<'_>) -> Option<SourceKind>;
type ReadProcessor = fn(&Table<'_>) -> Option<ProcessorKind>;

/// Type, whether `checkpoint` is on by default, and the reader of its keys.
const SOURCES: &[(&str, (&str, bool, ReadSource))] =
    &[("vcenter", ("vcenter", true, vcenter)), ("vcsim", ("vcsim", false, vcenter))];

/// Type and the reader of its keys.
const PROCESSORS: &[(&str, ReadProcessor)] =
    &[("knative", knative), ("openfaas", openfaas), ("eventbridge", eventbridge), ("stdout", stdout)];

/// Shortest deadline and longest-wait setting that makes sense.
pub(super) const WAIT_MIN: Duration = Duration::from_millis(1);

/// `[source.NAME]`.
pub(super) fn source(name: &str, table: &Table<'_>) -> Option<SourceConfig> {
    let Some((type_name, checkpoint_default, read)) = table.required("type", |value| value.one_of(SOURCES))
    else {
        return table.unjudged();
    };
    let checkpoint = table.get("checkpoint", Value::boolean).unwrap_or(checkpoint_default);
    let replay_max = table.get("replay_max", |value| value.duration(WAIT_MIN));
    let overlap = table.get("overlap", |value| value.duration_up_to(limits::OVERLAP_MAX));
    let kind = read(table)?;
    let overlap = overlap.unwrap_or(limits::OVERLAP_DEFAULT);
    Some(SourceConfig { name: name.to_string(), checkpoint, replay_max, overlap, type_name, kind })
}

/// `[processor.NAME]`.
pub(super) fn processor(name: &str, table: &Table<'_>) -> Option<ProcessorConfig> {
    let Some(read) = table.required("type", |value| value.one_of(PROCESSORS)) else {
        return table.unjudged();
    };
    Some(ProcessorConfig { name: name.to_string(), kind: read(table)? })
}

fn vcenter(table: &Table<'_>) -> Option<SourceKind> {
    let address = table.required("address", Value::vcenter_address);
    let username = table.required("username", Value::secret);
    let password = table.required("password", Value::secret);
    let page_size = table.get("page_size", |value| value.integer(1..=limits::PAGE_EVENTS_MAX));
    let connection = connection(table);
    Some(SourceKind::Vcenter(VcenterConfig {
        address: address?,
        username: username?,
        password: password?,
        page_size: page_size.unwrap_or(limits::PAGE_EVENTS_MAX),
        connection,
    }))
}

fn stdout(_: &Table<'_>) -> Option<ProcessorKind> {
    Some(ProcessorKind::Stdout)
}

fn openfaas(table: &Table<'_>) -> Option<ProcessorKind> {
    let address = table.required("address", Value::gateway_address);
    let asynchronous = table.get("async", Value::boolean).unwrap_or_default();
    let auth = gateway_auth(table);
    let timeout = table.get("timeout", |value| value.duration(WAIT_MIN));
    let refresh = table.get("refresh", |value| value.duration(limits::REFRESH_INTERVAL_MIN));
    let content_type = table.get("content_type", Value::media_type);
    let callback_url = table.get("callback_url", Value::http_url);
    if table.has("callback_url") && !asynchronous {
        table.problem("`callback_url` needs `async = true`: only the gateway's queue calls back");
    }
    let connection = connection(table);
    Some(ProcessorKind::Openfaas(OpenfaasConfig {
        address: address?,
        asynchronous,
        auth: auth?,
        timeout: timeout.unwrap_or(limits::FUNCTION_WAIT_DEFAULT),
        refresh: refresh.unwrap_or(limits::LISTING_INTERVAL_DEFAULT),
        content_type,
        callback_url,
        connection,
    }))
}

/// `username` and `password`, or `token`, or nothing.
fn gateway_auth(table: &Table<'_>) -> Option<GatewayAuth> {
    let username = table.get("username", Value::secret);
    let password = table.get("password", Value::secret);
    let token = table.get("token", Value::secret);
    match (table.has("username"), table.has("password"), table.has("token")) {
        (false, false, false) => Some(GatewayAuth::None),
        (true, true, false) => Some(GatewayAuth::Basic { username: username?, password: password? }),
        (false, false, true) => Some(GatewayAuth::Bearer(token?)),
        (_, _, true) => refuse_table(table, "holds `token` beside `username` or `password`, expected either"),
        _ => refuse_table(table, "holds only one of `username` and `password`, expected both"),
    }
}

fn eventbridge(table: &Table<'_>) -> Option<ProcessorKind> {
    let rule = table.get("rule_arn", Value::rule_arn);
    let region = region(table, rule.as_ref());
    let event_bus = table.get("event_bus", Value::word);
    let refresh = table.get("refresh", |value| value.duration(limits::REFRESH_INTERVAL_MIN));
    let keys = aws_keys(table);
    let profile = table.get("profile", Value::word);
    let endpoint = table.get("endpoint", Value::http_url);
    let fips = table.get("fips", Value::boolean).unwrap_or_default();
    let dual_stack = table.get("dual_stack", Value::boolean).unwrap_or_default();
    let bytes_max = table.get("max_size", |value| value.size(1024));
    let timeout = table.get("timeout", |value| value.duration(WAIT_MIN));
    let connection = connection(table);
    if table.has("endpoint") && (fips || dual_stack) {
        table.warning("`endpoint` is used as it is: `fips` and `dual_stack` have no effect on it");
    }
    let bus_of =
        |bus: &str| bus.rsplit_once(":event-bus/").map_or(bus.to_string(), |(_, name)| name.to_string());
    if let (Some(rule), Some(bus)) = (&rule, &event_bus)
        && bus_of(bus) != rule.bus
    {
        table.problem(format!("the rule is one of the bus `{}`, and events go to `{bus}`", rule.bus));
    }
    let region = region?;
    let default = match region.starts_with("cn-") {
        true => limits::PUT_EVENTS_BYTES_CHINA_DEFAULT,
        false => limits::PUT_EVENTS_BYTES_DEFAULT,
    };
    Some(ProcessorKind::Eventbridge(EventbridgeConfig {
        region,
        event_bus,
        rule,
        refresh: refresh.unwrap_or(limits::RULE_INTERVAL_DEFAULT),
        keys: keys?,
        profile,
        endpoint,
        fips,
        dual_stack,
        bytes_max: bytes_max.unwrap_or(default),
        timeout: timeout.unwrap_or(limits::DELIVERY_WAIT_MAX),
        connection,
    }))
}

/// The region that the file names, or else the rule's, or that of the environment.
fn region(table: &Table<'_>, rule: Option<&RuleArn>) -> Option<String> {
    let written = table.get("region", Value::region);
    if table.has("region") {
        if let (Some(region), Some(rule)) = (&written, rule)
            && *region != rule.region
        {
            table.problem(format!("`region` is {region}, and the rule is in {}", rule.region));
        }
        return written;
    }
    let environment = || {
        let names = ["AWS_REGION", "AWS_DEFAULT_REGION"];
        names.iter().find_map(|name| table.document().environment(name)).filter(|region| !region.is_empty())
    };
    match rule.map(|rule| rule.region.clone()).or_else(environment) {
        Some(region) => Some(region),
        None => refuse_table(table, "needs `region`, such as \"eu-central-1\""),
    }
}

/// `access_key_id`, `secret_access_key` and perhaps `session_token`, or none of them.
fn aws_keys(table: &Table<'_>) -> Option<Option<AwsKeys>> {
    let access_key_id = table.get("access_key_id", Value::secret);
    let secret_access_key = table.get("secret_access_key", Value::secret);
    let session_token = table.get("session_token", Value::secret);
    match (table.has("access_key_id"), table.has("secret_access_key"), table.has("session_token")) {
        (false, false, false) => Some(None),
        (true, true, false) => Some(Some(AwsKeys {
            access_key_id: access_key_id?,
            secret_access_key: secret_access_key?,
            session_token: None,
        })),
        (true, true, true) => Some(Some(AwsKeys {
            access_key_id: access_key_id?,
            secret_access_key: secret_access_key?,
            session_token: Some(session_token?),
        })),
        _ => refuse_table(
            table,
            "needs both `access_key_id` and `secret_access_key`, or neither for the AWS credential chain",
        ),
    }
}

/// `[metrics]`.
pub(super) fn metrics(table: &Table<'_>) -> Option<MetricsConfig> {
    let bind = table.required("bind", Value::bind_address);
    let username = table.get("username", Value::secret);
    let password = table.get("password", Value::secret);
    let auth = match (table.has("username"), table.has("password")) {
        (false, false) => None,
        (true, true) => Some(BasicAuth { username: username?, password: password? }),
        _ => return refuse_table(table, "holds only one of `username` and `password`, expected both"),
    };
    Some(MetricsConfig { bind: bind?, auth })
}

/// The keys that every endpoint has: `proxy` and `tls`.
pub(super) fn connection(table: &Table<'_>) -> ConnectionConfig {
    let proxy = table.get("proxy", Value::proxy);
    let tls = table.get("tls", |value| value.table(tls));
    ConnectionConfig { proxy, tls: tls.unwrap_or_default() }
}

fn tls(table: &Table<'_>) -> Option<TlsConfig> {
    let ca_files = table.get("ca_file", Value::certificates).unwrap_or_default();
    let pin_sha256 = table.get("pin_sha256", |value| value.list("an array of SHA-256 values", Value::pin));
    let server_name = table.get("server_name", Value::server_name);
    let insecure = table.get("insecure", Value::boolean).unwrap_or_default();
    if insecure && (table.has("ca_file") || table.has("pin_sha256") || table.has("server_name")) {
        table.warning("`insecure` accepts every certificate, the other keys have no effect");
    }
    let pin_sha256 = pin_sha256.unwrap_or_default();
    Some(TlsConfig { ca_files, pin_sha256, server_name, insecure, ..TlsConfig::default() })
}
