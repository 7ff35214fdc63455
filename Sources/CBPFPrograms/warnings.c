/* Swift's compiler crashes on a closure that takes a list of variable arguments, where the processor's is a structure: arm64. */
#include "warnings.h"

#include <bpf/libbpf.h>
#include <stdio.h>

static void (*_Atomic taker_of_warnings)(const char *text);

static int print(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char text[1024];

	if (level == LIBBPF_WARN && vsnprintf(text, sizeof(text), format, arguments) > 0)
		taker_of_warnings(text);
	return 0;
}

void nid_take_warnings(void (*taker)(const char *text))
{
	taker_of_warnings = taker;
	libbpf_set_print(print);
}
