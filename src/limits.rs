//! Every maximum of the program, with unit and qualifier in its name, and how they relate.

use std::time::Duration;

/// Events in one page of the collector: vCenter's own maximum.
pub(crate) const PAGE_EVENTS_MAX: usize = 1000;
/// Bytes of a page that is asked for while there is a backlog, by the size of the events before.
pub(crate) const PAGE_BYTES_AIM: usize = 256 * 1024;
/// Bytes of an event where none was seen: vcsim's have 1.3 KB on average, but those of
/// reconfigurations 50 KB and more, and a first page of them must not cost memory for ever.
pub(crate) const EVENT_BYTES_EXPECTED: usize = 8 * 1024;
/// Bytes of one answer of vCenter: a page of 1000 events of 50 KB each fits.
pub(crate) const VCENTER_BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes that are kept of an event that is larger than that: its key and time stand at its begin.
pub(crate) const CUT_EVENT_BYTES_MAX: usize = 64 * 1024;
/// Elements inside each other in one page; vCenter's own nest less than 20 deep.
pub(crate) const XML_DEPTH_MAX: usize = 60;
/// Namespace prefixes that are declared around one place of a page: each class is looked up in them.
pub(crate) const XML_PREFIXES_MAX: usize = 64;
/// Objects and arrays inside each other that JSON readers take, serde_json among them.
const JSON_DEPTH_MAX: usize = 128;
/// Different members of one object that are unknown, newer than the table's first version or out of
/// order; vCenter's largest class has fewer than 200 members.
pub(crate) const OBJECT_MEMBERS_MAX: usize = 1000;
/// Anomalies that are reported of one event; the rest of them is only not reported.
pub const EVENT_ANOMALIES_MAX: usize = 8;
/// Bytes of one anomaly's name that are reported.
pub(crate) const ANOMALY_NAME_BYTES_MAX: usize = 128;
/// Bytes of a sink's answer that are read; the rest is left unread.
pub(crate) const SINK_BODY_BYTES_MAX: usize = 256 * 1024;

/// Events of a route that are read but not settled.
pub(crate) const OUTSTANDING_EVENTS_MAX: usize = LEDGER_PLACES_MAX + AROUND_CHANNEL * BATCH_ENTRIES_MAX;
/// Places of the ledger: for events that are not settled, and for the runs of settled ones between them.
pub(crate) const LEDGER_PLACES_MAX: usize = 20_000;
/// Settled events in it that are not part of a run yet.
pub(crate) const LEDGER_LOOSE_MAX: usize = 2048;
/// Ranges of keys that are known to be settled while events before them are held: the record that tells
/// them stays below a few megabytes.
pub(crate) const LEDGER_RANGES_MAX: usize = 100_000;
/// Batches in the channel between the poller and the workers.
pub(crate) const BATCHES_AHEAD_MAX: usize = 14;
/// Bytes of one batch; a larger event is a batch of its own and takes several places.
pub(crate) const BATCH_BYTES_MAX: usize = 32 * 1024;
/// Entries of one batch.
pub(crate) const BATCH_ENTRIES_MAX: usize = 120;
// One batch is being filled and one emptied beside those in the channel.
const AROUND_CHANNEL: usize = BATCHES_AHEAD_MAX + 2;
/// How often the page's address is tried that cannot be listened on.
pub(crate) const BIND_RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// The longest wait while a sink refuses the sender: who corrects that wants to see it work.
pub(crate) const SENDER_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long the rest of an answer is read whose head said all.
pub(crate) const VERDICT_BODY_WAIT_MAX: Duration = Duration::from_secs(1);
/// Bytes of events of a route that wait for delivery; one event is always admitted.
pub const QUEUE_BYTES_MAX: usize = 1024 * 1024;
/// Those of them that have left the channel.
pub(crate) const LANES_BYTES_MAX: usize = QUEUE_BYTES_MAX / 2;
/// Bytes of events of a route that wait for a retry, or behind one in their order, beside those that
/// flow: with this many the route holds.
pub(crate) const HELD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of events of a route that are owed to targets that fail, functions of a gateway, beside those
/// that were admitted before they failed: with this many the route holds.
pub(crate) const ROOMS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What one target that is owed an event costs beside the event, near enough.
pub(crate) const PART_BYTES: usize = 512;
/// A target with as much doubt is down: nothing flows to it until it has succeeded this often.
pub(crate) const TARGET_DOUBT_MAX: u32 = 16;
/// Doubt of an event that fails; each success takes one away. So a target is down that fails four times
/// in a row, or more often than once in five.
pub(crate) const TARGET_DOUBT_OF_FAILURE: u32 = 4;
/// A target that failed so long ago, and is owed nothing, is no trouble any more.
pub(crate) const TARGET_INCIDENT_AGE_MAX: Duration = Duration::from_secs(60);
/// The first success after so long without one is the end of an outage.
pub(crate) const RECOVERY_QUIET_MIN: Duration = Duration::from_secs(1);
/// What waited for retries then comes within this time.
pub(crate) const RECOVERY_SPREAD: Duration = Duration::from_secs(1);
/// Worker threads of one route.
pub(crate) const WORKERS_MAX: usize = 1024;
/// Worker threads of a route that names no number.
pub(crate) const WORKERS_AUTO_MAX: usize = 64;
/// What such a route begins with, when there is work for them.
pub(crate) const WORKERS_AUTO_BEGIN: usize = 8;
/// Worker threads of all such routes together, beside the first `WORKERS_ASSURED` of each.
pub(crate) const WORKERS_PROCESS_MAX: usize = 512;
/// See `WORKERS_PROCESS_MAX`.
pub(crate) const WORKERS_ASSURED: usize = 2;
/// Threads that were not needed for so long end.
pub(crate) const WORKER_IDLE_MAX: Duration = Duration::from_secs(60);

/// Bytes of a configuration file.
pub(crate) const CONFIG_BYTES_MAX: u64 = 1024 * 1024;
/// Bytes of a file with one secret: keys and tokens are far shorter.
pub(crate) const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// Values inside each other in a configuration that is YAML or JSON; the Go router's had six.
pub(crate) const CONFIG_DEPTH_MAX: usize = 16;
/// Values of such a configuration, those that its aliases repeat included.
pub(crate) const CONFIG_VALUES_MAX: usize = 10_000;
/// Longest time that a configuration file can ask for, so that no sum of times overflows.
pub(crate) const CONFIG_DURATION_MAX: Duration = Duration::from_secs(3650 * 24 * 3600);
/// Bytes of the name of a source, processor or route: with a suffix, two of them are a file name.
pub(crate) const NAME_BYTES_MAX: usize = 64;
/// Bytes of a dead-letter file: at least a few events fit.
pub(crate) const DEAD_LETTER_BYTES_MIN: u64 = 64 * 1024;
/// Bytes of a dead-letter file of a route that does not say.
pub(crate) const DEAD_LETTER_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;

/// How far before the settled position reading resumes if `overlap` does not say it: events of one
/// timestamp, and those that vCenter records late.
pub(crate) const OVERLAP_DEFAULT: Duration = Duration::from_secs(600);
/// The largest `overlap`: a start reads and skips that much.
pub(crate) const OVERLAP_MAX: Duration = Duration::from_secs(24 * 3600);
/// Settled events are remembered as ranges of keys for each so many seconds of the overlap.
pub(crate) const WINDOW_SPAN_SECONDS: i64 = 10;
/// How far a recovery looks behind the last event that it saw: events of one timestamp, and those
/// that a host handed to vCenter late.
pub(crate) const RESUME_OVERLAP: Duration = Duration::from_secs(2);
/// How often a source is asked for its present while it is read.
pub(crate) const CLOCK_CHECK_INTERVAL: Duration = Duration::from_secs(20);
/// How often it is asked while its events are dated ahead of its present as far as that is known.
pub(crate) const CLOCK_DOUBT_INTERVAL: Duration = Duration::from_secs(10);
/// How long an exact look at a source's clock counts more than a later one that took longer.
pub(crate) const CLOCK_LOOK_AGE_MAX: Duration = Duration::from_secs(600);
/// A difference between two clocks that is not worth a word.
pub(crate) const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);
/// The largest step of a source's clock that is made up for after a restart.
pub(crate) const CLOCK_STEP_MAX: jiff::SignedDuration = jiff::SignedDuration::from_hours(25);
/// Events of which an exact repeat within one reading is recognised.
pub(crate) const RECENT_EVENTS_MAX: usize = 2048;
/// Pages in a row that may bring nothing but repeats before the source is asked more slowly.
pub(crate) const REPEATED_PAGES_MAX: u32 = 3;
/// The wait after another such page.
pub(crate) const REPEATED_PAGE_WAIT: Duration = Duration::from_secs(1);
/// Empty pages in a row after which a span of the history is read to its end.
pub(crate) const SPAN_EMPTY_PAGES: u32 = 3;
/// The longest wait between two pages of a span.
pub(crate) const SPAN_WAIT_MAX: Duration = Duration::from_secs(1);
/// Settled events that are remembered inside the overlap; beyond it a restart repeats some.
pub(crate) const WINDOW_KEYS_MAX: usize = 200_000;
/// Bytes of a checkpoint file that are read.
pub(crate) const CHECKPOINT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Longest time between a settling and its durable checkpoint is twice this.
pub(crate) const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(40);
/// How long a route without room for its record waits until it tries again.
pub(crate) const CHECKPOINT_HOLD: Duration = Duration::from_secs(1);
/// How often a running router looks whether the lock of its state folder is still its own.
pub(crate) const LOCK_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// A key beyond this is close to the end of vCenter's signed 32-bit counter.
pub(crate) const KEY_SUSPICIOUS: i64 = 2_000_000_000;
/// How far below the key before it an event's key may lie: events that are recorded side by side can
/// change places.
pub(crate) const KEY_DISORDER_MAX: i64 = 1000;
/// The longest a poller waits for a wake-up before it reads again: 50 idle routes make 10 calls a
/// second.
pub(crate) const IDLE_WAIT_MAX: Duration = Duration::from_secs(5);

/// Names of unknown classes and members that a route logs once each.
pub(crate) const ANOMALY_NAMES_MAX: usize = 1000;
/// Names of events that are handed to vCenter as a filter; a route with more of them filters itself.
pub(crate) const SERVER_FILTER_TYPES_MAX: usize = 200;
/// Positions older than this are looked up in the source's history, which may have been purged.
pub(crate) const PURGE_CHECK_AGE: Duration = Duration::from_secs(3600);

/// First and longest wait between attempts to connect to a source.
pub(crate) const RECONNECT_WAIT_MIN: Duration = Duration::from_secs(1);
/// See `RECONNECT_WAIT_MIN`.
pub(crate) const RECONNECT_WAIT_MAX: Duration = Duration::from_secs(60);
/// How soon changed credentials are noticed while a refused login or delivery waits.
pub(crate) const CREDENTIALS_TICK: Duration = Duration::from_secs(1);
/// Wait after a refused login, so that no account is locked.
pub(crate) const LOGIN_REFUSED_WAIT: Duration = Duration::from_secs(180);

/// Cookies of one server that are sent back, and their bytes.
pub(crate) const COOKIES_MAX: usize = 32;
/// See `COOKIES_MAX`.
pub(crate) const COOKIE_BYTES_MAX: usize = 4096;
/// Deadline of one TCP and TLS connect.
pub(crate) const CONNECT_WAIT_MAX: Duration = Duration::from_secs(15);
/// Addresses of one name that are tried.
pub(crate) const CONNECT_ADDRESSES_MAX: usize = 16;
/// Bytes of `/etc/hosts` or `/etc/resolv.conf` that are read.
pub(crate) const DNS_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Bytes of a name server's answer by UDP: none sends more than 512 unless asked to.
pub(crate) const DNS_MESSAGE_BYTES_MAX: usize = 4096;
/// How long the other family of addresses is waited for when one has come.
pub(crate) const DNS_OTHER_FAMILY_WAIT: Duration = Duration::from_millis(250);
/// Age at which an idle connection is not used again: less than what servers and firewalls usually
/// allow.
pub(crate) const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(30);
/// Bytes of the head of an answer.
pub(crate) const HTTP_HEAD_BYTES_MAX: usize = 32 * 1024;
/// Bytes that one connection reads ahead.
pub(crate) const HTTP_INPUT_BYTES_MAX: usize = 64 * 1024;
/// Bytes that one connection collects before it writes, and of one row of a request's head.
pub(crate) const HTTP_OUTPUT_BYTES: usize = 8 * 1024;
/// Bytes of a proxy's answer to CONNECT.
pub(crate) const PROXY_HEAD_BYTES_MAX: usize = 16 * 1024;
/// TLS sessions that one client keeps for resumption.
pub(crate) const TLS_SESSIONS_MAX: usize = 8;
/// Time for asking a server what it offers when no way to speak TLS was found.
pub(crate) const TLS_PROBE_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long the answer to that is good.
pub(crate) const TLS_PROBE_INTERVAL: Duration = Duration::from_secs(60);
/// Bytes of that answer.
pub(crate) const TLS_PROBE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a bundle of trusted certificates.
pub(crate) const CA_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Deadline of one call to a source that has none of its own.
pub(crate) const SOURCE_CALL_WAIT_DEFAULT: Duration = Duration::from_secs(30);
/// Deadline of one call to vCenter, connect and body included.
pub(crate) const VCENTER_CALL_WAIT_MAX: Duration = Duration::from_secs(120);
/// Elements of an XML answer that is read as a tree.
pub(crate) const XML_NODES_MAX: usize = 500_000;
/// Deadline of one call to vCenter that answers at once when all is well.
pub(crate) const VCENTER_QUICK_CALL_WAIT_MAX: Duration = Duration::from_secs(30);
/// Deadline of one call that gives something back (collector, session): best effort.
pub(crate) const VCENTER_CLOSE_CALL_WAIT_MAX: Duration = Duration::from_secs(2);
/// Bytes of an answer that is not a page of events.
pub(crate) const VCENTER_SMALL_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Connections to one vCenter: the poller's, the long poll's, and one to cancel it.
pub(crate) const VCENTER_CONNECTIONS_MAX: usize = 3;
/// First and longest wait between polls where the long poll is refused.
pub(crate) const POLL_WAIT_MIN: Duration = Duration::from_millis(50);
/// See `POLL_WAIT_MIN`.
pub(crate) const POLL_WAIT_MAX: Duration = Duration::from_secs(1);
/// First and longest wait before a failed long poll is tried again.
pub(crate) const LONG_POLL_RETRY_WAIT_MIN: Duration = Duration::from_secs(1);
/// See `LONG_POLL_RETRY_WAIT_MIN`.
pub(crate) const LONG_POLL_RETRY_WAIT_MAX: Duration = Duration::from_secs(300);
/// Calls of a long poll that may begin within `LONG_POLL_BURST_INTERVAL`: 20 a second at most, whatever
/// the server answers.
pub(crate) const LONG_POLL_BURST_CALLS_MAX: usize = 10;
/// See `LONG_POLL_BURST_CALLS_MAX`.
pub(crate) const LONG_POLL_BURST_INTERVAL: Duration = Duration::from_millis(500);
/// An answer within this came at once: the server did not wait for anything.
pub(crate) const LONG_POLL_PROMPT_MAX: Duration = Duration::from_millis(250);
/// Answers in a row that came at once and told nothing, before the long poll is given up for a while.
pub(crate) const LONG_POLL_USELESS_MAX: u32 = 20;
/// A long poll that a middle box cuts is shortened down to this.
pub(crate) const LONG_POLL_SECONDS_MIN: u32 = 10;
/// What the transport of a long poll may take beyond the wait itself.
pub(crate) const LONG_POLL_MARGIN: Duration = Duration::from_secs(15);
/// Bound on waiting for the long poll's thread after its call was cancelled.
pub(crate) const LONG_POLL_JOIN_WAIT_MAX: Duration = Duration::from_secs(2);
/// While a stream is quiet, its last event is compared with vCenter's latest this often.
pub(crate) const STALL_COMPARE_INTERVAL: Duration = Duration::from_secs(60);
/// Wait before the first attempt to get past a stall, and between attempts.
pub(crate) const STALL_STEP_WAIT: Duration = Duration::from_secs(10);
/// Time behind vCenter's latest event after which a source is called stalled.
pub(crate) const STALL_DECLARE_WAIT: Duration = Duration::from_secs(120);
/// Wait between attempts when all have failed.
pub(crate) const STALL_AGAIN_INTERVAL: Duration = Duration::from_secs(300);
/// Gaps between keys, one after the other, after which gaps say nothing about this server.
pub(crate) const DOUBT_IDLE_GAPS_MAX: u32 = 8;
/// The most that events of a server are taken to be recorded late when a page is doubted.
pub(crate) const DOUBT_LATENESS_MAX: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);
/// Events that were skipped and found, for each of which reading went back once.
pub(crate) const DOUBT_FOUND_MAX: usize = 64;
/// Pages that are looked through when one may be missing.
pub(crate) const DOUBT_PAGES_MAX: usize = 8;
/// While the server leaves out events, the position moves past them this long after they came: each time
/// costs the server a collector.
pub(crate) const STALL_PASS_WAIT: Duration = Duration::from_secs(600);
/// Time slices, and so collectors, that are taken past one stall.
pub(crate) const TIME_SLICES_MAX: i32 = 1024;
/// Shortest time slice.
pub(crate) const TIME_SLICE_MIN: jiff::SignedDuration = jiff::SignedDuration::from_millis(100);
/// Longest time slice that need not be longer to stay within `TIME_SLICES_MAX`.
pub(crate) const TIME_SLICE_MAX: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);
/// Seconds that vCenter may hold one long poll.
pub(crate) const LONG_POLL_SECONDS_MAX: u32 = 60;
/// Deadline of one delivery to a sink.
pub(crate) const DELIVERY_WAIT_MAX: Duration = Duration::from_secs(30);

/// Deadline of one invocation of a function that is not told another: the Go router's.
pub(crate) const FUNCTION_WAIT_DEFAULT: Duration = Duration::from_secs(15);
/// Functions that are invoked at the same time for one event.
pub(crate) const FANOUT_CALLS_MAX: usize = 32;
/// Threads of one processor that invoke functions beside its workers.
pub(crate) const FANOUT_THREADS_MAX: usize = 256;
/// Functions that have counters of their own.
pub(crate) const TARGETS_COUNTED_MAX: usize = 1000;
/// Deadline of one call of a listing of functions.
pub(crate) const LISTING_CALL_WAIT_MAX: Duration = Duration::from_secs(15);
/// Bytes of one answer of a listing of functions: thousands of them fit.
pub(crate) const LISTING_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Namespaces of one gateway.
pub(crate) const NAMESPACES_MAX: usize = 1000;
/// Unusable parts of a listing that are reported; the rest of them is only left out.
pub(crate) const LISTING_ANOMALIES_MAX: usize = 8;
/// Functions are listed this often, where the file does not say.
pub(crate) const LISTING_INTERVAL_DEFAULT: Duration = Duration::from_secs(10);
/// How long one delivery waits for the first listing before it is parked.
pub(crate) const LISTING_FIRST_WAIT: Duration = Duration::from_secs(1);
/// How long a refused invocation waits for the listing that tells whether the function is still
/// there.
pub(crate) const LISTING_NEWER_WAIT: Duration = Duration::from_secs(3);

/// The address of a destination is looked up this often, where the file does not say.
pub(crate) const RESOLVE_INTERVAL_DEFAULT: Duration = Duration::from_secs(60);
/// The shortest interval that can be set.
pub(crate) const RESOLVE_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// How long one delivery waits for an address before it is parked.
pub(crate) const RESOLVE_FIRST_WAIT: Duration = Duration::from_secs(1);
/// What a thread renews is renewed at most this often, whatever happens; also the first wait after
/// that failed.
pub(crate) const REFRESH_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// The longest wait after that failed, where nothing else is said.
pub(crate) const REFRESH_RETRY_WAIT_MAX: Duration = Duration::from_secs(10);
/// Deadline of one call of the Kubernetes API.
pub(crate) const KUBERNETES_CALL_WAIT_MAX: Duration = Duration::from_secs(15);
/// Deadline of one call about a lease: its owner must have time for another.
pub(crate) const CLUSTER_CALL_WAIT_MAX: Duration = Duration::from_secs(4);
/// How long a lease lasts where the file does not say.
pub(crate) const CLUSTER_LEASE_DEFAULT: Duration = Duration::from_secs(15);
/// The shortest one: its owner has 4 s then, and calls have 1.6 s each.
pub(crate) const CLUSTER_LEASE_MIN: Duration = Duration::from_secs(6);
/// The longest one: so long a route rests after a crash.
pub(crate) const CLUSTER_LEASE_MAX: Duration = Duration::from_secs(300);
/// From one record of a route to the next where the file does not say.
pub(crate) const CLUSTER_RECORD_INTERVAL: Duration = Duration::from_secs(1);
/// What the file can say.
pub(crate) const CLUSTER_RECORD_INTERVAL_MIN: Duration = Duration::from_millis(200);
/// See `CLUSTER_RECORD_INTERVAL_MIN`.
pub(crate) const CLUSTER_RECORD_INTERVAL_MAX: Duration = Duration::from_secs(60);
/// From one record to the next of all routes of a process together.
pub(crate) const CLUSTER_WRITE_INTERVAL: Duration = Duration::from_millis(100);
/// Bytes of a record: an object of Kubernetes may have 1 MiB, a request of etcd 1.5 MiB.
pub(crate) const CLUSTER_RECORD_BYTES_MAX: usize = 512 * 1024;
/// A large record is written less often.
pub(crate) const CLUSTER_RECORD_BYTES_PER_SECOND: f64 = 16.0 * 1024.0;
/// How long a route rests whose record or settings cannot be used.
pub(crate) const CLUSTER_UNUSABLE_WAIT: Duration = Duration::from_secs(30);
/// Leases of members that are gone for so long are removed.
pub(crate) const CLUSTER_MEMBER_AGE_MAX: Duration = Duration::from_secs(3600);
/// From one wake-up to the next.
pub(crate) const CLUSTER_WAKE_INTERVAL: Duration = Duration::from_millis(100);
/// From one look at the leases in etcd to the next.
pub(crate) const CLUSTER_ETCD_LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How long the end of the process waits until its routes are left.
pub(crate) const CLUSTER_LEAVE_WAIT_MAX: Duration = Duration::from_secs(5);
/// Connections that are kept to an engine.
pub(crate) const CLUSTER_CONNECTIONS_MAX: usize = 32;
/// Bytes of one of its answers: etcd keeps no object as large.
pub(crate) const KUBERNETES_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long a token for a sink shall last: what Knative's own senders ask for.
pub(crate) const SINK_TOKEN_SECONDS: u32 = 3600;
/// It is renewed this long before it ends.
pub(crate) const SINK_TOKEN_AHEAD: Duration = Duration::from_secs(300);
/// A token that is younger and refused is no token for this sink: another one would not help.
pub(crate) const SINK_TOKEN_REFUSED_AGE_MIN: Duration = Duration::from_secs(10);
/// A token's file is read again after this time.
pub(crate) const TOKEN_FILE_AGE_MAX: Duration = Duration::from_secs(10);

/// How long an event is held before the next try to write its dead letter.
pub(crate) const DEAD_LETTER_HOLD: Duration = Duration::from_secs(5);
/// The longest wait that a sink's `Retry-After` can ask for.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// First and longest wait after EventBridge asked for less.
pub(crate) const THROTTLED_WAIT_MIN: Duration = Duration::from_secs(1);
/// See `THROTTLED_WAIT_MIN`.
pub(crate) const THROTTLED_WAIT_MAX: Duration = Duration::from_secs(20);
/// Wait after AWS refused the router itself: its credentials, its rights, its clock.
pub(crate) const DENIED_WAIT: Duration = Duration::from_secs(10);
/// Bytes of one request to EventBridge where the file does not say: AWS's limit, rounded down.
pub(crate) const PUT_EVENTS_BYTES_DEFAULT: u64 = 1_000_000;
/// The same in China.
pub(crate) const PUT_EVENTS_BYTES_CHINA_DEFAULT: u64 = 262_144;
/// The rule of an EventBridge processor is read again this often, where the file does not say.
pub(crate) const RULE_INTERVAL_DEFAULT: Duration = Duration::from_secs(300);
/// How long one delivery waits for the first reading of the rule before it is parked.
pub(crate) const RULE_FIRST_WAIT: Duration = Duration::from_secs(1);
/// Pages of ListRules, of 100 rules each.
pub(crate) const RULE_PAGES_MAX: usize = 100;
/// Credentials are renewed this long before they end.
pub(crate) const CREDENTIALS_AHEAD: Duration = Duration::from_secs(300);
/// Credentials from a file, which has no end, are read again this often.
pub(crate) const CREDENTIALS_FILE_AGE_MAX: Duration = Duration::from_secs(300);
/// First and longest wait after credentials could not be renewed.
pub(crate) const CREDENTIALS_RETRY_WAIT_MIN: Duration = Duration::from_secs(5);
/// See `CREDENTIALS_RETRY_WAIT_MIN`.
pub(crate) const CREDENTIALS_RETRY_WAIT_MAX: Duration = Duration::from_secs(60);
/// Bytes of a shared file of AWS, and of an answer with credentials.
pub(crate) const CREDENTIALS_BYTES_MAX: usize = 256 * 1024;
/// Profiles that refer to each other.
pub(crate) const CREDENTIALS_PROFILES_MAX: usize = 8;
/// Deadline of a call of the security token service.
pub(crate) const STS_CALL_WAIT_MAX: Duration = Duration::from_secs(15);
/// Deadline of a call of the credentials endpoint of a container.
pub(crate) const CONTAINER_CALL_WAIT_MAX: Duration = Duration::from_secs(7);
/// Deadline of a call of the metadata service of an instance.
pub(crate) const INSTANCE_CALL_WAIT_MAX: Duration = Duration::from_secs(1);

/// Fields of one event pattern; a multiple of 64.
pub(crate) const PATTERN_FIELDS_MAX: usize = 512;
/// Combinations of the `$or` lists of one event pattern: AWS's own maximum.
pub(crate) const PATTERN_BRANCHES_MAX: usize = 1000;
/// Objects and arrays inside each other on a path that an event pattern names: each takes a piece of
/// `THREAD_STACK_BYTES`.
pub(crate) const PATTERN_DEPTH_MAX: usize = 100;
/// Values that are tried for one event to find array elements that satisfy a pattern together.
pub(crate) const PATTERN_STEPS_MAX: usize = 1_000_000;

/// Events of one request where the file says that several are sent together but not how many.
pub(crate) const BATCH_EVENTS_DEFAULT: usize = 100;
/// The most that can be set.
pub(crate) const BATCH_EVENTS_MAX: usize = 1000;
/// Bytes of one such request where the file does not say.
pub(crate) const BATCH_BYTES_DEFAULT: u64 = 1024 * 1024;
/// The least that can be set.
pub(crate) const BATCH_BYTES_MIN: u64 = 1024;
/// Bytes of what begins, ends and separates one.
pub(crate) const BATCH_FRAME_BYTES_MAX: usize = 256;
/// Bytes of an answer with the outcome of each event of the largest request.
pub(crate) const BULK_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of one template: a card of a chat fits many times.
pub(crate) const TEMPLATE_BYTES_MAX: usize = 64 * 1024;
/// Named paths of one template: EventBridge's own maximum.
pub(crate) const TEMPLATE_PATHS_MAX: usize = 100;
/// Steps of one path: each takes a piece of `THREAD_STACK_BYTES`.
pub(crate) const TEMPLATE_PATH_STEPS_MAX: usize = 32;

/// Names of events that a route counts one by one.
pub(crate) const NAMES_COUNTED_MAX: usize = 500;
/// Nothing is delivered for this long: the route is not ready any more.
pub(crate) const READY_INCIDENT_MAX: Duration = Duration::from_secs(10);
/// What a thread may be at one piece of work beyond its longest single wait: opening a source takes
/// several calls one after the other.
pub(crate) const BUSY_MARGIN: Duration = Duration::from_secs(240);
/// Connections to the addresses where the router is watched.
pub(crate) const OBSERVE_CONNECTIONS_MAX: usize = 16;
/// Bytes of the head of a request there.
pub(crate) const OBSERVE_HEADER_BYTES_MAX: usize = 8 * 1024;
/// Bytes of its body, which nobody reads.
pub(crate) const OBSERVE_BODY_BYTES_MAX: usize = 4 * 1024;
/// For each of its head, its body, and the peer to take the answer: the Go router's.
pub(crate) const OBSERVE_WAIT_MAX: Duration = Duration::from_secs(5);
/// The page of the status asks for itself again this often.
pub(crate) const PAGE_REFRESH_INTERVAL: Duration = Duration::from_secs(5);
/// Names of events or functions that the page lists: the busiest.
pub(crate) const PAGE_NAMES_MAX: usize = 50;
/// Those that it lists where nobody asked for all.
pub(crate) const PAGE_NAMES_SHORT: usize = 8;
/// More routes than this have an overview at the top of the page.
pub(crate) const PAGE_ROUTES_SHORT: usize = 3;
/// How often it is noted how far a route is.
pub(crate) const PACE_INTERVAL: Duration = Duration::from_secs(5);
/// Its speed is that of so long.
pub(crate) const PACE_SPAN: Duration = Duration::from_secs(30);
/// A route that is further behind its source catches up, while it moves.
pub(crate) const CATCHING_UP_LAG_MIN: Duration = Duration::from_secs(10);
/// A route's summary line appears this often.
pub(crate) const SUMMARY_INTERVAL: Duration = Duration::from_secs(60);
/// The service manager hears how the process is this often, if its watchdog does not want it sooner.
pub(crate) const NOTIFY_INTERVAL: Duration = Duration::from_secs(5);
/// The same before it was told that the process is ready.
pub(crate) const NOTIFY_START_INTERVAL: Duration = Duration::from_millis(100);
/// For the service manager to take a message.
pub(crate) const NOTIFY_WAIT_MAX: Duration = Duration::from_secs(1);
/// Characters of the line that `systemctl status` shows.
pub(crate) const NOTIFY_STATUS_CHARS_MAX: usize = 400;
/// Incident that comes and goes is said at most this often.
pub(crate) const INCIDENT_FLAPPING: Duration = Duration::from_secs(10);
/// Incident that lasts is said again this often.
pub(crate) const INCIDENT_REMINDER: Duration = Duration::from_secs(60);
/// Different causes of one incident that are said within a minute.
pub(crate) const CAUSES_SAID_MAX: usize = 6;
/// Reasons that are counted apart of lines that come in thousands.
pub(crate) const FLOOD_REASONS_MAX: usize = 16;
/// Default time for in-flight deliveries when stopping.
pub(crate) const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// Signals within this time of the first repeat it; later ones end the process at once.
pub(crate) const SIGNAL_ECHO_MAX: Duration = Duration::from_millis(500);
/// While stopping, what is still awaited is said this often.
pub(crate) const SHUTDOWN_PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// Time for the last checkpoint after the time of grace.
pub(crate) const CHECKPOINTER_END_MAX: Duration = Duration::from_secs(5);
/// Stack of a thread of a route; only pages that are touched count.
pub(crate) const THREAD_STACK_BYTES: usize = 512 * 1024;
/// Open inbound connections; the one that keeps us waiting longest yields to a new one.
pub(crate) const SERVER_CONNECTIONS_MAX: usize = 64;
/// Bytes of the head of an inbound request.
pub(crate) const SERVER_HEADER_BYTES_MAX: usize = 32 * 1024;
/// Header fields of an inbound request.
pub(crate) const SERVER_HEADERS_MAX: usize = 96;
/// Bytes of an inbound body, where the server's owner sets nothing else.
pub(crate) const SERVER_BODY_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a line between the chunks of an inbound body.
pub(crate) const SERVER_CHUNK_LINE_BYTES_MAX: usize = 4096;
/// From the first byte of an inbound request to the end of its head.
pub(crate) const SERVER_HEAD_WAIT_MAX: Duration = Duration::from_secs(5);
/// For the body of an inbound request.
pub(crate) const SERVER_BODY_WAIT_MAX: Duration = Duration::from_secs(30);
/// An idle inbound connection is kept this long.
pub(crate) const SERVER_IDLE_WAIT_MAX: Duration = Duration::from_secs(60);
/// For the peer to take an answer.
pub(crate) const SERVER_WRITE_WAIT_MAX: Duration = Duration::from_secs(30);
/// For one of the inbound requests at work to end, when no place is left for a new connection.
pub(crate) const SERVER_ROOM_WAIT_MAX: Duration = Duration::from_millis(20);
/// For the thread of an inbound connection that was closed to end: as soon as it gets the processor.
pub(crate) const SERVER_CLOSING_WAIT_MAX: Duration = Duration::from_secs(2);
/// Pause after a failed accept, such as when no descriptors are left.
pub(crate) const SERVER_ACCEPT_RETRY_WAIT: Duration = Duration::from_millis(50);
/// For running inbound requests to finish when the server stops.
pub(crate) const SERVER_STOP_WAIT_MAX: Duration = Duration::from_secs(2);
/// After a refusal, the peer's bytes are discarded this long and this far, so that it can read why.
pub(crate) const SERVER_LINGER_WAIT_MAX: Duration = Duration::from_millis(500);
/// See `SERVER_LINGER_WAIT_MAX`.
pub(crate) const SERVER_LINGER_BYTES_MAX: usize = 2 * 1024 * 1024;
/// How often the files of a server's certificate are looked at, at most.
pub(crate) const SERVER_CERTIFICATE_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How often a request that is held open looks whether its peer is still there.
pub(crate) const SERVER_ABANDONED_CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// Stack of an inbound connection's thread: address space, of which little is ever touched.
pub(crate) const SERVER_STACK_BYTES: usize = 512 * 1024;
/// The router's own events that are kept; with more of them only the newest half is.
pub(crate) const OWN_EVENTS_MAX: usize = 1000;
/// How often the router looks at its routes.
pub(crate) const OWN_LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How often it notes that it lives.
pub(crate) const OWN_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// Trouble that passes sooner is not told.
pub(crate) const OWN_SETTLED_AGE: jiff::SignedDuration = jiff::SignedDuration::from_secs(5);
/// How often what is counted is told, at most.
pub(crate) const OWN_COUNT_INTERVAL: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);
/// Audit events that are asked of Horizon at once: its own maximum.
pub(crate) const HORIZON_PAGE_EVENTS: usize = 1000;
/// Pages of events that are dated the same millisecond.
pub(crate) const HORIZON_PAGES_MAX: usize = 100;
/// How often a span of time is narrowed until one answer holds its events: the longest becomes a
/// millisecond by this.
pub(crate) const HORIZON_NARROWINGS_MAX: usize = 64;
/// Events whose extended attributes are asked for at once: their numbers stand in the address.
pub(crate) const HORIZON_DETAILS_MAX: usize = 100;
/// How far behind the newest event each reading begins: connection servers record side by side.
pub(crate) const HORIZON_LOOKBACK: Duration = Duration::from_secs(60);
/// How far beyond the present each reading goes, as the Go router's: clocks differ.
pub(crate) const HORIZON_AHEAD: Duration = Duration::from_secs(24 * 3600);
/// First and longest wait between two readings.
pub(crate) const HORIZON_POLL_WAIT_MIN: Duration = Duration::from_secs(1);
/// See `HORIZON_POLL_WAIT_MIN`.
pub(crate) const HORIZON_POLL_WAIT_MAX: Duration = Duration::from_secs(5);
/// Deadline of one call to Horizon.
pub(crate) const HORIZON_CALL_WAIT_MAX: Duration = Duration::from_secs(30);
/// Deadline of its logout.
pub(crate) const HORIZON_CLOSE_CALL_WAIT_MAX: Duration = Duration::from_secs(2);
/// Bytes of one answer of Horizon.
pub(crate) const HORIZON_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Open connections of senders to a webhook: each waits for the answer to one request.
pub(crate) const WEBHOOK_CONNECTIONS_MAX: usize = 128;
/// Bytes of all requests to a webhook that are received or wait for their answer: beyond that the largest
/// incomplete one is given up.
pub(crate) const WEBHOOK_HELD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Where events are posted to a webhook that does not say.
pub(crate) const WEBHOOK_PATH_DEFAULT: &str = "/webhook";
/// How long a sender to a webhook is kept waiting: many give up after 10 to 30 seconds.
pub(crate) const WEBHOOK_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// When a sender that waited in vain may send again.
pub(crate) const WEBHOOK_RETRY_AFTER: Duration = Duration::from_secs(1);
/// The smallest `body_max` of a webhook: an event of 64 KiB is the largest that everybody must take
/// (CloudEvents 1.0.2, "Size Limits").
pub(crate) const WEBHOOK_BODY_BYTES_MIN: u64 = 64 * 1024;
/// Events of one batch that is posted.
pub(crate) const WEBHOOK_BATCH_EVENTS_MAX: usize = 1000;
/// Settled events that a webhook recognises when they are sent again.
pub(crate) const WEBHOOK_SETTLED_MAX: usize = 20_000;
/// How long it does so.
pub(crate) const WEBHOOK_SETTLED_AGE_MAX: Duration = Duration::from_secs(600);
/// Open connections to the simulated vCenter.
pub(crate) const SIMULATOR_CONNECTIONS_MAX: usize = 512;
/// The simulated vCenter keeps an idle connection this long.
pub(crate) const SIMULATOR_IDLE_WAIT_MAX: Duration = Duration::from_secs(300);

// An element can make an array with an object in it.
const _: () = assert!(2 * XML_DEPTH_MAX < JSON_DEPTH_MAX);
const _: () = assert!(AROUND_CHANNEL * BATCH_BYTES_MAX + LANES_BYTES_MAX <= QUEUE_BYTES_MAX);
const _: () = assert!(TARGET_DOUBT_MAX.is_multiple_of(TARGET_DOUBT_OF_FAILURE));
const _: () = assert!(PAGE_EVENTS_MAX + LEDGER_LOOSE_MAX < LEDGER_PLACES_MAX);
const _: () = assert!(LEDGER_RANGES_MAX + OUTSTANDING_EVENTS_MAX < WINDOW_KEYS_MAX);
const _: () = assert!(EVENT_BYTES_EXPECTED < PAGE_BYTES_AIM && PAGE_BYTES_AIM < VCENTER_BODY_BYTES_MAX);
// Greeting, login, time, collector and the size of its page; before them the close of what was open.
const _: () = assert!(
    5 * VCENTER_QUICK_CALL_WAIT_MAX.as_secs() + 5 * VCENTER_CLOSE_CALL_WAIT_MAX.as_secs()
        < BUSY_MARGIN.as_secs()
);
const _: () = assert!(HTTP_HEAD_BYTES_MAX < HTTP_INPUT_BYTES_MAX);
const _: () = assert!(PATTERN_FIELDS_MAX.is_multiple_of(64));
const _: () = assert!(REFRESH_INTERVAL_MIN.as_millis() < LISTING_NEWER_WAIT.as_millis());
const _: () = assert!(2 * CHECKPOINT_INTERVAL.as_millis() < 100);
