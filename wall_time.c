/*-------------------------------------------------------------------------
 *
 * wall_time.c
 *	  Times of day for people, as ISO 8601.
 *
 * Plain C.  What is read here may come from the store, and so from anybody: each
 * field is checked, and no function of the C library that knows time zones or
 * locales gets to see it.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "wall_time.h"

int64_t
ha_wall_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Days from 1970 to the first of March of a year, by the Gregorian calendar. */
static int64_t
days_to_march(int64_t year)
{
	return 365 * year + year / 4 - year / 100 + year / 400 - 719468;
}

static int
days_of_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool		leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* Exactly so many digits; moves *text behind them. */
static bool
take_digits(const char **text, int n, int *number)
{
	*number = 0;
	for (int i = 0; i < n; i++, (*text)++)
	{
		if (**text < '0' || **text > '9')
			return false;
		*number = *number * 10 + (**text - '0');
	}
	return true;
}

static bool
take_char(const char **text, const char *allowed)
{
	if (**text == '\0' || strchr(allowed, **text) == NULL)
		return false;
	(*text)++;
	return true;
}

static bool
take_date(const char **text, int64_t *days)
{
	int			year;
	int			month;
	int			day;
	int			march_month;

	if (!take_digits(text, 4, &year) || !take_char(text, "-") ||
		!take_digits(text, 2, &month) || !take_char(text, "-") ||
		!take_digits(text, 2, &day))
		return false;
	if (year < 1971 || year > 9998 || month < 1 || month > 12 || day < 1 ||
		day > days_of_month(year, month))
		return false;
	march_month = (month + 9) % 12;
	*days = days_to_march(month < 3 ? year - 1 : year) +
		(153 * march_month + 2) / 5 + day - 1;
	return true;
}

/* Milliseconds of the day; a fraction may have up to nine digits. */
static bool
take_clock(const char **text, int64_t *ms)
{
	int			hour;
	int			minute;
	int			second;
	int			scale = 100;

	if (!take_digits(text, 2, &hour) || !take_char(text, ":") ||
		!take_digits(text, 2, &minute) || !take_char(text, ":") ||
		!take_digits(text, 2, &second))
		return false;
	if (hour > 23 || minute > 59 || second > 59)
		return false;
	*ms = ((hour * 60 + minute) * 60 + second) * INT64_C(1000);
	if (!take_char(text, "."))
		return true;
	for (int n = 0; **text >= '0' && **text <= '9'; n++, (*text)++)
	{
		if (n == 9)
			return false;
		*ms += (**text - '0') * scale;
		scale /= 10;
	}
	return true;
}

/* Z, +HH, +HHMM or +HH:MM */
static bool
take_offset(const char **text, int64_t *ms)
{
	char		sign = **text;
	int			hours;
	int			minutes = 0;

	*ms = 0;
	if (take_char(text, "Zz"))
		return true;
	if (!take_char(text, "+-") || !take_digits(text, 2, &hours))
		return false;
	if ((take_char(text, ":") || **text != '\0') &&
		!take_digits(text, 2, &minutes))
		return false;
	if (hours > 15 || minutes > 59)
		return false;
	*ms = (hours * 60 + minutes) * INT64_C(60000) * (sign == '-' ? -1 : 1);
	return true;
}

bool
ha_time_parse(const char *text, int64_t *ms)
{
	int64_t		days;
	int64_t		of_day;
	int64_t		offset;

	if (!take_date(&text, &days) || !take_char(&text, "T ") ||
		!take_clock(&text, &of_day) || !take_offset(&text, &offset) ||
		*text != '\0')
		return false;
	*ms = days * INT64_C(86400000) + of_day - offset;
	return true;
}

void
ha_time_format(int64_t ms, char text[HA_TIME_SIZE])
{
	time_t		seconds = (time_t) (ms / 1000);
	struct tm	tm;
	size_t		length = 0;

	if (gmtime_r(&seconds, &tm) != NULL)
		length = strftime(text, HA_TIME_SIZE - 16, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + length, HA_TIME_SIZE - length, ".%03u000+00:00",
			 (unsigned) (ms % 1000) % 1000);
}
