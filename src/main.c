/* scope-grid: the table of its commands. Every command is sg_cmd_<name> in src/cmd/cmd_<name>.c; here its
 * error is printed, once, and turned into the exit code. */
#include "base/json.h"
#include "base/status.h"
#include "cmd/cmd.h"

#include <stdio.h>
#include <string.h>

/* name, what it is for */
#define COMMANDS(X)                                                                                          \
    X(run, "compute a job's grid on all ranks into results.h5, or go on where it stopped")                   \
    X(plan, "what a job would compute and take: cells, tokens, memory")                                      \
    X(pilot, "how many samples a job's cells need, measured on a few of them")                               \
    X(status, "how far a run is")                                                                            \
    X(merge, "write results.h5 from a run's finished cells")                                                 \
    X(check, "verify a results file, a run's folder, or that a checkpoint is one this program computes")     \
    X(tokenize, "text to token ids and back (JSONL)")                                                        \
    X(score, "log-probabilities of token sequences (JSONL)")                                                 \
    X(generate, "samples from a checkpoint (JSONL)")                                                         \
    X(embed, "vectors of texts (JSONL)")                                                                     \
    X(parse, "verdicts from an estimator's answers (JSONL)")                                                 \
    X(bench, "prefill and decode speed of a checkpoint against the machine's limits")
#define DECLARE(name, text) enum sg_status sg_cmd_##name(int argc, char **argv, struct sg_err *err);
COMMANDS(DECLARE)
#undef DECLARE

struct command {
    const char *name, *text;
    enum sg_status (*run)(int argc, char **argv, struct sg_err *err);
};
#define ROW(name, text) {#name, text, sg_cmd_##name},
static const struct command commands[] = {COMMANDS(ROW)};
#undef ROW
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void help(FILE *to) {
    fprintf(to,
            "scope-grid %s: what each model of a portfolio would do on each query, estimated on a grid of "
            "cells\n\n"
            "usage: scope-grid COMMAND [ARGUMENTS]; scope-grid COMMAND --help\n\n",
            SG_VERSION);
    for (int i = 0; i < N_COMMANDS; i++) fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].text);
    fprintf(to, "\n  --help     this text\n  --version  version of the program\n\n"
                "exit codes: 0 done");
#define CODE(code, name, exit_code)                                                                          \
    if (code != SG_OK) fprintf(to, ", %d %s", exit_code, name);
    SG_STATUS_LIST(CODE)
#undef CODE
    fputc('\n', to);
}

static enum sg_status unknown(const char *name, struct sg_err *err) {
    const char *names[N_COMMANDS];
    for (int i = 0; i < N_COMMANDS; i++) names[i] = commands[i].name;
    const char *near = sg_nearest(name, names, N_COMMANDS);
    if (near) return sg_fail(err, SG_E_USAGE, "unknown command %s; did you mean %s?", name, near);
    return sg_fail(err, SG_E_USAGE, "unknown command %s; see scope-grid --help", name);
}

int main(int argc, char **argv) {
    struct sg_err err = {0};
    enum sg_status st = SG_OK;
    if (argc < 2) {
        help(stderr);
        return sg_status_exit_code(SG_E_USAGE);
    }
    const struct command *c = NULL;
    for (int i = 0; i < N_COMMANDS && !c; i++)
        if (!strcmp(argv[1], commands[i].name)) c = &commands[i];
    if (c)
        st = c->run(argc - 1, argv + 1, &err);
    else if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
        help(stdout);
    else if (!strcmp(argv[1], "--version"))
        printf("scope-grid %s\n", SG_VERSION);
    else
        st = unknown(argv[1], &err);
    if (st == SG_OK && (fflush(stdout) != 0 || ferror(stdout)))
        st = sg_fail(&err, SG_E_IO, "stdout: cannot write");
    /* Of many ranks the root speaks; the others come here with the status and without a text. */
    if (st != SG_OK && err.text[0]) fprintf(stderr, "scope-grid: %s\n", err.text);
    return sg_status_exit_code(st);
}
