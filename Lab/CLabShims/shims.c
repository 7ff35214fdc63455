/* Static inline functions only; a C target needs one file to compile. */
#include "CLabShims.h"
