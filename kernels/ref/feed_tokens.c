/* ids[i] = max(token[from[i]], 0) where from[i] >= 0 */
#include "kernels/ref/ref.h"

enum sg_status sg__ref_feed_tokens(struct sg_dev *dev, const int32_t *token, int32_t n_tokens,
                                   const int32_t *from, int32_t n, int32_t *ids, struct sg_err *err) {
    (void)dev, (void)err, (void)n_tokens;
    for (int32_t i = 0; i < n; i++)
        if (from[i] >= 0) ids[i] = token[from[i]] > 0 ? token[from[i]] : 0;
    return SG_OK;
}
