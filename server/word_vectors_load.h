#pragma once
/* The word vectors of --word-vectors, opened once, before the first model is there. */
#include "api/service.h"

/* Sets service->word_vectors if a file is named; false after a line of log. A signal to stop ends
 * it early, without them. */
bool vectors_file_open(struct service *service);
