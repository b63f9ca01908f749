//! Where else a stream takes messages from, and what it makes of their subjects: the configuration, and what is
//! refused of it.

use super::errors::ApiError;
use super::stream_config::{StreamConfig, is_zero};
use super::subject_map::SubjectMap;
use super::times::Time;
use crate::wire::nats::subject::{covers, is_valid_pattern, overlap};
use serde::{Deserialize, Serialize};

/// A map of subjects.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Mapping {
    pub(super) src: String,
    pub(super) dest: String,
}

/// What is sent on of each message that is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Republish {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) src: String,
    pub(super) dest: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) headers_only: bool,
}

/// A stream that another one takes messages from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Origin {
    pub(super) name: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) opt_start_seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) opt_start_time: Option<Time>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) filter_subject: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) subject_transforms: Vec<Mapping>,
}

impl Origin {
    /// Filters and destinations as they stand in the headers of copies; with the name this tells origins apart.
    pub(super) fn shape(&self) -> (String, String) {
        let or_all = |text: &str| if text.is_empty() { ">".to_owned() } else { text.to_owned() };
        if self.subject_transforms.is_empty() {
            return (or_all(&self.filter_subject), ">".to_owned());
        }
        // nats-server puts a form feed between them.
        let joined = |of: fn(&Mapping) -> &str| {
            let all: Vec<String> = self.subject_transforms.iter().map(|map| or_all(of(map))).collect();
            all.join("\u{c}")
        };
        (joined(|map| &map.src), joined(|map| &map.dest))
    }

    /// What tells it apart from other origins of the same stream.
    pub(super) fn key(&self) -> String {
        let (filters, destinations) = self.shape();
        format!("{} {filters} {destinations}", self.name)
    }

    fn has_name(&self) -> bool {
        let forbidden = ['.', '*', '>', '/', '\\', ' ', '\t', '\r', '\n', '\0'];
        !self.name.is_empty() && self.name.len() <= 255 && !self.name.contains(forbidden)
    }
}

/// The codes of what is wrong with the maps of a mirror or a source.
struct Codes {
    what: &'static str,
    source: u16,
    destination: u16,
}

const MIRROR: Codes = Codes { what: "mirror transform", source: 10151, destination: 10154 };
const SOURCE: Codes = Codes { what: "source transform", source: 10145, destination: 10146 };
const STREAM: Codes = Codes { what: "stream transform", source: 10155, destination: 10156 };

fn check_mapping(map: &Mapping, codes: &Codes) -> Result<(), ApiError> {
    if !map.src.is_empty() && !is_valid_pattern(map.src.as_bytes()) {
        let (what, why) = (format!("{} source", codes.what), format!("invalid subject {}", map.src));
        return Err(ApiError::map(codes.source, &what, &why));
    }
    SubjectMap::check(&map.src, &map.dest).map_err(|why| ApiError::map(codes.destination, codes.what, &why))
}

/// Whether two of the maps want the same subjects, by a way of comparing.
fn collide(maps: &[Mapping], alike: fn(&[u8], &[u8]) -> bool) -> bool {
    let all = || maps.iter().enumerate();
    all().any(|(at, one)| {
        all().any(|(other, two)| at != other && alike(one.src.as_bytes(), two.src.as_bytes()))
    })
}

impl StreamConfig {
    /// Checks what needs no other stream, in the order of nats-server.
    pub(super) fn check_origins(&self) -> Result<(), ApiError> {
        if let Some(mirror) = &self.mirror {
            self.check_mirror(mirror)?;
        }
        let mut keys = std::collections::BTreeSet::new();
        for source in &self.sources {
            if !source.has_name() {
                return Err(ApiError::source_name());
            }
            if !keys.insert(source.key()) {
                return Err(ApiError::source_twice());
            }
            if !source.filter_subject.is_empty() && !source.subject_transforms.is_empty() {
                return Err(ApiError::source_filters());
            }
            source.subject_transforms.iter().try_for_each(|map| check_mapping(map, &SOURCE))?;
            if collide(&source.subject_transforms, |one, two| covers(two, one)) {
                return Err(ApiError::source_overlap());
            }
        }
        Ok(())
    }

    fn check_mirror(&self, mirror: &Origin) -> Result<(), ApiError> {
        if self.first_seq > 0 {
            return Err(ApiError::mirror_first_seq());
        }
        if !self.subjects.is_empty() {
            return Err(ApiError::mirror_with_subjects());
        }
        if !self.sources.is_empty() {
            return Err(ApiError::mirror_with_sources());
        }
        if !mirror.filter_subject.is_empty() && !mirror.subject_transforms.is_empty() {
            return Err(ApiError::mirror_filters());
        }
        if self.subject_delete_marker_ttl > 0 {
            return Err(ApiError::stream_config("subject delete markers forbidden on mirrors"));
        }
        mirror.subject_transforms.iter().try_for_each(|map| check_mapping(map, &MIRROR))?;
        if collide(&mirror.subject_transforms, overlap) {
            return Err(ApiError::mirror_overlap());
        }
        if mirror.has_name() { Ok(()) } else { Err(ApiError::mirror_name()) }
    }

    /// Fills in and checks what is made of subjects.
    pub(super) fn settle_maps(&mut self) -> Result<(), ApiError> {
        if let Some(map) = &self.subject_transform {
            check_mapping(map, &STREAM)?;
        }
        let Some(republish) = &mut self.republish else { return Ok(()) };
        if republish.src.is_empty() {
            ">".clone_into(&mut republish.src);
        }
        if let (">", ">", Some(map)) = (&*republish.src, &*republish.dest, &self.subject_transform)
            && self.subjects.len() == 1
            && self.subjects[0] == map.src
        {
            // Everything under the subject that it is mapped to.
            (republish.src, republish.dest) = (map.dest.clone(), map.dest.clone());
        }
        let cycle = |own: &String| overlap(republish.dest.as_bytes(), own.as_bytes());
        if self.subjects.iter().any(cycle) {
            return Err(ApiError::stream_config(
                "stream configuration for republish destination forms a cycle",
            ));
        }
        if SubjectMap::new(&republish.src, &republish.dest).is_err() {
            return Err(ApiError::stream_config(format!(
                "stream configuration for republish with transform from '{}' to '{}' not valid",
                republish.src, republish.dest
            )));
        }
        Ok(())
    }

    /// All streams that it takes messages from.
    pub(super) fn origins(&self) -> impl Iterator<Item = &Origin> {
        self.mirror.iter().chain(&self.sources)
    }

    /// Takes over, and checks, what depends on the streams that it takes messages from, as far as those are there.
    pub(super) fn meet<'a>(
        &mut self,
        look: &dyn Fn(&str) -> Option<&'a StreamConfig>,
    ) -> Result<(), ApiError> {
        let smaller = |other: &StreamConfig| self.max_msg_size > 0 && self.max_msg_size < other.max_msg_size;
        if let Some(origin) = self.mirror.as_ref().and_then(|mirror| look(&mirror.name)) {
            if smaller(origin) {
                return Err(ApiError::mirror_message_size());
            }
            self.mirror_direct = origin.allow_direct;
        }
        if self.sources.iter().filter_map(|source| look(&source.name)).any(smaller) {
            return Err(ApiError::source_message_size());
        }
        self.check_cycle(look)
    }

    fn check_cycle<'a>(&self, look: &dyn Fn(&str) -> Option<&'a StreamConfig>) -> Result<(), ApiError> {
        // The others form none among themselves: one that there is leads back here.
        let mut seen = std::collections::BTreeSet::new();
        let mut waiting: Vec<&StreamConfig> = vec![self];
        while let Some(config) = waiting.pop() {
            for origin in config.origins() {
                if origin.name == self.name && leads_back(config, origin, &self.name) {
                    return Err(ApiError::stream_config("detected cycle"));
                }
                if origin.name != self.name && seen.insert(origin.name.clone()) {
                    waiting.extend(look(&origin.name));
                }
            }
        }
        Ok(())
    }
}

/// Whether what `config` takes from the stream `name` comes back to it; a source with a filter that none of its own
/// subjects meets does not. No stream is a source of its own.
fn leads_back(config: &StreamConfig, origin: &Origin, name: &str) -> bool {
    let filter = origin.filter_subject.as_bytes();
    let meets = |own: &String| overlap(own.as_bytes(), filter);
    config.mirror.is_some() || config.name == name || filter.is_empty() || config.subjects.iter().any(meets)
}
