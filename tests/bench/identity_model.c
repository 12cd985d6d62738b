/* Makes an elmod with the model of fake_elmo.c, which takes almost no time. So only the server is
 * measured. */
#include "support/fake_elmo.h"

int elmo_model_open_default(struct elmo_model **ret_model,
                            const struct elmo_model_settings *settings, struct elmo_error *err)
{
    (void)settings;
    (void)err;
    *ret_model = fake_elmo_model(&(struct fake_elmo){0});
    return 0;
}

int elmo_model_open(struct elmo_model **ret_model, const char *path,
                    const struct elmo_model_settings *settings, struct elmo_error *err)
{
    (void)path;
    return elmo_model_open_default(ret_model, settings, err);
}

void elmo_model_free(struct elmo_model *model)
{
    (void)model;
}
