/*-------------------------------------------------------------------------
 *
 * clock_shim.c
 *	  Clocks that lie, for the processes of one node: preloaded by LD_PRELOAD.
 *
 * The file that CLOCK_SHIM names is mapped, so that all processes of a node are
 * lied to alike and the lie can be changed while they run.  Whoever changes it stops
 * them meanwhile: there is no lock.  CLOCK_REALTIME is off by so much;
 * CLOCK_BOOTTIME, which alone decides anything in pg_ha, goes at another rate from
 * some time on.  CLOCK_MONOTONIC is left alone: it times the waiting, which is done
 * by the kernel.
 *
 *-------------------------------------------------------------------------
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS		INT64_C(1000000000)

/* As t/044_clocks.pl packs it */
typedef struct Lie
{
	int64_t		realtime_ns;	/* to be added */
	int64_t		from_ns;		/* at this true boot time ... */
	int64_t		shown_ns;		/* ... this one is shown, */
	double		rate;			/* and goes on at this rate; 0 = the truth */
} Lie;

static const Lie *lie;
static int	(*true_clock) (clockid_t, struct timespec *);

__attribute__((constructor))
static void
map_lie(void)
{
	const char *name = getenv("CLOCK_SHIM");
	int			fd = name == NULL ? -1 : open(name, O_RDONLY | O_CLOEXEC);
	void	   *map;

	true_clock = (int (*) (clockid_t, struct timespec *))
		dlsym(RTLD_NEXT, "clock_gettime");
	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(Lie), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		lie = map;
}

static void
show(int64_t ns, struct timespec *ts)
{
	ts->tv_sec = ns / NS;
	ts->tv_nsec = ns % NS;
}

int
clock_gettime(clockid_t clock, struct timespec *ts)
{
	int64_t		ns;

	/* another library's constructor may come before ours */
	if (true_clock == NULL)
		map_lie();
	if (true_clock(clock, ts) != 0)
		return -1;
	ns = ts->tv_sec * NS + ts->tv_nsec;
	if (lie != NULL && clock == CLOCK_REALTIME)
		show(ns + lie->realtime_ns, ts);
	else if (lie != NULL && clock == CLOCK_BOOTTIME && lie->rate != 0)
		show(lie->shown_ns + (int64_t) ((ns - lie->from_ns) * lie->rate), ts);
	return 0;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
		return -1;
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *t)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
		return (time_t) -1;
	if (t != NULL)
		*t = ts.tv_sec;
	return ts.tv_sec;
}
