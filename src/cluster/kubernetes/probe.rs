//! Whether the account may do what a member of a cluster does. Nothing is left behind: writes are tried only.

use std::time::Duration;

use super::{KubernetesEngine, trouble};
use crate::cluster::engine::{Engine, Trouble};
use crate::cluster::lease::{Lease, Record, Subject, Version};
use crate::kubernetes::Ask;

impl KubernetesEngine {
    /// The rights that are missing, such as `create on leases`.
    ///
    /// # Errors
    /// When the API server does not answer, or refuses for another reason.
    pub(super) fn try_rights(&self) -> Result<Vec<String>, Trouble> {
        let subject = Subject::Route("event-router-check".to_string());
        let nowhere = Version { uid: "0".to_string(), number: "1".to_string() };
        let lease = Lease { holder: String::new(), lasts: Duration::from_secs(1), term: 0 };
        let record = Record {
            holder: String::new(),
            term: 0,
            lasts: Duration::from_secs(1),
            text: Some(String::new()),
        };
        let now = jiff::Timestamp::now();
        let new_lease = self.names.lease_object(&subject, None, &lease, now).to_string();
        let lease = self.names.lease_object(&subject, Some(&nowhere), &lease, now).to_string();
        let new_record = self.names.record_object(&subject, None, &record).to_string();
        let record = self.names.record_object(&subject, Some(&nowhere), &record).to_string();
        let rows = [
            ("get", true, "GET", ""),
            ("create", true, "POST", new_lease.as_str()),
            ("update", true, "PUT", lease.as_str()),
            ("delete", true, "DELETE", "{}"),
            ("get", false, "GET", ""),
            ("create", false, "POST", new_record.as_str()),
            ("update", false, "PUT", record.as_str()),
        ];
        let mut missing = Vec::new();
        let mut note = |verb: &str, is_lease: bool, asked: Result<(), Trouble>| match asked {
            Err(Trouble { reason: "403", .. }) => {
                missing.push(format!("`{verb}` on {}", if is_lease { "leases" } else { "configmaps" }));
                Ok(())
            }
            asked => asked,
        };
        note("list", true, self.list().map(|_| ()))?;
        for (verb, is_lease, method, body) in rows {
            let path = match method {
                "POST" => self.paths(is_lease),
                _ => self.path(&subject, is_lease),
            };
            let query = if method == "GET" { "" } else { "?dryRun=All" };
            note(verb, is_lease, self.send(method, &format!("{path}{query}"), body).map(|_| ()))?;
        }
        note("watch", true, self.may_watch())?;
        Ok(missing)
    }

    fn may_watch(&self) -> Result<(), Trouble> {
        let path = format!("{}?watch=true&timeoutSeconds=1", self.paths(true));
        let ask = Ask {
            method: "GET",
            path: &path,
            body: b"",
            wait: self.wait + Duration::from_secs(1),
            bytes_max: 0,
            repeat_if_stale: true,
        };
        let response = self.cluster.ask(&ask).map_err(trouble)?;
        match response.status {
            200 => Ok(()),
            status => Err(self.refusal("GET", &path, &response.body, status, None)),
        }
    }
}
