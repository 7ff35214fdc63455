/* The kernel programs as skeletons, the types they share with the agent, and libbpf's warnings of them. */
#pragma once

#if !__has_include("redirect.skel.h")
#error "the kernel programs are not built yet: run 'make bpf' first ('make' does it all)"
#else
#if __has_feature(modules)
/* The types of the kernel and of libbpf are those of CLibbpf. Included here once more, they would be of this module or of that,
 * by the order in which the compiler comes to them.
 */
#pragma clang module import CLibbpf
#endif
#include "podidentd_abi.skel.h"
#include "redirect.skel.h"
#include "namespaces.skel.h"
#include "guard.skel.h"
#include "forward.skel.h"
#include "uplink.skel.h"
#include "cgroups.skel.h"
#include "level.skel.h"
#include "warnings.h"
#endif
