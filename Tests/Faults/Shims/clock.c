/* Preloaded into a process, sets its clock: CLOCK_REALTIME is ahead by as many seconds as the first eight bytes of the
 * file CLOCK_OFFSET_FILE say at that moment. No other clock changes. Compiled by the test that uses it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("CLOCK_OFFSET_FILE");
	int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *page;

	if (file < 0)
		return;
	page = mmap(NULL, sizeof(*offset), PROT_READ, MAP_SHARED, file, 0);
	close(file);
	if (page != MAP_FAILED)
		offset = page;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	int result = (int)syscall(SYS_clock_gettime, clock, time);

	if (result == 0 && offset && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		time->tv_sec += *offset;
	return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &now) != 0)
		return -1;
	*time = (struct timeval){ .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
	return 0;
}

time_t time(time_t *result)
{
	struct timespec now;

	if (clock_gettime(CLOCK_REALTIME, &now) != 0)
		return -1;
	if (result)
		*result = now.tv_sec;
	return now.tv_sec;
}
