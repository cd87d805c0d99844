/**
 * Every limit of tunlog with its unit, reason and source. Relations between them are asserted in
 * tests/unit/limits_test.ts. A limit that a user may change is the default here and a key in the configuration.
 */

// ---- Packets ----------------------------------------------------------------------------------------------------

/** Smallest MTU a TUN may have: IPv4's minimum (RFC 791 §3.2). Below 1280 IPv6 is off (RFC 8200 §5). */
export const MTU_BYTES_MIN = 576;
/** wg-quick's default where the path does not say otherwise: 1500 - 80. */
export const MTU_BYTES_DEFAULT = 1420;
/** Largest MTU: what fits a UDP datagram (65507) less transport header, tag and padding. */
export const MTU_BYTES_MAX = 65_440;
/** WireGuard transport header in front of a packet (whitepaper §5.4.6). */
export const TRANSPORT_HEADER_BYTES = 16;
/** Poly1305 tag behind it. */
export const TAG_BYTES = 16;
/** Plaintext is padded to a multiple of this (whitepaper §5.4.6). */
export const PADDING_BYTES = 16;

// ---- Fragments --------------------------------------------------------------------------------------------------

/** First fragments remembered, so that later ones find their ports. */
export const FRAGMENT_CACHE_SLOTS = 1024;
/** How long: Linux gives up reassembly after 30 s (net.ipv4.ipfrag_time). */
export const FRAGMENT_CACHE_MS = 30_000;
/** Extension headers walked before a packet's transport is called unreadable; real packets carry at most four. */
export const EXTENSION_HEADERS_MAX = 8;

// ---- Captures ---------------------------------------------------------------------------------------------------------

/** One record or block of a capture file that is read; the largest packets, of BIG TCP, have half of it. */
export const CAPTURE_RECORD_BYTES_MAX = 1_048_576;
/** Interfaces of one section of a capture; more could not be told apart by older blocks. */
export const CAPTURE_INTERFACES_MAX = 65_536;
/** Flows per window of a capture: the banks take 42 MB. Beyond, flows share rows. */
export const CAPTURE_FLOWS_MAX = 262_144;
/** Connections whose local side is remembered over windows, twice at most: some 150 bytes each. */
export const CAPTURE_CONNECTIONS_MAX = 131_072;

// ---- Flows ------------------------------------------------------------------------------------------------------

/** Flows per window and bank unless configured: 64 Ki flows take 10.5 MB for both banks, 1 M take 161 MB. */
export const FLOWS_MAX_DEFAULT = 65_536;
/** Fewest that make sense. */
export const FLOWS_MAX_MIN = 64;
/** Most that the index's record number can name with room to spare. */
export const FLOWS_MAX_MAX = 8_388_608;
/** Flows for each of which a bank keeps one more row, by addresses alone, for the flows that find no room. */
export const FLOWS_PER_FOLDED_ROW = 16;
/**
 * Index entries looked at for one key. In a table half full the longest run among a million keys is about 80 (Knuth,
 * TAOCP 3 §6.4, linear probing), so it is met only by who knows the hash's secret.
 */
export const FLOW_PROBES_MAX = 128;
/** Physical rows per window and bank: one per peer and endpoint. Memory that no row reaches is never resident. */
export const PHYSICAL_FLOWS_MAX = 65_536;
/** Default window. */
export const WINDOW_MS_DEFAULT = 5_000;

// ---- WireGuard --------------------------------------------------------------------------------------------------

/** Peers of one node: the index table and AllowedIPs stay in cache well beyond what one process serves. */
export const PEERS_MAX = 65_536;
/** AllowedIPs of one node, over all peers. */
export const ALLOWED_IPS_MAX = 1_048_576;
/** Packets kept per peer while a handshake is under way (MAX_STAGED_PACKETS, Linux WireGuard messages.h). */
export const STAGED_PACKETS_MAX = 128;
/** Packets kept over all peers: bounds memory when many peers are down. */
export const STAGED_PACKETS_TOTAL_MAX = 4_096;
/**
 * Handshake messages with a right mac1 per second above which a cookie is asked for. Each costs up to four key
 * agreements: 0.2 ms with libcrypto, 2 ms in pure TypeScript, so that 100 take 2 % or 20 % of a core.
 */
export const HANDSHAKES_CALM_PER_SECOND = 100;
/** Sources that the handshake limiter tells apart at once, a power of two; a bucket is forgotten after 250 ms. */
export const LIMITER_SLOTS = 8_192;
/** Places that one source may take in the limiter's table before it is refused. */
export const LIMITER_PROBES = 8;
/**
 * Counters that a worker takes at once, and how many blocks behind the newest it may still use: what it seals is at
 * most (32 + 1) * 64 behind what others seal, a quarter of the 8,128 that peers allow (wireguard-go replay.go).
 */
export const NONCE_BLOCK = 64;
export const NONCE_BLOCKS_BEHIND_MAX = 32;
/** Sessions that several workers may carry: three for each of 2,730 peers. Memory of 10 MB at most. */
export const SHARED_SESSIONS_MAX = 8_192;
/** Data-plane workers. */
export const WORKERS_MAX = 16;
/** Bytes of each of a carrier's two rings to the protocol's worker: a few large datagrams, or a thousand packets. */
export const RELAY_BYTES = 512 * 1024;
/** UDP socket buffers asked for, as wireguard-go does. */
export const SOCKET_BUFFER_BYTES = 7 * 1024 * 1024;

// ---- Local sockets and files ------------------------------------------------------------------------------------

/** Configuration file: 65,536 peers with four AllowedIPs each stay below this. */
export const CONFIG_BYTES_MAX = 32 * 1024 * 1024;
/** One UAPI request. */
export const UAPI_REQUEST_BYTES_MAX = 32 * 1024 * 1024;
/** One request on the control socket. */
export const CONTROL_REQUEST_BYTES_MAX = 64 * 1024;
/** UAPI and control connections served at once. */
export const LOCAL_CONNECTIONS_MAX = 64;
/** Interface name with its closing zero (IFNAMSIZ, linux/if.h). */
export const INTERFACE_NAME_BYTES = 16;
/** From a local request's first byte to its last, and for taking its answer: a stuck client must not hold its place. */
export const LOCAL_REQUEST_MS_MAX = 10_000;
/** A local connection without a request under way; long enough for a monitor that asks every minute. */
export const LOCAL_IDLE_MS_MAX = 150_000;
/** How long `tunlog status` and `tunlog down` wait for the node's answer; a node that shuts down runs hooks first. */
export const CONTROL_ANSWER_MS_MAX = 30_000;
/** One answer on the control socket: 65,536 peers with a few AllowedIPs each stay below this. */
export const CONTROL_ANSWER_BYTES_MAX = 128 * 1024 * 1024;

// ---- Configuration file -------------------------------------------------------------------------------------------

/** Errors of one configuration file that are shown; more would bury the first. */
export const CONFIG_ERRORS_MAX = 20;
/** Characters of a `# friendly_name`; it must fit a line of `status`. */
export const FRIENDLY_NAME_CHARS_MAX = 64;
/** Flow-log window in seconds: rows name their second, and a window above a minute is too coarse to alarm on. */
export const WINDOW_S_MIN = 1;
export const WINDOW_S_MAX = 60;
/** `[Timers]` values in seconds: shorter than a round trip makes no session; longer than a day, none is renewed. */
export const TIMER_S_MIN = 0.05;
export const TIMER_S_MAX = 86_400;

// ---- Netlink ----------------------------------------------------------------------------------------------------

/** Bytes taken per receive: the kernel fills dumps in pieces of at most 32 KiB (netlink_dump, af_netlink.c). */
export const NETLINK_RECEIVE_BYTES = 64 * 1024;
/** How long an answer may take: the kernel answers within the send itself, so silence is a fault. */
export const NETLINK_TIMEOUT_MS = 5_000;
/** Times a list is asked for anew because it changed while the kernel wrote it (NLM_F_DUMP_INTR). */
export const NETLINK_DUMP_ATTEMPTS_MAX = 8;
/** Smallest MTU of an interface with IPv6 (RFC 8200 §5). */
export const IPV6_MTU_BYTES_MIN = 1_280;
/** What the tunnel adds to a packet: IPv6 40, UDP 8, header and tag 32; IPv4 would be 20 less (wg-quick). */
export const TUNNEL_OVERHEAD_BYTES = 80;
/** First routing table and mark tried for a default route, as wg-quick does. */
export const DEFAULT_ROUTE_TABLE_FIRST = 51_820;
/** Tables tried from there on; a machine with as many tunnels as this has another problem. */
export const DEFAULT_ROUTE_TABLES_MAX = 1_024;

// ---- Data plane -------------------------------------------------------------------------------------------------

/**
 * Bytes of one packet slot: any IP packet (65,535) with transport header, padding and tag fits. The stride is an odd
 * number of cache lines, so that the first bytes of the slots do not fall into the same cache sets. Memory that no
 * packet reaches is never resident.
 */
export const PACKET_SLOT_BYTES = 1_027 * 64;
/** Slots for handshake messages, cookie replies and keepalives; when all are used, the queue is flushed. */
export const CONTROL_SLOTS = 64;
/** Bytes of one such slot: the longest of them is an initiation of 148. */
export const CONTROL_SLOT_BYTES = 192;
/**
 * Bytes for packets on their way out: one super-packet, what is made of it, and as much again, so that a run of small
 * packets is not cut short. It stays in the second-level cache.
 */
export const OUTGOING_BYTES = 6 * PACKET_SLOT_BYTES;
/** Packets, or super-packets, read from TUN before the other direction has its turn. */
export const READ_PACKETS_MAX = 128;
/** Bytes read before the other direction has its turn: about 0.3 ms of work. */
export const READ_BYTES_MAX = 256 * 1024;
/** Slots for datagrams on their way in. */
export const RECEIVE_SLOTS = 64;
/** Slots used at a time while datagrams come in large batches: about as many bytes as one turn of reading. */
export const RECEIVE_SLOTS_BULK = 6;
/** Entries of one send, each one datagram or up to UDP_SEGMENTS_MAX. */
export const SEND_ENTRIES = 128;
/** Packets joined at most before they are written. */
export const COALESCE_PACKETS_MAX = 512;
/** Endpoints remembered that take no datagrams in batches; with more, no endpoint is sent any. */
export const PLAIN_PATHS_MAX = 64;
/** How long the data plane waits for a full socket buffer before it drops a datagram, in ms. */
export const SEND_WAIT_MS = 20;
/** Handshakes with a right mac1 in one full receive batch from which on cookies are asked for: 32 cost about 8 ms. */
export const HANDSHAKES_PER_BATCH_MAX = 32;

// ---- Names ------------------------------------------------------------------------------------------------------

/** First wait before an endpoint's name is asked for again, in ms; it doubles. */
export const RESOLVE_RETRY_MS_MIN = 2_000;
/** Longest wait: a name that comes back is used within two minutes. */
export const RESOLVE_RETRY_MS_MAX = 120_000;

// ---- Flow log ---------------------------------------------------------------------------------------------------

/** Bytes of one message: the most that log servers promise to take as one entry (tailscale logtail maxSize). */
export const MESSAGE_BYTES_MAX = 262_144;
/**
 * Rows of one window, both devices together; what comes beyond is folded into one row per device. More than a bank
 * of FLOWS_MAX_MAX with its folded rows and a bank of physical rows hold, so that only foreign devices meet it.
 */
export const WINDOW_ROWS_MAX = 10_000_000;
/** Versions of the route maps remembered at once, the current one included: one bit each in 15 (netlog/classify.ts). */
export const ROUTE_VERSIONS_MAX = 15;
/** Overlay ranges and exceptions together: four for each of PEERS_MAX peers. */
export const OVERLAY_RANGES_MAX = 262_144;
/** A node as JSON inside a message; one that is longer is written by its id alone. */
export const NODE_BYTES_MAX = 16_384;
/** Characters of a node's id; a WireGuard key has 44. */
export const NODE_ID_CHARS_MAX = 256;
/** Bytes kept free in each message for the members that say what the original's cannot (netlog/schema.ts). */
export const EXTENSION_BYTES_MAX = 448;
/** Pieces of pseudonyms remembered: 65,536 take about 10 MB, in exit mode `keyed` only. */
export const EXIT_PRF_CACHE_MAX = 65_536;
/** A window's length is stated when it differs by more from what its labels say; timers are late by a few ms. */
export const WINDOW_LENGTH_TOLERANCE_MS = 100;
/** The flow log's own totals are due this long after the first window that they tell of. */
export const REPORT_PERIOD_MS = 60_000;

/** Bytes that wait for upload unless configured: a node of 1,000 flows a window fills them in about three hours. */
export const SPOOL_BYTES_DEFAULT = 256 * 1024 * 1024;
/** Fewest that hold a few messages of full length. */
export const SPOOL_BYTES_MIN = 4 * 1024 * 1024;
/** Most. */
export const SPOOL_BYTES_MAX = 64 * 1024 * 1024 * 1024;

// ---- Spool ----------------------------------------------------------------------------------------------------------

/** A spool is cut into at least so many segments, for the oldest goes at once when it is full. */
export const SPOOL_SEGMENTS_MIN = 16;
/** And at most so many full ones, for the state file names each. */
export const SPOOL_SEGMENTS_MAX = 256;
/** Length of a segment where both allow it. */
export const SPOOL_SEGMENT_BYTES = 16 * 1024 * 1024;
/** Longest entry with its metadata that a spool takes; a message's MESSAGE_BYTES_MAX and its metadata stay below. */
export const SPOOL_ENTRY_BYTES_MAX = 300_000;
/** What is kept in memory while the disk fails: an hour at 10 KiB per window. */
export const SPOOL_MEMORY_BYTES_MAX = 8 * 1024 * 1024;
/** Refused entries kept beside the spool, in each of two files. */
export const SPOOL_REFUSED_BYTES_MAX = 4 * 1024 * 1024;
/** How long a gap record waits that the collector refused: it is the only news of a loss, so it is tried for ever. */
export const GAP_HOLD_OFF_MS = 600_000;
/**
 * Losses told apart in one gap record: 128 entries of one batch that may have arrived are named singly, and 16 others. Each
 * takes up to 1,100 bytes, so that a record stays below MESSAGE_BYTES_MAX.
 */
export const GAP_RANGES_MAX = 144;
/** One of two places of the state file: two gap records (losses and one under way) and the list of segments fit. */
export const SPOOL_STATE_BYTES = 512 * 1024;
/** How long a node that ends tries to deliver what waits; the rest is kept for its next start. */
export const SHUTDOWN_DELIVERY_MS = 5_000;

// ---- Reading logs ---------------------------------------------------------------------------------------------------

/** JSON values inside one another in a stream that is searched for messages; as in the original's reader. */
export const STREAM_DEPTH_MAX = 10_000;
/** Characters of messages that are open at once in such a stream; one message has 262,144 at most. */
export const STREAM_HELD_CHARS_MAX = 64 * 1024 * 1024;

// ---- Filter ---------------------------------------------------------------------------------------------------------

/** Characters of a filter: a list of 256 IPv6 prefixes fits, and so does a request's line that holds it. */
export const FILTER_CHARS_MAX = 12_288;
/** Parentheses and `not` inside one another: no person writes ten, and each takes stack. */
export const FILTER_DEPTH_MAX = 32;
/** Values of one list. */
export const FILTER_LIST_MAX = 256;
/** Terms of one filter: each costs a pass over the rows, and may cost one over the dictionary of addresses. */
export const FILTER_TERMS_MAX = 256;

// ---- Collector's store --------------------------------------------------------------------------------------------

/** How long raw rows, minutes and hours are kept, from their receipt on, unless configured. */
export const RAW_KEPT_MS_DEFAULT = 7 * 86_400_000;
export const MINUTES_KEPT_MS_DEFAULT = 30 * 86_400_000;
export const HOURS_KEPT_MS_DEFAULT = 400 * 86_400_000;
/**
 * How far behind its receipt the end of a window may lie and still say up to when the log was deleted. A bucket's end is up
 * to an hour behind; more is a clock that is wrong.
 */
export const KEPT_AHEAD_MS = 3_600_000;
/** Size of the store above which the oldest goes, unless configured. */
export const STORE_BYTES_MAX_DEFAULT = 16 * 1024 ** 3;
/** How long entries of streams that nobody adopted are kept (SPEC 3). */
export const ORPHAN_KEPT_MS = 12 * 3_600_000;
/** What they may take together: the oldest go first. */
export const ORPHAN_BYTES_MAX_DEFAULT = 64 * 1024 ** 2;
/** Streams that nobody adopted, at once: bounds what a flood of made-up ids can take. */
export const ORPHANS_MAX = 4_096;
/** Processes of one stream that are remembered; those heard of longest ago go first. */
export const PROCESSES_PER_STREAM_MAX = 256;
/** Missing ranges that are remembered for a process; beyond, neighbours are merged. */
export const PROCESS_MISSING_MAX = 1_024;
/** Roll-ups are written this often, at the latest. */
export const ROLLUP_PERIOD_MS = 60_000;
/** Keys of the roll-up in memory at which it is written at once: 9 MB of columns and index. */
export const ROLLUP_KEYS_MAX = 131_072;
/** Raw rows behind the roll-ups at which they are written at once: what every query has to go through. */
export const ROLLUP_ROWS_MAX = 524_288;
/** Buckets of the roll-up in memory at which it is written at once. */
export const ROLLUP_BUCKETS_MAX = 4_096;
/** Rows of one block of a roll-up on disk: what a reader decodes at once, 3.3 MB. */
export const ROLLUP_BLOCK_ROWS = 65_536;
/** Addresses whose numbers are kept in memory, twice at most: 40 bytes each. */
export const ADDRESSES_CACHED_MAX = 262_144;
/** New addresses that may wait for a commit: twelve bodies of nothing else. */
export const ADDRESSES_WAITING_MAX = 262_144;
/** Decoded rows that a reader keeps for its next scan, unless configured. */
export const READER_CACHE_BYTES_DEFAULT = 32 * 1024 ** 2;
/** Texts of entries that a reader keeps: more than the longest of one commit, two bytes a character. */
export const READER_TEXTS_BYTES = 64 * 1024 ** 2;

// ---- Collector's front ----------------------------------------------------------------------------------------------

/** Body of an upload after decompression, unless configured: stock clients make at most 524,288 bytes (SPEC 3.3). */
export const INGEST_BODY_BYTES_MAX_DEFAULT = 1024 * 1024;
/** Least and most that may be configured. */
export const INGEST_BODY_BYTES_MIN = 64 * 1024;
export const INGEST_BODY_BYTES_MAX = 16 * 1024 * 1024;
/** What a compressed body may be longer than the content that it holds: headers and checksum of frames that do not compress. */
export const INGEST_FRAME_BYTES_EXTRA = 4_096;
/** Largest window of a zstd frame: what RFC 8878 §3.1.1.1.2 advises decoders to support. */
export const ZSTD_WINDOW_BYTES_MAX = 8 * 1024 * 1024;
/** Bodies that are being received or wait for their commit; beyond, uploads are put off. */
export const INGEST_WAITING_BYTES_MAX = 32 * 1024 * 1024;
/**
 * One commit ends at the body with which it reaches either. Twice as many new addresses, and those of the last body, must
 * stay below ADDRESSES_WAITING_MAX.
 */
export const COMMIT_ROWS_MAX = 65_536;
export const COMMIT_BODY_BYTES_MAX = 8 * 1024 * 1024;
/** How long a client is asked to wait when the collector is busy or its disk refuses. */
export const INGEST_BUSY_S = 5;
export const INGEST_FAILED_S = 30;
/** Times that one stream may send a body of one length that is too large; then it is one that would do so for ever. */
export const TOO_LARGE_REFUSALS_MAX = 3;
/** Streams whose refusals are remembered at once. */
export const REFUSED_STREAMS_MAX = 1_024;
/** Bytes of what was wrong with a body that its error entry shows. */
export const BAD_DATA_BYTES_MAX = 16_384;
/** Pieces of one body that its error entry shows. */
export const BAD_PIECES_MAX = 16;
/** JSON values inside one another in an entry. */
export const ENTRY_DEPTH_MAX = 256;
/** Characters of a collection's name, as in a node's configuration. */
export const COLLECTION_CHARS_MAX = 253;
/** Collections of one collector: names that anybody may make up. */
export const COLLECTIONS_MAX = 1_024;
/** API keys of one collector. */
export const API_KEYS_MAX = 256;
/** People who are logged in to the page at once; the one who came first goes first. */
export const SESSIONS_MAX = 1_024;
/** How long a login holds: a working day. */
export const SESSION_MS_MAX = 12 * 3_600_000;
/** Wrong keys that one address may give to the page's form within LOGIN_FAILURE_MS before it has to wait. */
export const LOGIN_FAILURES_MAX = 10;
export const LOGIN_FAILURE_MS = 60_000;
/** Addresses whose wrong keys are counted at once; the one whose count began first goes first. */
export const LOGIN_ADDRESSES_MAX = 1_024;
/** Connections to the collector at once. */
export const HTTP_CONNECTIONS_MAX = 1_024;
/** Line and headers of a request. */
export const HTTP_HEADER_BYTES_MAX = 32 * 1024;
/** From a connection's first byte to the end of its headers, and to the end of its body; a stock client gives up at 45 s. */
export const HTTP_HEADERS_MS_MAX = 10_000;
export const HTTP_REQUEST_MS_MAX = 45_000;
/** A connection between two requests: longer than a node's window and its longest usual wait. */
export const HTTP_IDLE_MS_MAX = 150_000;
/** Body of a request that is no upload. */
export const HTTP_FORM_BYTES_MAX = 64 * 1024;
/** How long a collector that ends waits for requests under way. */
export const HTTP_DRAIN_MS_MAX = 10_000;
/** Entries that one retrieval returns unless it asks for fewer, and bytes after which it ends. */
export const RETRIEVAL_ENTRIES_MAX = 1_000;
export const RETRIEVAL_PAGE_ENTRIES = 100;
export const RETRIEVAL_BYTES_MAX = 16 * 1024 * 1024;
/** Streams of entries that are followed at once. */
export const RETRIEVAL_FOLLOWERS_MAX = 64;
/** How often a follower looks for more. */
export const RETRIEVAL_POLL_MS = 500;
/** How often the store is asked what is due. */
export const MAINTAIN_PERIOD_MS = 2_000;

// ---- Queries --------------------------------------------------------------------------------------------------------

/** Groups of one query: keys, sums and index take 80 MB. */
export const QUERY_GROUPS_MAX = 1_048_576;
/** Rows that one query goes through: ten seconds and more. */
export const QUERY_ROWS_MAX = 200_000_000;
/** How long a query may take unless asked for less, and at most. */
export const QUERY_MS_DEFAULT = 10_000;
export const QUERY_MS_MAX = 60_000;
/** How much longer a worker may take than its query before it is taken for stuck and replaced. */
export const QUERY_GRACE_MS = 5_000;
/** How long a worker may take to load the program and open the store: seconds on a cold and busy machine. */
export const QUERY_OPEN_MS = 60_000;
/** Queries that wait; beyond, they are put off at once, for whoever waits so long has gone. */
export const QUERIES_WAITING_MAX = 64;
/** How often a worker may fail within a minute before it is given up for the rest of it. */
export const QUERY_WORKER_FAILURES_MAX = 10;
/** Rows of a table in an answer. */
export const QUERY_TOP_MAX = 10_000;
/** Lines of a series: no page tells more apart. */
export const SERIES_LINES_MAX = 100;
/** Buckets of a series; a day of 10 s fits. */
export const SERIES_BUCKETS_MAX = 10_000;
/** Cells (groups and buckets) of one query: 40 bytes each. */
export const QUERY_CELLS_MAX = 2_097_152;
/** Rows of one page of flows. */
export const FLOWS_PAGE_MAX = 10_000;
/** Longest range that is read row by row unless asked for. */
export const QUERY_RAW_MS_MAX = 300_000;
/** Longest range for which a filter by bytes, packets or rate reads row by row unless asked for. */
export const QUERY_RAW_FILTER_MS_MAX = 86_400_000;
/** What was logged this short while ago may still be on its way: a window, its upload and its commit. */
export const COMPLETE_LAG_MS = 15_000;
/** A node that says nothing counts as incomplete for so long; then it is taken for gone. */
export const SILENT_COUNTED_MS = 3_600_000;
/** What a node's clock may be wrong by, and what a packet may take on its way, before books of two ends differ. */
export const RECONCILE_SKEW_MS = 2_000;
export const RECONCILE_TRANSIT_MS = 1_000;
/** Flows that one reconciliation keeps books of. */
export const RECONCILE_FLOWS_MAX = 500_000;
/** Clients that follow the live totals at once. */
export const LIVE_CLIENTS_MAX = 64;
/** How often the store is asked for more, and how often a silent stream says that it lives. */
export const LIVE_POLL_MS = 500;
export const LIVE_HEARTBEAT_MS = 15_000;
/** What may wait for one client before it is dropped as too slow. */
export const LIVE_WAITING_BYTES_MAX = 1024 * 1024;
/** How long a client that is too slow may still take to read that it is dropped. */
export const LIVE_DROPPED_MS = 5_000;
/** Windows of one look for more. */
export const LIVE_WINDOWS_MAX = 2_000;
