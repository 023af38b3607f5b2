/*-------------------------------------------------------------------------
 *
 * secret.c
 *	  Passwords in files of their own.
 *
 *-------------------------------------------------------------------------
 */
#include "fail.h"
#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

bool
ha_secret_read(const char *name, char *secret, size_t size, char *err,
			   size_t errlen)
{
	/* O_NONBLOCK, so that a named pipe is refused instead of waited for. */
	int			fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	ssize_t		length;
	bool		ok = false;

	if (fd < 0)
		return fail(err, errlen, "could not open file \"%s\": %s", name,
					strerror(errno));
	if (fstat(fd, &st) != 0)
		fail(err, errlen, "could not stat file \"%s\": %s", name,
			 strerror(errno));
	else if (!S_ISREG(st.st_mode))
		fail(err, errlen, "\"%s\" is not a regular file", name);
	else if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		fail(err, errlen, "file \"%s\" is accessible to group or others, "
			 "its mode must be 0600 or stricter", name);
	else if ((length = read(fd, secret, size - 1)) < 0)
		fail(err, errlen, "could not read file \"%s\": %s", name,
			 strerror(errno));
	else
	{
		secret[length] = '\0';
		ok = memchr(secret, '\0', length) == NULL &&
			(length < (ssize_t) size - 1 || strpbrk(secret, "\r\n") != NULL);
		secret[strcspn(secret, "\r\n")] = '\0';
		ok = ok && secret[0] != '\0';
		if (!ok)
			fail(err, errlen, "file \"%s\" does not hold a password", name);
	}
	close(fd);
	return ok;
}

static void
encode_base64(char *to, const char *text)
{
	static const char digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t		length = strlen(text);

	for (size_t i = 0; i < length; i += 3)
	{
		uint32_t	bits = 0;

		for (size_t j = i; j < i + 3; j++)
			bits = bits << 8 | (j < length ? (unsigned char) text[j] : 0);
		*to++ = digits[bits >> 18];
		*to++ = digits[bits >> 12 & 63];
		*to++ = i + 1 < length ? digits[bits >> 6 & 63] : '=';
		*to++ = i + 2 < length ? digits[bits & 63] : '=';
	}
	*to = '\0';
}

bool
ha_secret_basic(const char *name, char *basic, char *err, size_t errlen)
{
	char		secret[HA_SECRET_SIZE] = "";

	if (!ha_secret_read(name, secret, sizeof(secret), err, errlen))
		return false;
	if (strchr(secret, ':') == NULL || secret[0] == ':')
		return fail(err, errlen, "file \"%s\" does not hold \"user:password\"",
					name);
	memcpy(basic, "Basic ", sizeof("Basic "));
	encode_base64(basic + strlen(basic), secret);
	return true;
}

bool
ha_secret_is_equal(const char *a, const char *b)
{
	size_t		na = strlen(a);
	size_t		nb = strlen(b);
	unsigned char differ = na != nb;

	for (size_t i = 0; i < nb; i++)
		differ |= (unsigned char) a[na == 0 ? 0 : i % na] ^
			(unsigned char) b[i];
	return differ == 0;
}
