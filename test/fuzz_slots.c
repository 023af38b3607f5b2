/*-------------------------------------------------------------------------
 *
 * fuzz_slots.c
 *	  Whatever the store says of slots, and whatever slots there are: a plan that
 *	  names slots that exist, and drops nothing that it must not.
 *
 * The input is lines: the configuration, the book in /status, and a problem in JSON;
 * behind them, bytes that make up the server's slots.
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../config_values_json.h"
#include "../json_guard.h"
#include "../problem_json.h"
#include "../slot_plan.h"
#include "../slots_json.h"

#define MAX_SLOTS		8

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool what)
{
	if (!what)
		abort();
}

/* Names that members and permanent slots may have, too, so that they meet. */
static int
make_slots(const char *bytes, size_t length, HaSlot *slots)
{
	static const char *const names[] = {
		"n1", "n2", "n3", "app", "etl", "other", "x", "pg_ha_n1"
	};
	int			n = 0;

	for (size_t i = 0; i + 1 < length && n < MAX_SLOTS; i += 2)
	{
		HaSlot	   *slot = &slots[n];

		memset(slot, 0, sizeof(*slot));
		snprintf(slot->name, sizeof(slot->name), "%s",
				 names[(n + bytes[i]) & 7]);
		for (int j = 0; j < n; j++)
		{
			if (strcmp(slots[j].name, slot->name) == 0)
				return n;		/* there are no two of a name */
		}
		slot->physical = (bytes[i] & 8) != 0;
		slot->synced = !slot->physical && (bytes[i] & 16) != 0;
		slot->ours = (bytes[i] & 32) != 0;
		slot->active = (bytes[i] & 64) != 0;
		slot->invalid = (bytes[i + 1] & 1) != 0;
		slot->holds_rows = (bytes[i + 1] & 2) != 0;
		slot->restart_lsn = (bytes[i + 1] & 4) != 0 ? 1000 : 0;
		n++;
	}
	return n;
}

static void
check_task(const HaSlotScene *scene, const HaSlotTask *task)
{
	const HaSlot *slot;

	require(memchr(task->slot, '\0', HA_NAME_SIZE) != NULL);
	require(memchr(task->why, '\0', HA_WHY_SIZE) != NULL);
	slot = ha_find_slot(scene, task->slot);
	switch (task->deed)
	{
		case HA_SLOT_CREATE:
		case HA_SLOT_CREATE_LOGICAL:
			require(slot == NULL);
			break;
		case HA_SLOT_DROP:
			require(slot != NULL && scene->fresh);
			break;
		default:
			require(slot != NULL);
			break;
	}
}

static void
check_plan(const HaSlotScene *scene, HaSlotBook *book)
{
	static HaSlotTask tasks[HA_MAX_SLOT_TASKS];
	int			n = ha_slot_plan(scene, book, tasks);

	require(n >= 0 && n <= HA_MAX_SLOT_TASKS);
	for (int i = 0; i < n; i++)
		check_task(scene, &tasks[i]);
	require(book->nmembers >= 0 && book->nmembers <= HA_MAX_KNOWN);
}

/* The book must survive being written and read again. */
static void
check_book(const HaSlotBook *book)
{
	static HaSlotBook again;
	char	   *text = ha_status_json(1, book);
	json_t	   *json;

	require(text != NULL);
	json = ha_json_load(text, strlen(text));
	require(ha_slot_book_parse(json, &again));
	require(again.nmembers == book->nmembers);
	json_decref(json);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static HaView view;
	static HaLocal local;
	static HaSlotBook book;
	static HaSlot slots[MAX_SLOTS];
	HaConfig	config;
	HaConfig	other;
	HaSlotScene scene = {.config = &config,.view = &view,.local = &local,.slots = slots};
	char	   *text = malloc(size + 1);
	char	   *rest = text;
	char	   *lines[3] = {NULL};
	json_t	   *status;
	int64_t		now;
	char		err[128];
	size_t		length = 0;

	memcpy(text, data, size);
	text[size] = '\0';
	for (int i = 0; i < 3 && rest != NULL; i++)
		lines[i] = strsep(&rest, "\n");
	if (rest != NULL)
		length = (size_t) (text + size - rest);

	ha_config_defaults(&config);
	if (lines[0] != NULL)
		(void) ha_config_parse(lines[0], strlen(lines[0]), &config, err, sizeof(err));
	if (lines[2] == NULL ||
		!ha_problem_parse(lines[2], strlen(lines[2]), &other, &view, &local,
						  &now, err, sizeof(err)))
	{
		memset(&view, 0, sizeof(view));
		memset(&local, 0, sizeof(local));
	}
	memset(&book, 0, sizeof(book));
	status = lines[1] != NULL ? ha_json_load(lines[1], strlen(lines[1])) : NULL;
	if (ha_slot_book_parse(status, &book))
		check_book(&book);
	json_decref(status);

	if (length > 0)
	{
		scene.leads = (rest[0] & 1) != 0;
		scene.fresh = (rest[0] & 2) != 0;
		scene.elapsed = (rest[0] & 4) != 0 ? 1000 : 0;
		scene.nslots = make_slots(rest + 1, length - 1, slots);
		if ((rest[0] & 8) != 0)
			ha_slot_book_begin(&scene, &book);
	}
	check_plan(&scene, &book);
	free(text);
	return 0;
}
