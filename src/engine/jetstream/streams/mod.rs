//! Streams and their consumers: state that changes by events, and says in its outbox what is to be sent.

mod account;
mod acks;
mod api;
mod api_consumer;
mod api_messages;
mod api_stream;
mod consumer;
mod consumer_acks;
mod consumer_config;
mod consumer_log;
mod deadlines;
mod delivery;
mod direct;
mod errors;
mod feed;
mod feeding;
mod info;
mod json;
mod ledger;
mod lifetime;
mod maps;
mod news;
mod origins;
mod outbox;
mod pacing;
mod pause;
mod priority;
mod pull;
mod purge;
mod push;
mod shelf;
mod stream;
mod stream_config;
mod strict;
mod subject_map;
mod times;
mod watch;

pub(super) use api::Caller;
pub(super) use delivery::Interest;
pub(super) use outbox::Outbox;
pub(super) use watch::stamp;

use super::access::{Account, AccountLimits};
use super::error::EngineError;
use super::settings::{JetStreamSettings, SyncPolicy};
use super::store::{Ballast, Journal, Layout, Upkeep, is_full};
use super::sublist::Member;
use crate::clock::{Clock, Nanos};
use crate::prng::Prng;
use crate::wire::nats::Publish;
use crate::wire::nats::subject::overlap;
use delivery::{Listening, Turn, Work};
use shelf::Shelf;
use slab::Slab;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use stream::{Coming, Stream, Taken};

/// The two clocks, read once per tick.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// For durations.
    pub(super) now: Nanos,
    /// Nanoseconds since 1970, for what people and other servers see.
    pub(super) unix: u64,
}

/// A subject that streams begin or end to take.
#[derive(Debug)]
pub(super) enum SubjectChange {
    Add((u32, Vec<u8>), Member),
    Remove((u32, Vec<u8>), Member),
}

/// Tells whether somebody in an account listens.
type Everywhere<'a> = &'a dyn Fn(u32, &[u8]) -> Interest;

/// How soon streams have more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pace {
    /// When something happens, or at the next deadline.
    Idle,
    /// Once somebody has read what waits for them.
    Soon,
    /// At once.
    Now,
}

/// All streams.
#[derive(Debug)]
pub(super) struct Streams {
    settings: JetStreamSettings,
    server_name: String,
    shelf: Shelf,
    all: Slab<Stream>,
    /// By account.
    by_name: Vec<BTreeMap<String, usize>>,
    /// Number of the account whose request is being served.
    account: u32,
    account_names: Vec<String>,
    /// By account: whether anybody may listen to what happens.
    listened: Vec<bool>,
    /// What happened in this tick.
    news: Vec<(u32, news::News)>,
    /// What each account may have; `None` is no streams.
    limits: Vec<Option<AccountLimits>>,
    /// Streams that something happened to in this tick; each is in it once.
    touched: Vec<usize>,
    /// When streams have something to do by themselves.
    deadlines: BTreeSet<(Nanos, usize)>,
    /// Whether some stream has work for beside the event loop that should not wait.
    upkeep_wanted: bool,
    pub(super) outbox: Outbox,
    pub(super) changes: Vec<SubjectChange>,
    prng: Prng,
    /// By account.
    calls: Vec<account::Calls>,
    /// The first failure of the disk: after it nothing is acknowledged.
    failed: Option<io::Error>,
    /// What was written and is to be in the journal before the outbox is sent.
    pub(super) batch: Vec<u8>,
    ballast: Ballast,
    /// When to try to take the ballast again.
    ballast_due: Nanos,
    /// Purges that are at work.
    purges: Vec<purge::Pending>,
    /// Whether some stream takes messages from another.
    feeding: bool,
    /// Streams for which there may be something to copy.
    hungry: BTreeSet<usize>,
    /// What people should know.
    pub(super) notices: Vec<String>,
}

/// Streams that were opened, and the journal they are to write to.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) streams: Streams,
    pub(super) journal: Option<Journal>,
}

/// How often it is tried to take the ballast again, in nanoseconds.
const BALLAST_EVERY: Nanos = 1_000_000_000;

/// Subjects of the API.
pub(super) const API: [&[u8]; 3] = [b"$JS.API.>", b"$JS.ACK.>", b"$JS.FC.>"];

impl Streams {
    /// Opens the streams.
    ///
    /// # Errors
    /// The store can't be used.
    pub(super) fn open(
        (settings, accounts): (&JetStreamSettings, &[Account]),
        server_name: &str,
        (seed, times): (u64, Times),
    ) -> Result<Opened, EngineError> {
        let dir = &settings.store_dir;
        let refused = |error: io::Error| EngineError::Store { path: dir.clone(), why: error.to_string() };
        let always = settings.sync == SyncPolicy::Always;
        let layout = Layout { segment_bytes: settings.segment_bytes, journal: always, copies: false };
        let clock = Clock::real();
        let names = accounts.iter().map(|account| account.name.as_str());
        let mut shelf = Shelf::open((dir.as_path(), names), seed, layout)?;
        // An earlier run may have had one.
        let mut journal = Journal::open(dir, always).map_err(refused)?;
        let (found, restored) = shelf.load((times.now, times.unix))?;
        let mut streams = Self {
            settings: settings.clone(),
            server_name: server_name.to_owned(),
            shelf,
            all: Slab::new(),
            by_name: vec![BTreeMap::new(); accounts.len()],
            account: 0,
            account_names: accounts.iter().map(|account| account.name.clone()).collect(),
            listened: vec![false; accounts.len()],
            news: Vec::new(),
            limits: accounts.iter().map(|account| account.streams.clone()).collect(),
            touched: Vec::new(),
            deadlines: BTreeSet::new(),
            upkeep_wanted: true,
            outbox: Outbox::default(),
            changes: Vec::new(),
            prng: Prng::split(seed, 1),
            calls: vec![account::Calls::default(); accounts.len()],
            failed: None,
            batch: Vec::new(),
            ballast: Ballast::take(dir).map_err(refused)?,
            ballast_due: 0,
            purges: Vec::new(),
            feeding: false,
            hungry: BTreeSet::new(),
            notices: vec![format!("Store Directory: \"{}\"", dir.display())],
        };
        streams.notices.extend(journal.iter_mut().flat_map(|journal| std::mem::take(&mut journal.notices)));
        streams.notices.extend(restored);
        for stream in found {
            streams.put(stream);
        }
        streams.relink();
        streams.let_go_of_all_copied();
        streams.notices.push(format!(
            "Restored {} streams in {:.3} s",
            streams.all.len(),
            clock.now() as f64 / 1e9
        ));
        Ok(Opened { streams, journal: journal.filter(|_| always) })
    }

    fn put(&mut self, stream: Stream) -> usize {
        let key = self.all.vacant_key();
        for subject in &stream.config.subjects {
            let subject = (stream.account, subject.clone().into_bytes());
            self.changes.push(SubjectChange::Add(subject, Member::Stream(key as u32)));
        }
        self.by_name[stream.account as usize].insert(stream.config.name.clone(), key);
        self.all.insert(stream);
        self.touch(key);
        key
    }

    fn find(&mut self, name: &str) -> Option<&mut Stream> {
        let key = self.key_of(name)?;
        self.touch(key)
    }

    /// The key of a stream of the account that is being served.
    fn key_of(&self, name: &str) -> Option<usize> {
        self.names().get(name).copied()
    }

    /// Streams of the account that is being served.
    fn names(&self) -> &BTreeMap<String, usize> {
        &self.by_name[self.account as usize]
    }

    /// A stream that something is to happen to.
    fn touch(&mut self, key: usize) -> Option<&mut Stream> {
        let stream = self.all.get_mut(key)?;
        if !std::mem::replace(&mut stream.touched, true) {
            self.touched.push(key);
        }
        Some(stream)
    }

    /// A message for a stream.
    pub(super) fn store(&mut self, key: u32, message: &Publish<'_>, times: Times) {
        let Some(stream) = self.all.get(key as usize) else { return };
        self.outbox.account = stream.account;
        if let Some(refusal) = self.over_quota(key, message) {
            return self.refuse(key, message, &refusal);
        }
        self.touch(key as usize);
        let Some(stream) = self.all.get_mut(key as usize) else { return };
        let taken = if stream.maps.any {
            stream.take_mapped(message, times.unix, &mut self.outbox)
        } else {
            stream.publish(message, Coming::Published, times.unix)
        };
        if stream.config.no_ack || message.reply.is_empty() {
            return;
        }
        let name = &stream.config.name;
        match taken {
            Ok(Taken::Stored(sequence) | Taken::Passed(sequence)) => {
                self.outbox.answer(
                    message.reply,
                    format!("{{\"stream\":\"{name}\", \"seq\":{sequence}}}").as_bytes(),
                );
            }
            Ok(Taken::Duplicate(sequence)) => {
                let ack = format!("{{\"stream\":\"{name}\", \"seq\":{sequence},\"duplicate\": true}}");
                self.outbox.answer(message.reply, ack.as_bytes());
            }
            Err(error) => self.refuse(key, message, &error),
        }
    }

    fn refuse(&mut self, key: u32, message: &Publish<'_>, error: &errors::ApiError) {
        let Some(stream) = self.all.get(key as usize) else { return };
        let refusal = serde_json::json!({ "error": error, "stream": stream.config.name, "seq": 0 });
        self.outbox.answer(message.reply, refusal.to_string().as_bytes());
    }

    /// Why a message can't be taken by any stream of the kind: they are full together, or the disk is.
    fn over_quota(&self, key: u32, message: &Publish<'_>) -> Option<errors::ApiError> {
        let file = self.all.get(key as usize)?.store.is_file();
        if file && !self.ballast.is_held() {
            // What was kept back is in use, and is not for messages.
            return Some(errors::ApiError::no_space());
        }
        let size = message.body.len() as u64;
        let most = if file { self.settings.max_file } else { self.settings.max_memory };
        if most.is_some_and(|most| self.used(None, file) + size > most) {
            return Some(errors::ApiError::insufficient_resources());
        }
        let account = self.all.get(key as usize)?.account;
        let limits = self.limits[account as usize].as_ref()?;
        let most = if file { limits.max_file } else { limits.max_memory }?;
        (self.used(Some(account), file) + size > most).then(errors::ApiError::account_resources)
    }

    /// Bytes in files, or in memory, of one account or all.
    fn used(&self, account: Option<u32>, file: bool) -> u64 {
        let all = self.all.iter().map(|(_, stream)| stream);
        let counted = all.filter(|stream| {
            account.is_none_or(|account| stream.account == account) && stream.store.is_file() == file
        });
        counted.map(|stream| stream.store.books.bytes).sum()
    }

    /// Somebody listens to, or has stopped to listen to, a pattern.
    pub(super) fn interest_changed(&mut self, account: u32, pattern: &[u8]) {
        let mut concerned = Vec::new();
        for (key, stream) in self.all.iter_mut().filter(|(_, stream)| stream.account == account) {
            let concerns = stream.consumers.values().any(|consumer| {
                consumer.config.is_push() && overlap(pattern, consumer.config.deliver_subject.as_bytes())
            });
            if concerns {
                stream.awake = true;
                concerned.push(key);
            }
        }
        for key in concerned {
            self.touch(key);
        }
    }

    /// Lets consumers deliver, then writes everything that what is to be sent stands on.
    ///
    /// # Errors
    /// The disk failed: nothing that is in the outbox may be sent.
    pub(super) fn finish(&mut self, times: Times, interest: Everywhere<'_>) -> io::Result<Pace> {
        while let Some(&(_, key)) = self.deadlines.first().filter(|(due, _)| *due <= times.now) {
            self.deadlines.pop_first();
            self.tend(key, (times, interest));
        }
        self.feed(times);
        let mut pace = if self.go_on_purging(times) { Pace::Now } else { Pace::Idle };
        for &key in &self.touched {
            let Some(stream) = self.all.get_mut(key) else { continue };
            if std::mem::take(&mut stream.awake) {
                pace = pace.max(deliver(stream, (times, interest), &mut self.outbox));
            }
            if !stream.news.is_empty() {
                let (account, listened) = (stream.account, self.listened[stream.account as usize]);
                self.news.extend(stream.news.drain(..).filter(|_| listened).map(|news| (account, news)));
            }
            let deadline = stream.next_deadline(times);
            if deadline != stream.deadline {
                self.deadlines.remove(&(stream.deadline, key));
            }
            stream.deadline = deadline;
            if deadline < Nanos::MAX {
                self.deadlines.insert((deadline, key));
            }
        }
        if !self.news.is_empty() {
            self.tell(times.unix);
        }
        let written = match self.write() {
            // What must be written all the same is little, and there is space kept back for it.
            Err(error) if is_full(&error) && self.ballast.release() => {
                self.notices.push("The disk is full: messages are refused until there is space".to_owned());
                self.write()
            }
            other => other,
        };
        written?;
        if !self.ballast.is_held() && self.ballast_due <= times.now {
            self.ballast_due = times.now + BALLAST_EVERY;
            // What nothing stands on any more is to make room, however little was written since.
            self.all.iter_mut().for_each(|(_, stream)| stream.store.make_room());
            self.upkeep_wanted = true;
            self.ballast.retake()?;
        }
        match self.failed.take() {
            Some(error) => Err(error),
            None if self.hungry.is_empty() => Ok(pace),
            None => Ok(Pace::Now),
        }
    }

    /// Writes what has changed to the files, and to the batch that is to go to the journal.
    fn write(&mut self) -> io::Result<()> {
        let (all, mut at) = (&mut self.all, 0);
        while let Some(&key) = self.touched.get(at) {
            let Some(stream) = all.get_mut(key) else {
                self.touched.swap_remove(at);
                continue;
            };
            stream.note_feeds();
            stream.store.flush(&mut self.batch)?;
            let last = stream.store.books.last;
            if stream.readers.is_empty() {
                stream.written = last;
            } else if stream.written < last {
                self.outbox.wrote(outbox::Written { stream: (key, stream.created), last });
            }
            if let Some(log) = &mut stream.log {
                stream.consumers.values_mut().for_each(|consumer| log.changed(consumer));
                log.flush(&mut self.batch, &stream.consumers)?;
            }
            if let Some(error) = stream.failed.take() {
                return Err(error);
            }
            self.upkeep_wanted |= stream.store.wants_upkeep();
            self.notices.append(&mut stream.store.take_notices());
            // Who has more to deliver is looked at again in the next tick.
            if stream.awake {
                at += 1;
            } else {
                stream.touched = false;
                self.touched.swap_remove(at);
            }
        }
        Ok(())
    }

    /// Does what is due by the clock.
    fn tend(&mut self, key: usize, (times, interest): (Times, Everywhere<'_>)) {
        self.touch(key);
        let Some(stream) = self.all.get_mut(key) else { return };
        stream.enforce(None, times.unix);
        self.outbox.account = stream.account;
        if stream.config.leaves_markers() {
            stream.expire_and_tell(times.unix, &mut self.outbox);
        }
        if stream.feeds.next_due().is_some_and(|due| due <= times.now) {
            self.hungry.insert(key);
        }
        let account = stream.account;
        let interest: Listening<'_> = &|subject: &[u8]| interest(account, subject);
        let mut gone = Vec::new();
        for consumer in stream.consumers.values_mut() {
            let mut work = Work {
                stream: &stream.config.name,
                store: &mut stream.store,
                outbox: &mut self.outbox,
                now: times.now,
                unix: times.unix,
                interest,
            };
            stream.awake |= consumer.tend(&mut work);
            consumer.take_news(&stream.config.name, &mut stream.news);
            if consumer.is_abandoned(times.now, interest) {
                gone.push(consumer.name.clone());
            }
        }
        for name in gone {
            stream.drop_consumer(&name, &mut self.outbox);
        }
    }

    /// When something is due by itself.
    pub(super) fn deadline(&self) -> Nanos {
        self.deadlines.first().map_or(Nanos::MAX, |&(due, _)| due)
    }

    /// Whether there is work for beside the event loop that should not wait.
    pub(super) fn upkeep_wanted(&self) -> bool {
        self.upkeep_wanted
    }

    /// What is to be done beside the event loop; `all`: whatever is not synced is to be, too.
    pub(super) fn upkeep(&mut self, all: bool) -> Vec<Upkeep> {
        let mut work = Vec::new();
        self.upkeep_wanted = false;
        for (_, stream) in &mut self.all {
            work.extend(stream.store.upkeep(all));
            self.upkeep_wanted |= stream.store.wants_upkeep();
            if let Some(log) = stream.log.as_mut().filter(|_| all) {
                work.extend(log.take_unsynced().map(|file| Upkeep::of_files(vec![file])));
            }
        }
        work
    }

    /// Notes a failure of the disk.
    fn note(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.failed.get_or_insert(error);
        }
    }
}

/// Lets a stream's consumers deliver.
fn deliver(stream: &mut Stream, (times, interest): (Times, Everywhere<'_>), outbox: &mut Outbox) -> Pace {
    let mut pace = Pace::Idle;
    let mut delivered = Vec::new();
    outbox.account = stream.account;
    let account = stream.account;
    let interest: Listening<'_> = &|subject: &[u8]| interest(account, subject);
    for consumer in stream.consumers.values_mut() {
        let from = consumer.cursor;
        let mut work = Work {
            stream: &stream.config.name,
            store: &mut stream.store,
            outbox,
            now: times.now,
            unix: times.unix,
            interest,
        };
        let turn = consumer.work(&mut work);
        consumer.take_news(&stream.config.name, &mut stream.news);
        if turn != Turn::Idle {
            stream.awake = true;
            pace = pace.max(if turn == Turn::More { Pace::Now } else { Pace::Soon });
        }
        if consumer.settles_by_delivery() && consumer.cursor > from {
            delivered.push(from..consumer.cursor);
        }
    }
    if stream.config.retention != stream_config::Retention::Limits {
        delivered.into_iter().flatten().for_each(|sequence| stream.done_with(sequence));
    }
    pace
}
