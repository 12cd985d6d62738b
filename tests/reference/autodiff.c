#include "autodiff.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void tape_done(struct tape *tape)
{
    free(tape->nodes);
    *tape = (struct tape){0};
}

void tape_forget(struct tape *tape)
{
    tape->n_nodes = 0;
}

static size_t push(struct tape *tape, double value, size_t a, double by_a, size_t b, double by_b)
{
    if (tape->n_nodes == tape->capacity) {
        tape->capacity = tape->capacity ? 2 * tape->capacity : 1024;
        tape->nodes = realloc(tape->nodes, tape->capacity * sizeof *tape->nodes);
        if (!tape->nodes) {
            fprintf(stderr, "out of memory\n");
            exit(1);
        }
    }
    tape->nodes[tape->n_nodes] = (struct tape_node){value, 0, {a, b}, {by_a, by_b}};
    return tape->n_nodes++;
}

size_t tape_number(struct tape *tape, double value)
{
    return push(tape, value, tape->n_nodes, 0, tape->n_nodes, 0);
}

static size_t function(struct tape *tape, size_t x, double value, double slope)
{
    return push(tape, value, x, slope, tape->n_nodes, 0);
}

size_t tape_add(struct tape *tape, size_t a, size_t b)
{
    return push(tape, tape_value(tape, a) + tape_value(tape, b), a, 1, b, 1);
}

size_t tape_multiply(struct tape *tape, size_t a, size_t b)
{
    double x = tape_value(tape, a), y = tape_value(tape, b);
    return push(tape, x * y, a, y, b, x);
}

size_t tape_divide(struct tape *tape, size_t a, size_t b)
{
    double x = tape_value(tape, a), y = tape_value(tape, b);
    return push(tape, x / y, a, 1 / y, b, -x / (y * y));
}

size_t tape_exp(struct tape *tape, size_t x)
{
    double y = exp(tape_value(tape, x));
    return function(tape, x, y, y);
}

size_t tape_log(struct tape *tape, size_t x)
{
    return function(tape, x, log(tape_value(tape, x)), 1 / tape_value(tape, x));
}

size_t tape_sigmoid(struct tape *tape, size_t x)
{
    double y = 1 / (1 + exp(-tape_value(tape, x)));
    return function(tape, x, y, y * (1 - y));
}

size_t tape_tanh(struct tape *tape, size_t x)
{
    double y = tanh(tape_value(tape, x));
    return function(tape, x, y, 1 - y * y);
}

size_t tape_relu(struct tape *tape, size_t x)
{
    double value = tape_value(tape, x);
    return function(tape, x, value > 0 ? value : 0, value > 0 ? 1 : 0);
}

size_t tape_clip(struct tape *tape, size_t x, double limit)
{
    double value = tape_value(tape, x);
    if (fabs(value) < limit)
        return x;
    return function(tape, x, value > 0 ? limit : -limit, 0);
}

double tape_value(const struct tape *tape, size_t x)
{
    return tape->nodes[x].value;
}

void tape_backward(struct tape *tape, size_t result)
{
    for (size_t k = 0; k <= result; k++)
        tape->nodes[k].gradient = 0;
    tape->nodes[result].gradient = 1;
    for (size_t k = result + 1; k-- > 0;) {
        const struct tape_node *node = &tape->nodes[k];
        for (size_t i = 0; i < 2; i++)
            if (node->from[i] != k)
                tape->nodes[node->from[i]].gradient += node->slope[i] * node->gradient;
    }
}

double tape_gradient(const struct tape *tape, size_t x)
{
    return tape->nodes[x].gradient;
}
