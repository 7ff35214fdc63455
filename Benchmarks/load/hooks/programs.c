// SPDX-License-Identifier: Apache-2.0
/* Loads and attaches the kernel programs of any build, by their sections. */
#include "hooks.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <dirent.h>
#include <sys/syscall.h>

/* Newer than the libbpf that is linked. */
#define TYPE_NETFILTER 32
#define ATTACH_NETFILTER 45
/* A free place before connection tracking. */
#define PRIORITY (-283)

#define ENDPOINTS 64

/* Of objects, and of what those of an agent's are told apart by. */
static const char *const left_out[] = { "cgroups.", "uplink.", "level.", "namespaces.", "decisions.", "foreign." };

struct endpoint {
	uint32_t address[4];
	uint16_t port;
	uint16_t action;
};

/* The five that an agent protects by default. */
static const struct {
	const char *address;
	uint16_t port, action;
} defaults[] = {
	{ "169.254.169.254", 0, 1 }, { "fd20:ce::254", 0, 1 },	    { "fd00:ec2::254", 0, 0 },
	{ "168.63.129.16", 80, 0 },  { "168.63.129.16", 32526, 0 },
};

static int fill_endpoints(struct endpoint *endpoints)
{
	int count = sizeof(defaults) / sizeof(defaults[0]);

	for (int i = 0; i < count; i++) {
		struct endpoint *endpoint = &endpoints[i];

		if (strchr(defaults[i].address, ':')) {
			inet_pton(AF_INET6, defaults[i].address, endpoint->address);
		} else {
			endpoint->address[2] = htonl(0xffff);
			inet_pton(AF_INET, defaults[i].address, &endpoint->address[3]);
		}
		endpoint->port = defaults[i].port;
		endpoint->action = defaults[i].action;
	}
	return count;
}

/* Where a constant lies in the object's read-only data; NULL: this build has none of that name. */
static void *constant(struct bpf_object *object, const char *name)
{
	const struct btf *btf = bpf_object__btf(object);
	struct bpf_map *map = NULL;
	const struct btf_type *section;
	const struct btf_var_secinfo *variable;
	size_t size;
	int id;

	while ((map = bpf_object__next_map(object, map)) && !strstr(bpf_map__name(map), ".rodata"))
		;
	id = btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC);
	if (!map || id < 0)
		return NULL;
	section = btf__type_by_id(btf, (uint32_t)id);
	variable = btf_var_secinfos(section);
	for (int i = 0; i < btf_vlen(section); i++, variable++) {
		const struct btf_type *type = btf__type_by_id(btf, variable->type);

		if (!strcmp(btf__name_by_offset(btf, type->name_off), name))
			return (char *)bpf_map__initial_value(map, &size) + variable->offset;
	}
	return NULL;
}

static void set_word(struct bpf_object *object, const char *name, const void *value, size_t size)
{
	void *place = constant(object, name);

	if (place)
		memcpy(place, value, size);
}

static void set_constants(struct bpf_object *object)
{
	struct endpoint endpoints[ENDPOINTS] = {};
	uint32_t count = (uint32_t)fill_endpoints(endpoints), agent = inet_addr("10.99.0.1"), listen = 9254;
	uint16_t port = htons(9254), first = 981, last = 988;
	char *place = constant(object, "nid_endpoints");
	bool yes = true;

	set_word(object, "nid_has_set_retval", &yes, sizeof(yes));
	set_word(object, "nid_agent_ip4", &agent, sizeof(agent));
	set_word(object, "nid_agent_port", &port, sizeof(port));
	set_word(object, "nid_listen_port", &listen, sizeof(listen));
	set_word(object, "nid_first_port", &first, sizeof(first));
	set_word(object, "nid_last_port", &last, sizeof(last));
	if (!place)
		return;
	if (constant(object, "nid_endpoint_count")) {
		memcpy(place, endpoints, sizeof(endpoints));
		set_word(object, "nid_endpoint_count", &count, sizeof(count));
		return;
	}
	/* struct nid_endpoints: the count, the filter's bits, the endpoints. */
	memcpy(place, &count, sizeof(count));
	for (uint32_t i = 0; i < count; i++) {
		uint32_t bit = (endpoints[i].address[3] * 0x9e3779b1u) >> 20;

		((uint32_t *)(place + 4))[bit / 32] |= 1u << (bit % 32);
	}
	memcpy(place + 4 + 512, endpoints, sizeof(endpoints));
}

static void open_object(struct set *set, const char *path)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *program;
	struct bpf_map *map;

	if (!object)
		die("open %s", path);
	if (set->object_count == OBJECTS_MAX)
		die("more than %d objects", OBJECTS_MAX);
	set_constants(object);
	bpf_object__for_each_program(program, object) {
		if (strncmp(bpf_program__section_name(program), "netfilter", 9))
			continue;
		bpf_program__set_type(program, TYPE_NETFILTER);
		bpf_program__set_expected_attach_type(program, ATTACH_NETFILTER);
	}
	bpf_object__for_each_map(map, object) {
		struct bpf_map *shared = NULL;

		bpf_map__set_pin_path(map, NULL);
		for (int i = 0; i < set->object_count && !shared; i++)
			if (!strncmp(bpf_map__name(map), "nid_", 4))
				shared = bpf_object__find_map_by_name(set->objects[i], bpf_map__name(map));
		if (shared && bpf_map__reuse_fd(map, bpf_map__fd(shared)))
			die("share %s", bpf_map__name(map));
	}
	if (bpf_object__load(object))
		die("load %s", path);
	set->objects[set->object_count++] = object;
}

static uint32_t offset_of(const struct btf *btf, const struct btf_type *type, const char *name)
{
	const struct btf_member *member = btf_members(type);

	for (int i = 0; i < btf_vlen(type); i++, member++)
		if (!strcmp(btf__name_by_offset(btf, member->name_off), name))
			return member->offset / 8;
	die("no member %s", name);
}

/* Tells the programs who is a pod. */
static void tell(struct set *set, const struct ground *ground)
{
	for (int i = 0; i < set->object_count; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(set->objects[i], "nid_settings");
		const struct btf *btf = bpf_object__btf(set->objects[i]);
		const struct btf_type *type;
		char value[1024] = {};
		uint32_t zero = 0;

		if (!map)
			continue;
		type = btf__type_by_id(btf, bpf_map__btf_value_type_id(map));
		memcpy(value + offset_of(btf, type, "kubepods_id"), &ground->kubepods_id, 8);
		memcpy(value + offset_of(btf, type, "kubepods_level"), &ground->kubepods_level, 4);
		if (bpf_map_update_elem(bpf_map__fd(map), &zero, value, BPF_ANY))
			die("tell %s the kubepods cgroup", set->name);
		return;
	}
}

void load_set(struct set *set, const char *directory, const struct ground *ground)
{
	DIR *stream = opendir(directory);
	struct dirent *entry;

	if (!stream)
		die("open %s", directory);
	while ((entry = readdir(stream))) {
		char path[1024];
		bool is_left_out = !strstr(entry->d_name, ".bpf.o");

		for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++)
			is_left_out = is_left_out || !strncmp(entry->d_name, left_out[i], strlen(left_out[i]));
		if (is_left_out)
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		open_object(set, path);
	}
	closedir(stream);
	errno = 0;
	if (!set->object_count)
		die("no programs in %s", directory);
	tell(set, ground);
}

static void add_link(struct set *set, int link, const char *name)
{
	if (link < 0)
		die("attach %s of %s", name, set->name);
	if (set->link_count == LINKS_MAX)
		die("more than %d attachments", LINKS_MAX);
	set->links[set->link_count++] = link;
}

/* BPF_LINK_CREATE for netfilter, which libbpf does not know yet. */
static int link_netfilter(int program, uint32_t family, uint32_t hook)
{
	struct {
		uint32_t program, target, type, flags;
		uint32_t family, hook;
		int32_t priority;
		uint32_t netfilter_flags;
		char rest[96];
	} attributes = {
		.program = (uint32_t)program, .type = ATTACH_NETFILTER, .family = family, .hook = hook, .priority = PRIORITY,
	};

	return (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attributes, 64);
}

static void attach_program(struct set *set, struct bpf_program *program, const struct ground *ground)
{
	const char *section = bpf_program__section_name(program), *name = bpf_program__name(program);
	enum bpf_attach_type type = bpf_program__expected_attach_type(program);
	int descriptor = bpf_program__fd(program);

	if (!strncmp(section, "netfilter", 9)) {
		enter_network(ground->node_network);
		for (const char *hook = set->netfilter; *hook >= '0' && *hook <= '9'; hook++) {
			add_link(set, link_netfilter(descriptor, AF_INET, (uint32_t)(*hook - '0')), name);
			add_link(set, link_netfilter(descriptor, AF_INET6, (uint32_t)(*hook - '0')), name);
		}
	} else if (!strncmp(section, "cgroup_skb/", 11)) {
		add_link(set, bpf_link_create(descriptor, set->guards_everybody ? ground->root : ground->kubepods, type, NULL),
			 name);
	} else if (!strncmp(section, "cgroup/", 7)) {
		add_link(set, bpf_link_create(descriptor, ground->root, type, NULL), name);
	} else if (!strcmp(section, "sockops")) {
		add_link(set, bpf_link_create(descriptor, ground->root, BPF_CGROUP_SOCK_OPS, NULL), name);
	}
}

void attach_set(struct set *set, const struct ground *ground)
{
	struct bpf_program *program;

	for (int i = 0; i < set->object_count; i++)
		bpf_object__for_each_program(program, set->objects[i])
			attach_program(set, program, ground);
}

void detach_set(struct set *set)
{
	while (set->link_count)
		close(set->links[--set->link_count]);
}
