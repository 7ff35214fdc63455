#include "CHardeningTestShims.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_barrier_t allocated, counted;

static void *allocate(void *unused)
{
	void *volatile some = malloc(5000);

	pthread_barrier_wait(&allocated);
	pthread_barrier_wait(&counted);
	free(some);
	return unused;
}

int test_heaps_with_threads(int count)
{
	char *text = NULL;
	size_t length = 0;
	int heaps = 0;
	pthread_t threads[count];
	FILE *file = open_memstream(&text, &length);

	pthread_barrier_init(&allocated, NULL, (unsigned int)count + 1);
	pthread_barrier_init(&counted, NULL, (unsigned int)count + 1);
	for (int number = 0; number < count; number++)
		if (pthread_create(&threads[number], NULL, allocate, NULL))
			return -1;
	pthread_barrier_wait(&allocated);
	if (!file || malloc_info(0, file) || fclose(file))
		return -1;
	for (const char *at = text; (at = strstr(at, "<heap nr=")); at++)
		heaps++;
	pthread_barrier_wait(&counted);
	for (int number = 0; number < count; number++)
		pthread_join(threads[number], NULL);
	free(text);
	return heaps;
}
