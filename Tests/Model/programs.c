/* The shipped programs, compiled for this machine against the modelled kernel. */

/* Values that are constant from load to unload are written here in place of the loader. */
#define const
#include "redirect.bpf.c"
#include "world.h"
#undef const

void load_programs(void)
{
	__u32 last = METADATA4;

	nid_endpoints.count = 1;
	nid_endpoints.entries[0].address.word[2] = NID_MAPPED_PREFIX;
	nid_endpoints.entries[0].address.word[3] = last;
	nid_endpoints.entries[0].action = NID_ACTION_REDIRECT;
	nid_endpoints.filter[nid_filter_bit(last) / 32] |= 1U << (nid_filter_bit(last) % 32);
	nid_first_port = FIRST_PORT;
	nid_last_port = LAST_PORT;
	nid_has_set_retval = true;
}
