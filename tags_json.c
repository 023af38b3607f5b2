/*-------------------------------------------------------------------------
 *
 * tags_json.c
 *	  The tags of a member: as a node file has them, as others read them, and as
 *	  people do.
 *
 * Those that pg_ha acts on have fields of their own in HaMember.  All others are
 * the user's: they are kept as JSON and passed on, for whoever asks over HTTP or
 * looks at the members.  There is one reader: what stands in the node file is made
 * an object first, of the types that Patroni would have.
 *
 * What is read may be hostile.  Of the user's tags only those are kept that nobody
 * can be hurt by: a plain name, and a number, a switch or printable text.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_guard.h"
#include "key_json.h"
#include "names.h"
#include "tags_json.h"

#define LENGTH_OF(array)	(sizeof(array) / sizeof((array)[0]))
#define TEXT_SIZE			1024
#define PRIORITY_LIMIT		1000000

typedef struct Tag
{
	const char *name;
	size_t		offset;			/* in HaMember */
	bool		refuses;		/* a switch that can't be read is on, since
								 * the operator meant something by it */
} Tag;

static const Tag switches[] = {
	{"nofailover", offsetof(HaMember, nofailover), true},
	{"nosync", offsetof(HaMember, nosync), true},
	{"nostream", offsetof(HaMember, nostream), true},
	{"noloadbalance", offsetof(HaMember, noloadbalance), true},
	{"clonefrom", offsetof(HaMember, clonefrom), false},
};

/* 1 is the default, what is not above 0 means never. */
static const Tag priorities[] = {
	{"failover_priority", offsetof(HaMember, failover_priority)},
	{"sync_priority", offsetof(HaMember, sync_priority)},
};

/* Each HA_NAME_SIZE long */
static const Tag names[] = {
	{"replicatefrom", offsetof(HaMember, replicatefrom)},
	{"site", offsetof(HaMember, site)},
};

static const Tag *
find_tag(const Tag *tags, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
	{
		if (strcmp(tags[i].name, name) == 0)
			return &tags[i];
	}
	return NULL;
}

#define FIND_TAG(tags, name)	find_tag(tags, LENGTH_OF(tags), name)

#define SWITCH_OF(member, tag)	((bool *) ((char *) (member) + (tag)->offset))
#define PRIORITY_OF(member, tag) \
	((int32_t *) ((char *) (member) + (tag)->offset))
#define NAME_OF(member, tag)	((char *) (member) + (tag)->offset)

static bool
is_plain_name(const char *name)
{
	size_t		length = strspn(name, "abcdefghijklmnopqrstuvwxyz"
								"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

	return length > 0 && length < HA_NAME_SIZE && name[length] == '\0';
}

static bool
is_printable(const char *text)
{
	while (*text >= ' ' && *text <= '~')
		text++;
	return *text == '\0';
}

/*-------------------------------------------------------------------------
 * From JSON
 *-------------------------------------------------------------------------
 */

static bool
is_harmless(const char *name, json_t *value)
{
	return is_plain_name(name) &&
		(json_is_boolean(value) || json_is_number(value) ||
		 (json_is_string(value) && is_printable(json_string_value(value))));
}

static bool
is_known(const char *name)
{
	return FIND_TAG(switches, name) != NULL ||
		FIND_TAG(priorities, name) != NULL || FIND_TAG(names, name) != NULL;
}

/* The user's own, all or none.  Returns false if they are too long. */
static bool
read_others(json_t *tags, HaMember *member)
{
	json_t	   *others = ha_json_object();
	char	   *text = NULL;
	const char *name;
	json_t	   *value;
	bool		ok = true;

	json_object_foreach(tags, name, value)
	{
		if (!is_known(name) && is_harmless(name, value))
			json_object_set(others, name, value);
	}
	if (json_object_size(others) > 0)
	{
		text = json_dumps(others, JSON_COMPACT | JSON_SORT_KEYS);
		ok = text != NULL && strlen(text) < sizeof(member->other_tags);
		if (ok)
			memcpy(member->other_tags, text, strlen(text) + 1);
	}
	free(text);
	json_decref(others);
	return ok;
}

static bool
read_known(const char *name, json_t *value, HaMember *member)
{
	const Tag  *tag;

	if ((tag = FIND_TAG(switches, name)) != NULL)
	{
		*SWITCH_OF(member, tag) = tag->refuses;
		return ha_json_switch(value, SWITCH_OF(member, tag));
	}
	if ((tag = FIND_TAG(priorities, name)) != NULL)
	{
		json_int_t	number = json_integer_value(value);

		if (!json_is_integer(value) || number < INT32_MIN ||
			number > INT32_MAX)
			return false;
		*PRIORITY_OF(member, tag) = (int32_t) number;
	}
	else if ((tag = FIND_TAG(names, name)) != NULL)
	{
		const char *text = json_string_value(value);

		if (text == NULL || (text[0] != '\0' && !ha_name_is_valid(text)))
			return false;
		memcpy(NAME_OF(member, tag), text, strlen(text) + 1);
	}
	return true;
}

bool
ha_tags_read(json_t *tags, HaMember *member)
{
	const char *name;
	json_t	   *value;
	bool		ok = tags == NULL || json_is_object(tags);

	for (size_t i = 0; i < LENGTH_OF(switches); i++)
		*SWITCH_OF(member, &switches[i]) = false;
	for (size_t i = 0; i < LENGTH_OF(priorities); i++)
		*PRIORITY_OF(member, &priorities[i]) = 1;
	for (size_t i = 0; i < LENGTH_OF(names); i++)
		memset(NAME_OF(member, &names[i]), 0, HA_NAME_SIZE);
	memset(member->other_tags, 0, sizeof(member->other_tags));

	json_object_foreach(tags, name, value)
	{
		if (!json_is_null(value) && !read_known(name, value, member))
			ok = false;
	}
	(void) read_others(tags, member);

	/* whoever has its WAL from the archive can't confirm any, and lags */
	if (member->nostream)
		member->nofailover = member->nosync = true;
	return ok;
}

/*-------------------------------------------------------------------------
 * From the node file
 *-------------------------------------------------------------------------
 */

typedef struct Faults
{
	HaTagFault	tell;
	void	   *arg;
	int			n;
} Faults;

static void fault(Faults *faults, const char *hint, const char *fmt,...)
			__attribute__((format(printf, 3, 4)));

static void
fault(Faults *faults, const char *hint, const char *fmt,...)
{
	char		message[2 * TEXT_SIZE];
	va_list		args;

	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	faults->n++;
	if (faults->tell != NULL)
		faults->tell(faults->arg, message, hint);
}

/* Cut blanks off both ends, in place. */
static char *
trim(char *text)
{
	size_t		n;

	text += strspn(text, " \t");
	n = strlen(text);
	while (n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t'))
		text[--n] = '\0';
	return text;
}

/* A value as YAML would read it; none at all is true. */
static json_t *
typed_value(const char *text)
{
	char	   *end;
	long long	number;

	if (text[0] == '\0' || strcmp(text, "true") == 0)
		return json_true();
	if (strcmp(text, "false") == 0)
		return json_false();
	errno = 0;
	number = strtoll(text, &end, 10);
	if (*end == '\0' && errno == 0)
		return json_integer(number);
	return json_string(text);
}

static bool
is_priority(const char *text)
{
	char	   *end;
	long		number;

	errno = 0;
	number = strtol(text, &end, 10);
	return text[0] != '\0' && *end == '\0' && errno == 0 &&
		number >= -PRIORITY_LIMIT && number <= PRIORITY_LIMIT;
}

/* One "key" or "key = value", checked, into the object. */
static void
parse_tag(const char *key, const char *value, json_t *tags, Faults *faults)
{
	if (!is_plain_name(key))
		fault(faults, "Write: 'tag, tag = value, ...'.",
			  "\"%s\" is not the name of a tag", key);
	else if (FIND_TAG(priorities, key) != NULL && !is_priority(value))
		fault(faults, "Higher is preferred, 1 is the default, 0 is never.",
			  "the tag \"%s\" needs a whole number", key);
	else if (FIND_TAG(switches, key) != NULL && value[0] != '\0' &&
			 strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		fault(faults, "Write it alone, or with true or false.",
			  "\"%s\" is no value for the tag \"%s\"", value, key);
	else if (FIND_TAG(names, key) != NULL && !ha_name_is_valid(value))
		fault(faults, "A name is 1 to 63 of A-Z a-z 0-9 _ . -",
			  "\"%s\" is no value for the tag \"%s\"", value, key);
	else if (!is_printable(value))
		fault(faults, "Use printable ASCII.",
			  "the value of the tag \"%s\" can't be passed on", key);
	else
		json_object_set_new(tags, key, FIND_TAG(names, key) != NULL ?
							json_string(value) : typed_value(value));
}

bool
ha_tags_parse(const char *text, HaMember *member, HaTagFault tell, void *arg)
{
	Faults		faults = {.tell = tell,.arg = arg};
	json_t	   *tags = ha_json_object();
	char		list[TEXT_SIZE];
	char	   *rest = list;
	char	   *tag;

	if (strlen(text) >= sizeof(list))
		fault(&faults, "Use fewer of them.", "the tags are too long");
	snprintf(list, sizeof(list), "%s", faults.n == 0 ? text : "");
	while ((tag = strsep(&rest, ",")) != NULL)
	{
		char	   *value = tag;
		char	   *key = trim(strsep(&value, "="));

		if (key[0] != '\0' || value != NULL)
			parse_tag(key, value != NULL ? trim(value) : "", tags, &faults);
	}
	(void) ha_tags_read(tags, member);
	if (!read_others(tags, member))
		fault(&faults, "Use fewer or shorter ones.",
			  "tags of your own may take %d characters as JSON",
			  HA_TAGS_SIZE - 1);
	json_decref(tags);
	return faults.n == 0;
}

/*-------------------------------------------------------------------------
 * For others
 *-------------------------------------------------------------------------
 */

/* A new object, empty if there are none. */
static json_t *
other_tags(const HaMember *member)
{
	json_t	   *others = ha_json_load(member->other_tags,
									  strlen(member->other_tags));

	if (json_is_object(others))
		return others;
	json_decref(others);
	return ha_json_object();
}

json_t *
ha_tags_json(const HaMember *member)
{
	json_t	   *tags = other_tags(member);

	for (size_t i = 0; i < LENGTH_OF(switches); i++)
	{
		if (*SWITCH_OF(member, &switches[i]))
			json_object_set_new(tags, switches[i].name, json_true());
	}
	for (size_t i = 0; i < LENGTH_OF(priorities); i++)
	{
		if (*PRIORITY_OF(member, &priorities[i]) != 1)
			json_object_set_new(tags, priorities[i].name,
								json_integer(*PRIORITY_OF(member, &priorities[i])));
	}
	for (size_t i = 0; i < LENGTH_OF(names); i++)
	{
		if (NAME_OF(member, &names[i])[0] != '\0')
			json_object_set_new(tags, names[i].name,
								json_string(NAME_OF(member, &names[i])));
	}
	return tags;
}

/* "key", "key=2", "key=word" */
static void
one_text(const char *name, json_t *value, char *text, size_t size)
{
	char	   *json;

	if (json_is_true(value))
		snprintf(text, size, "%s", name);
	else if (json_is_string(value))
		snprintf(text, size, "%s=%s", name, json_string_value(value));
	else
	{
		json = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
		snprintf(text, size, "%s=%s", name, json != NULL ? json : "");
		free(json);
	}
}

void
ha_tags_text(const HaMember *member, char *text, size_t size)
{
	json_t	   *tags = ha_tags_json(member);
	const char *name;
	json_t	   *value;
	size_t		used = 0;

	text[0] = '\0';
	json_object_foreach(tags, name, value)
	{
		char		one[TEXT_SIZE];
		size_t		length;

		one_text(name, value, one, sizeof(one));
		length = strlen(one) + (used > 0 ? 2 : 0);
		if (used + length < size)
		{
			snprintf(text + used, size - used, "%s%s", used > 0 ? ", " : "",
					 one);
			used += length;
		}
	}
	json_decref(tags);
}
