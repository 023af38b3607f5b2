/*-------------------------------------------------------------------------
 *
 * hba_test.c
 *	  Which source of rules is the one, and what becomes of the file.
 *
 * Prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "../config_json.h"
#include "../hba_json.h"
#include "tap.h"

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/*
 * Each combination of the four sources, with each state of the file.
 */

static HaHbaSource
expected_source(int present)
{
	if (present & 1)
		return HA_HBA_FILE;
	if (present & 2)
		return HA_HBA_LOCAL;
	if (present & 4)
		return HA_HBA_CLUSTER;
	return present & 8 ? HA_HBA_BOOTSTRAP : HA_HBA_INITDB;
}

static HaHbaFacts
facts_of(int present, bool managed, bool saved)
{
	HaHbaFacts	facts = {.cluster_known = true,.good = true,.intact = true};

	for (int i = 0; i < HA_HBA_INITDB; i++)
		facts.present[i] = (present >> i) & 1;
	facts.present[HA_HBA_INITDB] = !facts.present[HA_HBA_BOOTSTRAP];
	facts.managed = managed;
	facts.saved = saved;
	return facts;
}

static void
test_matrix(void)
{
	char		name[80];

	for (int present = 0; present < 16; present++)
	{
		HaHbaSource source = expected_source(present);
		bool		ours = source == HA_HBA_LOCAL || source == HA_HBA_CLUSTER;
		HaHbaFacts	untouched = facts_of(present, false, false);
		HaHbaFacts	written = facts_of(present, true, true);
		HaHbaPlan	plan;

		snprintf(name, sizeof(name), "hba_file %d, local %d, cluster %d, bootstrap %d",
				 present & 1, (present >> 1) & 1, (present >> 2) & 1,
				 (present >> 3) & 1);
		OK(ha_hba_choose(untouched.present) == source, name);
		ha_hba_plan(&untouched, &plan);
		OK(plan.source == source && !plan.edited && !plan.lost &&
		   plan.deed == (ours ? HA_HBA_SAVE_AND_WRITE : HA_HBA_KEEP),
		   "from an untouched file");
		ha_hba_plan(&written, &plan);
		OK(plan.source == source && !plan.edited && !plan.lost &&
		   plan.deed == (ours ? HA_HBA_WRITE : source == HA_HBA_FILE ?
						 HA_HBA_KEEP : HA_HBA_RESTORE),
		   "from one of ours");
		written.same = true;
		ha_hba_plan(&written, &plan);
		OK(plan.deed == (source > HA_HBA_CLUSTER ? HA_HBA_RESTORE : HA_HBA_KEEP),
		   "from what it shall be");
		written.good = false;
		ha_hba_plan(&written, &plan);
		OK(plan.deed == HA_HBA_KEEP && !plan.edited,
		   "rules that the server refuses change nothing");
	}
}

static void
test_edits(void)
{
	HaHbaFacts	facts = facts_of(4, true, true);
	HaHbaPlan	plan;

	facts.intact = false;
	ha_hba_plan(&facts, &plan);
	OK(plan.deed == HA_HBA_WRITE && plan.edited, "a line was added by hand");
	facts.managed = false;
	ha_hba_plan(&facts, &plan);
	OK(plan.deed == HA_HBA_WRITE && plan.edited,
	   "the file was replaced by hand: what stands aside is not overwritten");
	facts.intact = true;
	ha_hba_plan(&facts, &plan);
	OK(plan.deed == HA_HBA_WRITE && !plan.edited,
	   "the end came after the former file was put aside");
	facts = facts_of(0, true, false);
	ha_hba_plan(&facts, &plan);
	OK(plan.deed == HA_HBA_KEEP && plan.lost, "nothing stands aside");
	facts = facts_of(0, false, false);
	facts.intact = false;
	ha_hba_plan(&facts, &plan);
	OK(plan.deed == HA_HBA_KEEP && !plan.edited, "whose file it is may edit it");
}

static void
test_unknown_cluster(void)
{
	HaHbaFacts	facts = facts_of(0, true, true);
	HaHbaPlan	plan;

	facts.cluster_known = false;
	ha_hba_plan(&facts, &plan);
	OK(plan.deed == HA_HBA_KEEP && !plan.lost,
	   "a cluster that was not read yet may have rules");
	facts.present[HA_HBA_LOCAL] = true;
	ha_hba_plan(&facts, &plan);
	OK(plan.deed == HA_HBA_WRITE, "a node's own come before those");
}

/*
 * Text.
 */

static bool
survives(HaAuthFile file, HaHbaSource source, const char *location)
{
	HaHbaHeader in = {.source = source};
	HaHbaHeader out;
	char		text[HA_HBA_HEADER_SIZE + 64];
	size_t		length;

	snprintf(in.location, sizeof(in.location), "%s", location);
	strcpy(in.sha256, SHA);
	length = ha_hba_header_print(text, HA_HBA_HEADER_SIZE, file, &in);
	strcpy(text + length, "local all all peer\n");
	return ha_hba_header_read(text, file, &out) && out.source == source &&
		strcmp(out.location, location) == 0 &&
		strcmp(out.sha256, SHA) == 0 && out.length == length &&
		strcmp(text + out.length, "local all all peer\n") == 0;
}

#define FIRST	"# managed by pg_ha (source: local, /x); edits are overwritten\n"

static void
test_header(void)
{
	HaHbaHeader header = {.source = HA_HBA_LOCAL};
	char		text[HA_HBA_HEADER_SIZE];
	char		name[64];

	OK(survives(HA_AUTH_HBA, HA_HBA_LOCAL, "/etc/pg_ha/hba.conf"), "local");
	OK(survives(HA_AUTH_HBA, HA_HBA_CLUSTER, "/service/a, b (c); d/config"),
	   "cluster, with a strange name");
	OK(survives(HA_AUTH_IDENT, HA_HBA_LOCAL, "/x"), "pg_ident.conf");
	strcpy(header.location, "/x\nlocal all all trust");
	strcpy(header.sha256, SHA);
	ha_hba_header_print(text, sizeof(text), HA_AUTH_HBA, &header);
	OK(strstr(text, "\nlocal") == NULL, "a line end in a path begins no rule");
	OK(ha_hba_header_read(FIRST, HA_AUTH_HBA, &header) &&
	   header.sha256[0] == '\0' && header.length == strlen(FIRST),
	   "the checksum is gone");
	OK(ha_hba_header_read(FIRST "# sha256 of what follows: 12", HA_AUTH_HBA,
						  &header) && header.sha256[0] == '\0',
	   "so is its end");
	OK(ha_hba_header_read(FIRST "# sha256 of what follows: " SHA "00\n",
						  HA_AUTH_HBA, &header) && header.sha256[0] == '\0',
	   "it is too long");
	OK(!ha_hba_header_read("", HA_AUTH_HBA, &header) &&
	   !ha_hba_header_read("local all all peer\n", HA_AUTH_HBA, &header) &&
	   !ha_hba_header_read("# managed by pg_ha (source: local", HA_AUTH_HBA,
						   &header) &&
	   !ha_hba_header_read("# managed by pg_ha (source: ); edits are overwritten\n",
						   HA_AUTH_HBA, &header) &&
	   !ha_hba_header_read("# managed by pg_ha (source: mine, /x); edits are overwritten\n",
						   HA_AUTH_HBA, &header) &&
	   !ha_hba_header_read("\n" FIRST, HA_AUTH_HBA, &header),
	   "no header of ours");
	OK(ha_hba_bootstrap_read("local all all peer\n" HA_HBA_BOOTSTRAP_MARK "/h\nx",
							 name, sizeof(name)) && strcmp(name, "/h") == 0,
	   "what a cluster was created with");
	OK(ha_hba_bootstrap_read(HA_HBA_BOOTSTRAP_MARK "/h", name, sizeof(name)) &&
	   strcmp(name, "/h") == 0, "without a line end");
	OK(!ha_hba_bootstrap_read("x " HA_HBA_BOOTSTRAP_MARK "/h\n", name,
							  sizeof(name)), "not amid a line");
}

/*
 * The configuration.
 */

static char err[200];

static bool
gives(const char *json, const char *expected)
{
	char	   *text = ha_hba_from_config(json, HA_AUTH_HBA, err, sizeof(err));
	bool		ok = expected == NULL ? text == NULL :
	text != NULL && strcmp(text, expected) == 0;

	free(text);
	return ok;
}

static bool
becomes(const char *json, int nlines, const char *expected)
{
	static const char *const lines[] = {"a \"b\"", "c"};
	char	   *patch = ha_hba_patch(HA_AUTH_HBA, lines, nlines);
	char	   *text = ha_config_merge(json, patch, err, sizeof(err));
	json_t	   *got = json_loads(text, 0, NULL);
	json_t	   *wanted = json_loads(expected, 0, NULL);
	bool		ok = wanted != NULL && json_equal(got, wanted);

	json_decref(got);
	json_decref(wanted);
	free(patch);
	free(text);
	return ok;
}

static void
test_reading(void)
{
	OK(gives("{\"postgresql\":{\"pg_hba\":[\"a\",\"b\"]}}", "a\nb\n"),
	   "where Patroni has it");
	OK(gives("{\"pg_hba\":[\"c\"]}", "c\n"), "at the top");
	OK(gives("{\"postgresql\":{\"pg_hba\":[\"a\"]},\"pg_hba\":[\"c\"]}", "a\n"),
	   "Patroni's place comes first");
	OK(gives("{\"ttl\":10}", NULL) && err[0] == '\0', "none");
	OK(gives("{\"postgresql\":{\"pg_hba\":[]}}", NULL) && err[0] == '\0',
	   "an empty list is none");
	OK(gives("{\"postgresql\":{\"pg_hba\":null}}", NULL) && err[0] == '\0',
	   "null is none");
	OK(gives("{\"postgresql\":7}", NULL) && err[0] == '\0', "no section");
	OK(gives("{\"pg_hba\":\"a\"}", NULL) &&
	   strcmp(err, "it is not an array") == 0, "no array");
	OK(gives("{\"pg_hba\":[\"a\",1]}", NULL) &&
	   strcmp(err, "line 2: it is not a text") == 0, "no text");
	OK(gives("{\"pg_hba\":[\"a\\nlocal all all trust\"]}", NULL) &&
	   strcmp(err, "line 1: it is more than one line") == 0, "two lines in one");
	OK(gives("{\"pg_hba\":[\"a \\\\\",\"b\"]}", NULL) &&
	   strcmp(err, "line 1: it would be continued by the next line") == 0,
	   "a line that goes on");
	OK(gives("{\"pg_hba\":[\"a\\u0000b\"]}", NULL) && err[0] != '\0',
	   "a zero byte");
	OK(gives("nonsense", NULL) && err[0] != '\0', "no JSON");
}

static void
test_too_long(void)
{
	size_t		size = HA_HBA_MAX_TEXT + 100;
	char	   *json = malloc(size);

	memset(json, 'a', size);
	memcpy(json, "{\"pg_hba\":[\"", 12);
	strcpy(json + size - 4, "\"]}");
	OK(gives(json, NULL) && strcmp(err, "it is too long") == 0,
	   "too long");
	free(json);
}

static void
test_writing(void)
{
	static const char *const no_utf8 = "\xff";

	OK(becomes("{\"ttl\":10}", 2,
			   "{\"ttl\":10,\"postgresql\":{\"pg_hba\":[\"a \\\"b\\\"\",\"c\"]}}"),
	   "into a configuration without");
	OK(becomes("{\"postgresql\":{\"use_slots\":true,\"pg_hba\":[\"x\"]},\"pg_hba\":[1]}", 1,
			   "{\"postgresql\":{\"use_slots\":true,\"pg_hba\":[\"a \\\"b\\\"\"]}}"),
	   "over others, wherever they stand");
	OK(becomes("{\"postgresql\":{\"pg_hba\":[\"x\"]},\"pg_hba\":[1]}", 0,
			   "{\"postgresql\":{}}"), "out of it");
	OK(becomes("{\"ttl\":1}", 0, "{\"ttl\":1,\"postgresql\":{}}"),
	   "out of one without");
	OK(becomes("{\"postgresql\":\"x\"}", 1,
			   "{\"postgresql\":{\"pg_hba\":[\"a \\\"b\\\"\"]}}"), "over a section that is none");
	OK(ha_hba_patch(HA_AUTH_HBA, &no_utf8, 1) == NULL,
	   "a line that is no UTF-8");
}

int
main(void)
{
	test_matrix();
	test_edits();
	test_unknown_cluster();
	test_header();
	test_reading();
	test_too_long();
	test_writing();
	return end_of_tests();
}
