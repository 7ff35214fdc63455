/* The skeletons are headers; a C target needs one file to compile. */
#include "CBPFPrograms.h"
