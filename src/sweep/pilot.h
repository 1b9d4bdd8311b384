/* pilot - how much the samples of a cell spread, measured on a few cells before a job runs, and how many
 * samples meet a tolerance.
 *
 * The pilot's folder is a sweep (sweep_run.h) over two seeds on some of the job's queries (sg_queries_pick):
 * 8 stratified samples of each seed, all from one prefill. From sets that share no random numbers come
 * unbiased variances of the mean of n = 1, 2, 4, 8 stratified samples: half the mean squared difference of two
 * such means, over all pairs of runs of n samples, one of each seed. That of n = 1, over n, is the variance of
 * n independent draws.
 *
 * Now and then an answer says many times the usual length. Such answers decide a standard error of lengths, which
 * then holds for no cell in particular. So the error of a cell's length is the one that 68.27 % of those differences
 * stay below (over sqrt 2, relative to the cell's mean length): one standard deviation where errors are normal.
 * What the rare answers do to a bill, which adds lengths up, is told as a value of its own. */
#ifndef SG_SWEEP_PILOT_H
#define SG_SWEEP_PILOT_H

#include "job/pick.h"
#include "run/run.h"

enum sg_pilot_value { SG_PILOT_P, SG_PILOT_VOTES, SG_PILOT_LENGTH, SG_PILOT_BILL, SG_PILOT_VALUES };
enum { SG_PILOT_SAMPLES = 8, SG_PILOT_SIZES = 4 }; /* of each seed; n = 1, 2, 4, 8 */

struct sg_pilot {
    struct sg_pick pick;
    int64_t cells; /* with verdicts in both sets: those that count */
    /* Squared errors with n = 1, 2, 4, 8 stratified samples. Of p_correct and votes: mean over those cells of the
     * variance. Of the length: see above. Of the bill: variance of the sum of a model's lengths over all the job's
     * queries, relative to the square of that sum, as of cells that err independently of each other. */
    double variance[SG_PILOT_VALUES][SG_PILOT_SIZES];
    double prompt_tokens, output_tokens; /* mean of a cell's prompt, of a sample, of the estimator's own */
    double output_rate; /* output tokens a second while the pilot computed, prefill included; NaN unknown */
};

/* Collective. Runs the pilot of the job opt->job_path in the folder `dir` with opt's overrides, on at least
 * `cells` cells, or goes on with it; *out is filled on the coordinator. Where cells failed, it measures the
 * others. SG_E_INPUT: no cell has verdicts in both sets. Other errors as those of sg_sweep_run. */
enum sg_status sg_pilot_run(struct sg_comm *comm, const struct sg_run_options *opt, const char *dir,
                            int64_t cells, const struct sg_compute_maker *maker, struct sg_pilot *out,
                            struct sg_err *err);

/* Variances of one cell's value from its two sets of samples, NaN where a sample has none; means are those of
 * the samples that have one. variance[s] is NaN where no pair of runs of 2^s has both. */
void sg_pilot_spread(const double a[SG_PILOT_SAMPLES], const double b[SG_PILOT_SAMPLES],
                     double variance[SG_PILOT_SIZES]);
/* Squared error with n samples. Independent ones: that of one sample over n, which for lengths is what it would be
 * without the rare answers. Stratified samples beyond 8 count as independent sets of 8; n
 * between powers of two as the power below. */
double sg_pilot_variance(const struct sg_pilot *p, enum sg_pilot_value value, bool stratified, int64_t n);
/* The least n whose error is at most `tolerance` > 0; stratified: of 1, 2, 4, 8, 16, 24, ... */
int64_t sg_pilot_need(const struct sg_pilot *p, enum sg_pilot_value value, bool stratified, double tolerance);
/* Tokens that the whole job's grid takes with n samples a cell, prompts included. */
double sg_pilot_tokens(const struct sg_pilot *p, int64_t n);
/* Seconds on what computed the pilot, at most: prompt tokens count as output tokens do, which are slower.
 * NaN unknown. */
double sg_pilot_seconds(const struct sg_pilot *p, int64_t n);

#endif
