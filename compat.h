/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What PostgreSQL calls differently in its major versions, 15 to 18.
 *
 * Only names and signatures: where the meaning differs, the code that relies on
 * it says so.  Macros only, which need the headers that their users have anyway,
 * so the module and pg_ha_boot can share them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_COMPAT_H
#define HA_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "pg_ha needs PostgreSQL 15 or later"
#endif

/* 17: the same class of wait events, by another name. */
#if PG_VERSION_NUM >= 170000
#define PG_WAIT_BUFFER_PIN	PG_WAIT_BUFFERPIN
#endif

/* 18: before a declaration, not after it. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* 17: a PGPROC does not know its place in the array any more. */
#if PG_VERSION_NUM >= 170000
#define ha_proc_number()	MyProcNumber
#else
#define ha_proc_number()	(MyProc->pgprocno)
#endif

/*
 * 17: slots of the logical kind can be kept in step on a standby.  Ours are
 * physical and each standby has its own.
 */
#if PG_VERSION_NUM >= 170000
#define ha_slot_create(name) \
	ReplicationSlotCreate(name, false, RS_EPHEMERAL, false, false, false)
#define ha_slots_clean_up()	ReplicationSlotCleanup(false)
#else
#define ha_slot_create(name) \
	ReplicationSlotCreate(name, false, RS_EPHEMERAL, false)
#define ha_slots_clean_up()	ReplicationSlotCleanup()
#endif

/*
 * 17: a logical slot may be kept on standbys as well, by the server itself, and a
 * standby knows its copies.
 */
#if PG_VERSION_NUM >= 170000
#define HA_FAILOVER_ARGUMENT	", failover => true"
#define ha_slot_is_synced(slot)	((slot)->data.synced)
#define HA_SYNC_SLOTS_SETTINGS \
	"sync_replication_slots = on\nhot_standby_feedback = on\n"
#define HA_SYNC_SLOTS_DATABASE	"postgres"
#else
#define HA_FAILOVER_ARGUMENT	""
#define ha_slot_is_synced(slot)	false
#define HA_SYNC_SLOTS_SETTINGS	""
#define HA_SYNC_SLOTS_DATABASE	""
#endif

/* 17: a slot knows since when nobody uses it. */
#if PG_VERSION_NUM >= 170000
#define ha_slot_touch(slot, at)	((slot)->inactive_since = (at))
#else
#define ha_slot_touch(slot, at)	((void) (at))
#endif

/* 16: a slot tells why it has lost the WAL that it held. */
#if PG_VERSION_NUM >= 160000
#define ha_slot_is_invalid(slot)	((slot)->data.invalidated != RS_INVAL_NONE)
#else
#define ha_slot_is_invalid(slot) \
	((slot)->data.invalidated_at != InvalidXLogRecPtr)
#endif

/* 17: owned instead of allocated in a memory context; this one lives for ever. */
#if PG_VERSION_NUM >= 170000
#define ha_wait_event_set(nevents)	CreateWaitEventSet(NULL, nevents)
#else
#define ha_wait_event_set(nevents) \
	CreateWaitEventSet(TopMemoryContext, nevents)
#endif

/*
 * 16: what the server's reader of pg_hba.conf returns lives in a memory context that
 * opening a file makes and closing it deletes; any file will do.
 */
#if PG_VERSION_NUM >= 160000
#define ha_tokenizer_open(why_not) \
	open_auth_file("PG_VERSION", LOG, 0, why_not)
#define ha_tokenize_auth_file(name, stream, lines) \
	tokenize_auth_file(name, stream, lines, DEBUG5, 0)
#define ha_tokenizer_close(opened)	free_auth_file(opened, 0)
#else
#define ha_tokenizer_open(why_not) \
	AllocateFile("PG_VERSION", PG_BINARY_R)
#define ha_tokenize_auth_file(name, stream, lines) \
	((void) tokenize_auth_file(name, stream, lines, DEBUG5))
#define ha_tokenizer_close(opened)	FreeFile(opened)
#endif

/* 16: the hash is a parameter; 18: a salt is no text. */
#if PG_VERSION_NUM >= 160000
#define ha_scram_secret(salt, size, iterations, password, error) \
	scram_build_secret(PG_SHA256, SCRAM_SHA_256_KEY_LEN, \
					   (const void *) (salt), size, iterations, password, \
					   error)
#else
#define ha_scram_secret(salt, size, iterations, password, error) \
	scram_build_secret(salt, size, iterations, password, error)
#endif

#endif							/* HA_COMPAT_H */
