/* The skeleton is a header; a C target needs one file to compile. */
#include "CBPFTestPrograms.h"
