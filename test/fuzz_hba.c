/*-------------------------------------------------------------------------
 *
 * fuzz_hba.c
 *	  Rules of access, from whoever has written them: a line stays a line, and what
 *	  we wrote is known again.
 *
 * The first byte of the input picks what the rest is.
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../config_json.h"
#include "../hba.h"
#include "../hba_json.h"

#define MAX_LINES		32

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool what)
{
	if (!what)
		abort();
}

/* A configuration that somebody has put into the store. */
static void
fuzz_config(const char *text, HaAuthFile file)
{
	char		err[128] = "";
	char		told[256];
	char	   *rules = ha_hba_from_config(text, file, err, sizeof(err));

	require(rules == NULL || err[0] == '\0');
	if (err[0] != '\0')
		ha_hba_fault(file, err, told, sizeof(told));
	require(rules == NULL || rules[0] == '\0' ||
			rules[strlen(rules) - 1] == '\n');
	free(rules);
}

/* A file that we wrote, or that somebody has edited. */
static void
fuzz_file(const char *text, HaAuthFile file)
{
	HaHbaHeader header;
	HaHbaHeader again;
	char		printed[HA_HBA_HEADER_SIZE];
	char		location[64];

	(void) ha_hba_bootstrap_read(text, location, sizeof(location));
	require(ha_hba_source_by_name(file, text) <= HA_NHBA_SOURCES);
	if (!ha_hba_header_read(text, file, &header))
		return;
	require(header.length <= strlen(text) && header.source < HA_NHBA_SOURCES);
	(void) ha_hba_header_print(printed, sizeof(printed), file, &header);
	require(ha_hba_header_read(printed, file, &again));
	require(again.source == header.source &&
			strlen(again.location) == strlen(header.location) &&
			strcmp(again.sha256, header.sha256) == 0);
}

/* Lines of an operator, set and read back. */
static void
fuzz_lines(char *text, HaAuthFile file)
{
	const char *lines[MAX_LINES];
	int			n = 0;
	char	   *line;
	char	   *patch;
	char	   *config;
	char	   *rules;
	char		err[128] = "";

	while (n < MAX_LINES && (line = strsep(&text, "\n")) != NULL)
	{
		if (ha_hba_line_fault(line, strlen(line)) == NULL)
			lines[n++] = line;
	}
	patch = ha_hba_patch(file, lines, n);
	if (patch == NULL)
		return;					/* no UTF-8 */
	config = ha_config_merge("{\"pg_hba\":[\"old\"]}", patch, err, sizeof(err));
	require(config != NULL);
	rules = ha_hba_from_config(config, file, err, sizeof(err));
	require(err[0] == '\0');
	for (int i = 0; i < n; i++)
		require(rules != NULL && strstr(rules, lines[i]) != NULL);
	free(rules);
	free(config);
	free(patch);
}

static void
fuzz_plan(const char *text, size_t length)
{
	HaHbaFacts	facts = {.cluster_known = true};
	HaHbaPlan	plan;

	if (length < HA_NHBA_SOURCES + 1)
		return;
	for (size_t i = 0; i < HA_NHBA_SOURCES; i++)
		facts.present[i] = (text[i] & 1) != 0;
	text += HA_NHBA_SOURCES;
	facts.cluster_known = (*text & 1) != 0;
	facts.good = (*text & 2) != 0;
	facts.managed = (*text & 4) != 0;
	facts.intact = (*text & 8) != 0;
	facts.same = (*text & 16) != 0;
	facts.saved = (*text & 32) != 0;
	ha_hba_plan(&facts, &plan);
	require(plan.source < HA_NHBA_SOURCES && plan.deed <= HA_HBA_RESTORE);

	/* A file of somebody else's is never written over. */
	require(plan.source != HA_HBA_FILE || plan.deed == HA_HBA_KEEP);
	require(facts.good || plan.deed == HA_HBA_KEEP);
	require(plan.deed != HA_HBA_WRITE || facts.managed || facts.saved);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text;
	HaAuthFile	file;

	if (size == 0)
		return 0;
	file = (HaAuthFile) (data[0] & 1);
	text = malloc(size);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0] / 2 % 4)
	{
		case 0:
			fuzz_config(text, file);
			break;
		case 1:
			fuzz_file(text, file);
			break;
		case 2:
			fuzz_lines(text, file);
			break;
		default:
			fuzz_plan(text, size - 1);
			break;
	}
	free(text);
	return 0;
}
