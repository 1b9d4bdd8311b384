/* fake - results made up by a known law, for tests and benchmarks of the analysis. */
#ifndef SG_TEST_FAKE_H
#define SG_TEST_FAKE_H

#include "store/results.h"

struct fake {
    int64_t n, m, samples; /* samples 0: no sample columns, votes of 8 */
    uint64_t seed;
    bool truth;
    double noise;    /* logit noise of the estimate around the true probability; 0: perfectly calibrated */
    bool pure_noise; /* p_correct says nothing about the truth */
    double missing;  /* share of cells without an estimate */
    int32_t categories;
    int64_t anchors, calibrated; /* anchors with outcomes; of them estimated like queries */
};

/* Model k has a skill and a price that rise together, loosely; query q a difficulty; the true probability of
 * a correct answer is logistic(skill - difficulty + category effect). */
enum sg_status fake_results(const struct fake *f, struct sg_results *out, struct sg_err *err);

/* Uniform in (0, 1), and a standard normal, of stream `key` at position `pos`. */
double fake_uniform(uint64_t key, uint64_t pos);
double fake_normal(uint64_t key, uint64_t pos);

/* |a - b| <= tolerance, in double; cmocka's own compares floats. For files that include cmocka.h. */
#define assert_near(a, b, tolerance)                                                                         \
    do {                                                                                                     \
        const double near_a = (a), near_b = (b);                                                             \
        if (!(fabs(near_a - near_b) <= (tolerance)))                                                         \
            fail_msg("%s is %.17g, expected %.17g", #a, near_a, near_b);                                     \
    } while (0)

#endif
