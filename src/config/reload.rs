//! What a running router takes over of its configuration when the file is read again: secrets and the
//! log level. The files of certificates are read at every connect anyway.

use std::fmt::Debug;

use super::Config;
use super::secret::Secret;

impl<S: Debug, P: Debug> Config<S, P> {
    /// Takes over the secrets of a newer reading of the file; gives how many are others now.
    pub(crate) fn take_secrets(&self, newer: &Config<S, P>) -> usize {
        let newer = |key: &str| newer.secrets.iter().find(|(name, _)| name == key);
        let pairs = self.secrets.iter().filter_map(|(key, secret)| Some((secret, &newer(key)?.1)));
        pairs.filter(|(secret, newer)| secret.replace(&Secret::Live((*newer).clone()))).count()
    }

    /// Whether a newer reading, whose secrets were taken over, asks for nothing that needs a restart.
    pub(crate) fn runs_like(&self, newer: &Config<S, P>) -> bool {
        // Two that print the same are the same: everything but secrets is printed, and of these where
        // they come from.
        self.what_needs_a_restart() == newer.what_needs_a_restart()
    }

    fn what_needs_a_restart(&self) -> String {
        let Config {
            file: _,
            state_dir,
            shutdown_grace,
            sources,
            processors,
            routes,
            cluster,
            metrics,
            log,
            ..
        } = self;
        let format = log.format;
        format!(
            "{state_dir:?} {shutdown_grace:?} {sources:?} {processors:?} {routes:?} {cluster:?} {metrics:?} {format:?}"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::file::Overrides;
    use crate::kinds::{self, Config};
    use crate::source::vcenter::settings::VcenterConfig;

    const FILE: &str = "[source.vc]\ntype = \"vcenter\"\naddress = \"vc\"\nusername = \"u\"\npassword = \"old\"\n\
        [processor.bus]\ntype = \"eventbridge\"\nregion = \"eu-central-1\"\naccess_key_id = \"id\"\n\
        secret_access_key = \"key\"\n[processor.of]\ntype = \"openfaas\"\naddress = \"http://gateway\"\n\
        token = \"t\"\n[metrics]\nbind = \"127.0.0.1:0\"\nusername = \"m\"\npassword = \"p\"\n\
        [route.a]\nfrom = \"vc\"\nto = \"bus\"\npattern = { source = [\"a\"] }\n[route.b]\nfrom = \"vc\"\nto = \"of\"\n";

    fn config(text: &str) -> Config {
        kinds::parse(text, Path::new("router.toml"), &Overrides::default(), &|_| None).unwrap()
    }

    #[test]
    fn every_secret_is_live() {
        let config = config(FILE);
        let printed = format!("{:?}", (&config.sources, &config.processors, &config.metrics));
        assert_eq!(printed.matches("***").count(), config.secrets.len(), "{printed}");
        let keys: Vec<&str> = config.secrets.iter().map(|(key, _)| key.as_str()).collect();
        assert!(keys.contains(&"source.vc.password") && keys.contains(&"metrics.password"), "{keys:?}");
    }

    #[test]
    fn secrets_are_taken_over_and_the_rest_is_compared() {
        let running = config(FILE);
        let again = config(FILE);
        assert_eq!((running.take_secrets(&again), running.runs_like(&again)), (0, true));
        let newer = config(&format!("{}[log]\nlevel = \"debug\"\n", FILE.replace("\"old\"", "\"new\"")));
        assert_eq!((running.take_secrets(&newer), running.runs_like(&newer)), (1, true));
        let vcenter: &VcenterConfig = crate::testing::settings(&*running.sources[0].settings);
        assert_eq!(vcenter.password.read().unwrap(), "new");
        for (old, new) in [
            ("[\"a\"]", "[\"b\"]"),
            ("http://gateway", "http://other"),
            ("token = \"t\"", "username = \"u\"\npassword = \"t\""),
            ("[route.b]", "[route.c]"),
            ("127.0.0.1:0", "127.0.0.1:1"),
        ] {
            let other = config(&FILE.replace(old, new));
            running.take_secrets(&other);
            assert!(!running.runs_like(&other), "{new}");
        }
    }
}
