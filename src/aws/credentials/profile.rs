//! The shared files of AWS: `~/.aws/config` and `~/.aws/credentials`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::{Context, Error, Result, io_text};
use crate::limits::CONFIG_BYTES_MAX;
use crate::plain_file;
use crate::text_file::text_of;

/// Settings of one profile, by key in lower case.
pub(super) type Profile = BTreeMap<String, String>;

/// The profiles of both files. What stands in the credentials file wins.
#[derive(Debug, Default, Hash)]
pub(super) struct Profiles {
    profiles: BTreeMap<String, Profile>,
}

/// The region of a profile, where the shared files name one; of the default profile where none is asked
/// for. What cannot be read names none.
pub(crate) fn region(environment: &dyn Fn(&str) -> Option<String>, profile: Option<&str>) -> Option<String> {
    let named = profile.map(str::to_string).or_else(|| environment("AWS_PROFILE"));
    let profiles = Profiles::read(environment).ok()?;
    let region = profiles.get(named.as_deref().unwrap_or("default"))?.get("region")?.clone();
    (!region.is_empty()).then_some(region)
}

impl Profiles {
    /// Reads the files that the environment names, or those of the home folder.
    ///
    /// # Errors
    /// When one is there and cannot be read.
    pub(super) fn read(environment: &dyn Fn(&str) -> Option<String>) -> Result<Profiles> {
        let file = |variable: &str, name: &str| {
            let chosen = environment(variable).map(PathBuf::from);
            chosen.or_else(|| Some(PathBuf::from(environment("HOME")?).join(".aws").join(name)))
        };
        let read = |path: Option<PathBuf>| match path
            .map(|path| (plain_file::read(&path, CONFIG_BYTES_MAX), path))
        {
            None => Ok(String::new()),
            Some((Ok(bytes), path)) => {
                let text = text_of(&bytes).map_err(Error::from);
                text.map(str::to_string).context(|| format!("read {}", path.display()))
            }
            Some((Err(error), _)) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Some((Err(error), path)) => {
                Err(Error::new(io_text(&error)).context(format!("read {}", path.display())))
            }
        };
        let config = read(file("AWS_CONFIG_FILE", "config"))?;
        let credentials = read(file("AWS_SHARED_CREDENTIALS_FILE", "credentials"))?;
        Ok(Profiles::parse(&config, &credentials))
    }

    /// Reads the texts of the files; an absent file is an empty one.
    fn parse(config: &str, credentials: &str) -> Profiles {
        let mut profiles = Profiles::default();
        profiles.add(config, |section| match section {
            "default" => Some("default"),
            // Other sections, such as [sso-session x], are no profiles.
            _ => section.strip_prefix("profile ").map(str::trim),
        });
        profiles.add(credentials, Some);
        profiles
    }

    pub(super) fn get(&self, name: &str) -> Option<&Profile> {
        self.profiles.get(name)
    }

    fn add<'t>(&mut self, text: &'t str, name_of: impl Fn(&'t str) -> Option<&'t str>) {
        let mut current = None;
        for line in text.lines() {
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
                continue;
            }
            if let Some(section) = trimmed.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
                current = name_of(section.trim()).map(str::to_string);
                if let Some(name) = &current {
                    self.profiles.entry(name.clone()).or_default();
                }
                continue;
            }
            // What is indented belongs to the setting above, such as `s3 =`.
            let nested = line.starts_with([' ', '\t']);
            if let (Some(name), Some((key, value)), false) = (&current, line.split_once('='), nested) {
                let value = [" #", " ;", "\t#", "\t;"].iter().fold(value, |value, comment| {
                    value.split_once(comment).map_or(value, |(value, _)| value)
                });
                let profile = self.profiles.entry(name.clone()).or_default();
                profile.insert(key.trim().to_ascii_lowercase(), value.trim().to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_make_one_list() {
        let config = "# comment\n[default]\nregion = eu-central-1\naws_access_key_id = old\n\
            [profile  events ]\nrole_arn=arn:aws:iam::1:role/r  # why\nsource_profile = default\n\
            s3 =\n  max_concurrent_requests = 20\n[sso-session x]\nsso_region = a\n[stray]\nx = 1\n";
        let credentials = "[default]\r\nAWS_ACCESS_KEY_ID = AKID\r\naws_secret_access_key = a=b/c+#d\r\n\
            ; comment\n[other]\naws_session_token=t\nno equals sign\n";
        let profiles = Profiles::parse(config, credentials);
        let value = |name: &str, key: &str| profiles.get(name).and_then(|p| p.get(key)).cloned();
        assert_eq!(value("default", "aws_access_key_id").as_deref(), Some("AKID"));
        assert_eq!(value("default", "aws_secret_access_key").as_deref(), Some("a=b/c+#d"));
        assert_eq!(value("default", "region").as_deref(), Some("eu-central-1"));
        assert_eq!(value("events", "role_arn").as_deref(), Some("arn:aws:iam::1:role/r"));
        assert_eq!(value("events", "source_profile").as_deref(), Some("default"));
        assert_eq!(value("events", "max_concurrent_requests"), None);
        assert_eq!(value("other", "aws_session_token").as_deref(), Some("t"));
        assert!(profiles.get("x").is_none() && profiles.get("stray").is_none());
    }

    #[test]
    fn files_from_windows_are_read_or_refused_with_the_reason() {
        let folder = crate::testing::folder("aws-windows");
        let path = |name: &str| folder.path().join(name);
        let named = |name: &str| match name {
            "AWS_CONFIG_FILE" => Some(path("config").display().to_string()),
            "AWS_SHARED_CREDENTIALS_FILE" => Some(path("credentials").display().to_string()),
            _ => None,
        };
        let texts = [
            ("config", "[default]\nregion = eu-central-1\n"),
            ("credentials", "[default]\naws_access_key_id = AKID\naws_secret_access_key = secret\n"),
        ];
        let utf_16 = |text: &str, order: fn(u16) -> [u8; 2]| -> Vec<u8> {
            format!("\u{feff}{text}").encode_utf16().flat_map(order).collect()
        };
        type Saved<'a> = &'a dyn Fn(&str) -> Vec<u8>;
        let readable: [Saved<'_>; 4] = [
            &|text| text.replace('\n', "\r\n").into_bytes(),
            &|text| format!("\u{feff}{text}").into_bytes(),
            &|text| format!("\u{feff}{}\u{a0}\r\n", text.replace('\n', " \t\r\n")).into_bytes(),
            &|text| text.trim_end().as_bytes().to_vec(),
        ];
        let refused: [Saved<'_>; 3] =
            [&|text| utf_16(text, u16::to_le_bytes), &|text| utf_16(text, u16::to_be_bytes), &|text| {
                text.bytes().flat_map(|byte| [byte, 0]).collect()
            }];
        for saved in readable {
            texts.iter().for_each(|(name, text)| std::fs::write(path(name), saved(text)).unwrap());
            let profiles = Profiles::read(&named).unwrap();
            let profile = profiles.get("default").unwrap();
            assert_eq!(
                (&*profile["aws_access_key_id"], &*profile["aws_secret_access_key"]),
                ("AKID", "secret")
            );
            assert_eq!(region(&named, None).as_deref(), Some("eu-central-1"));
        }
        for (saved, spoilt) in refused.iter().flat_map(|saved| [(saved, 0), (saved, 1)]) {
            texts.iter().for_each(|(name, text)| std::fs::write(path(name), text).unwrap());
            let (name, text) = texts[spoilt];
            std::fs::write(path(name), saved(text)).unwrap();
            let error = Profiles::read(&named).unwrap_err().to_string();
            let told = "is UTF-16 or holds NUL bytes: save it as UTF-8 text";
            assert_eq!(error, format!("read {}: {told}", path(name).display()));
        }
    }
}
