/*-------------------------------------------------------------------------
 *
 * cluster.h
 *	  The nouns of pg_ha: what a member knows of the cluster and of itself.
 *
 * Plain C, types only: the module, pg_ha_boot, the simulator and the fuzzers
 * all speak of a cluster in these words.  Every type is a plain value of fixed
 * size, without pointers, so that it can be copied into shared memory, compared
 * with memcmp in a test, and handed to a pure function.
 *
 * Units, unless a field says otherwise: times are milliseconds of
 * CLOCK_BOOTTIME of the node that holds the value (never compared between
 * nodes), durations are milliseconds, LSNs are bytes, 0 means "none".
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_CLUSTER_H
#define HA_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

/* Sizes include the terminating NUL. */
#define HA_NAME_SIZE		64	/* member names: [A-Za-z0-9_.-]{1,63} */
#define HA_HOST_SIZE		256
#define HA_URL_SIZE			320
#define HA_TAGS_SIZE		256 /* of a user's own tags, as JSON */
#define HA_VERSION_SIZE		24
#define HA_UUID_SIZE		40	/* of a cluster: [0-9a-f-]{36} */
#define HA_WHY_SIZE			160
#define HA_HBA_NAME_SIZE	16	/* of a source of access rules */
#define HA_HBA_SHA_SIZE		65	/* sha256 of such rules: 64 hexadecimal digits */
#define HA_PORTS_SIZE		64
#define HA_MAX_MEMBERS		16
#define HA_MAX_LINEAGE		32	/* ended timelines that a term record lists */
#define HA_MAX_SLOT_SPECS	16	/* permanent slots, ignored ones: each so many */
#define HA_MAX_KNOWN		32	/* members, absent ones too */
#define HA_MAX_POSITIONS	(HA_MAX_KNOWN + HA_MAX_SLOT_SPECS)
#define HA_MAX_ENDPOINTS	16
#define HA_ENDPOINT_SIZE	256 /* an endpoint's URL */
#define HA_MAX_VOTERS		16	/* members of the store that are looked at */

/* What this build calls itself in member keys and over HTTP. */
#define HA_VERSION			"1.0"

/*
 * Patroni's version whose behaviour its members may expect of us.  Below 2.1.0
 * they would write legacy keys for us, and below 4.0.0 not trust our slots.
 */
#define HA_PATRONI_LEVEL		"4.1.0"

/* Of the cluster's configuration: one with a later number is not acted on. */
#define HA_CONFIG_SCHEMA	1

/*
 * Of all keys together, as pg_ha/identity tells it, and the version that knew it
 * first.  In a cluster with a later number this library does nothing.
 */
#define HA_CLUSTER_SCHEMA	1
#define HA_SCHEMA_SINCE		"1.0"

/*
 * A name that no member may have.  Where commits must wait although there is no
 * standby to wait for, they wait for this one.
 */
#define HA_NOBODY			"pg_ha_nobody"

/* Another one: whom the leader of a standby cluster follows. */
#define HA_REMOTE_SOURCE	"pg_ha_source"

typedef enum HaSyncMode
{
	HA_SYNC_OFF,				/* commits wait for nobody */
	HA_SYNC_ON,					/* commits wait for every listed standby */
	HA_SYNC_QUORUM,				/* commits wait for any n of the listed */
} HaSyncMode;

typedef enum HaSlotKind
{
	HA_SLOT_ANY,
	HA_SLOT_PHYSICAL,
	HA_SLOT_LOGICAL,
} HaSlotKind;

/* A permanent slot, or which slots are to be ignored: there '' is any. */
typedef struct HaSlotSpec
{
	char		name[HA_NAME_SIZE];
	HaSlotKind	kind;
	char		database[HA_NAME_SIZE];
	char		plugin[HA_NAME_SIZE];
} HaSlotSpec;

/*
 * Where the WAL of a standby cluster comes from: a server, or several with one
 * primary among them.
 */
typedef struct HaStandbyCluster
{
	bool		active;			/* else there is nothing of it in /config */
	char		host[HA_HOST_SIZE]; /* [A-Za-z0-9.:_-]+, several with commas
									 * between */
	char		port[HA_PORTS_SIZE];	/* one for all, or one for each */
	char		slot[HA_NAME_SIZE]; /* over there; '' = none is used */
} HaStandbyCluster;

/*
 * The cluster's configuration, from /config (Patroni's keys).  "known" is false
 * until one was read; the other fields then hold the defaults.
 */
typedef struct HaConfig
{
	bool		known;
	bool		pause;			/* no automatic action */
	int64_t		revision;		/* mod_revision of /config, 0 = absent */
	int64_t		ttl;			/* of every lease; >= 2000 */
	int64_t		loop_wait;		/* longest time between two whole reads */
	int64_t		retry_timeout;	/* how long one DCS operation is retried */
	int64_t		primary_start_timeout;	/* 0 = fail over at once */
	int64_t		maximum_lag_on_failover;	/* bytes */
	HaSyncMode	synchronous_mode;
	bool		synchronous_mode_strict;
	int32_t		synchronous_node_count;
	int64_t		maximum_lag_on_syncnode;	/* bytes; <= 0: any lag will do */
	bool		failsafe_mode;
	bool		check_timeline;
	int64_t		member_slots_ttl;	/* how long an absent member's slot stays */
	int64_t		member_slots_max_wal;	/* bytes that it may retain; 0 = any */
	int32_t		npermanent;
	HaSlotSpec	permanent[HA_MAX_SLOT_SPECS];	/* by name */
	int32_t		nignored;
	HaSlotSpec	ignored[HA_MAX_SLOT_SPECS];
	HaStandbyCluster standby_cluster;
} HaConfig;

/* /leader: who holds the lease. */
typedef struct HaLeaderKey
{
	bool		present;
	char		name[HA_NAME_SIZE];
	int64_t		create_revision;
	int64_t		mod_revision;
	int64_t		lease;			/* 0 = leaseless: somebody's hand wrote it */
} HaLeaderKey;

/*
 * pg_ha/heartbeat: put by the leader in the very txn that proves its
 * leadership, so the put and the proof are one event.  "released" says that the
 * named term acknowledges nothing any more, and that a member which holds WAL up
 * to released_lsn holds everything it ever acknowledged (0: not known).
 */
typedef struct HaHeartbeat
{
	bool		present;
	char		name[HA_NAME_SIZE];
	int64_t		mod_revision;
	int64_t		term;
	int64_t		ttl;			/* granted, which bounds the leader's deadline */
	uint64_t	lsn;			/* the leader's flush LSN at that time */
	bool		released;
	uint64_t	released_lsn;
	bool		crashed;		/* released by a server that ended in no
								 * shutdown */
	bool		failsafe;		/* may go on by the promises of all in
								 * /failsafe, whatever /config says since */
} HaHeartbeat;

/* A timeline that has ended: WAL on it counts only up to end_lsn. */
typedef struct HaTimeline
{
	uint32_t	timeline;
	uint64_t	end_lsn;
	char		owner[HA_NAME_SIZE];	/* who promoted to it */
} HaTimeline;

/*
 * pg_ha/term: one record for each reign of ours, numbered.  It is written in the
 * txn that acquires the leader key, so "the term is unchanged" means "no member
 * of ours has led since".
 *
 * While "intent" holds, the owner has the key but has not yet told which
 * timeline it leads: nothing has been acknowledged under this term, "timeline"
 * and "lineage" are still those of the term before, and "reserved" is the
 * timeline id that the owner's promotion will use.  No id up to "reserved" may
 * ever be used again by anybody else.
 *
 * "standby" says that the owner leads a standby cluster: it is not promoted,
 * acknowledges nothing, and reserves no id; what it tells of the timeline, when it is
 * no intent any more, is the history of its source, as far as it had come then.
 * "from_source" says so until a member has been promoted again: a timeline of ours
 * that is newer may then have been led, and given up for the source's.
 *
 * "foreign" says that the owner is a member of Patroni, or was, which writes no such
 * record: another member saw it lead.  "left" says that the last ids that are reserved
 * were left to members of Patroni, when one was given the key, not taken by one of ours.
 */
typedef struct HaTerm
{
	bool		present;
	int64_t		mod_revision;
	int64_t		term;
	char		owner[HA_NAME_SIZE];
	bool		intent;
	bool		standby;
	bool		foreign;
	bool		from_source;	/* timeline and lineage are a source's */
	uint32_t	timeline;		/* that of the last confirmed reign */
	uint64_t	begin_lsn;		/* where it forked off its parent */
	char		timeline_owner[HA_NAME_SIZE];
	uint32_t	reserved;
	bool		left;
	int64_t		unchecked_from; /* the owner resumed, and has yet to see
								 * whether anybody held the leader key from
								 * this revision on (S-5); 0 = it has */
	uint64_t	reached;		/* how far the reign before was known to have
								 * come when this one acquired the key */
	uint64_t	lost_bytes;		/* WAL known to be lost at the last failover */
	int32_t		nlineage;
	HaTimeline	lineage[HA_MAX_LINEAGE];	/* oldest first */
} HaTerm;

typedef enum HaMemberState
{
	HA_STATE_UNKNOWN,			/* the key could not be read */
	HA_STATE_STOPPED,
	HA_STATE_INITDB,			/* "initializing new cluster" */
	HA_STATE_CLONING,			/* "creating replica" */
	HA_STATE_STARTING,
	HA_STATE_RUNNING,
	HA_STATE_STOPPING,
	HA_STATE_RESTARTING,
	HA_STATE_REWINDING,			/* shown to Patroni as "starting" */
	HA_STATE_START_FAILED,
	HA_STATE_CRASHED,
} HaMemberState;

typedef enum HaRole
{
	HA_ROLE_UNINITIALIZED,		/* no data directory yet */
	HA_ROLE_STARTING,			/* recovery has not reached consistency */
	HA_ROLE_STANDBY,			/* in recovery, consistent */
	HA_ROLE_PRIMARY,			/* out of recovery (which is not yet leading) */
} HaRole;

/*
 * What an operator asks of a member, or of all of them, through the store.  A
 * later kind needs a word in request_json.c and its steps in boot/request.c.
 */
typedef enum HaMemberRequestKind
{
	HA_REQUEST_UNREADABLE,		/* there is one, but nobody can tell what */
	HA_REQUEST_REINIT,			/* drop the data and clone anew */
	HA_REQUEST_STOP,			/* all members: stop with the leader, exit */
	HA_REQUEST_RESTART,			/* restart the server, a leader's in place */
	HA_REQUEST_RELOAD,			/* read the configuration files anew */
} HaMemberRequestKind;

#define HA_REQUEST_ID_SIZE	33	/* 32 hexadecimal digits */

/*
 * pg_ha/requests/NAME, and pg_ha/stop, which is for everybody.  Whoever asks puts
 * it; the pg_ha_boot of the member carries it out, says in the member key how far
 * it is, and removes it.
 */
typedef struct HaMemberRequest
{
	char		name[HA_NAME_SIZE]; /* of the member; '' = of all */
	int64_t		mod_revision;	/* 0 = there is none */
	HaMemberRequestKind kind;
	char		id[HA_REQUEST_ID_SIZE];
	char		asked_by[HA_NAME_SIZE]; /* the member it came through */
	char		identity[40];	/* of the member that was meant (see there) */
	int64_t		seen_revision;	/* of the store, when it was decided to ask */
	bool		from_leader;	/* REINIT: clone from nobody else */
	bool		pending;		/* RESTART: only if one is pending */
	int64_t		at;				/* ... not before this time of day, Unix ms; 0
								 * = at once */
	int32_t		before_version; /* ... only a server that is older than this
								 * PG_VERSION_NUM; 0 = any */
	HaRole		role;			/* ... only in this one; HA_ROLE_UNINITIALIZED
								 * = in any */
	bool		force;			/* ... though commits will wait for it */
	char		leader[HA_NAME_SIZE];	/* STOP: who leads, and is the last, */
	int64_t		term;			/* ... and in which term */
} HaMemberRequest;

typedef enum HaProgressState
{
	HA_PROGRESS_NONE,			/* never asked for anything */
	HA_PROGRESS_RUNNING,
	HA_PROGRESS_DONE,
	HA_PROGRESS_FAILED,			/* it was not done, and is not tried again */
	HA_PROGRESS_DECLINED,		/* ... since what it depends on did not hold */
} HaProgressState;

/* How far a member is with what it was asked for last. */
typedef struct HaProgress
{
	HaProgressState state;
	HaMemberRequestKind kind;
	char		id[HA_REQUEST_ID_SIZE];
	char		text[HA_WHY_SIZE];	/* the step, or why it was not done */
	uint64_t	lsn;			/* STOP: of the leader's shutdown checkpoint;
								 * 0 = it has not been written yet */
} HaProgress;

/* members/NAME: what a member says of itself, hostile until checked. */
typedef struct HaMember
{
	char		name[HA_NAME_SIZE];
	int64_t		mod_revision;
	int64_t		lease;
	HaMemberState state;
	HaRole		role;
	char		host[HA_HOST_SIZE]; /* of conn_url */
	int32_t		port;
	char		conn_url[HA_URL_SIZE];
	char		api_url[HA_URL_SIZE];
	char		version[HA_VERSION_SIZE];
	char		patroni[HA_VERSION_SIZE];	/* of the Patroni that runs it; ''
											 * = none does, as far as is known */
	uint32_t	timeline;		/* 0 = not told */
	uint64_t	lsn;			/* xlog_location: 0 = not told */
	uint64_t	replay_lsn;
	bool		streaming;
	bool		standby_leader; /* role STANDBY: leads a standby cluster */
	bool		nofailover;
	bool		nosync;
	bool		nostream;		/* its WAL comes from the archive; then it is
								 * nofailover and nosync too */
	bool		noloadbalance;
	int32_t		failover_priority;	/* default 1, <= 0 is nofailover */
	int32_t		sync_priority;	/* default 1, <= 0 is nosync */
	char		replicatefrom[HA_NAME_SIZE];	/* the member that it wants to
												 * stream from; '' = the
												 * leader */
	char		site[HA_NAME_SIZE]; /* where it is; '' = not told */
	char		other_tags[HA_TAGS_SIZE];	/* the user's own, as JSON; '' =
											 * none */
	bool		pause;			/* has seen the pause */
	bool		sick;			/* a health check fails: it goes last in an
								 * election */
	char		pending_restart[HA_WHY_SIZE];	/* the settings that wait for
												 * a restart; '' = none does */
	int64_t		restart_at;		/* its restart is scheduled for, Unix ms; 0 =
								 * none is; this and the next three are told,
								 * not read */
	int32_t		restart_version;	/* ... if it is older than this */
	HaRole		restart_role;	/* ... if it has this role */
	bool		restart_pending;	/* ... if one is pending */
	char		identity[40];	/* of the state directory behind the name */
	uint64_t	discarded_bytes;	/* WAL that its last rejoin threw away */
	uint32_t	discarded_timeline; /* ... and the timeline it was on */
	bool		clonefrom;		/* others should rather clone it than the
								 * leader */
	char		clone_method[HA_NAME_SIZE]; /* by which it is being cloned, or
											 * was; '' = not told */
	int32_t		clone_percent;	/* of a clone that is being made; 0 = not told */
	HaProgress	progress;
	char		hba_source[HA_HBA_NAME_SIZE];	/* whose rules its pg_hba.conf
												 * has; '' = not told */
	char		hba_sha256[HA_HBA_SHA_SIZE];	/* of these rules */
} HaMember;

/*
 * pg_ha/votes/NAME: a standby's final word in one contest.  It is given after
 * the voter's walreceiver has stopped, so nothing can be acknowledged through it
 * any more.  Void in any contest but the one for (term, term_revision), and when
 * withdrawn.
 */
typedef struct HaVote
{
	char		name[HA_NAME_SIZE];
	int64_t		mod_revision;
	int64_t		term;
	int64_t		term_revision;
	uint32_t	timeline;
	uint64_t	lsn;
	int32_t		priority;
	bool		withdrawn;
} HaVote;

/*
 * /sync: who may be elected while synchronous replication is on: its leader, and
 * each of the standbys together with "quorum" others of them.
 */
typedef struct HaSync
{
	bool		present;		/* and names a leader, or can't be read */
	int64_t		mod_revision;	/* 0 = no such key */
	char		leader[HA_NAME_SIZE];	/* '' = it can't be read */
	int32_t		quorum;
	int32_t		nstandbys;
	char		standbys[HA_MAX_MEMBERS][HA_NAME_SIZE];
} HaSync;

/*
 * /failsafe: who must all agree before a leader goes on without the store, and
 * besides whom nobody may lead.  It stays when the mode is turned off.
 */
typedef struct HaFailsafe
{
	bool		present;		/* and not "{}" */
	int64_t		mod_revision;	/* 0 = no such key */
	int32_t		nmembers;
	char		members[HA_MAX_MEMBERS][HA_NAME_SIZE];
	char		api_urls[HA_MAX_MEMBERS][HA_URL_SIZE];	/* '' = has none */
} HaFailsafe;

/* What a leader without the store asks of each member in /failsafe. */
typedef struct HaQuestion
{
	char		name[HA_NAME_SIZE]; /* the leader's */
	int64_t		term;			/* -1 = not told */
	int64_t		ttl;			/* how long nobody else shall lead; 0 = not
								 * told */
	uint64_t	lsn;			/* how far it is; 0 = not told */
	char		member[HA_NAME_SIZE];	/* who is asked; '' = not told */
	uint64_t	sysid;			/* in which cluster; 0 = not told */
} HaQuestion;

/* Where a replication slot of the leader stands. */
typedef struct HaSlotPosition
{
	char		name[HA_NAME_SIZE];
	uint64_t	lsn;
} HaSlotPosition;

/* A member that is there, or that was and may come back. */
typedef struct HaKnownMember
{
	char		name[HA_NAME_SIZE];
	int64_t		absent;			/* for how long its key has been gone; 0 = it
								 * is there */
} HaKnownMember;

/*
 * What /status tells of slots.  The leader keeps this book, and writes it every
 * loop_wait, so that one who takes over goes on with the same absences.
 */
typedef struct HaSlotBook
{
	bool		known;			/* of a leader of ours: who is not listed, and
								 * has no key, is no member any more */
	int32_t		nmembers;
	HaKnownMember members[HA_MAX_KNOWN];
	int32_t		npositions;
	HaSlotPosition positions[HA_MAX_POSITIONS];
} HaSlotBook;

/*
 * pg_ha/removed/NAME: an operator removed that member, whose slots may go at once
 * unless it has a key again.  It stays until the leader's book has forgotten the member.
 */
typedef struct HaRemoved
{
	char		name[HA_NAME_SIZE];
	int64_t		mod_revision;
} HaRemoved;

/* /failover: an operator's wish for a switchover or a failover. */
typedef struct HaFailover
{
	bool		present;		/* and not "{}" */
	int64_t		mod_revision;	/* 0 = no such key */
	char		leader[HA_NAME_SIZE];	/* '' = a failover */
	char		candidate[HA_NAME_SIZE];	/* '' = any */
	int64_t		scheduled_at;	/* Unix time, ms; 0 = now */
} HaFailover;

/* pg_ha/refused: why a leader did not do what /failover asked for.  For people. */
typedef struct HaRefusal
{
	int64_t		wish;			/* mod_revision of that /failover; 0 = none */
	char		reason[HA_WHY_SIZE];
} HaRefusal;

/*
 * pg_ha/last_failover: how the leader changed last.  For people.  Durations are -1
 * where a phase was not gone through.
 */
typedef struct HaChange
{
	bool		present;
	bool		planned;		/* a switchover */
	bool		complete;		/* the new leader leads; else the old one was
								 * about to hand over */
	int64_t		term;			/* that began, or was to */
	char		from[HA_NAME_SIZE]; /* '' = nobody had led */
	char		to[HA_NAME_SIZE];
	char		reason[HA_WHY_SIZE];
	int64_t		started_at;		/* Unix time, ms */
	int64_t		prepare_ms;		/* from the wish to the first commit held */
	int64_t		hold_ms;		/* ... until the gate closed */
	int64_t		freeze_ms;		/* ... until the key was given up */
	int64_t		acquire_ms;		/* new leader: since it saw that the key was
								 * gone */
	int64_t		promote_ms;		/* ... until it was a primary */
	int64_t		confirm_ms;		/* ... until the store knew */
	uint64_t	lost_bytes;
} HaChange;

/*
 * The cluster as one linearizable read showed it.  "sent_at" is the time before
 * that read was sent: what the view says was true at some moment after it.
 */
typedef struct HaView
{
	bool		valid;
	int64_t		sent_at;
	uint64_t	cluster_id;		/* etcd's */
	int64_t		raft_term;
	int64_t		revision;
	HaConfig	config;
	char		config_error[HA_WHY_SIZE];	/* why what stands in /config is
											 * not in force; '' = it is */
	HaLeaderKey leader;
	HaHeartbeat heartbeat;
	HaTerm		term;
	HaSync		sync;
	HaFailover	failover;
	HaFailsafe	failsafe;
	HaChange	change;
	HaRefusal	refusal;
	int64_t		initialize_revision;	/* 0 = no such key */
	uint64_t	sysid;			/* /initialize; 0 = "" or absent */
	int64_t		identity_revision;	/* 0 = no such key */
	char		cluster_uuid[HA_UUID_SIZE]; /* pg_ha/identity; '' = not told */
	int32_t		schema;			/* ... of the keys; 0 = not told */
	char		schema_since[HA_VERSION_SIZE];	/* ... which pg_ha knows it;
												 * '' = not told */
	uint64_t	optime;			/* /status: leader's LSN, a loop_wait old */
	int64_t		status_revision;
	HaSlotBook	slots;			/* /status */
	int32_t		nremoved;
	HaRemoved	removed[HA_MAX_MEMBERS];	/* by name */
	int64_t		history_revision;
	bool		history_known;	/* /history could be read */
	int32_t		nhistory;
	HaTimeline	history[HA_MAX_LINEAGE];	/* its last lines, oldest first;
											 * the owners are those who led
											 * next */
	int32_t		nmembers;
	HaMember	members[HA_MAX_MEMBERS];	/* by name */
	int32_t		nvotes;
	HaVote		votes[HA_MAX_MEMBERS];	/* by name */
	int32_t		nrequests;
	HaMemberRequest requests[HA_MAX_MEMBERS];	/* by name */
	HaMemberRequest stop;		/* pg_ha/stop */
	int32_t		nmalformed;		/* keys that could not be read */
} HaView;

/* How an endpoint of the store was found when it was asked last. */
typedef enum HaEndpointState
{
	HA_ENDPOINT_NOT_ASKED,
	HA_ENDPOINT_OK,
	HA_ENDPOINT_NO_HOST,		/* its name means no address */
	HA_ENDPOINT_REFUSED,		/* nobody listens there */
	HA_ENDPOINT_UNREACHABLE,	/* no connection for another reason */
	HA_ENDPOINT_TIMEOUT,		/* nothing came back, not even a refusal */
	HA_ENDPOINT_TLS,
	HA_ENDPOINT_AUTH,			/* it does not want to talk to us */
	HA_ENDPOINT_NO_QUORUM,		/* it answers, and has no leader */
	HA_ENDPOINT_STRANGER,		/* another cluster, or one from the past */
	HA_ENDPOINT_ERROR,			/* an answer that is of no use */
} HaEndpointState;

/* For people: no decision rests on it. */
typedef struct HaEndpoint
{
	char		url[HA_ENDPOINT_SIZE];
	HaEndpointState state;
	char		error[HA_WHY_SIZE]; /* of the last failure; '' = there was
									 * none */
	int64_t		failed_at;		/* 0 = never */
	int64_t		ok_at;			/* when it last answered well; 0 = never */
	int64_t		latency;		/* of that answer */
	uint64_t	member_id;		/* which member of etcd it was; 0 = not known */
	uint64_t	leader_id;		/* who leads etcd, as it said ... */
	int64_t		leader_term;	/* ... in this raft term */
	char		version[HA_VERSION_SIZE];
} HaEndpoint;

/* A member of the store, as it lists them. */
typedef struct HaVoter
{
	uint64_t	id;
	char		name[HA_NAME_SIZE]; /* '' = has not started yet */
	bool		learner;		/* does not vote */
} HaVoter;

/* The store as this node sees it. */
typedef struct HaStore
{
	int64_t		raft_term;		/* the latest that was seen */
	int32_t		in_use;			/* the endpoint that is asked for everything */
	int32_t		nendpoints;
	HaEndpoint	endpoints[HA_MAX_ENDPOINTS];
	int64_t		listed_at;		/* when the members were; 0 = never */
	int32_t		nvoters;
	HaVoter		voters[HA_MAX_VOTERS];
} HaStore;

/* A standby as the primary's walsender sees it. */
typedef struct HaStandby
{
	char		name[HA_NAME_SIZE]; /* its application_name */
	bool		streaming;
	uint64_t	flush_lsn;
} HaStandby;

/*
 * What a member of Patroni says of itself when it is asked over HTTP (S-11).  One that
 * does not answer, or tells no position, counts as away, as it does for Patroni.
 */
typedef struct HaPeer
{
	char		name[HA_NAME_SIZE];
	int64_t		asked_at;		/* before the last question that has ended; 0
								 * = none has */
	bool		answered;		/* ... by this: */
	bool		primary;
	uint32_t	timeline;		/* 0 = not told */
	uint64_t	lsn;			/* received, or replayed if that is more */
	bool		nofailover;		/* or cannot, for another reason */
	int32_t		failover_priority;
} HaPeer;

/*
 * What a node knows of itself at one moment.  The first part is read from the
 * server, the second is kept by lease.c.
 */
typedef struct HaLocal
{
	char		name[HA_NAME_SIZE];
	int64_t		wall_clock;		/* Unix time, ms: for what people schedule */
	uint64_t	sysid;
	char		cluster_uuid[HA_UUID_SIZE]; /* of the cluster that this node
											 * joined; '' = none, or not told */
	HaRole		role;
	uint32_t	timeline;
	int32_t		nancestors;		/* what that timeline descends from, oldest */
	HaTimeline	ancestors[HA_MAX_LINEAGE];	/* first, owners not filled in */
	uint64_t	flush_lsn;		/* standby: received and flushed, or replayed
								 * if that is more; primary: flushed */
	uint64_t	replay_lsn;
	bool		has_boot;		/* a live pg_ha_boot is there to act for us */
	char		boot_version[HA_VERSION_SIZE];	/* ... of that version */
	bool		time_jumped;	/* this cycle follows a gap of unknown length */
	bool		stopping;		/* the server is shutting down */
	int64_t		starting_since; /* when this server was first seen */
	int64_t		replay_moved_at;	/* when replay_lsn was last seen to change */

	/* health, of the checks that gate the lease */
	int64_t		sick_since;		/* since when one fails; 0 = all are well */
	char		sick_check[HA_NAME_SIZE];	/* which, and what is wrong */
	char		sick_detail[HA_WHY_SIZE];
	int64_t		health_grace;	/* for so long a leader bears with that */
	bool		giving_up;		/* the last plan was to give up for it */

	/* standby */
	char		follows[HA_NAME_SIZE];	/* whom primary_conninfo in force
										 * names */
	char		avoids[HA_NAME_SIZE];	/* a member from which nothing came
										 * when it was followed; '' = none */
	int64_t		source_since;	/* when the member that this one should stream
								 * from became good; 0 = it is not */
	bool		detached;		/* startup has applied an empty
								 * primary_conninfo and the walreceiver is
								 * gone (S-2) */
	bool		replaying;		/* WAL that was here when the server started
								 * is not replayed to its end: flush_lsn is
								 * less than what is here, so not final (S-2) */
	uint64_t	line_begins_at; /* where the newest timeline begins that
								 * recovery is on the way to; short of it a
								 * promotion would branch off from what is not
								 * here */
	bool		promoting;		/* the promote signal was given */
	int64_t		promoting_since;
	bool		streaming;		/* a walreceiver is connected */

	/* primary */
	bool		names_written;	/* by this life of the worker; else they are
								 * what the file said at start, and whether
								 * everybody has read that is not known */
	bool		names_in_force; /* every process that reads them has applied
								 * sync_names (S-4) */
	int32_t		nsync_names;
	int32_t		sync_confirm;	/* how many of them must confirm a commit */
	char		sync_names[HA_MAX_MEMBERS][HA_NAME_SIZE];
	uint64_t	names_lsn;		/* flush LSN read after they came in force */

	/* a hand-over to another member, as handover.c does it */
	bool		can_freeze;		/* the WAL of this server can be stopped */
	int64_t		prepared_for;	/* mod_revision of the wish that a checkpoint
								 * was made for; 0 = none */
	int64_t		prepared_at;
	uint64_t	prepared_lsn;	/* ... and where the WAL ended then */
	int64_t		refused;		/* mod_revision of the last wish that could
								 * not be met, and why; 0 = none */
	char		refused_why[HA_WHY_SIZE];
	int64_t		held_since;		/* commits are held back; 0 = they are not */
	bool		drained;		/* ... and none is under way any more */
	int64_t		frozen_since;	/* the WAL stands still; 0 = it does not */
	uint64_t	frozen_lsn;		/* nothing was or will be written beyond */

	uint64_t	recovered_lsn;	/* where crash recovery of a primary ended:
								 * some of it may never have been confirmed
								 * (S-17); 0 = this server was promoted, or is
								 * new */
	int32_t		nstandbys;
	HaStandby	standbys[HA_MAX_MEMBERS];

	/* leader: its book of slots */
	HaSlotBook	slots;

	/* tags */
	bool		nofailover;
	int32_t		failover_priority;
	bool		nostream;
	char		replicatefrom[HA_NAME_SIZE];

	/* from lease.c: what is proven, and when things were seen */
	int64_t		lease_id;		/* own lease; 0 = none */
	bool		holding;		/* the leader key was proven ours and nothing
								 * has told otherwise since */
	bool		reassert;		/* a txn on it is out with unknown outcome:
								 * the key must be re-put before it counts
								 * (S-6) */
	int64_t		put_at;			/* when the store was last asked for a write
								 * that it carried out; 0 = never (S-14) */
	bool		reign_checked;	/* nobody led between our last proof and our
								 * acquiring the key again (S-5) */
	bool		reign_lost;		/* somebody did, or may have: never lead again
								 * before a restart */
	int64_t		deadline;		/* commits are fenced from here on; 0 = fenced */
	int64_t		heartbeat_seen_at;	/* when the current heartbeat was first
									 * seen */
	int64_t		heartbeat_ttl;	/* the largest TTL that its term announced */
	int64_t		key_gone_since; /* when the key was first seen gone; 0 = not */
	bool		patroni_seen;	/* a member of Patroni was there in this life
								 * of the worker (S-11) */
	bool		led_since;		/* ... and led in the present term, unrecorded */
	int32_t		npeers;
	HaPeer		peers[HA_MAX_MEMBERS];	/* members of Patroni; also those who
										 * were there while somebody led last */
	bool		blind;			/* had no contact itself when it vanished
								 * (S-5) */
	int64_t		stay_out_until; /* does not stand before: a promotion failed */
	int64_t		wish_seen_at;	/* when the present /failover was first seen */
	int64_t		handed_over_at; /* the key was given up for a certain member,
								 * and has not been ours since; 0 = no */
	bool		op_in_flight;	/* a txn of ours has no answer yet */
	bool		vote_pending;	/* our last vote is not in the view */
	bool		vote_unknown;	/* ... and may land at any time: it must be
								 * withdrawn before we follow again */
	bool		sync_pending;	/* our last write of /sync is not in the view */
	bool		sync_unknown;	/* ... and may land at any time: /sync must be
								 * re-put before the names change */
	bool		bid;			/* a vote or an acquiring txn of ours stands,
								 * or may yet land, in the present term */
	bool		failsafe_active;	/* the deadline rests on promises, not on
									 * the store */

	/* from the control block (S-9) */
	bool		promises_known; /* it remembered them when the worker began */
	char		promised_to[HA_NAME_SIZE];
	int64_t		promised_until; /* 0 = never promised */
	int64_t		promised_term;	/* in which the leader that asked ... */
	uint64_t	promised_lsn;	/* ... told us to be so far */
} HaLocal;

typedef enum HaVerb
{
	HA_WAIT,					/* nothing to do but look again */
	HA_ACQUIRE,					/* take the leader key in the guarded txn of
								 * S-1 */
	HA_REASSERT,				/* re-put our own key, so that a txn of ours
								 * with unknown outcome can't land any more */
	HA_CONFIRM,					/* promoted: record the real timeline, then
								 * lead */
	HA_RENEW,					/* leading: prove it every ttl/5 */
	HA_SUSPEND,					/* leader unproven: fenced, but nothing is
								 * lost */
	HA_RELEASE,					/* give the key up; gate closed before */
	HA_GIVE_UP,					/* sick: renew the lease no more, let
								 * pg_ha_boot stop the server and release */
	HA_DETACH,					/* stop the walreceiver, for a vote or because
								 * no proven leader is there to follow */
	HA_VOTE,					/* publish the final position */
	HA_WITHDRAW,				/* void the vote before following again */
	HA_PROMOTE,					/* key is ours, term recorded: leave recovery */
	HA_FOLLOW,					/* stream from plan.follow; from nobody if
								 * that is '' */
	HA_FOLLOW_SOURCE,			/* stream from where a standby cluster's WAL
								 * comes from */
	HA_DEMOTE,					/* come back as standby (pg_ha_boot restarts) */
	HA_SWITCHOVER,				/* stop cleanly, release to plan.follow */
	HA_PREPARE,					/* leading: a checkpoint before a hand-over */
	HA_HOLD,					/* leading: let commits wait, so that those
								 * under way end */
	HA_FREEZE,					/* gate closed: stop the WAL, and let
								 * plan.follow get the last of it */
	HA_HAND_OVER,				/* ... which it has: release the key to it */
	HA_YIELD,					/* it leads: end this server, whose WAL must
								 * not grow, and come back as standby */
	HA_TESTIFY,					/* record the reign of a member of Patroni */
	HA_REWIND,					/* diverged: rewind, or clone if that can't be */
	HA_CLEAR_FAILOVER,			/* the operator's wish can't be met: say so */
	HA_SET_FAILOVER,			/* it is due: name plan.follow in it, and drop
								 * its time */
	HA_SET_SYNC,				/* write /sync := plan.sync */
	HA_SET_NAMES,				/* synchronous_standby_names := plan.names */
	HA_STOP,					/* this server must not run in this cluster */
} HaVerb;

/* What ha_decide wants done now, why, and when to look again at the latest. */
typedef struct HaPlan
{
	HaVerb		verb;
	char		why[HA_WHY_SIZE];
	bool		lead;			/* the gate may be open: commits are allowed
								 * up to the proven deadline */
	int64_t		wake_at;		/* 0 = at the next event or read */
	char		follow[HA_NAME_SIZE];
	bool		cascade;		/* FOLLOW: that is not the leader */
	bool		resume;			/* ACQUIRE by the node that led last */
	bool		ask;			/* WAIT: until members of Patroni have said
								 * how far they are */
	bool		looks_only;		/* WAIT: nothing is written, not even what is
								 * due */
	bool		aside;			/* WAIT: without a leader, and not to be one:
								 * nobody need wait for us */
	uint64_t	leaves_to;		/* WAIT: ... now, but one that is so far; 0 =
								 * nobody is waited for */

	/* VOTE: the position to publish */
	uint32_t	timeline;
	uint64_t	lsn;

	/* ACQUIRE: the timeline id to reserve, and the votes that were counted */
	uint32_t	reserve;
	int32_t		ncounted;
	int32_t		counted[HA_MAX_MEMBERS];	/* indexes into view.votes */

	/* SET_SYNC and SET_NAMES, the same names for either */
	int32_t		quorum;			/* SET_SYNC */
	int32_t		confirm;		/* SET_NAMES: so many of them must */
	bool		any;			/* ... whichever they are */
	int32_t		nnames;
	char		names[HA_MAX_MEMBERS][HA_NAME_SIZE];
	bool		sync_on;		/* false: delete /sync, the mode is off */
} HaPlan;

/*-------------------------------------------------------------------------
 * cluster.c: looking things up in it
 *-------------------------------------------------------------------------
 */

/* NULL = there is no such member. */
extern const HaMember *ha_find_member(const HaView *view, const char *name);

/* NULL = it has given none. */
extern const HaVote *ha_find_vote(const HaView *view, const char *name);

/* Is it among the standbys that /sync lists? */
extern bool ha_is_in_sync(const HaSync *sync, const char *name);

/* Is that the record of a reign of that member, as a member of ours? */
extern bool ha_term_is_of(const HaTerm *term, const char *name);

/*
 * Who promoted to a timeline ('' = nobody knows), in the record's memory; NULL = it
 * is not in the record.
 */
extern const char *ha_timeline_owner(const HaTerm *term, uint32_t timeline);

#endif							/* HA_CLUSTER_H */
