/*-------------------------------------------------------------------------
 *
 * fuzz_node_file.c
 *	  Whatever stands in a node file, what passes can be put into a configuration
 *	  file, a JSON string or an URL; and no passfile leads anybody astray.
 *
 * The input is the node file; what is behind a zero byte is the passfile.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/logging.h"

#include "../boot/clone_config.h"
#include "../boot/node_file.h"
#include "../names.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int	nfaults;

static void
require(bool what)
{
	if (!what)
		abort();
}

static void
take_fault(void *arg, bool warning, const char *code, const char *message,
		   const char *hint)
{
	require(code[0] == 'P' && message[0] != '\0' && hint != NULL);
	if (!warning)
		nfaults++;
}

static const HaFaultSink sink = {.take = take_fault};

/* A file without a name, used over and over. */
static int
file_of(int fd, const uint8_t *data, size_t size)
{
	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	require(fd >= 0 && fchmod(fd, 0600) == 0 && ftruncate(fd, 0) == 0);
	require(pwrite(fd, data, size, 0) == (ssize_t) size);
	return fd;
}

static bool
is_printable(const char *text)
{
	for (; *text != '\0'; text++)
	{
		if ((unsigned char) *text < ' ' || *text == 0x7f)
			return false;
	}
	return true;
}

static void
check_node(const HaNode *node)
{
	static HaCloneMethod methods[HA_CLONE_METHODS];
	static char mappings[HA_CLONE_MAPPINGS][HA_TEXT_SIZE];

	require(ha_name_is_valid(node->scope) && ha_name_is_valid(node->name) &&
			ha_name_is_valid(node->name_space));
	require(node->port >= 1 && node->port <= 65535);
	require(node->connect_host[0] != '\0' && is_printable(node->connect_host));
	require(strpbrk(node->connect_host, "'\\ \"") == NULL);
	require(is_printable(node->etcd_endpoints) &&
			strchr(node->etcd_endpoints, '@') == NULL);
	require(is_printable(node->tags) && is_printable(node->state_dir));
	require(node->state_dir[0] == '/');
	require(node->rest_listen[0] == '\0' || node->rest_connect_address[0] != '\0');
	require(ha_clone_methods(node, methods) >= 1);
	require(ha_clone_mappings(node, mappings) >= 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static HaNode node;
	static int	fd = -1;
	static int	passfile = -1;
	const uint8_t *end = memchr(data, 0, size);
	size_t		length = end != NULL ? (size_t) (end - data) : size;
	char		path[64];
	char		password[128];
	bool		ok;

	__pg_log_level = PG_LOG_OFF;
	fd = file_of(fd, data, length);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	nfaults = 0;
	ok = ha_node_check(path, "/data", "/bin", &sink, &node);
	require(ok == (nfaults == 0));
	if (ok)
		check_node(&node);
	if (end == NULL)
		return 0;

	passfile = file_of(passfile, end + 1, size - length - 1);
	snprintf(node.replication_passfile, sizeof(node.replication_passfile),
			 "/proc/self/fd/%d", passfile);
	if (ha_node_check_password(&node, &sink, password, sizeof(password)))
		require(password[0] != '\0' && strlen(password) < sizeof(password));
	else
		require(password[0] == '\0');
	return 0;
}
