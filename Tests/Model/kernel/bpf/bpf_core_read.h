/* Reads of the kernel's structures. One of a connection's numbers is a point; all else never changes here. */
#pragma once

#include <bpf/bpf_helpers.h>

#define READ_1(source, a) ((source)->a)
#define READ_2(source, a, b) ((source)->a->b)
#define READ_3(source, a, b, c) ((source)->a->b->c)
#define READ_CHOOSE(_1, _2, _3, name, ...) name
#define READ(source, ...) READ_CHOOSE(__VA_ARGS__, READ_3, READ_2, READ_1)(source, __VA_ARGS__)
#define BPF_CORE_READ(source, ...)                                                                                      \
	({                                                                                                              \
		point_at(&READ(source, __VA_ARGS__));                                                                   \
		READ(source, __VA_ARGS__);                                                                              \
	})
#define BPF_CORE_READ_BITFIELD_PROBED(source, field) ((source)->field)
#define bpf_core_field_exists(...) 1
#define bpf_core_field_offset(type, field) offsetof(type, field)
#define bpf_core_type_size(type) sizeof(type)
