/*-------------------------------------------------------------------------
 *
 * slots_json.c
 *	  What stands in the store about replication slots, to and from JSON.
 *
 * Plain C and jansson.  Slot names, databases and plugins that come from the store
 * become arguments of functions, never parts of a command.
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "json_build.h"
#include "json_guard.h"
#include "names.h"
#include "slots_json.h"

#define YEAR_MS				(365 * INT64_C(86400000))

#define LENGTH_OF(array)	(sizeof(array) / sizeof((array)[0]))

typedef struct Unit
{
	const char *name;
	double		factor;
} Unit;

/* PostgreSQL's, which are Patroni's too. */
static const Unit durations[] = {
	{"", 1000}, {"us", 0.001}, {"ms", 1}, {"s", 1000}, {"min", 60000},
	{"h", 3600000}, {"d", 86400000},
};

static const Unit sizes[] = {
	{"", 1}, {"B", 1}, {"kB", 1024}, {"MB", 1048576}, {"GB", 1073741824},
	{"TB", 1099511627776.0},
};

/*-------------------------------------------------------------------------
 * /config
 *-------------------------------------------------------------------------
 */

/* A number, or a text of a number and a unit. */
static bool
read_quantity(json_t *value, const Unit *units, size_t nunits, double max,
			  int64_t *out)
{
	const char *text = json_string_value(value);
	double		number = json_number_value(value);
	char	   *end = NULL;

	if (text != NULL)
	{
		size_t		unit = 0;

		if (strspn(text, "0123456789.") == 0)
			return false;
		number = strtod(text, &end);
		end += strspn(end, " ");
		while (unit < nunits && strcmp(units[unit].name, end) != 0)
			unit++;
		if (unit == nunits)
			return false;
		number *= units[unit].factor;
	}
	else if (json_is_number(value))
		number *= units[0].factor;
	else
		return false;
	if (!(number >= 0 && number <= max))
		return false;
	*out = (int64_t) (number + 0.5);
	return true;
}

static bool
parse_limits(json_t *json, HaConfig *config, char *err, size_t errlen)
{
	json_t	   *ttl = json_object_get(json, "member_slots_ttl");
	json_t	   *max_wal = json_object_get(json, "member_slots_max_wal");

	if (ttl != NULL && !json_is_null(ttl) &&
		!read_quantity(ttl, durations, LENGTH_OF(durations), YEAR_MS,
					   &config->member_slots_ttl))
		return fail(err, errlen, "\"member_slots_ttl\" must be a number of "
					"seconds, or a time such as \"30min\", up to a year");
	if (max_wal != NULL && !json_is_null(max_wal) &&
		!read_quantity(max_wal, sizes, LENGTH_OF(sizes), 1e18,
					   &config->member_slots_max_wal))
		return fail(err, errlen, "\"member_slots_max_wal\" must be a number "
					"of bytes, or a size such as \"10GB\"");
	return true;
}

static bool
is_slot_name(const char *name)
{
	size_t		length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return length > 0 && length < HA_NAME_SIZE && name[length] == '\0';
}

/* The library of an output plugin is named like a slot, never by a path. */
static bool
read_plugin(json_t *value, char *out)
{
	const char *name = json_string_value(value);

	if (value == NULL || json_is_null(value))
		return true;
	if (name == NULL || !is_slot_name(name))
		return false;
	memcpy(out, name, strlen(name) + 1);
	return true;
}

/* A text that fits, if there is one: printable, so that it can be shown. */
static bool
read_text(json_t *value, char *out)
{
	const char *text = json_string_value(value);

	if (value == NULL || json_is_null(value))
		return true;
	if (text == NULL || text[0] == '\0' ||
		json_string_length(value) >= HA_NAME_SIZE)
		return false;
	for (const char *p = text; *p != '\0'; p++)
	{
		if ((unsigned char) *p < ' ' || *p == 0x7f)
			return false;
	}
	memcpy(out, text, strlen(text) + 1);
	return true;
}

/* "type", "database" and "plugin" of either list. */
static bool
read_spec(json_t *json, HaSlotSpec *spec)
{
	json_t	   *type = json_object_get(json, "type");
	const char *word = json_string_value(type);

	if (word != NULL && strcmp(word, "physical") == 0)
		spec->kind = HA_SLOT_PHYSICAL;
	else if (word != NULL && strcmp(word, "logical") == 0)
		spec->kind = HA_SLOT_LOGICAL;
	else if (type != NULL && !json_is_null(type))
		return false;
	return read_text(json_object_get(json, "database"), spec->database) &&
		read_plugin(json_object_get(json, "plugin"), spec->plugin);
}

/* Like Patroni, what says nothing of a database is physical. */
static bool
read_permanent(const char *name, json_t *value, HaSlotSpec *spec)
{
	memcpy(spec->name, name, strlen(name) + 1);
	if (!json_is_null(value) &&
		(!json_is_object(value) || !read_spec(value, spec)))
		return false;
	if (spec->kind == HA_SLOT_ANY)
		spec->kind = spec->database[0] != '\0' && spec->plugin[0] != '\0' ?
			HA_SLOT_LOGICAL : HA_SLOT_PHYSICAL;
	return spec->kind == HA_SLOT_PHYSICAL ||
		(spec->database[0] != '\0' && spec->plugin[0] != '\0');
}

static int
compare_specs(const void *a, const void *b)
{
	return strcmp(((const HaSlotSpec *) a)->name,
				  ((const HaSlotSpec *) b)->name);
}

static bool
parse_permanent(json_t *json, HaConfig *config, char *err, size_t errlen)
{
	/* the first of Patroni's names that is given counts */
	static const char *const keys[] = {
		"permanent_replication_slots", "permanent_slots", "slots"
	};
	const char *key = NULL;
	json_t	   *slots = NULL;
	const char *name;
	json_t	   *value;

	for (size_t i = 0; i < LENGTH_OF(keys) && slots == NULL; i++)
	{
		key = keys[i];
		slots = json_object_get(json, key);
		if (json_is_null(slots))
			slots = NULL;
	}
	if (slots == NULL)
		return true;
	if (!json_is_object(slots) ||
		json_object_size(slots) > HA_MAX_SLOT_SPECS)
		return fail(err, errlen, "\"%s\" must be an object of at most %d "
					"slots", key, HA_MAX_SLOT_SPECS);
	json_object_foreach(slots, name, value)
	{
		if (!is_slot_name(name))
			return fail(err, errlen, "\"%s\": \"%.64s\" is not a slot name "
						"(lower case letters, digits, _)", key, name);
		if (!read_permanent(name, value,
							&config->permanent[config->npermanent++]))
			return fail(err, errlen, "\"%s\": slot \"%s\" must be of type "
						"physical, or logical with database and plugin", key,
						name);
	}
	qsort(config->permanent, config->npermanent, sizeof(HaSlotSpec),
		  compare_specs);
	return true;
}

static bool
parse_ignored(json_t *json, HaConfig *config, char *err, size_t errlen)
{
	json_t	   *list = json_object_get(json, "ignore_slots");
	json_t	   *value;
	size_t		i;

	if (list == NULL || json_is_null(list))
		return true;
	if (!json_is_array(list) || json_array_size(list) > HA_MAX_SLOT_SPECS)
		return fail(err, errlen, "\"ignore_slots\" must be an array of at "
					"most %d objects", HA_MAX_SLOT_SPECS);
	json_array_foreach(list, i, value)
	{
		HaSlotSpec *spec = &config->ignored[config->nignored++];

		if (!json_is_object(value) ||
			!read_text(json_object_get(value, "name"), spec->name) ||
			!read_spec(value, spec) ||
			(spec->name[0] == '\0' && spec->kind == HA_SLOT_ANY &&
			 spec->database[0] == '\0' && spec->plugin[0] == '\0'))
			return fail(err, errlen, "each of \"ignore_slots\" must be an "
						"object with name, type, database or plugin");
	}
	return true;
}

void
ha_slots_config_defaults(HaConfig *config)
{
	config->member_slots_ttl = 30 * 60000;
}

bool
ha_slots_config_parse(json_t *json, HaConfig *config, char *err, size_t errlen)
{
	return parse_limits(json, config, err, errlen) &&
		parse_permanent(json, config, err, errlen) &&
		parse_ignored(json, config, err, errlen);
}

/*-------------------------------------------------------------------------
 * /status
 *-------------------------------------------------------------------------
 */

/*
 * Patroni lists slots that we have no use for, so what is too much is passed
 * over.
 */
static bool
parse_positions(json_t *slots, HaSlotBook *book)
{
	const char *name;
	json_t	   *value;

	if (slots == NULL || json_is_null(slots))
		return true;
	if (!json_is_object(slots))
		return false;
	json_object_foreach(slots, name, value)
	{
		HaSlotPosition *position = &book->positions[book->npositions];

		if (!is_slot_name(name) || !json_is_integer(value) ||
			json_integer_value(value) < 0)
			return false;
		if (book->npositions == HA_MAX_POSITIONS)
			continue;
		memcpy(position->name, name, strlen(name) + 1);
		position->lsn = (uint64_t) json_integer_value(value);
		book->npositions++;
	}
	return true;
}

/* A list of members that is not whole would be no reason to drop a slot. */
static bool
parse_known(json_t *members, HaSlotBook *book)
{
	const char *name;
	json_t	   *value;

	if (members == NULL || json_is_null(members))
		return true;
	if (!json_is_object(members) || json_object_size(members) > HA_MAX_KNOWN)
		return false;
	json_object_foreach(members, name, value)
	{
		HaKnownMember *known = &book->members[book->nmembers++];

		if (!ha_name_is_valid(name) || !json_is_integer(value) ||
			json_integer_value(value) < 0 ||
			json_integer_value(value) > 2 * YEAR_MS)
			return false;
		memcpy(known->name, name, strlen(name) + 1);
		known->absent = json_integer_value(value);
	}
	book->known = true;
	return true;
}

bool
ha_slot_book_parse(json_t *status, HaSlotBook *book)
{
	memset(book, 0, sizeof(*book));
	if (parse_positions(json_object_get(status, "slots"), book) &&
		parse_known(json_object_get(status, "pg_ha_members"), book))
		return true;
	memset(book, 0, sizeof(*book));
	return false;
}

static json_t *
positions_json(const HaSlotBook *book)
{
	json_t	   *json = ha_json_object();

	for (int i = 0; i < book->npositions; i++)
		add(&json, book->positions[i].name, lsn_json(book->positions[i].lsn));
	return json;
}

/* Patroni's members read here whose slots are to stay. */
static json_t *
retained_json(const HaSlotBook *book)
{
	json_t	   *array = json_array();
	char		slot[HA_NAME_SIZE];

	for (int i = 0; i < book->nmembers; i++)
	{
		ha_slot_name(book->members[i].name, slot);
		if (json_array_append_new(array, json_string(slot)) != 0)
		{
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *
known_json(const HaSlotBook *book)
{
	json_t	   *json = ha_json_object();

	for (int i = 0; i < book->nmembers; i++)
		add(&json, book->members[i].name,
			json_integer(book->members[i].absent));
	return json;
}

char *
ha_status_json(uint64_t optime, const HaSlotBook *book)
{
	json_t	   *json = ha_json_object();

	add(&json, "optime", lsn_json(optime));
	if (book->npositions > 0)
		add(&json, "slots", positions_json(book));
	if (book->nmembers > 0)
		add(&json, "retain_slots", retained_json(book));
	if (book->known)
		add(&json, "pg_ha_members", known_json(book));
	return dump(json);
}

char *
ha_removed_json(const char *removed_by)
{
	json_t	   *json = ha_json_object();

	add(&json, "removed_by", json_string(removed_by));
	return dump(json);
}
