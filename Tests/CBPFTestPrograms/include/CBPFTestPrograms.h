/* The decision headers as programs of type syscall, and their contexts; a stranger's program. */
#pragma once

/* Says what to do where nothing is built yet, and has the types of libbpf and of the agent. */
#include "CBPFPrograms.h"
#include "test_decisions.skel.h"
#include "decisions.skel.h"
#include "foreign.skel.h"
