#include "CHardeningTestShims.h"
