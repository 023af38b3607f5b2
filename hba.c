/*-------------------------------------------------------------------------
 *
 * hba.c
 *	  Whose rules stand in pg_hba.conf, and whose shall.
 *
 * What the file was before pg_ha wrote it is a source too, the last one, and so
 * must be there when all others have gone.  It is moved aside before the first
 * writing and moved back by one rename, so there are just two lawful states: the
 * file has no header of ours and nothing stands aside, or it has one and the former
 * file stands aside.  In whichever way somebody else changes it, that is noticed:
 * by the checksum in the header, or because there is no header although something
 * stands aside.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "hba.h"

#define HEADER_BEGIN	"# managed by pg_ha (source: "
#define HEADER_END		"); edits are overwritten\n"
#define CHECKSUM_BEGIN	"# sha256 of what follows: "

static const char *const file_names[HA_NAUTH_FILES] = {
	"pg_hba.conf", "pg_ident.conf"
};

static const char *const source_names[HA_NHBA_SOURCES] = {
	"hba_file", "local", "cluster", "bootstrap", "initdb"
};

const char *
ha_auth_file_name(HaAuthFile file)
{
	return file_names[file];
}

const char *
ha_hba_source_name(HaAuthFile file, HaHbaSource source)
{
	if (source == HA_HBA_FILE && file == HA_AUTH_IDENT)
		return "ident_file";
	return source_names[source];
}

HaHbaSource
ha_hba_source_by_name(HaAuthFile file, const char *name)
{
	int			source = 0;

	while (source < HA_NHBA_SOURCES &&
		   strcmp(ha_hba_source_name(file, (HaHbaSource) source), name) != 0)
		source++;
	return (HaHbaSource) source;
}

void
ha_hba_fault(HaAuthFile file, const char *fault, char *out, size_t size)
{
	snprintf(out, size, "%s%s %s", file == HA_AUTH_HBA ? "pg_hba" : "pg_ident",
			 strncmp(fault, "line ", 5) == 0 ? "" : ":", fault);
}

HaHbaSource
ha_hba_choose(const bool *present)
{
	int			source = 0;

	while (source < HA_HBA_INITDB && !present[source])
		source++;
	return (HaHbaSource) source;
}

/*
 * The header.
 */

/* A line end in a path must not begin a rule. */
static void
copy_printable(char *out, size_t size, const char *text)
{
	size_t		n = 0;

	for (; *text != '\0' && n < size - 1; text++)
		out[n++] = (unsigned char) *text < ' ' ? '?' : *text;
	out[n] = '\0';
}

size_t
ha_hba_header_print(char *out, size_t size, HaAuthFile file,
					const HaHbaHeader *header)
{
	char		location[HA_HBA_LOCATION_SIZE];
	int			length;

	copy_printable(location, sizeof(location), header->location);
	length = snprintf(out, size, "%s%s, %s%s%s%s\n", HEADER_BEGIN,
					  ha_hba_source_name(file, header->source), location,
					  HEADER_END, CHECKSUM_BEGIN, header->sha256);
	return (size_t) length < size ? (size_t) length : size - 1;
}

/* Copy what stands up to "end", which is not counted; NULL: it does not fit. */
static const char *
copy_up_to(const char *text, const char *end, char *out, size_t size)
{
	size_t		length = (size_t) (end - text);

	if (length >= size)
		return NULL;
	memcpy(out, text, length);
	out[length] = '\0';
	return end;
}

static void
read_checksum(const char *line, const char *end, char *sha256)
{
	size_t		begin = strlen(CHECKSUM_BEGIN);

	sha256[0] = '\0';
	if ((size_t) (end - line) <= begin ||
		strncmp(line, CHECKSUM_BEGIN, begin) != 0)
		return;
	(void) copy_up_to(line + begin, end, sha256, HA_HBA_SHA_SIZE);
}

/*
 * The first line alone tells that the file is ours.  If the second is damaged, it has
 * been edited, which "no checksum" leads to.
 */
bool
ha_hba_header_read(const char *text, HaAuthFile file, HaHbaHeader *header)
{
	const char *line_end = strchr(text, '\n');
	const char *name = text + strlen(HEADER_BEGIN);
	const char *comma;
	const char *end;
	char		word[HA_HBA_NAME_SIZE];

	memset(header, 0, sizeof(*header));
	if (line_end == NULL ||
		strncmp(text, HEADER_BEGIN, strlen(HEADER_BEGIN)) != 0)
		return false;
	comma = strstr(name, ", ");
	end = line_end + 1 - strlen(HEADER_END);
	if (comma == NULL || end < comma + 2 ||
		strncmp(end, HEADER_END, strlen(HEADER_END)) != 0 ||
		copy_up_to(name, comma, word, sizeof(word)) == NULL ||
		copy_up_to(comma + 2, end, header->location,
				   sizeof(header->location)) == NULL)
		return false;
	header->source = ha_hba_source_by_name(file, word);
	if (header->source == HA_NHBA_SOURCES)
		return false;
	header->length = (size_t) (line_end + 1 - text);
	line_end = strchr(text + header->length, '\n');
	if (line_end == NULL)
		return true;
	read_checksum(text + header->length, line_end, header->sha256);
	if (header->sha256[0] != '\0')
		header->length = (size_t) (line_end + 1 - text);
	return true;
}

bool
ha_hba_bootstrap_read(const char *text, char *location, size_t size)
{
	size_t		length = strlen(HA_HBA_BOOTSTRAP_MARK);

	while (text != NULL)
	{
		const char *end = strchr(text, '\n');

		if (strncmp(text, HA_HBA_BOOTSTRAP_MARK, length) == 0)
		{
			if (end == NULL)
				end = text + strlen(text);
			return copy_up_to(text + length, end, location, size) != NULL;
		}
		text = end != NULL ? end + 1 : NULL;
	}
	return false;
}

/*
 * The plan.
 */

static HaHbaDeed
deed_of(const HaHbaFacts *facts, HaHbaSource source)
{
	/* A cluster that can't be asked may have rules for everybody. */
	if (source > HA_HBA_CLUSTER && !facts->cluster_known)
		return HA_HBA_KEEP;
	if (source == HA_HBA_FILE || !facts->good)
		return HA_HBA_KEEP;
	if (source > HA_HBA_CLUSTER)
		return facts->saved ? HA_HBA_RESTORE : HA_HBA_KEEP;
	if (facts->managed && facts->same)
		return HA_HBA_KEEP;
	return facts->managed || facts->saved ? HA_HBA_WRITE : HA_HBA_SAVE_AND_WRITE;
}

void
ha_hba_plan(const HaHbaFacts *facts, HaHbaPlan *plan)
{
	memset(plan, 0, sizeof(*plan));
	plan->source = ha_hba_choose(facts->present);
	plan->deed = deed_of(facts, plan->source);
	plan->edited = (plan->deed == HA_HBA_WRITE || plan->deed == HA_HBA_RESTORE) &&
		!facts->intact;
	plan->lost = plan->source > HA_HBA_CLUSTER && facts->cluster_known &&
		facts->managed && !facts->saved;
}
