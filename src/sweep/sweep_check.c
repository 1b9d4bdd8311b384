/* Whether every point of a sweep could begin: a file that only the last point names, or an outcome that only
 * its longer prompts need, is told before the first point computes for hours. */
#include "sweep/sweep_internal.h"
#include "model/files.h"

/* The files and the device that the job names; opens no device, reads no weights. */
static enum sg_status check_job(const struct sg_compute_maker *maker, const struct sg_job *job,
                                struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_plan_inputs in = {0};
    struct sg_model_files files = {0}, embedding = {0};
    struct sg_dev_place place;
    struct sg_plan plan = {0};
    if (maker->find) SG_TRY(maker->find(maker->ctx, job, 0, &place, err));
    if (maker->reads_model) SG_TRY(sg_model_files_list(job->model_path, &files, err));
    if (job->prompt.similarity.method == SG_SIM_EMBEDDING) /* its ranking takes as long here as in the run */
        st = sg_model_files_list(job->prompt.similarity.model, &embedding, err);
    else
        st = sg_plan_build(job, &in, &plan, err);
out:
    sg_model_files_free(&files);
    sg_model_files_free(&embedding);
    sg_plan_free(&plan);
    return st;
}

static enum sg_status check_point(void *ctx, const struct sg_sweep_point *p, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_compute_maker *maker = ctx;
    struct sg_job job = {0};
    if (p->like < p->index) goto out; /* the same files */
    SG_TRY(sg_job_read(p->job, p->overrides, p->n_overrides, &job, err));
    SG_TRY(check_job(maker, &job, err));
out:
    sg_job_free(&job);
    return st;
}

enum sg_status sg__sweep_check(const struct sg_run_options *opt, const struct sg_maker_source *source,
                               struct sg_err *err) {
    struct sg_compute_maker maker;
    enum sg_status st = source->make(source->ctx, &maker, err);
    if (st != SG_OK) return st;
    st = sg_sweep_each(opt, check_point, &maker, err);
    source->drop(source->ctx);
    return st;
}
