/*-------------------------------------------------------------------------
 *
 * patroni_yaml.c
 *	  YAML as a tree that knows where each value stands.
 *
 * The parser's events are taken one by one, so that the bounds hold while reading:
 * libyaml has none of its own.  An alias becomes a copy, each value of which counts.
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <yaml.h>

#include "patroni_yaml.h"

#define MAX_ANCHORS		64
#define TAG_PREFIX		"tag:yaml.org,2002:"

typedef struct Anchor
{
	char	   *name;
	const HaYaml *value;		/* complete, so it can't contain itself */
} Anchor;

typedef struct Reader
{
	yaml_parser_t parser;
	const char *source;
	int			nvalues;
	Anchor		anchors[MAX_ANCHORS];
	int			nanchors;
	HaYaml	   *merged;			/* the values of "<<", to which aliases may
								 * lead */
	char	   *err;
	size_t		errlen;
} Reader;

__attribute__((format(printf, 3, 4)))
static void
fail(Reader *reader, int line, const char *format,...)
{
	va_list		args;
	int			n;

	n = snprintf(reader->err, reader->errlen, line > 0 ? "%s:%d: " : "%s: ",
				 reader->source, line);
	if (n < 0 || (size_t) n >= reader->errlen)
		return;
	va_start(args, format);
	vsnprintf(reader->err + n, reader->errlen - (size_t) n, format, args);
	va_end(args);
}

/*-------------------------------------------------------------------------
 * The tree
 *-------------------------------------------------------------------------
 */

void
ha_yaml_free(HaYaml *yaml)
{
	while (yaml != NULL)
	{
		HaYaml	   *next = yaml->next;

		ha_yaml_free(yaml->first);
		free(yaml->source);
		free(yaml->key);
		free(yaml->text);
		free(yaml);
		yaml = next;
	}
}

static HaYaml *
make(HaYamlKind kind, const char *text, const char *source, int line)
{
	HaYaml	   *yaml = calloc(1, sizeof(HaYaml));

	if (yaml == NULL)
		return NULL;
	yaml->kind = kind;
	yaml->line = line;
	yaml->source = strdup(source);
	yaml->text = text != NULL ? strdup(text) : NULL;
	if (yaml->source != NULL && (yaml->text != NULL) == (text != NULL))
		return yaml;
	ha_yaml_free(yaml);
	return NULL;
}

HaYaml *
ha_yaml_scalar(const char *text, const char *source)
{
	HaYaml	   *yaml = make(HA_YAML_SCALAR, text, source, 0);

	if (yaml != NULL)
		yaml->plain = true;
	return yaml;
}

HaYaml *
ha_yaml_mapping(const char *source)
{
	return make(HA_YAML_MAPPING, NULL, source, 0);
}

static void
append(HaYaml *parent, HaYaml *child)
{
	child->next = NULL;
	if (parent->last != NULL)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
}

/* Take the member out of its mapping. */
static void
unlink_member(HaYaml *mapping, HaYaml *member)
{
	HaYaml	   *before = NULL;

	for (HaYaml *at = mapping->first; at != NULL && at != member; at = at->next)
		before = at;
	if (before != NULL)
		before->next = member->next;
	else
		mapping->first = member->next;
	if (mapping->last == member)
		mapping->last = before;
	member->next = NULL;
}

HaYaml *
ha_yaml_member(const HaYaml *mapping, const char *key)
{
	if (mapping == NULL || mapping->kind != HA_YAML_MAPPING)
		return NULL;
	for (HaYaml *at = mapping->first; at != NULL; at = at->next)
	{
		if (strcmp(at->key, key) == 0)
			return at;
	}
	return NULL;
}

/* Copy the path's first part; the rest of it, or NULL.  Longer ones name nothing. */
static const char *
first_part(const char *path, char *part, size_t size)
{
	size_t		n = strcspn(path, ".");

	snprintf(part, size, "%.*s", (int) n, path);
	return path[n] == '.' ? path + n + 1 : NULL;
}

HaYaml *
ha_yaml_find(const HaYaml *root, const char *path)
{
	char		part[128];
	HaYaml	   *found = NULL;

	do
	{
		path = first_part(path, part, sizeof(part));
		found = ha_yaml_member(root, part);
		root = found;
	} while (path != NULL && found != NULL);
	return found;
}

bool
ha_yaml_is_null(const HaYaml *yaml)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL"};

	if (yaml == NULL || yaml->kind != HA_YAML_SCALAR || !yaml->plain)
		return yaml == NULL;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		if (strcmp(yaml->text, words[i]) == 0)
			return true;
	}
	return false;
}

/* YAML 1.1, as Patroni reads it: yes and on are true. */
bool
ha_yaml_is_bool(const HaYaml *yaml, bool *value)
{
	static const char *const words[] = {
		"false", "true", "no", "yes", "off", "on"
	};

	if (yaml == NULL || yaml->kind != HA_YAML_SCALAR || !yaml->plain)
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		if (strcasecmp(yaml->text, words[i]) != 0)
			continue;
		*value = i % 2 == 1;
		return true;
	}
	return false;
}

void
ha_yaml_overlay(HaYaml *mapping, HaYaml *over)
{
	HaYaml	   *at = over->first;

	over->first = over->last = NULL;
	ha_yaml_free(over);
	while (at != NULL)
	{
		HaYaml	   *next = at->next;
		HaYaml	   *old = ha_yaml_member(mapping, at->key);

		if (old != NULL && old->kind == HA_YAML_MAPPING &&
			at->kind == HA_YAML_MAPPING)
		{
			at->next = NULL;
			ha_yaml_overlay(old, at);
			at = next;
			continue;
		}
		if (old != NULL)
		{
			unlink_member(mapping, old);
			ha_yaml_free(old);
		}
		at->next = NULL;
		if (ha_yaml_is_null(at))
			ha_yaml_free(at);
		else
			append(mapping, at);
		at = next;
	}
}

bool
ha_yaml_put(HaYaml *root, const char *path, HaYaml *value)
{
	char		part[128];
	HaYaml	   *over;

	if (value == NULL)
		return false;
	path = first_part(path, part, sizeof(part));
	if (path != NULL)
	{
		HaYaml	   *inner = ha_yaml_mapping(value->source);

		if (inner == NULL)
			ha_yaml_free(value);
		if (inner == NULL || !ha_yaml_put(inner, path, value))
		{
			ha_yaml_free(inner);
			return false;
		}
		value = inner;
	}
	over = ha_yaml_mapping(value->source);
	value->key = strdup(part);
	if (over == NULL || value->key == NULL)
	{
		ha_yaml_free(over);
		ha_yaml_free(value);
		return false;
	}
	append(over, value);
	ha_yaml_overlay(root, over);
	return true;
}

/*-------------------------------------------------------------------------
 * Reading
 *-------------------------------------------------------------------------
 */

static int
line_of(const yaml_event_t *event)
{
	return (int) event->start_mark.line + 1;
}

static bool
next_event(Reader *reader, yaml_event_t *event)
{
	const yaml_parser_t *parser = &reader->parser;

	if (yaml_parser_parse(&reader->parser, event))
		return true;

	/* Its words name syntax, never a value. */
	fail(reader, (int) parser->problem_mark.line + 1, "%s",
		 parser->problem != NULL ? parser->problem : "out of memory");
	return false;
}

/* One more value; NULL: there are too many, or no memory. */
static HaYaml *
count(Reader *reader, HaYaml *yaml, int line)
{
	if (yaml == NULL)
		fail(reader, line, "out of memory");
	else if (++reader->nvalues > HA_YAML_MAX_VALUES)
		fail(reader, line, "there are more than %d values, counting what aliases repeat",
			 HA_YAML_MAX_VALUES);
	else
		return yaml;
	ha_yaml_free(yaml);
	return NULL;
}

static HaYaml *
copy(Reader *reader, const HaYaml *from, int line)
{
	HaYaml	   *yaml;

	yaml = count(reader, make(from->kind, from->text, from->source, from->line),
				 line);
	if (yaml == NULL)
		return NULL;
	yaml->plain = from->plain;
	yaml->key = from->key != NULL ? strdup(from->key) : NULL;
	if ((yaml->key != NULL) != (from->key != NULL))
	{
		fail(reader, line, "out of memory");
		ha_yaml_free(yaml);
		return NULL;
	}
	for (const HaYaml *at = from->first; at != NULL; at = at->next)
	{
		HaYaml	   *child = copy(reader, at, line);

		if (child == NULL)
		{
			ha_yaml_free(yaml);
			return NULL;
		}
		append(yaml, child);
	}
	return yaml;
}

static HaYaml *
read_alias(Reader *reader, const yaml_event_t *event)
{
	const char *name = (const char *) event->data.alias.anchor;

	for (int i = reader->nanchors - 1; i >= 0; i--)
	{
		HaYaml	   *yaml;

		if (strcmp(reader->anchors[i].name, name) != 0)
			continue;
		yaml = copy(reader, reader->anchors[i].value, line_of(event));
		if (yaml != NULL)
		{
			free(yaml->key);	/* that of the original */
			yaml->key = NULL;
		}
		return yaml;
	}
	fail(reader, line_of(event), "alias \"%.64s\" names nothing that stands before it",
		 name);
	return NULL;
}

static bool
note_anchor(Reader *reader, const yaml_char_t *name, const HaYaml *yaml)
{
	if (name == NULL)
		return true;
	if (reader->nanchors == MAX_ANCHORS)
	{
		fail(reader, yaml->line, "there are more than %d anchors", MAX_ANCHORS);
		return false;
	}
	reader->anchors[reader->nanchors].name = strdup((const char *) name);
	if (reader->anchors[reader->nanchors].name == NULL)
	{
		fail(reader, yaml->line, "out of memory");
		return false;
	}
	reader->anchors[reader->nanchors++].value = yaml;
	return true;
}

/* Objects of Python and the like are not for a configuration. */
static bool
tag_is_fine(Reader *reader, const yaml_char_t *tag, int line)
{
	static const char *const fine[] = {
		"str", "int", "float", "bool", "null", "map", "seq"
	};
	const char *name = (const char *) tag;

	if (name == NULL || strcmp(name, "!") == 0)
		return true;
	if (strncmp(name, TAG_PREFIX, strlen(TAG_PREFIX)) == 0)
	{
		for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
		{
			if (strcmp(name + strlen(TAG_PREFIX), fine[i]) == 0)
				return true;
		}
	}
	fail(reader, line, "tag \"%.64s\" is not supported", name);
	return false;
}

static HaYaml *
read_scalar(Reader *reader, const yaml_event_t *event)
{
	const char *text = (const char *) event->data.scalar.value;
	const yaml_char_t *tag = event->data.scalar.tag;
	HaYaml	   *yaml;

	if (!tag_is_fine(reader, tag, line_of(event)))
		return NULL;
	if (strlen(text) != event->data.scalar.length)
	{
		fail(reader, line_of(event), "a value contains a zero byte");
		return NULL;
	}
	yaml = count(reader, make(HA_YAML_SCALAR, text, reader->source,
							  line_of(event)), line_of(event));
	if (yaml == NULL)
		return NULL;
	yaml->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
		(tag == NULL || strcmp((const char *) tag, TAG_PREFIX "str") != 0);
	if (note_anchor(reader, event->data.scalar.anchor, yaml))
		return yaml;
	ha_yaml_free(yaml);
	return NULL;
}

static HaYaml *read_value(Reader *reader, const yaml_event_t *event, int depth);

static HaYaml *
read_list(Reader *reader, const yaml_event_t *begin, int depth)
{
	HaYaml	   *list = count(reader, make(HA_YAML_LIST, NULL, reader->source,
										  line_of(begin)), line_of(begin));

	while (list != NULL)
	{
		yaml_event_t event;
		HaYaml	   *item = NULL;
		bool		end = false;

		if (next_event(reader, &event))
		{
			end = event.type == YAML_SEQUENCE_END_EVENT;
			if (!end)
				item = read_value(reader, &event, depth + 1);
			yaml_event_delete(&event);
		}
		if (end)
			break;
		if (item == NULL)
		{
			ha_yaml_free(list);
			return NULL;
		}
		append(list, item);
	}
	return list;
}

/* A key, malloc'd; NULL: it is none. */
static char *
read_key(Reader *reader, const yaml_event_t *event)
{
	const char *text = (const char *) event->data.scalar.value;
	char	   *key = NULL;

	if (event->type != YAML_SCALAR_EVENT)
		fail(reader, line_of(event), "a key must be a text");
	else if (strlen(text) != event->data.scalar.length || text[0] == '\0' ||
			 strlen(text) > 127)
		fail(reader, line_of(event), "a key is empty or too long");
	else
	{
		for (const char *c = text; *c != '\0'; c++)
		{
			if ((unsigned char) *c < ' ' || *c == 0x7f)
			{
				fail(reader, line_of(event),
					 "a key contains a control character");
				return NULL;
			}
		}
		key = strdup(text);
	}
	return key;
}

/*
 * "<<": what a mapping takes over from others, as far as it does not say it itself;
 * the first of several wins.
 */
static bool
merge(Reader *reader, HaYaml *mapping, const HaYaml *from)
{
	if (from->kind == HA_YAML_SCALAR)
	{
		fail(reader, from->line, "\"<<\" needs a mapping");
		return false;
	}
	for (const HaYaml *at = from->first; at != NULL; at = at->next)
	{
		HaYaml	   *member;

		if (from->kind == HA_YAML_LIST)
		{
			if (!merge(reader, mapping, at))
				return false;
			continue;
		}
		if (ha_yaml_member(mapping, at->key) != NULL)
			continue;
		member = copy(reader, at, at->line);
		if (member == NULL)
			return false;
		append(mapping, member);
	}
	return true;
}

/* The member of that key; NULL: failed.  The key is consumed. */
static HaYaml *
read_member(Reader *reader, const HaYaml *mapping, char *key, int line,
			int depth)
{
	const HaYaml *twin = ha_yaml_member(mapping, key);
	yaml_event_t event;
	HaYaml	   *value = NULL;

	if (twin != NULL)
		fail(reader, line, "key \"%s\" stands in line %d already", key,
			 twin->line);
	else if (next_event(reader, &event))
	{
		value = read_value(reader, &event, depth + 1);
		yaml_event_delete(&event);
	}
	if (value == NULL)
	{
		free(key);
		return NULL;
	}
	value->key = key;

	/* That of a block is where it is named, not where its content begins. */
	value->line = line;
	return value;
}

static HaYaml *
read_mapping(Reader *reader, const yaml_event_t *begin, int depth)
{
	HaYaml	   *mapping = count(reader, make(HA_YAML_MAPPING, NULL,
											 reader->source, line_of(begin)),
								line_of(begin));
	HaYaml	   *merged = NULL;
	bool		ok = mapping != NULL;
	bool		end = false;

	while (ok && !end)
	{
		yaml_event_t event;
		HaYaml	   *member = NULL;
		char	   *key;

		ok = next_event(reader, &event);
		if (!ok)
			break;
		end = event.type == YAML_MAPPING_END_EVENT;
		key = end ? NULL : read_key(reader, &event);
		if (key != NULL)
			member = read_member(reader, mapping, key, line_of(&event), depth);
		yaml_event_delete(&event);
		if (end)
			break;
		ok = member != NULL;
		if (ok && strcmp(member->key, "<<") == 0 && merged == NULL)
			merged = member;
		else if (ok)
			append(mapping, member);
	}
	if (merged != NULL)
	{
		ok = ok && merge(reader, mapping, merged);
		merged->next = reader->merged;
		reader->merged = merged;
	}
	if (ok)
		return mapping;
	ha_yaml_free(mapping);
	return NULL;
}

static HaYaml *
read_collection(Reader *reader, const yaml_event_t *event, int depth)
{
	bool		list = event->type == YAML_SEQUENCE_START_EVENT;
	const yaml_char_t *anchor = list ? event->data.sequence_start.anchor :
	event->data.mapping_start.anchor;
	const yaml_char_t *tag = list ? event->data.sequence_start.tag :
	event->data.mapping_start.tag;
	HaYaml	   *yaml;

	if (depth >= HA_YAML_MAX_DEPTH)
	{
		fail(reader, line_of(event), "values are nested deeper than %d levels",
			 HA_YAML_MAX_DEPTH);
		return NULL;
	}
	if (!tag_is_fine(reader, tag, line_of(event)))
		return NULL;
	yaml = list ? read_list(reader, event, depth) :
		read_mapping(reader, event, depth);
	if (yaml == NULL || note_anchor(reader, anchor, yaml))
		return yaml;
	ha_yaml_free(yaml);
	return NULL;
}

static HaYaml *
read_value(Reader *reader, const yaml_event_t *event, int depth)
{
	switch (event->type)
	{
		case YAML_SCALAR_EVENT:
			return read_scalar(reader, event);
		case YAML_SEQUENCE_START_EVENT:
		case YAML_MAPPING_START_EVENT:
			return read_collection(reader, event, depth);
		case YAML_ALIAS_EVENT:
			return read_alias(reader, event);
		default:
			fail(reader, line_of(event), "a value was expected");
			return NULL;
	}
}

/* One event around the value or of it; false: failed. */
static bool
read_around(Reader *reader, const yaml_event_t *event, HaYaml **root)
{
	switch (event->type)
	{
		case YAML_STREAM_START_EVENT:
		case YAML_STREAM_END_EVENT:
		case YAML_DOCUMENT_END_EVENT:
			return true;
		case YAML_DOCUMENT_START_EVENT:
			if (*root != NULL)
				fail(reader, line_of(event), "there is more than one document");
			return *root == NULL;
		default:
			if (*root == NULL)
				*root = read_value(reader, event, 0);
			return *root != NULL;
	}
}

/* The one document; NULL: failed. */
static HaYaml *
read_document(Reader *reader)
{
	HaYaml	   *root = NULL;
	bool		ok = true;
	bool		done = false;

	while (ok && !done)
	{
		yaml_event_t event;

		ok = next_event(reader, &event);
		if (!ok)
			break;
		done = event.type == YAML_STREAM_END_EVENT;
		ok = read_around(reader, &event, &root);
		yaml_event_delete(&event);
	}
	if (ok && root == NULL)
		root = count(reader, ha_yaml_scalar("", reader->source), 0);
	if (ok)
		return root;
	ha_yaml_free(root);
	return NULL;
}

HaYaml *
ha_yaml_parse(const char *text, size_t length, const char *source, char *err,
			  size_t errlen)
{
	Reader		reader = {.source = source,.err = err,.errlen = errlen};
	HaYaml	   *root = NULL;

	err[0] = '\0';
	if (length > HA_YAML_MAX_SIZE)
	{
		fail(&reader, 0, "it has more than %d bytes", HA_YAML_MAX_SIZE);
		return NULL;
	}
	if (!yaml_parser_initialize(&reader.parser))
	{
		fail(&reader, 0, "out of memory");
		return NULL;
	}
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *) text,
								 length);
	root = read_document(&reader);
	yaml_parser_delete(&reader.parser);
	ha_yaml_free(reader.merged);
	for (int i = 0; i < reader.nanchors; i++)
		free(reader.anchors[i].name);
	if (root == NULL && err[0] == '\0')
		fail(&reader, 0, "out of memory");
	return root;
}
