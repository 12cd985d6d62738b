/* The model that is linked into the program: model/weights/elmo-small.safetensors, by
 * default_model.S. */
#include "elmo.h"
#include "util/mapped_file.h"

extern const unsigned char elmo_default_model_begin[], elmo_default_model_end[];

int elmo_model_open_default(struct elmo_model **ret_model,
                            const struct elmo_model_settings *settings, struct elmo_error *err)
{
    size_t n_bytes = (size_t)(elmo_default_model_end - elmo_default_model_begin);
    int r = elmo_model_open_memory(ret_model, elmo_default_model_begin, n_bytes, settings, err);
    if (!r)
        mapped_file_drop_pages(elmo_default_model_begin, n_bytes);
    return r;
}
