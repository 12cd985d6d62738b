#pragma once
/* A text and an architecture small enough that a test trains on them in a blink. */

static const char toy_text[] = "The film was long . I liked the end of it .\n"
                               "She sat on the bank of the river and read the book again .\n"
                               "The book was long too .\nI liked the river .\nThe end .\n";
static const char toy_options[] =
    "{\"lstm\": {\"cell_clip\": 3, \"proj_clip\": 3, \"use_skip_connections\": true, \"n_layers\": 2,"
    " \"projection_dim\": 8, \"dim\": 12}, \"char_cnn\": {\"embedding\": {\"dim\": 4}, \"filters\":"
    " [[1, 4], [3, 12]], \"n_highway\": 1, \"n_characters\": 262, \"max_characters_per_token\": 20,"
    " \"activation\": \"relu\"}}";
