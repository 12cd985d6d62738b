#pragma once
/* openapi.yaml, linked into the program by openapi.S. */

extern const char openapi_begin[], openapi_end[];
