/* libyaml: the scanner and the parser of events. */
#pragma once

#include <yaml.h>
