/* The model that is linked into the program: model/weights/elmo-small.safetensors, by
 * default_model.S. */
#include "elmo.h"

extern const unsigned char elmo_default_model_begin[], elmo_default_model_end[];

int elmo_model_open_default(struct elmo_model **ret_model,
                            const struct elmo_model_settings *settings, struct elmo_error *err)
{
    return elmo_model_open_memory(ret_model, elmo_default_model_begin,
                                  (size_t)(elmo_default_model_end - elmo_default_model_begin),
                                  settings, err);
}
