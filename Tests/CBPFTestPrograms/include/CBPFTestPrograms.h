/* The decision headers as programs of type syscall, and their contexts; a stranger's program. */
#pragma once

#if !__has_include("decisions.skel.h")
#error "the kernel programs are not built yet: run 'make bpf' first ('make' does it all)"
#else
#if __has_feature(modules)
/* See CBPFPrograms.h. */
#pragma clang module import CLibbpf
#endif
#include "test_decisions.skel.h"
#include "decisions.skel.h"
#include "foreign.skel.h"
#endif
